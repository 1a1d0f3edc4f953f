"""Evaluate series by a metric's configuration: its detectors, how they combine, the direction and the duration.

Then add the evidence of siblings: in an incident, the metrics of a source move together, and slices with their total.
In an outage, several sources may be silent.
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
    """The combined results. `detector` has the index in `detectors` of the one whose numbers are shown."""

    detections: Detections
    detector: npt.NDArray[np.int8]
    detectors: tuple[Detector, ...]


def lookback(config: DetectorConfig) -> int:
    """How many slots, including the evaluated one, a result depends on. A longer history changes nothing."""
    return max(_DETECTORS[name][0](config) for name in config.detectors) + config.slots_in_a_row - 1


def evaluate(series: SlotSeries, slots: int, config: DetectorConfig, holidays: Collection[int] = ()) -> Evaluation:
    """Evaluate the last `slots` slots of `series`; `holidays` are local dates as days since 1970."""
    needed = min(series.length, slots + config.slots_in_a_row - 1)
    # For a gauge, the minimum volume applies to its events, not its value: a ratio of 0.5 may come from thousands.
    on_values = config.model_copy(update={"minimum_volume": 0.0}) if series.is_gauge else config
    detections = [
        _filter_direction(_DETECTORS[name][1](series, needed, on_values, holidays), config) for name in config.detectors
    ]
    anomalous = np.stack([result.anomalous for result in detections])
    has_verdict = np.stack([np.isin(result.status, (Status.NORMAL, Status.ANOMALOUS)) for result in detections])
    if config.combine == "all":
        fires = (anomalous | ~has_verdict).all(axis=0) & anomalous.any(axis=0)
    else:
        fires = anomalous.any(axis=0)
    # Show the numbers of the first detector that agrees with the result; if none has a verdict, those of the first one.
    agrees = np.where(fires, anomalous, has_verdict & ~anomalous)
    chosen = np.argmax(agrees, axis=0)
    combined = Detections.combine(
        detections, lambda arrays: np.take_along_axis(np.stack(arrays), chosen[None], axis=0)[0]
    )
    if series.is_gauge and series.events is not None:
        low_volume = np.broadcast_to(series.events < config.minimum_volume, combined.status.shape)
        combined = combined.where_normal(low_volume, Reason.BELOW_MINIMUM_VOLUME)
    last = Detections.combine([_require_duration(combined, config.slots_in_a_row)], lambda arrays: arrays[0][-slots:])
    return Evaluation(last, chosen[-slots:].astype(np.int8), config.detectors)


def _filter_direction(detections: Detections, config: DetectorConfig) -> Detections:
    if config.direction == "both":
        return detections
    rises = detections.value > detections.expected
    return detections.where_normal(~rises if config.direction == "up" else rises, Reason.OTHER_DIRECTION)


def _require_duration(detections: Detections, slots: int) -> Detections:
    """Treat anomalies that have not lasted for `slots` slots in one direction as normal."""
    if slots == 1:
        return detections
    signs = np.where(detections.anomalous, np.where(detections.value > detections.expected, 1, -1), 0)
    is_short = np.zeros(signs.shape, dtype=bool)
    for shift in range(1, slots):
        before = np.zeros_like(signs)
        before[shift:] = signs[:-shift]
        is_short |= before != signs
    return detections.where_normal(detections.anomalous & is_short, Reason.NOT_LONG_ENOUGH)


# --- siblings ---------------------------------------------------------------------------------------------------------

# A series with this share of its threshold is anomalous if a sibling is, in the same direction: two deviations alone
# may be chance, but not beside a sibling's four.
SUPPORTED = 0.5
# A slice is evidence for its total if it explains at least this share of the total's change, and changes the total by
# half of the default minimum change. So chance anomalies of many small slices do not raise alerts about the total. As a
# total is the sum of its slices, it then needs little strength of its own.
_EXPLAINED, _MIN_DEVIATION, _SUPPORTED_BY_SLICE = 0.5, 0.075, 0.1
TOTAL = ("total", "total")
_Signs = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Member:
    """An evaluated metric of a source."""

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
    uses_siblings: bool = True


@dataclass(frozen=True)
class _Evidence:
    """A series that is anomalous without its siblings."""

    # By slot: 1 too high, -1 too low, 0 normal.
    signs: _Signs
    # By slot: how far it is from the expected value.
    deviation: Floats
    # By slot: whether expected events are missing completely.
    silent: Booleans


_EvidenceByName = dict[tuple[str, str], dict[str, _Evidence]]


def with_siblings(members: Sequence[Member], others: Sequence[Member] = ()) -> list[Detections]:
    """The results of a source's members, each with the evidence of the other members.

    The siblings of a series are the same series of the source's other metrics; for a slice also its total, and for a
    total the slices that explain its change. A quotient falls with its numerator and rises when its denominator falls;
    other metrics are no evidence for it. A slot without events has no data if a metric of its slice or of the total has
    none. It also has no data if no metric of its slice has events, and a total of the `others`, the members of other
    sources, has no data.
    """
    evidence: _EvidenceByName = defaultdict(dict)
    for member in members:
        detections = member.detections
        anomalous, silent = _is_evidence(detections), _is_silent(detections)
        signs = np.where(anomalous, np.sign(detections.strength), 0).astype(np.int8)
        for number in np.flatnonzero(anomalous.any(axis=0)).tolist():
            deviation = detections.value[:, number] - detections.expected[:, number]
            evidence[member.names[number]][member.metric] = _Evidence(signs[:, number], deviation, silent[:, number])
    by_name = {member.metric: member for member in members}
    silent_by_name = _silent_by_name(members, others)
    return [
        _supported(member, evidence, by_name, silent_by_name) if member.uses_siblings else member.detections
        for member in members
    ]


def _is_evidence(detections: Detections) -> Booleans:
    """Where series are anomalous without their siblings."""
    return np.asarray(detections.anomalous & (np.abs(detections.strength) >= 1))


def _is_silent(detections: Detections) -> Booleans:
    """Where series have no data, and are anomalous without their siblings."""
    return np.asarray(_is_evidence(detections) & (detections.reason == Reason.NO_DATA))


def _is_empty(detections: Detections) -> Booleans:
    return np.asarray(~(np.abs(detections.value) > 0))


def _silent_by_name(members: Sequence[Member], others: Sequence[Member]) -> dict[tuple[str, str], Booleans]:
    """The slots in which all metrics of a slice or of the total are empty, and a total of the others has no data."""
    totals = [_is_silent(other.detections)[:, other.names.index(TOTAL)] for other in others if TOTAL in other.names]
    silent = np.asarray(np.any(totals, axis=0))
    found: dict[tuple[str, str], Booleans] = {}
    if silent.any():
        for member in members:
            for name, empty in zip(member.names, _is_empty(member.detections).T, strict=True):
                found[name] = found.get(name, silent) & empty
    return found


def _supported(
    member: Member,
    all_evidence: _EvidenceByName,
    by_name: dict[str, Member],
    silent_by_name: dict[tuple[str, str], Booleans],
) -> Detections:
    detections = member.detections
    support = np.zeros(detections.status.shape, dtype=bool)
    near = (detections.status == Status.NORMAL) & (np.abs(detections.strength) >= _SUPPORTED_BY_SLICE)
    # A metric without events is silent if another metric of the slice or of the whole product is.
    empty = ~detections.anomalous & (detections.strength < 0) & _is_empty(detections)
    silent = np.zeros(detections.status.shape, dtype=bool)
    for number in np.flatnonzero((near | empty).any(axis=0)).tolist():
        name = member.names[number]
        sign = np.sign(detections.strength[:, number])
        strength = np.abs(detections.strength[:, number])
        for signs, threshold in _siblings(member, number, all_evidence, by_name):
            support[:, number] |= (signs == sign) & (strength >= threshold)
        for evidence in (*all_evidence.get(name, {}).values(), *all_evidence.get(TOTAL, {}).values()):
            silent[:, number] |= evidence.silent
        silent[:, number] |= silent_by_name.get(name, False)
    return detections.where_anomalous(near & support, Reason.WITH_SIBLING).where_anomalous(
        empty & silent, Reason.NO_DATA
    )


def _siblings(
    member: Member, number: int, all_evidence: _EvidenceByName, by_name: dict[str, Member]
) -> Iterator[tuple[_Signs, float]]:
    """The signs of a series' siblings by slot, and the strength that the series needs itself."""
    name = member.names[number]
    for metric, evidence in all_evidence.get(name, {}).items():
        if relation := _relation(member, by_name[metric]):
            yield (relation * evidence.signs).astype(np.int8), SUPPORTED
    if name != TOTAL:
        if total := all_evidence.get(TOTAL, {}).get(member.metric):
            yield total.signs, SUPPORTED
    elif member.adds_up:
        expected = member.detections.expected[:, number]
        deviation = np.abs(member.detections.value[:, number] - expected)
        threshold = np.maximum(_EXPLAINED * deviation, _MIN_DEVIATION * np.abs(expected))
        for slice_name, metrics in all_evidence.items():
            if slice_name != TOTAL and (part := metrics.get(member.metric)):
                yield np.where(np.abs(part.deviation) >= threshold, part.signs, 0).astype(np.int8), _SUPPORTED_BY_SLICE


def _relation(metric: Member, other: Member) -> int:
    """1 if two metrics move in the same direction, -1 if they move in opposite ones, 0 if unknown."""
    if metric.metric == other.metric:
        return 0
    for quotient, part in ((metric, other), (other, metric)):
        if quotient.numerator is not None:
            return 1 if part.metric == quotient.numerator else -1 if part.metric == quotient.denominator else 0
    return 1
