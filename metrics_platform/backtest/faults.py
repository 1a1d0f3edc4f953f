"""The faults that a monitor is for, put into a history: what would have been seen had it happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from metrics_platform.detection.series import Floats

Hits = Literal["counts", "likes", "slice"]


@dataclass(frozen=True)
class Fault:
    """A fault: by what the counts of its slots are multiplied.

    Attributes:
        name: what a person calls it.
        factors: one per slot.
        hits: all counts of the product; its likes alone; or the counts of one slice, and of the total by as much.
    """

    name: str
    factors: tuple[float, ...]
    hits: Hits = "counts"


FAULTS = (
    Fault("outage of a slot", (0.02,)),
    Fault("outage of an hour", (0.02,) * 4),
    Fault("no data", (0.0,) * 4),
    Fault("−30 % for 3 h", (0.7,) * 12),
    Fault("+60 % for a slot", (1.6,)),
    Fault("slow leak over 6 h", tuple(1 - 0.5 * (step + 1) / 24 for step in range(24))),
    Fault("CTR halved for 2 h", (0.5,) * 8, "likes"),
    Fault("one os −80 % for 2 h", (0.2,) * 8, "slice"),
)


def inject(values: Floats, fault: Fault, random: np.random.Generator) -> Floats:
    """The last slots of a count, one per factor of the fault, as they would have been; counts stay counts.

    `values` are [slots, lanes] and are not changed; where a slice is hit, lane 0 is the total and lane 1 the slice.
    """
    hit = values.copy()
    first = len(values) - len(fault.factors)
    lanes = [1] if fault.hits == "slice" else range(values.shape[1])
    for step, factor in enumerate(fault.factors):
        for lane in lanes:
            before = values[first + step, lane]
            if np.isnan(before):
                continue
            after = (
                random.binomial(int(before), factor) if factor <= 1 else before + random.poisson((factor - 1) * before)
            )
            hit[first + step, lane] = after
            if fault.hits == "slice":
                hit[first + step, 0] += after - before
    return hit
