"""The demo's live events, every few seconds, and what is asked of Dagster while the product's time runs fast."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field

from metrics_platform.calendar import RANGE_END, RANGE_START, Slot, SlotRange, slot_at
from metrics_platform.local.dagster_local import DagsterUI
from metrics_platform.local.demo.clock import Clock
from metrics_platform.local.demo.state import State
from metrics_platform.warehouse.client import Warehouse

_ONE_DAY = datetime.timedelta(days=1)


@dataclass
class Stream:
    """Writes what has happened in the product since the last call, and remembers it."""

    state: State
    warehouse: Warehouse
    clock: Clock

    def write(self) -> datetime.datetime:
        """Write up to the product's present; returns it.

        Raises:
            WarehouseError: ClickHouse refused or did not answer; the next call makes it good.
        """
        for written in self.state.product.write_events(self.warehouse, self.state.written_until, self.clock.now()):
            self.state.written_until = written
            self.state.write()
        return self.state.written_until


@dataclass
class FastSchedules:
    """What schedules do in real time, for a product whose time runs fast: its slots, and its nights.

    When the present is reached, the schedules are turned on and do it from then on.
    """

    state: State
    dagster: DagsterUI
    clock: Clock
    judged_until: datetime.datetime
    _today: datetime.date | None = field(default=None, init=False)
    _done: bool = field(default=False, init=False)

    def tick(self) -> None:
        """Ask for what has come due since the last call.

        Raises:
            DagsterError, requests.RequestException: Dagster does not answer, or refuses; the next call asks again.
        """
        if self._done:
            return
        written = self.state.written_until
        complete = slot_at(written).start
        if complete > self.judged_until:
            slots = SlotRange(self.judged_until, complete)
            tags = {RANGE_START: Slot(slots.start).key, RANGE_END: slots.last.key}
            self.dagster.launch("anomaly_check", {**tags, "dagster/priority": "7"})
            self.judged_until = complete
        today = written.astimezone(self.state.product.zone).date()
        if self._today and self._today < today:
            days = {RANGE_START: self._today.isoformat(), RANGE_END: (today - _ONE_DAY).isoformat()}
            self.dagster.launch("daily_etl", days)
        self._today = today
        if not self.clock.is_behind:
            self.dagster.turn_on_schedules()
            self._done = True
