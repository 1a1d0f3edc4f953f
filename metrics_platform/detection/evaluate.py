"""Evaluate series as a metric is configured: its detectors, how they combine, the direction, how long it must last."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metrics_platform.detection import day_over_day, iqr, seasonal
from metrics_platform.detection.config import Detector, DetectorConfig
from metrics_platform.detection.detections import Detections, Reason, Status
from metrics_platform.detection.series import SlotSeries


@dataclass(frozen=True)
class _Registered:
    """A detector: how many slots it looks back, and how it evaluates the last slots of series."""

    lookback: Callable[[DetectorConfig], int]
    evaluate: Callable[[SlotSeries, int, DetectorConfig, Collection[int]], Detections]


_DETECTORS: Mapping[Detector, _Registered] = {
    "seasonal": _Registered(
        lambda _config: seasonal.LOOKBACK,
        lambda series, slots, config, holidays: seasonal.evaluate(
            series, slots, config.seasonal, config.minimum_volume, holidays
        ),
    ),
    "day_over_day": _Registered(
        lambda _config: day_over_day.LOOKBACK,
        lambda series, slots, config, _holidays: day_over_day.evaluate(
            series, slots, config.day_over_day, config.minimum_volume
        ),
    ),
    "iqr": _Registered(
        lambda config: iqr.lookback(config.iqr),
        lambda series, slots, config, _holidays: iqr.evaluate(series, slots, config.iqr),
    ),
}


@dataclass(frozen=True)
class Evaluation:
    """The combined answers, and whose numbers they show: `detector` indexes `detectors`, [slots, series]."""

    detections: Detections
    detector: npt.NDArray[np.int8]
    detectors: tuple[Detector, ...]


def lookback(config: DetectorConfig) -> int:
    """How many slots, up to and with the evaluated one, an answer depends on: a longer history changes nothing."""
    return max(_DETECTORS[name].lookback(config) for name in config.detectors) + config.slots_in_a_row - 1


def evaluate(series: SlotSeries, slots: int, config: DetectorConfig, holidays: Collection[int] = ()) -> Evaluation:
    """Evaluate the last `slots` slots of `series`; `holidays` are local dates as days since 1970."""
    needed = min(series.length, slots + config.slots_in_a_row - 1)
    # The minimum volume of a gauge is about its events, not its value: a ratio of 0.5 may be made of thousands.
    on_values = config.model_copy(update={"minimum_volume": 0.0}) if series.is_gauge else config
    answers = [
        _in_direction(_DETECTORS[name].evaluate(series, needed, on_values, holidays), config)
        for name in config.detectors
    ]
    anomalous = np.stack([answer.anomalous for answer in answers])
    answered = np.stack([np.isin(answer.status, (Status.NORMAL, Status.ANOMALOUS)) for answer in answers])
    if config.combine == "all":
        fires = (anomalous | ~answered).all(axis=0) & anomalous.any(axis=0)
    else:
        fires = anomalous.any(axis=0)
    # Show the numbers of the first detector that agrees with the answer; where none has an answer, the first one's.
    agrees = np.where(fires, anomalous, answered & ~anomalous)
    shown = np.argmax(agrees, axis=0)
    combined = Detections(
        **{
            name: np.take_along_axis(np.stack([getattr(answer, name) for answer in answers]), shown[None], axis=0)[0]
            for name in Detections.names()
        }
    )
    if series.is_gauge and series.events is not None:
        few = np.broadcast_to(series.events < config.minimum_volume, combined.status.shape)
        combined = combined.where_normal(few, Reason.BELOW_MINIMUM_VOLUME)
    lasting = _lasting(combined, config.slots_in_a_row)
    last = {name: getattr(lasting, name)[-slots:] for name in Detections.names()}
    return Evaluation(Detections(**last), shown[-slots:].astype(np.int8), config.detectors)


def _in_direction(found: Detections, config: DetectorConfig) -> Detections:
    """Normal where the metric moved in the direction that is not configured."""
    if config.direction == "both":
        return found
    rises = found.value > found.expected
    return found.where_normal(~rises if config.direction == "up" else rises, Reason.OTHER_DIRECTION)


def _lasting(found: Detections, slots: int) -> Detections:
    """Normal where the anomaly has not lasted for `slots` slots in one direction."""
    if slots == 1:
        return found
    signs = np.where(found.anomalous, np.where(found.value > found.expected, 1, -1), 0)
    short = np.zeros(signs.shape, dtype=bool)
    for shift in range(1, slots):
        before = np.zeros_like(signs)
        before[shift:] = signs[:-shift]
        short |= before != signs
    return found.where_normal(found.anomalous & short, Reason.NOT_LONG_ENOUGH)
