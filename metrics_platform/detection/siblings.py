"""Evidence from siblings: in an incident the metrics of one source move together, and a slice with its total."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metrics_platform.detection.detections import Detections, Reason, Status
from metrics_platform.detection.series import Booleans

# This share of its own threshold makes a series anomalous where a sibling is, in the same direction: two deviations by
# themselves are chance, two beside a sibling's four are not.
SUPPORTED = 0.5
TOTAL = ("total", "total")


@dataclass(frozen=True)
class Member:
    """A metric of a source, evaluated.

    Attributes:
        metric: its name.
        names: (dimension, value) of each series.
        detections: the answers, [slots, series].
        is_quotient: a share or a ratio: it may move either way when its parts do, so it supports no other metric.
        listens: whether it may become anomalous by its siblings: not where an anomaly must last some slots.
    """

    metric: str
    names: Sequence[tuple[str, str]]
    detections: Detections
    is_quotient: bool
    listens: bool = True


def with_siblings(members: Sequence[Member]) -> list[Detections]:
    """The answers of the members, each with the evidence of the others.

    The siblings of a series are the same series of the source's other metrics, and of a slice its total. A quotient
    has its total only.
    """
    anomalous: dict[tuple[str, str], dict[str, tuple[Booleans, Booleans]]] = defaultdict(dict)
    for member in members:
        found = member.detections
        rises, falls = (found.anomalous & (found.strength * way >= 1) for way in (1, -1))
        for number in np.flatnonzero(found.anomalous.any(axis=0)).tolist():
            anomalous[member.names[number]][member.metric] = (rises[:, number], falls[:, number])
    quotients = {member.metric for member in members if member.is_quotient}
    return [_supported(member, anomalous, quotients) if member.listens else member.detections for member in members]


def _supported(
    member: Member,
    anomalous: dict[tuple[str, str], dict[str, tuple[Booleans, Booleans]]],
    quotients: set[str],
) -> Detections:
    found = member.detections
    support = np.zeros(found.status.shape, dtype=bool)
    near = (found.status == Status.NORMAL) & (np.abs(found.strength) >= SUPPORTED)
    for number in np.flatnonzero(near.any(axis=0)).tolist():
        name = member.names[number]
        siblings = [
            ways
            for metric, ways in anomalous.get(name, {}).items()
            if metric != member.metric and not member.is_quotient and metric not in quotients
        ]
        if name != TOTAL and member.metric in anomalous.get(TOTAL, {}):
            siblings.append(anomalous[TOTAL][member.metric])
        for rises, falls in siblings:
            support[:, number] |= np.where(found.strength[:, number] > 0, rises, falls)
    return found.where_anomalous(near & support, Reason.WITH_SIBLING)
