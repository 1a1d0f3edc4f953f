"""The demo's live events, every few seconds, and a substitute for schedules while the product's time runs fast."""

from __future__ import annotations

import datetime
from contextlib import closing
from dataclasses import dataclass

from metrics_platform.local.demo.clock import Clock
from metrics_platform.local.demo.preparing import Days, Progress, check_slots, compute_days
from metrics_platform.local.demo.state import State
from metrics_platform.time_windows import SlotRange, slot_at
from metrics_platform.warehouse.client import Warehouse

_ONE_DAY = datetime.timedelta(days=1)


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
        # Closed at an interrupt, too: else it would go on writing for as long as the exception refers to it.
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
        yesterday = written.astimezone(zone).date() - _ONE_DAY
        if self.computed_until < yesterday:
            compute_days(Days(self.computed_until + _ONE_DAY, yesterday))
            self.computed_until = yesterday
