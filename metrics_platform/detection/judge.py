"""DetectorConfig a metric as it is configured: its detectors, how they combine, the direction, how long it must last."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from metrics_platform.detection import day_over_day, iqr, seasonal
from metrics_platform.detection.config import Detector, DetectorConfig
from metrics_platform.detection.judgement import Judgements, Reason, Status
from metrics_platform.detection.series import SlotSeries


@dataclass(frozen=True)
class _Known:
    """A detector: how far it looks back, and how it judges the last so many slots; holidays as days since 1970."""

    reach: Callable[[DetectorConfig], int]
    judge: Callable[[SlotSeries, int, DetectorConfig, Collection[int]], Judgements]


_DETECTORS: Mapping[Detector, _Known] = {
    "seasonal": _Known(
        lambda _judging: seasonal.REACH,
        lambda series, slots, judging, holidays: seasonal.judge(
            series, slots, judging.seasonal, judging.minimum_volume, holidays
        ),
    ),
    "day_over_day": _Known(
        lambda _judging: day_over_day.REACH,
        lambda series, slots, judging, _holidays: day_over_day.judge(
            series, slots, judging.day_over_day, judging.minimum_volume
        ),
    ),
    "iqr": _Known(
        lambda judging: iqr.reach(judging.iqr),
        lambda series, slots, judging, _holidays: iqr.judge(series, slots, judging.iqr),
    ),
}


@dataclass(frozen=True)
class Combined:
    """The answers, with the detector whose numbers they show: an index of `detectors`, [slots, series]."""

    judgements: Judgements
    detector: npt.NDArray[np.int8]
    detectors: tuple[Detector, ...]


def reach(judging: DetectorConfig) -> int:
    """How many slots, up to and with the judged one, an answer looks at: a longer history changes nothing."""
    return max(_DETECTORS[name].reach(judging) for name in judging.detectors) + judging.slots_in_a_row - 1


def judge(series: SlotSeries, slots: int, judging: DetectorConfig, holidays: Collection[int] = ()) -> Combined:
    """Judge the last `slots` slots of `series`; `holidays` are local dates as days since 1970."""
    asked = min(series.length, slots + judging.slots_in_a_row - 1)
    found = [_DETECTORS[name].judge(series, asked, judging, holidays) for name in judging.detectors]
    answers = [_directed(each, judging) for each in found]
    anomalous = np.stack([answer.anomalous for answer in answers])
    answered = np.stack([np.isin(answer.status, (Status.NORMAL, Status.ANOMALOUS)) for answer in answers])
    if judging.combine == "all":
        fires = (anomalous | ~answered).all(axis=0) & anomalous.any(axis=0)
    else:
        fires = anomalous.any(axis=0)
    # Shown are the numbers of the first detector that agrees with the answer; where none has one, the first's.
    agrees = np.where(fires, anomalous, answered & ~anomalous)
    shown = np.argmax(agrees, axis=0)
    combined = Judgements(
        **{
            name: np.take_along_axis(np.stack([getattr(answer, name) for answer in answers]), shown[None], axis=0)[0]
            for name in Judgements.__dataclass_fields__
        }
    )
    lasting = _lasting(combined, judging.slots_in_a_row)
    cut = {name: getattr(lasting, name)[-slots:] for name in Judgements.__dataclass_fields__}
    return Combined(Judgements(**cut), shown[-slots:].astype(np.int8), judging.detectors)


def _directed(found: Judgements, judging: DetectorConfig) -> Judgements:
    """Normal where it moved in the direction that is none of interest."""
    if judging.direction == "both":
        return found
    rises = found.value > found.expected
    other = found.anomalous & (~rises if judging.direction == "up" else rises)
    return _calmed(found, other, Reason.OTHER_DIRECTION)


def _lasting(found: Judgements, slots: int) -> Judgements:
    """Normal where it has not lasted for so many slots in one direction."""
    if slots == 1:
        return found
    signs = np.where(found.anomalous, np.where(found.value > found.expected, 1, -1), 0)
    short = np.zeros(signs.shape, dtype=bool)
    for shift in range(1, slots):
        before = np.zeros_like(signs)
        before[shift:] = signs[:-shift]
        short |= before != signs
    return _calmed(found, found.anomalous & short, Reason.NOT_LONG_ENOUGH)


def _calmed(found: Judgements, where: npt.NDArray[np.bool_], why: Reason) -> Judgements:
    return replace(
        found,
        status=np.where(where, Status.NORMAL, found.status).astype(np.int8),
        reason=np.where(where, why, found.reason).astype(np.int8),
    )
