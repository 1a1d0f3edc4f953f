"""The product's time, its live events, and a substitute for schedules while its time runs fast."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

from metrics_platform.local.demo.preparing import Progress, check_slots, compute_days, days_between
from metrics_platform.local.demo.state import State
from metrics_platform.time_windows import SlotRange, slot_at
from metrics_platform.warehouse.client import Warehouse

_ONE_DAY = datetime.timedelta(days=1)
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


@dataclass
class Stream:
    """Writes what has happened in the product since the last call, and remembers it."""

    state: State
    warehouse: Warehouse
    clock: Clock

    def write(self, progress: Progress = lambda _share: None) -> None:
        """Write up to the product's present, and remember it after each day.

        Raises:
            WarehouseError: ClickHouse refused or did not answer; the next call writes what is missing.
        """
        since, until = self.state.written_until, self.clock.now()
        product = self.state.product
        if since == product.first_instant():
            product.write_earlier_days(self.warehouse)
        # Closed at an interrupt, too: otherwise it would continue to write while the exception refers to it.
        with closing(product.write_events(self.warehouse, since, until)) as days:
            for written in days:
                self.state.written_until = written
                self.state.write()
                progress((written - since) / (until - since))


@dataclass
class FastSchedules:
    """Runs the check and the nightly load by the product's time, because Dagster's schedules go by the real one."""

    state: State
    checked_until: datetime.datetime
    computed_until: datetime.date
    """The last day that has been computed."""

    def run_due(self) -> None:
        """Run what has come due since the last call.

        Raises:
            DagsterError: a run failed; the next call runs it again.
        """
        written, zone = self.state.written_until, self.state.product.zone
        complete = slot_at(written).start
        if complete > self.checked_until:
            check_slots(SlotRange(self.checked_until, complete), zone)
            self.checked_until = complete
        if days := days_between(self.computed_until + _ONE_DAY, written.astimezone(zone).date()):
            compute_days(days)
            self.computed_until = days[-1]
