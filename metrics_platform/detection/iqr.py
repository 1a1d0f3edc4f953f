"""The detector `iqr`: compares a slot with the quartiles of the slots just before it."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from metrics_platform.detection.config import DetectorConfig
from metrics_platform.detection.series import Detections, Floats, Reason, SlotSeries, Status

# Sums of floating-point numbers differ in their last digits, which must not count as a spread.
_ROUNDING = 1e-9


def lookback(config: DetectorConfig) -> int:
    """How many slots, up to and with the evaluated one, are read."""
    return 2 * config.iqr.n


def evaluate(series: SlotSeries, slots: int, config: DetectorConfig, _holidays: Collection[int] = ()) -> Detections:
    """Evaluate the last `slots` slots: anomalous outside of [q25 - a IQR, q75 + a IQR] of the `n` slots before.

    Both bounds are smoothed over `n` slots. Where the quartiles are equal, nothing fires: every change would.
    """
    n, a = config.iqr.n, config.iqr.a
    history = series.observed[max(0, series.length - slots - lookback(config) + 1) :]
    value = history[-slots:]
    quartiles = _rolling(history, n, lambda windows: np.quantile(windows, (0.25, 0.5, 0.75), axis=-1))
    low, middle, high = quartiles
    spread = high - low
    if series.is_gauge:
        spread = np.where(spread > _ROUNDING * np.maximum(np.abs(low), np.abs(high)), spread, 0.0 * spread)
    lower, upper = (
        _rolling(bound, n, lambda windows: windows.mean(axis=-1)[None], current=True)[0][-slots:]
        for bound in (low - a * spread, high + a * spread)
    )
    spread, expected = spread[-slots:], middle[-slots:]
    beyond = (spread > 0) & ((value < lower) | (value > upper))
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(spread > 0, (value - expected) / spread, np.nan)
    status = np.where(beyond, Status.ANOMALOUS, Status.NORMAL).astype(np.int8)
    reason = np.where(beyond, Reason.THIS_SLOT, Reason.WITHIN_BAND).astype(np.int8)
    if not series.is_gauge:
        lower = np.maximum(lower, 0.0)
    detections = Detections(status, reason, value, expected, lower, upper, score, np.where(beyond, np.sign(score), 0.0))
    return detections.where_unknown(~(np.isfinite(lower) & np.isfinite(upper)))


def _rolling(values: Floats, length: int, function: Callable[[Floats], Floats], *, current: bool = False) -> Floats:
    """`function` over the `length` slots before each slot (or up to it, if `current`); NaN where one is not known.

    It takes [slots, series, length] and returns [results, slots, series].
    """
    if len(values) < length:
        return np.full((3, *values.shape), np.nan)
    results = function(sliding_window_view(values, length, axis=0))
    padded = np.full((len(results), *values.shape), np.nan)
    first = length - 1 if current else length
    padded[:, first:] = results[:, : len(values) - first]
    return padded
