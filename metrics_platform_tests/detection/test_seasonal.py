"""What `seasonal` must get right, each situation with its right answer."""

from __future__ import annotations

import datetime
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics_platform.detection.config import DetectorConfig, Kind, Seasonal
from metrics_platform.detection.evaluate import SUPPORTED, TOTAL, Member, with_siblings
from metrics_platform.detection.evaluate import evaluate as evaluate_as_configured
from metrics_platform.detection.seasonal import LOOKBACK, evaluate
from metrics_platform.detection.series import SLOTS_A_DAY, Detections, Reason, SlotSeries, Status
from metrics_platform.monitor.backtest import Product, generated_histories
from metrics_platform_tests.detection.histories import (
    START,
    at,
    catalog,
    changed,
    ending,
    evaluated,
    flat,
    reasons,
    statuses,
    traffic,
    until,
)

DAY = SLOTS_A_DAY
COUNTS = ("feed_users", "views", "likes", "messages", "senders")


@pytest.fixture(scope="module")
def metrics() -> dict[str, SlotSeries]:
    return traffic()


@pytest.fixture(scope="module")
def views(metrics: dict[str, SlotSeries]) -> SlotSeries:
    """The views up to 14:00 of a day."""
    return until(metrics["views"], at(metrics["views"], 32, 14))


# The last slots before 14:00, multiplied: every one is anomalous, with no reason but this where one is named.
@pytest.mark.parametrize(("metric", "factors", "reason"), [
    ("views", [0.0] * 8, Reason.NO_DATA),
    ("senders", [0.0] * 8, Reason.NO_DATA),
    ("messages", [0.0] * 2, Reason.NO_DATA),
    ("ctr", [0.5] * 2, None),
], ids=["an outage", "of few senders", "of the messenger", "a halved CTR"])  # fmt: skip
def test_what_happens_is_found_in_its_first_slot_and_every_slot_after(
    metrics: dict[str, SlotSeries], metric: str, factors: list[float], reason: Reason | None
) -> None:
    end, slots = at(metrics[metric], 32, 14), len(factors)
    found = evaluated(metric, changed(until(metrics[metric], end), -slots, factors), slots)
    assert statuses(found) == [Status.ANOMALOUS] * slots
    assert set(reasons(found)) == {reason} or reason is None
    assert (found.score < -4).all()
    for other in {*COUNTS, "ctr"} - {metric}:
        assert statuses(evaluated(other, until(metrics[other], end), slots)) == [Status.NORMAL] * slots, other


@pytest.mark.parametrize(("hour", "status", "reason"), [
    (14, Status.ANOMALOUS, Reason.NO_DATA),
    (4, Status.UNKNOWN, Reason.NO_VALUE),  # at night, all users may be away by chance
])  # fmt: skip
def test_a_ctr_without_views_has_no_data_where_the_views_have_none(hour: int, status: Status, reason: Reason) -> None:
    traffic_of_few = traffic(users=30.0)
    views, ctr = (
        evaluated(metric, ending(until(traffic_of_few[metric], at(traffic_of_few[metric], 32, hour)), 0, 0))
        for metric in ("views", "ctr")
    )
    assert statuses(ctr) == [Status.UNKNOWN]
    _, found = with_siblings([Member("views", [TOTAL], views), Member("ctr", [TOTAL], ctr, "likes", "views")])
    assert (statuses(found), reasons(found)) == ([status], [reason])
    assert np.isnan(found.value).all()
    assert 0 < found.expected[0, 0] < 1


def test_a_slot_that_was_never_computed_is_unknown(views: SlotSeries) -> None:
    assert statuses(evaluated("views", ending(views, np.nan))) == [Status.UNKNOWN]


def test_the_first_days_are_not_enough_history(metrics: dict[str, SlotSeries]) -> None:
    found = evaluated("views", until(metrics["views"], 8 * DAY), 8 * DAY)
    assert set(statuses(found)[: 5 * DAY]) == {Status.NOT_ENOUGH_HISTORY}
    assert np.isnan(found.expected[: 5 * DAY]).all()
    assert Status.NOT_ENOUGH_HISTORY not in statuses(found)[5 * DAY + 1 :]


