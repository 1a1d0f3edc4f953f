"""The detector `day_over_day`: a slot against the same slot exactly 24 hours earlier."""

from __future__ import annotations

import numpy as np

from metrics_platform.detection.config import DayOverDay
from metrics_platform.detection.judgement import Judgements, Reason, Status
from metrics_platform.detection.series import SLOTS_A_DAY, SlotSeries, shifted

REACH = SLOTS_A_DAY + 1


def judge(series: SlotSeries, slots: int, config: DayOverDay, minimum_volume: float) -> Judgements:
    """Judge the last `slots` slots: anomalous beyond ± `threshold_pct` of the value a day before.

    A base of zero is never divided by: from 0 to a count (of a rate: with trials) of at least `minimum_volume` is
    anomalous, anything less is normal.
    """
    value = series.observed[-slots:]
    base = shifted(series.observed, SLOTS_A_DAY)[-slots:]
    share = config.threshold_pct / 100
    lower, upper = np.maximum(base * (1 - share), 0.0), base * (1 + share)
    volume = value if series.trials is None else np.where(value > 0, series.trials[-slots:], 0.0)
    from_zero = (base == 0) & (value > 0) & (volume >= minimum_volume)
    if series.trials is None:
        upper = np.where(base == 0, minimum_volume, upper)
    beyond = (base > 0) & ((value < lower) | (value > upper))
    reason = np.select([from_zero, beyond], [Reason.FROM_ZERO, Reason.THIS_SLOT], Reason.WITHIN_BAND).astype(np.int8)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(base > 0, (value / base - 1) / share, np.nan)
    status = np.where(from_zero | beyond, Status.ANOMALOUS, Status.NORMAL).astype(np.int8)
    return Judgements(status, reason, value, base, lower, upper, score).where_unknown(~np.isfinite(base))
