"""Gauges and ratios: any size, any sign, no counting noise. An outage is found, and noise is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metrics_platform.detection.config import Detector, DetectorConfig, Kind
from metrics_platform.detection.evaluate import evaluate
from metrics_platform.detection.series import SLOTS_A_DAY, Detections, Floats, SlotSeries, Status
from metrics_platform.monitor.backtest import Product
from metrics_platform_tests.detection.histories import START, at, changed, ending, flat, statuses, until
from metrics_platform_tests.detection.test_patterns import PATTERNS

DAY = SLOTS_A_DAY
DAYS = 40
NOW = (36, 14)  # a day of the history, and an hour
SIZES = [1e-3, 1e9, -1.0]


def _gauge(size: float, noise: float = 0.05, kind: Kind = "gauge") -> SlotSeries:
    """A sum, such as revenue: it follows the product's course."""
    random = np.random.default_rng(1)
    product = Product(size, DAYS, start=START, holidays=())
    values = product.activity(random) * np.exp(noise * random.standard_normal(DAYS * DAY))
    return SlotSeries(START, product.zone, values[:, None], kind=kind)


def _evaluated(series: SlotSeries, slots: int = 1, **config: object) -> Detections:
    return evaluate(series, slots, DetectorConfig(**{"minimum_volume": 0.0, **config})).detections  # type: ignore[arg-type]


def _now(series: SlotSeries) -> SlotSeries:
    return until(series, at(series, *NOW))


@pytest.mark.parametrize(("kind", "factors"), [
    ("gauge", [0.0, 0.0]), ("ratio", [0.0, 0.0]), ("gauge", [0.3]), ("gauge", [2.0]),
])  # fmt: skip
@pytest.mark.parametrize("size", SIZES)
def test_a_large_change_of_a_gauge_is_found_in_its_first_slot(size: float, kind: Kind, factors: list[float]) -> None:
    found = _evaluated(changed(_now(_gauge(size, kind=kind)), -len(factors), factors), len(factors))
    assert statuses(found) == [Status.ANOMALOUS] * len(factors)
    assert (np.sign(found.score) == np.sign(size * (factors[0] - 1))).all()


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.05])
@pytest.mark.parametrize("size", SIZES)
def test_the_noise_of_a_gauge_is_normal(size: float, noise: float) -> None:
    found = _evaluated(_gauge(size, noise), 14 * DAY)
    assert found.anomalous.sum() <= 2
    assert Status.NOT_ENOUGH_HISTORY not in statuses(found)


def _drifting(dips: dict[int, float]) -> SlotSeries:
    """A gauge that is smooth from slot to slot, at a level that wanders by a fifth within hours; the last slots dip."""
    random = np.random.default_rng(6)
    drift = random.standard_normal(DAYS * DAY)
    for slot in range(1, len(drift)):
        drift[slot] = 0.985 * drift[slot - 1] + 0.03 * drift[slot]
    smooth = np.convolve(drift, np.ones(8) / 8, "same")
    values = 100 * np.exp(smooth + 0.01 * random.standard_normal(len(drift)))
    for slot, factor in dips.items():
        values[slot] *= factor
    return flat(values, kind="gauge")


def test_a_jump_of_a_gauge_whose_level_wanders_is_found() -> None:
    found = _evaluated(_drifting({-3: 0.7}), 14 * DAY)
    assert found.anomalous[-3, 0]
    assert found.anomalous[:-3].sum() <= 2
    assert abs(found.score[-3, 0]) > 4.5
    assert not found.anomalous[-2:].any()  # the jump back to the expected value is none


@pytest.mark.parametrize("seed", [1, 2])
def test_noisy_gauges_with_sharp_patterns_raise_few_alerts(seed: int) -> None:
    means = np.stack([pattern(1000.0, 44) for pattern in PATTERNS.values()], axis=1)
    noise = np.random.default_rng(seed).standard_normal(means.shape)
    quiet, noisy = (replace(flat([0.0], kind="gauge"), values=means * np.exp(size * noise)) for size in (0.03, 0.08))
    assert _evaluated(quiet, 14 * DAY).anomalous.sum() <= 1
    assert _evaluated(noisy, 14 * DAY).anomalous.sum() <= 2 * 2 * len(PATTERNS)


@pytest.mark.parametrize("size", SIZES)
def test_a_gauge_has_the_same_answers_at_every_size_and_sign(size: float) -> None:
    detectors: tuple[Detector, ...] = ("seasonal", "day_over_day", "iqr")
    series = changed(_gauge(1.0), -3, [0.4, 1.0, 2.5])
    scaled = replace(series, values=series.values * size)
    for detector in detectors:
        one, other = (_evaluated(history, 2 * DAY, detectors=(detector,)) for history in (series, scaled))
        np.testing.assert_array_equal(one.status, other.status, err_msg=detector)
        # Half of the days lie on each side of a median: that of the negative values may be the day beside it.
        far = np.nanmax(np.abs(other.expected / (one.expected * size) - 1))
        assert far < (1e-9 if size > 0 else 0.06), detector
        bounds = np.sort([one.lower * size, one.upper * size], axis=0)
        far = np.nanmax(np.abs([other.lower, other.upper] - bounds) / np.abs(other.expected))
        assert far < (1e-9 if size > 0 else 0.2), detector


@pytest.mark.parametrize("value", [-7.0, 0.0, 1e-3, 1e9])
def test_a_constant_gauge_is_normal_and_its_change_is_found(value: float) -> None:
    constant = [value] * (20 * DAY)
    assert set(statuses(_evaluated(flat(constant, kind="gauge"), 10 * DAY))) == {Status.NORMAL}
    moved = value * 1.5 if value else 1e-3
    assert statuses(_evaluated(flat([*constant, moved], kind="gauge"))) == [Status.ANOMALOUS]


