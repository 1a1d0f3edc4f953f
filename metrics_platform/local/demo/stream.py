"""The demo's live events, every few seconds, and a substitute for schedules while the product's time runs fast."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from metrics_platform.calendar import SlotRange, slot_at
from metrics_platform.local.demo.clock import Clock
from metrics_platform.local.demo.preparing import Days, check_slots, compute_days
from metrics_platform.local.demo.state import State
from metrics_platform.warehouse.client import Warehouse

_ONE_DAY = datetime.timedelta(days=1)


@dataclass
class Stream:
    """Writes what has happened in the product since the last call, and remembers it."""

    state: State
    warehouse: Warehouse
    clock: Clock

    def write(self) -> None:
        """Write up to the product's present.

        Raises:
            WarehouseError: ClickHouse refused or did not answer; the next call makes it good.
        """
        for written in self.state.product.write_events(self.warehouse, self.state.written_until, self.clock.now()):
            self.state.written_until = written
            self.state.write()


@dataclass
class FastSchedules:
    """Runs the check and the nightly load by the product's time, because Dagster's schedules go by the real one."""

    state: State
    checked_until: datetime.datetime
    computed_until: datetime.date
    """The last day that has been computed."""
    _zone: ZoneInfo = field(init=False)

    def __post_init__(self) -> None:
        self._zone = self.state.product.zone

    def run_due(self) -> None:
        """Run what has come due since the last call.

        Raises:
            DagsterError: a run failed; the next call runs it again.
        """
        written = self.state.written_until
        complete = slot_at(written).start
        if complete > self.checked_until:
            check_slots(SlotRange(self.checked_until, complete), self._zone)
            self.checked_until = complete
        yesterday = written.astimezone(self._zone).date() - _ONE_DAY
        if self.computed_until < yesterday:
            compute_days(Days(self.computed_until + _ONE_DAY, yesterday))
            self.computed_until = yesterday
