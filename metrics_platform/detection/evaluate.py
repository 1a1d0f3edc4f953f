"""Evaluate series as a metric is configured: its detectors, how they combine, the direction, how long it must last.

Then the evidence of siblings: in an incident the metrics of one source move together, and a slice with its total.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metrics_platform.detection import day_over_day, iqr, seasonal
from metrics_platform.detection.config import Detector, DetectorConfig
from metrics_platform.detection.series import Booleans, Detections, Floats, Reason, SlotSeries, Status

_Evaluate = Callable[[SlotSeries, int, DetectorConfig, Collection[int]], Detections]
# How many slots each detector looks back, and how it evaluates the last slots of series.
_DETECTORS: Mapping[Detector, tuple[Callable[[DetectorConfig], int], _Evaluate]] = {
    "seasonal": (seasonal.lookback, seasonal.evaluate),
    "day_over_day": (day_over_day.lookback, day_over_day.evaluate),
    "iqr": (iqr.lookback, iqr.evaluate),
}


@dataclass(frozen=True)
class Evaluation:
    """The combined answers, and whose numbers they show: `detector` indexes `detectors`, [slots, series]."""

    detections: Detections
    detector: npt.NDArray[np.int8]
    detectors: tuple[Detector, ...]


def lookback(config: DetectorConfig) -> int:
    """How many slots, up to and with the evaluated one, an answer depends on: a longer history changes nothing."""
    return max(_DETECTORS[name][0](config) for name in config.detectors) + config.slots_in_a_row - 1


def evaluate(series: SlotSeries, slots: int, config: DetectorConfig, holidays: Collection[int] = ()) -> Evaluation:
    """Evaluate the last `slots` slots of `series`; `holidays` are local dates as days since 1970."""
    needed = min(series.length, slots + config.slots_in_a_row - 1)
    # The minimum volume of a gauge is about its events, not its value: a ratio of 0.5 may be made of thousands.
    on_values = config.model_copy(update={"minimum_volume": 0.0}) if series.is_gauge else config
    answers = [
        _in_direction(_DETECTORS[name][1](series, needed, on_values, holidays), config) for name in config.detectors
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
    combine = Detections.combine(answers, lambda arrays: np.take_along_axis(np.stack(arrays), shown[None], axis=0)[0])
    if series.is_gauge and series.events is not None:
        few = np.broadcast_to(series.events < config.minimum_volume, combine.status.shape)
        combine = combine.where_normal(few, Reason.BELOW_MINIMUM_VOLUME)
    last = Detections.combine([_lasting(combine, config.slots_in_a_row)], lambda arrays: arrays[0][-slots:])
    return Evaluation(last, shown[-slots:].astype(np.int8), config.detectors)


def _in_direction(found: Detections, config: DetectorConfig) -> Detections:
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


# --- siblings ---------------------------------------------------------------------------------------------------------

# This share of its own threshold makes a series anomalous where a sibling is, in the same direction: two deviations
# alone are chance, two beside a sibling's four are not.
SUPPORTED = 0.5
# A slice speaks for its total where it explains at least this share of the total's change, and moves the total by half
# of the default minimum change: so the chance alerts of many small slices raise none about the whole product. A total
# is the sum of its slices, so little strength of its own is enough then.
_EXPLAINED, _MOVED, _SUPPORTED_BY_SLICE = 0.5, 0.075, 0.1
TOTAL = ("total", "total")
_Ways = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Member:
    """A metric of a source, evaluated."""

    # Its name.
    metric: str
    # (dimension, value) of each series.
    names: Sequence[tuple[str, str]]
    # The answers, [slots, series].
    detections: Detections
    # Of a share or a ratio, the metrics it is made of.
    numerator: str | None = None
    denominator: str | None = None
    # Whether its slices add up to its total, as counts and sums do, and averages and quotients do not.
    adds_up: bool = True
    # Whether its siblings can make it anomalous.
    listens: bool = True


@dataclass(frozen=True)
class _Evidence:
    """A series that is anomalous without its siblings."""

    # By slot: 1 where it is too high, -1 where it is too low, 0 where it is normal.
    ways: _Ways
    # By slot: how far it is from the expected value.
    moved: Floats
    # By slot: whether it has no events, although some are expected.
    silent: Booleans


_Found = dict[tuple[str, str], dict[str, _Evidence]]


def with_siblings(members: Sequence[Member]) -> list[Detections]:
    """The answers of the members, each with the evidence of the others.

    The siblings of a series are the same series of the source's other metrics, of a slice its total, and of a total the
    slices that explain its change. A quotient falls with its numerator and rises as its denominator falls; of other
    metrics it knows nothing. A slot without events has no data where a count of its slice or of the total has none.
    """
    found: _Found = defaultdict(dict)
    for member in members:
        detections = member.detections
        own = detections.anomalous & (np.abs(detections.strength) >= 1)
        ways = np.where(own, np.sign(detections.strength), 0).astype(np.int8)
        # A share is silent where views are missed, and these may all be of a few users who are away by chance.
        silent = own & (detections.reason == Reason.NO_DATA) & (member.denominator is None)
        for number in np.flatnonzero(own.any(axis=0)).tolist():
            moved = detections.value[:, number] - detections.expected[:, number]
            found[member.names[number]][member.metric] = _Evidence(ways[:, number], moved, silent[:, number])
    by_name = {member.metric: member for member in members}
    return [_supported(member, found, by_name) if member.listens else member.detections for member in members]


def _supported(member: Member, found: _Found, by_name: dict[str, Member]) -> Detections:
    detections = member.detections
    support = np.zeros(detections.status.shape, dtype=bool)
    near = (detections.status == Status.NORMAL) & (np.abs(detections.strength) >= _SUPPORTED_BY_SLICE)
    # Where a metric of the slice or of the whole product is silent, one that has no events either is so, too.
    empty = ~detections.anomalous & (detections.strength < 0) & ~(np.abs(detections.value) > 0)
    silent = np.zeros(detections.status.shape, dtype=bool)
    for number in np.flatnonzero((near | empty).any(axis=0)).tolist():
        way = np.sign(detections.strength[:, number])
        strength = np.abs(detections.strength[:, number])
        for ways, least in _siblings(member, number, found, by_name):
            support[:, number] |= (ways == way) & (strength >= least)
        for evidence in (*found.get(member.names[number], {}).values(), *found.get(TOTAL, {}).values()):
            silent[:, number] |= evidence.silent
    return detections.where_anomalous(near & support, Reason.WITH_SIBLING).where_anomalous(
        empty & silent, Reason.NO_DATA
    )


def _siblings(member: Member, number: int, found: _Found, by_name: dict[str, Member]) -> Iterator[tuple[_Ways, float]]:
    """The ways in which the siblings of a series say that it moves, and the strength that it needs itself."""
    name = member.names[number]
    for metric, evidence in found.get(name, {}).items():
        if relation := _relation(member, by_name[metric]):
            yield (relation * evidence.ways).astype(np.int8), SUPPORTED
    if name != TOTAL:
        if total := found.get(TOTAL, {}).get(member.metric):
            yield total.ways, SUPPORTED
    elif member.adds_up:
        expected = member.detections.expected[:, number]
        moved = np.abs(member.detections.value[:, number] - expected)
        least = np.maximum(_EXPLAINED * moved, _MOVED * np.abs(expected))
        for slice_name, metrics in found.items():
            if slice_name != TOTAL and (part := metrics.get(member.metric)):
                yield np.where(np.abs(part.moved) >= least, part.ways, 0).astype(np.int8), _SUPPORTED_BY_SLICE


def _relation(one: Member, other: Member) -> int:
    """1 where two metrics move in the same direction, -1 where they move in opposite ones, 0 where it is not known."""
    if one.metric == other.metric:
        return 0
    for quotient, part in ((one, other), (other, one)):
        if quotient.numerator is not None:
            return 1 if part.metric == quotient.numerator else -1 if part.metric == quotient.denominator else 0
    return 1