def test_a_gauge_around_zero_is_normal_and_an_outlier_is_found() -> None:
    random = np.random.default_rng(2)
    values = random.standard_normal(DAYS * DAY)
    assert _evaluated(flat(values, kind="gauge"), 20 * DAY).anomalous.mean() < 0.003
    for outlier in (-12.0, 12.0):
        found = _evaluated(flat([*values, outlier], kind="gauge"))
        assert statuses(found) == [Status.ANOMALOUS]
        assert found.lower[0, 0] < -1 < 1 < found.upper[0, 0]


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5])
def test_rare_payments_are_normal_and_a_huge_one_is_found(share: float) -> None:
    random = np.random.default_rng(3)
    count = DAYS * DAY
    values = np.where(random.random(count) < share, random.gamma(3.0, 20.0, count), 0.0)
    assert _evaluated(flat(values, kind="gauge"), 20 * DAY).anomalous.mean() < 0.005
    assert statuses(_evaluated(flat([*values, 10_000.0], kind="gauge"))) == [Status.ANOMALOUS]


def test_a_gauge_that_is_unknown_at_night_keeps_its_level() -> None:
    series = _now(_gauge(50.0))
    hours = (np.arange(series.length) // 4) % 24
    known: Floats = np.where((hours < 6)[:, None], np.nan, series.values)
    random = np.random.default_rng(4)
    known[random.random(series.length) < 0.2] = np.nan
    known[-1] = series.values[-1]
    whole, holed = (_evaluated(replace(series, values=values)) for values in (series.values, known))
    assert statuses(holed) == [Status.NORMAL]
    assert holed.expected[0, 0] == pytest.approx(whole.expected[0, 0], rel=0.05)


def test_a_slot_without_a_value_is_unknown() -> None:
    assert statuses(_evaluated(ending(_now(_gauge(50.0, kind="ratio")), np.nan))) == [Status.UNKNOWN]


@pytest.mark.parametrize("detector", ["seasonal", "day_over_day", "iqr"])
def test_a_gauge_is_anomalous_exactly_outside_its_band(detector: Detector) -> None:
    for size in (100.0, -100.0):
        series = _gauge(size)
        factors = np.random.default_rng(3).choice([1.0, 1.0, 1.0, 0.5, 1.5], DAY)
        found = _evaluated(changed(series, -2 * DAY, factors), 3 * DAY, detectors=(detector,))
        outside = (found.value < found.lower) | (found.value > found.upper)
        assert found.anomalous.sum() > 10
        if detector == "iqr":  # where the quartiles are equal nothing fires
            outside &= np.isfinite(found.score)
        np.testing.assert_array_equal(outside, found.anomalous)


@pytest.mark.parametrize(("base", "value", "expected"), [
    (-100.0, -120.0, Status.NORMAL),
    (-100.0, -160.0, Status.ANOMALOUS),
    (-100.0, -40.0, Status.ANOMALOUS),
    (-100.0, 100.0, Status.ANOMALOUS),
    (100.0, -100.0, Status.ANOMALOUS),
    (0.0, -5.0, Status.ANOMALOUS),
    (0.0, 0.0, Status.NORMAL),
])  # fmt: skip
def test_day_over_day_of_a_gauge_compares_sizes(base: float, value: float, expected: Status) -> None:
    found = _evaluated(flat([base] * DAY + [value], kind="gauge"), detectors=("day_over_day",))
    assert statuses(found) == [expected]
    assert np.sign(found.score[0, 0]) == np.sign(value - base) or base == 0


def test_iqr_does_not_take_rounding_for_a_spread() -> None:
    tenths = [0.1 + 0.2, 0.3] * 20
    assert statuses(_evaluated(flat([*tenths, 0.31], kind="gauge"), detectors=("iqr",))) == [Status.NORMAL]


@pytest.mark.parametrize("kind", ["gauge", "ratio"])
def test_the_minimum_volume_of_a_gauge_does_not_apply_to_its_value(kind: Kind) -> None:
    halves = [0.5] * (20 * DAY)
    for value, expected in ((0.5, Status.NORMAL), (0.1, Status.ANOMALOUS)):
        assert statuses(_evaluated(flat([*halves, value], kind=kind), minimum_volume=200.0)) == [expected]


def _revenue(orders: Floats) -> Floats:
    """Sums of so many amounts, a few of which are very large."""
    random = np.random.default_rng(3)
    return np.array([random.lognormal(3.0, 1.1, size).sum() for size in random.poisson(orders)])


def test_an_outage_of_amounts_that_scatter_far_upwards_is_found() -> None:
    orders = 55 - 45 * np.cos(2 * np.pi * np.arange(DAYS * DAY) / DAY)
    values = _revenue(orders)
    assert _evaluated(flat(values, kind="gauge"), 10 * DAY).anomalous.sum() <= 6
    ends = np.random.default_rng(4).integers(36 * DAY, DAYS * DAY, size=30)
    outages = (changed(flat(values[:end], kind="gauge"), -4, [0.02] * 4) for end in ends)
    assert sum(_evaluated(outage, 4).anomalous.any() for outage in outages) >= 26


def test_a_gauge_that_scatters_upwards_has_a_wider_band_above() -> None:
    values = 100.0 + np.random.default_rng(5).exponential(20.0, DAYS * DAY)
    found = _evaluated(flat(values, kind="gauge"), 5 * DAY)
    assert (found.upper - found.expected).mean() > 1.5 * (found.expected - found.lower).mean()
