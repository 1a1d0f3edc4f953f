"""The time of the demo's product: real time, or the last hours again with every slot in a minute."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field

from metrics_platform.time_windows import slot_at

# A slot of 15 minutes takes one.
_SPEED = 15
# A fast product starts this far behind: it has caught up after 34 minutes.
_BEHIND = datetime.timedelta(hours=8)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


@dataclass
class Clock:
    """Whole seconds in UTC: `begins` until `start` is called, then a faster time that catches up with the real one.

    Only the past can be replayed: Dagster has no partition of a slot before it is over.
    """

    begins: datetime.datetime | None = None
    real: Callable[[], datetime.datetime] = field(default=_now, repr=False)
    _started: datetime.datetime | None = field(default=None, init=False)

    @classmethod
    def fast(cls, written_until: datetime.datetime | None, real: Callable[[], datetime.datetime] = _now) -> Clock:
        """The last hours again, from the beginning of a slot on, without those whose events are written already."""
        slot = slot_at(real() - _BEHIND)
        return cls(max(slot.start, written_until) if written_until else slot.start, real)

    def start(self) -> None:
        """Let a faster time begin to run; real time needs no start."""
        self._started = self.real()

    def now(self) -> datetime.datetime:
        """The product's time."""
        if self.begins is None:
            return self.real()
        passed = self.real() - self._started if self._started else datetime.timedelta()
        return min(self.begins + _SPEED * passed, self.real())

    @property
    def is_behind(self) -> bool:
        """Whether the product's time is behind the real one."""
        return self.now() < self.real()
