"""How detectors combine, and what a metric's configuration changes."""

from __future__ import annotations

import datetime
from dataclasses import replace
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from metrics_platform.detection.config import DETECTORS, Detector, DetectorConfig, Direction
from metrics_platform.detection.evaluate import SUPPORTED, evaluate, lookback
from metrics_platform.detection.series import SLOTS_A_DAY, Detections, Reason, SlotSeries, Status
from metrics_platform_tests.detection.histories import flat, reasons, statuses

# Quiet for a day, so that `day_over_day` and `iqr` have a history; then what is evaluated.
QUIET = [100.0, 104.0, 96.0, 102.0, 98.0] * 20


def _evaluated(values: list[float], **config: object) -> tuple[list[Status], list[Reason]]:
    found = evaluate(flat(QUIET + values), len(values), DetectorConfig(**config)).detections  # type: ignore[arg-type]
    return statuses(found), reasons(found)


# 130 is 30 % over the day before, and far outside of the quartiles of five slots; 300 is both.
@pytest.mark.parametrize(("combine", "value", "expected"), [
    ("any", 130.0, Status.ANOMALOUS),
    ("all", 130.0, Status.NORMAL),
    ("all", 300.0, Status.ANOMALOUS),
    ("any", 100.0, Status.NORMAL),
])  # fmt: skip
def test_detectors_combine_by_any_or_all(combine: str, value: float, expected: Status) -> None:
    both: tuple[Detector, ...] = ("day_over_day", "iqr")
    assert _evaluated([value], detectors=both, combine=combine)[0] == [expected]


def test_the_numbers_shown_are_those_of_the_detector_that_found_it() -> None:
    found = evaluate(flat([*QUIET, 130.0]), 1, DetectorConfig(detectors=("day_over_day", "iqr")))
    assert found.detectors[found.detector[0, 0]] == "iqr"
    assert found.detections.upper[0, 0] < 130


def test_a_detector_without_enough_history_leaves_the_answer_to_the_others() -> None:
    for combine in ("any", "all"):
        config = DetectorConfig(detectors=("seasonal", "iqr"), combine=combine)  # type: ignore[arg-type]
        assert statuses(evaluate(flat([*QUIET, 300.0]), 1, config).detections) == [Status.ANOMALOUS]
    config = DetectorConfig(detectors=("seasonal",))
    assert statuses(evaluate(flat([*QUIET, 300.0]), 1, config).detections) == [Status.NOT_ENOUGH_HISTORY]


@pytest.mark.parametrize(("direction", "value", "expected"), [
    ("down", 10.0, (Status.ANOMALOUS, Reason.THIS_SLOT)),
    ("down", 300.0, (Status.NORMAL, Reason.OTHER_DIRECTION)),
    ("up", 300.0, (Status.ANOMALOUS, Reason.THIS_SLOT)),
    ("up", 10.0, (Status.NORMAL, Reason.OTHER_DIRECTION)),
])  # fmt: skip
def test_a_direction_of_no_interest_is_normal(direction: str, value: float, expected: tuple[Status, Reason]) -> None:
    status, reason = _evaluated([value], detectors=("day_over_day",), direction=direction)
    assert (status[0], reason[0]) == expected


@pytest.mark.parametrize(("direction", "is_evidence"), [("both", True), ("up", True), ("down", False)])
def test_siblings_do_not_overrule_the_direction(direction: Direction, is_evidence: bool) -> None:
    values = [1_000_000.0] * (20 * SLOTS_A_DAY)
    found = evaluate(flat([*values, 1_120_000.0]), 1, DetectorConfig(direction=direction)).detections
    assert statuses(found) == [Status.NORMAL]
    assert (found.strength[0, 0] >= SUPPORTED) == is_evidence


@pytest.mark.parametrize(("config", "uses_siblings"), [
    (DetectorConfig(), True),
    (DetectorConfig(slots_in_a_row=2), False),
    (DetectorConfig(detectors=("seasonal", "iqr")), True),
    (DetectorConfig(detectors=("seasonal", "iqr"), combine="all"), False),
    (DetectorConfig(combine="all"), True),
], ids=["default", "must last", "any of two", "both of two", "all of one"])  # fmt: skip
def test_siblings_do_not_overrule_what_must_last_or_be_agreed_upon(config: DetectorConfig, uses_siblings: bool) -> None:
    assert config.uses_siblings == uses_siblings


def test_an_anomaly_must_last_for_as_many_slots_as_configured_in_one_direction() -> None:
    status, reason = _evaluated([300.0, 10.0, 10.0, 100.0, 10.0], detectors=("day_over_day",), slots_in_a_row=2)
    assert status == [Status.NORMAL, Status.NORMAL, Status.ANOMALOUS, Status.NORMAL, Status.NORMAL]
    assert reason[0] == reason[1] == reason[4] == Reason.NOT_LONG_ENOUGH


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_longer_history_than_the_lookback_changes_no_answer(detector: Detector) -> None:
    config = DetectorConfig(detectors=(detector,), slots_in_a_row=2)
    values = np.random.default_rng(2).poisson(100, 50 * SLOTS_A_DAY).astype(float)
    values[-2:] = 10.0
    series = flat(values)
    whole, part = (
        evaluate(series.between(series.length - length, series.length), 1, config).detections
        for length in (series.length, lookback(config))
    )
    assert statuses(whole) == [Status.ANOMALOUS]
    for name in Detections.__dataclass_fields__:
        np.testing.assert_allclose(getattr(part, name), getattr(whole, name), rtol=1e-9, err_msg=name)


def test_series_side_by_side_give_the_same_answers_as_each_alone() -> None:
    random = np.random.default_rng(1)
    values = random.poisson(100, (40 * SLOTS_A_DAY, 3)).astype(float)
    values[-1] = [100.0, 0.0, 300.0]
    config = DetectorConfig(detectors=DETECTORS)
    together = flat(values[:, 0].tolist())
    together = type(together)(together.start, together.zone, values)
    found = evaluate(together, 4, config).detections
    for number in range(3):
        alone = evaluate(flat(values[:, number].tolist()), 4, config).detections
        for name in ("status", "reason", "expected", "lower", "upper", "score"):
            np.testing.assert_array_equal(getattr(found, name)[:, number], getattr(alone, name)[:, 0])


def test_a_gauge_of_few_events_is_not_evaluated() -> None:
    random = np.random.default_rng(3)
    values = 1000 + 20 * random.standard_normal((96 * 20, 2))
    values[-1] = 0.0
    start = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
    series = SlotSeries(start, ZoneInfo("UTC"), values, kind="gauge", events=np.array([50.0, 2.0]))
    found = evaluate(series, 1, DetectorConfig(minimum_volume=10)).detections
    assert found.anomalous.tolist() == [[True, False]]
    assert found.reason[0, 1] == Reason.BELOW_MINIMUM_VOLUME


def test_siblings_do_not_overrule_the_few_events_of_a_gauge() -> None:
    random = np.random.default_rng(3)
    values = 1000 + 20 * random.standard_normal((96 * 20, 2))
    values[-1] = 880.0
    series = flat(values[:, 0].tolist(), kind="gauge")
    series = replace(series, values=values, events=np.array([50.0, 2.0]))
    found = evaluate(series, 1, DetectorConfig(minimum_volume=10)).detections
    assert found.anomalous.tolist() == [[False, False]]
    assert (found.strength[0] <= -SUPPORTED).tolist() == [True, False]
