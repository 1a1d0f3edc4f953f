"""The faults that a monitor is for, put into a history: what would have been seen had it happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from metrics_platform.detection.series import Floats


@dataclass(frozen=True)
class Fault:
    """A fault: by what the values of its slots are multiplied.

    Attributes:
        name: what a person calls it.
        factors: one per slot.
        of: whether counts are hit, or of a rate its numerator.
    """

    name: str
    factors: tuple[float, ...]
    of: Literal["counts", "rates"] = "counts"


FAULTS = (
    Fault("outage of a slot", (0.02,)),
    Fault("outage of an hour", (0.02,) * 4),
    Fault("no data", (0.0,) * 4),
    Fault("-30 % for 3 h", (0.7,) * 12),
    Fault("+60 % for a slot", (1.6,)),
    Fault("slow leak over 6 h", tuple(1 - 0.5 * (step + 1) / 24 for step in range(24))),
    Fault("CTR halved for 2 h", (0.5,) * 8, "rates"),
)


def inject(values: Floats, position: int, fault: Fault, random: np.random.Generator) -> Floats:
    """`values` [slots] with the fault from `position` on; counts stay counts."""
    hit = values.copy()
    for step, factor in enumerate(fault.factors):
        value = values[position + step]
        hit[position + step] = (
            random.binomial(int(value), factor) if factor <= 1 else value + random.poisson((factor - 1) * value)
        )
    return hit
