"""The detector `day_over_day`: compares a slot with the same slot exactly 24 hours earlier."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from metrics_platform.detection.baseline import lagged
from metrics_platform.detection.config import DetectorConfig
from metrics_platform.detection.series import SLOTS_A_DAY, Detections, Reason, SlotSeries, Status


def lookback(_config: DetectorConfig) -> int:
    """How many slots, up to and with the evaluated one, are read."""
    return SLOTS_A_DAY + 1


def evaluate(series: SlotSeries, slots: int, config: DetectorConfig, _holidays: Collection[int] = ()) -> Detections:
    """Evaluate the last `slots` slots: anomalous beyond ± `threshold_pct` of the value a day before.

    A base of zero is never divided by. A change from 0 to a value of at least `minimum_volume` (of a share: with that
    many trials) is anomalous, a smaller one is normal. A gauge may be negative: its size counts.
    """
    value = series.observed[-slots:]
    base = lagged(series.observed, SLOTS_A_DAY)[-slots:]
    share = config.day_over_day.threshold_pct / 100
    lower, upper = np.sort([base * (1 - share), base * (1 + share)], axis=0)
    volume = np.abs(value) if series.trials is None else np.where(value > 0, series.trials[-slots:], 0.0)
    from_zero = (base == 0) & (value != 0) & (volume >= config.minimum_volume)
    if series.trials is None:
        lower = np.where(base == 0, -config.minimum_volume, lower)
        upper = np.where(base == 0, config.minimum_volume, upper)
    beyond = (base != 0) & ((value < lower) | (value > upper))
    reason = np.select([from_zero, beyond], [Reason.FROM_ZERO, Reason.THIS_SLOT], Reason.WITHIN_BAND).astype(np.int8)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(base != 0, (value / base - 1) / share * np.sign(base), np.nan)
    status = np.where(from_zero | beyond, Status.ANOMALOUS, Status.NORMAL).astype(np.int8)
    if not series.is_gauge:
        lower = np.maximum(lower, 0.0)
    strength = np.where(status == Status.ANOMALOUS, np.sign(value - base), 0.0)
    return Detections(status, reason, value, base, lower, upper, score, strength).where_unknown(~np.isfinite(base))
