"""What a check compares: one quantity, what it had to be and what it is."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """One quantity of a check.

    Attributes:
        late: how many came into the source since the extract was made.
        late_allowed: up to how many of these are a warning and no error.
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
        """Whether the two are equal, but for the order in which floating-point numbers were added."""
        if not self.magnitude:
            return self.expected == self.actual
        return math.isclose(self.expected, self.actual, rel_tol=1e-9, abs_tol=1e-9 * max(1.0, self.magnitude))

    @property
    def is_violated(self) -> bool:
        """Whether they differ by more than the few events that came late."""
        return not self.holds and not self.explained_by_late_events

    @property
    def explained_by_late_events(self) -> bool:
        """Whether they differ by just the few events that came into the source after the extract was made."""
        return self._grew and self.late <= self.late_allowed

    @property
    def too_many_late_events(self) -> bool:
        """Whether they differ by just the events that came into the source since, and these are too many."""
        return self._grew and self.late > self.late_allowed

    @property
    def _grew(self) -> bool:
        return self.late > 0 and self.expected - self.actual == self.late