@pytest.mark.parametrize(("usual", "value", "status", "reason"), [
    (200.0, 0.0, Status.ANOMALOUS, Reason.NO_DATA),
    (200.0, 320.0, Status.ANOMALOUS, Reason.THIS_SLOT),
    (200.0, 210.0, Status.NORMAL, Reason.WITHIN_BAND),
    (0.0, 49.0, Status.NORMAL, Reason.BELOW_MINIMUM_VOLUME),
    (0.0, 60.0, Status.ANOMALOUS, Reason.THIS_SLOT),
])  # fmt: skip
def test_a_constant_series_is_normal_and_its_change_is_found(
    usual: float, value: float, status: Status, reason: Reason
) -> None:
    values = [usual] * (20 * DAY)
    assert set(statuses(evaluated("views", flat(values), 10 * DAY))) == {Status.NORMAL}
    found = evaluated("views", flat([*values, value]))
    assert (statuses(found), reasons(found)) == ([status], [reason])


def test_small_counts_at_night_are_normal_and_a_dead_night_is_found_in_two_hours() -> None:
    senders = traffic(users=30.0)["senders"]  # 30 in a slot on average, 3 in the dead of night
    nights = [evaluated("senders", until(senders, at(senders, day, 6)), 4 * 5) for day in range(15, 34)]
    assert sum(night.anomalous.sum() for night in nights) <= 1
    end = at(senders, 33, 4)
    dead = changed(until(senders, end), -8, [0.0] * 8)
    assert evaluated("senders", dead, 4).anomalous.any()


def test_a_ctr_over_a_few_views_does_not_shout_and_over_many_it_does(metrics: dict[str, SlotSeries]) -> None:
    series = until(metrics["ctr"], at(metrics["ctr"], 32, 14))
    for likes, trials, expected in ((7, 7, Status.NORMAL), (0, 30, Status.NORMAL), (0, 3000, Status.ANOMALOUS)):
        assert statuses(evaluated("ctr", ending(series, likes, trials))) == [expected], (likes, trials)


def test_growth_is_no_anomaly() -> None:
    series = traffic(weekly_growth=0.10)["views"]
    assert evaluated("views", series, 14 * DAY).anomalous.sum() <= 2


@pytest.mark.parametrize("day", [26, 27, 28], ids=["Saturday", "Sunday", "Monday"])
def test_weekends_and_the_morning_after_are_no_anomaly(metrics: dict[str, SlotSeries], day: int) -> None:
    for metric in (*COUNTS, "ctr"):
        series = until(metrics[metric], at(metrics[metric], day + 1, 0))
        assert evaluated(metric, series, DAY).anomalous.sum() <= 1, metric


@pytest.mark.parametrize(
    ("start", "hours"),
    [
        (datetime.datetime(2026, 3, 1, 23, tzinfo=datetime.UTC), 23),  # 29 March is day 27
        (datetime.datetime(2026, 9, 27, 22, tzinfo=datetime.UTC), 25),  # 25 October is day 27
    ],
    ids=["forward", "back"],
)
def test_a_clock_change_is_no_anomaly_and_an_outage_around_it_is_found(start: datetime.datetime, hours: int) -> None:
    metrics = traffic(start=start, users=1000.0)
    views = metrics["views"]
    assert (at(views, 28, 0) - at(views, 27, 0)) * 0.25 == hours
    for metric in COUNTS:
        series = until(metrics[metric], at(metrics[metric], 30, 0))
        assert evaluated(metric, series, 3 * DAY).anomalous.sum() <= 1, metric
    for hour in (1.5, 2.5, 3.5, 9):
        dead = changed(until(views, at(views, 27, hour)), -1, [0.0])
        assert statuses(evaluated("views", dead)) == [Status.ANOMALOUS], hour


def test_a_missing_stretch_of_the_history_is_left_out_and_not_taken_for_zeros() -> None:
    views = traffic(users=600.0)["views"]
    series = until(views, at(views, 32, 14))
    values = series.values.copy()
    values[series.length - 9 * DAY : series.length - 5 * DAY] = np.nan
    gap = replace(series, values=values)
    whole, holed = evaluated("views", series, DAY), evaluated("views", gap, DAY)
    assert holed.anomalous.sum() <= 1
    assert np.nanmax(np.abs(holed.expected / whole.expected - 1)) < 0.15
    assert statuses(evaluated("views", changed(gap, -1, [0.3]))) == [Status.ANOMALOUS]


