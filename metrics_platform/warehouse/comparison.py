"""The comparison of a check: a quantity, its expected value and its actual value."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """One quantity of a check.

    Attributes:
        late: how many events arrived in the source since the extract.
        late_allowed: up to how many of these are only a warning.
        magnitude: of floating-point numbers the absolute sum of what was added, since amounts and refunds may cancel
            each other out; 0 for whole numbers, which have to be equal.
    """

    check: str
    quantity: str
    expected: float
    actual: float
    late: int = 0
    late_allowed: int = 0
    magnitude: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether both are equal, except for rounding of floating-point sums."""
        if not self.magnitude:
            return self.expected == self.actual
        return math.isclose(self.expected, self.actual, rel_tol=1e-9, abs_tol=1e-9 * max(1.0, self.magnitude))

    @property
    def is_violated(self) -> bool:
        """Whether they differ by more than a few late events."""
        return not self.holds and not self.explained_by_late_events

    @property
    def explained_by_late_events(self) -> bool:
        """Whether they differ only by a few events that arrived after the extract."""
        return self._grew and self.late <= self.late_allowed

    @property
    def too_many_late_events(self) -> bool:
        """Whether they differ only by events that arrived after the extract, but by too many."""
        return self._grew and self.late > self.late_allowed

    @property
    def _grew(self) -> bool:
        return self.late > 0 and self.expected - self.actual == self.late