def test_half_missing_hours_are_not_taken_for_a_change_of_the_days(views: SlotSeries) -> None:
    values = views.values.copy()
    for before in range(2, 5 * DAY, 8):  # every other hour of the last five days
        values[views.length - before - 4 : views.length - before] = np.nan
    whole, holed = evaluated("views", views), evaluated("views", replace(views, values=values))
    assert holed.expected[0, 0] == pytest.approx(whole.expected[0, 0], rel=0.15)


def test_a_change_below_the_least_is_no_alert_however_sure_it_is() -> None:
    config = DetectorConfig(seasonal=Seasonal(minimum_change=0.3))
    quiet = [1_000_000.0] * (20 * DAY)
    small, large = (
        evaluate_as_configured(flat([*quiet, value]), 1, config).detections for value in (710_000.0, 690_000.0)
    )
    assert (statuses(small), reasons(small)) == ([Status.NORMAL], [Reason.CHANGE_TOO_SMALL])
    assert small.score[0, 0] < -4
    assert statuses(large) == [Status.ANOMALOUS]


@pytest.mark.parametrize(("config", "is_evidence"), [(Seasonal(), True), (Seasonal(minimum_change=0.15), False)])
def test_a_minimum_change_that_a_user_set_holds_beside_siblings(config: Seasonal, is_evidence: bool) -> None:
    series = flat([*[1_000_000.0] * (20 * DAY), 880_000.0])
    found = evaluate_as_configured(series, 1, DetectorConfig(seasonal=config)).detections
    assert reasons(found) == [Reason.CHANGE_TOO_SMALL]
    assert (abs(found.strength[0, 0]) >= SUPPORTED) == is_evidence


@pytest.mark.parametrize("factor", [0.0, 0.3, 3.0])
def test_yesterdays_incident_does_not_fire_today(metrics: dict[str, SlotSeries], factor: float) -> None:
    series = until(metrics["views"], at(metrics["views"], 32, 20))
    scarred = changed(series, series.length - DAY - 40, [factor] * 24)
    found = evaluated("views", scarred, DAY - 40 + 24)  # from the incident's end on, over the same hours today
    assert found.anomalous.sum() == 0


def test_a_halved_metric_is_found_in_its_first_slot() -> None:
    views = traffic(users=1000.0)["views"]
    assert evaluated("views", changed(until(views, at(views, 32, 18)), -4, [0.5] * 4), 4).anomalous.all()


@pytest.mark.parametrize("factor", [0.6, 2.0])
def test_a_step_that_stays_becomes_the_norm_and_an_outage_after_it_is_found(factor: float) -> None:
    views = traffic(users=1000.0)["views"]
    begin, end = at(views, 30, 10), at(views, 33, 0)
    stepped = changed(until(views, end), begin, np.full(end - begin, factor))
    found = evaluated("views", stepped, end - begin).anomalous[:, 0]
    assert found[0]
    assert found[4 * 4 :].sum() <= 4  # of three days
    for after in (2, 16, DAY):
        dead = changed(until(stepped, begin + after), -1, [0.0])
        assert statuses(evaluated("views", dead)) == [Status.ANOMALOUS], after


def test_a_holiday_that_is_not_known_learns_its_level_and_an_outage_on_it_is_found() -> None:
    holiday = datetime.date(2026, 3, 31)
    views = traffic(users=600.0, holidays=(holiday,))["views"]
    day = at(views, 29, 0)
    assert evaluated("views", until(views, day + DAY), DAY).anomalous.sum() <= 4
    dead = changed(until(views, day + 15 * 4), -4, [0.0] * 4)
    assert evaluated("views", dead, 4).anomalous[0, 0]


@pytest.mark.parametrize("factor", [0.5, 1.5])
def test_the_day_after_a_holiday_is_soon_expected_as_in_other_weeks(factor: float) -> None:
    views = traffic(users=1000.0)["views"]
    day = at(views, 30, 0)
    after = changed(until(views, day + 2 * DAY), day, np.full(DAY, factor))
    found = evaluated("views", after, DAY)
    assert not found.anomalous.any()
    expected = found.expected[:, 0] / after.values[-DAY:, 0]
    assert np.median(expected[2 * 4 : 6 * 4]) == pytest.approx(1, abs=0.2)
    assert np.median(expected[6 * 4 : 12 * 4]) == pytest.approx(1, abs=0.05)


def test_the_slot_after_an_incident_is_normal(metrics: dict[str, SlotSeries]) -> None:
    series = changed(until(metrics["views"], at(metrics["views"], 32, 18)), -26, [0.0] * 24)
    assert statuses(evaluated("views", series, 2)) == [Status.NORMAL] * 2


def test_a_holiday_doubles_the_band(views: SlotSeries) -> None:
    day = (datetime.date(2026, 4, 3) - datetime.date(1970, 1, 1)).days
    plain, holiday = evaluated("views", views), evaluated("views", views, holidays=(day,))
    below = [float(np.sqrt(found.expected[0, 0]) - np.sqrt(found.lower[0, 0])) for found in (plain, holiday)]
    assert below[1] >= 1.8 * below[0]


def test_a_value_outside_of_its_band_is_anomalous_and_one_inside_is_not(metrics: dict[str, SlotSeries]) -> None:
    for metric in (*COUNTS, "ctr"):
        series = metrics[metric]
        hit = changed(series, -2 * DAY, np.random.default_rng(3).choice([1.0] * 18 + [0.4, 1.9], DAY))
        found = evaluated(metric, hit, 3 * DAY)
        outside = (found.value < found.lower) | (found.value > found.upper)
        assert found.anomalous.sum() > 5
        # A slot below the least volume has no band that it could leave.
        volume = found.reason == Reason.BELOW_MINIMUM_VOLUME
        assert (outside == found.anomalous)[~volume].all(), metric


_FACTORS = st.lists(st.sampled_from([0.0, 0.5, 0.9, 1.0, 1.3, 3.0, np.nan]), min_size=1, max_size=30)


@given(
    seed=st.integers(0, 1000),
    world=st.tuples(st.sampled_from([2.0, 30.0, 800.0]), st.sampled_from(["views", "messages", "ctr"])),
    place=st.integers(2 * DAY, 40 * DAY),
    factors=_FACTORS,
    gap=st.integers(0, 3 * DAY),
    kind=st.sampled_from(["count", "gauge"]),
)
def test_evaluating_one_slot_and_replaying_the_history_agree(  # noqa: PLR0917
    seed: int, world: tuple[float, str], place: int, factors: list[float], gap: int, kind: Kind
) -> None:
    users, metric = world
    product = Product(users, 42, start=START, holidays=(), weekly_growth=0.1)
    series = generated_histories(catalog(), product, seed)[metric].series(0, 2)
    values = series.values.copy()
    values[place : place + len(factors), 0] *= np.array(factors)[: len(values) - place]
    values[place - gap : place - 1, 1] = np.nan
    trials = None if series.trials is None else np.where(np.isnan(values), np.nan, series.trials)
    if kind == "gauge" and seed % 2:  # from the fault on it is on both sides of zero
        values[place:] -= np.nanmean(values)
    series = replace(series, values=np.round(values), trials=trials, kind=kind)
    holidays = [(datetime.date(2026, 3, 20) - datetime.date(1970, 1, 1)).days]
    replay = evaluate(series, series.length, DetectorConfig(), holidays)
    random = np.random.default_rng(seed)
    for position in {*random.integers(0, series.length, 20).tolist(), 0, place, place + 1, series.length - 1}:
        if position >= series.length:
            continue
        alone = series.between(max(0, position + 1 - LOOKBACK), position + 1)
        found = evaluate(alone, 1, DetectorConfig(), holidays)
        for name in Detections.__dataclass_fields__:
            one, replayed = getattr(found, name)[0], getattr(replay, name)[position]
            if kind == "count":
                np.testing.assert_array_equal(one, replayed, err_msg=name)
            else:  # means of a gauge's blocks begin at another number, which costs the last digits
                np.testing.assert_allclose(one, replayed, rtol=1e-9, err_msg=name)
