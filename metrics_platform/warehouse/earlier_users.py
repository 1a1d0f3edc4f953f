"""The users' snapshot of the day before METRICS_START_DATE: all users with an event before the first day.

Without it all users would be new on the first day. It is built once, from all earlier events of the sources, in
stretches of days: each reads its own events and continues the snapshot of the stretch before, so memory and the time of
a query stay bounded however long the history is. The snapshot of the last finished stretch is kept in a table of its
own, so a build that was killed goes on from there.
"""

from __future__ import annotations

import datetime
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from metrics_platform.settings import Settings
from metrics_platform.time_windows import day_of, first_instant
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.daily_sources import HISTORY_START, DailySources
from metrics_platform.warehouse.errors import OVER_LIMITS, WarehouseError
from metrics_platform.warehouse.partitions import (
    STAGING_PREFIX,
    PartitionMismatchError,
    drop_leftovers,
    publish,
    staged_partition,
)
from metrics_platform.warehouse.schema import create_staging, drop_table
from metrics_platform.warehouse.tables import USERS, DailyTable, read_sql

_ONE_DAY = datetime.timedelta(days=1)
# A stretch begins with one day and doubles while it is quick: a small product's years take a dozen queries, and a day
# of a huge one is a query of its own.
_LONGEST_STRETCH = 64
_QUICK_SECONDS = 15.0


@dataclass(frozen=True)
class _Progress:
    """The progress of a build: its last day, and its number of users."""

    last: datetime.date
    users: int


def build_earlier_users(sources: DailySources, settings: Settings, log: Callable[[str], None]) -> None:
    """Build the snapshot of the day before METRICS_START_DATE, if it is missing and earlier events exist.

    After a kill, the next call continues from the last finished stretch. `log` gets a line for each stretch.

    Raises:
        PartitionMismatchError: something else wrote the same snapshot at the same time.
    """
    base = settings.start_date - _ONE_DAY
    warehouse = sources.warehouse
    sql = "SELECT count() FROM users WHERE event_date = {date:Date}"
    if not warehouse.value(sql, {"date": base}, operation="Looking for the users before the first day"):
        select = sources.render(read_sql("queries/earlier_users.sql"))
        next_event = sources.render(read_sql("queries/next_event.sql"))
        # The unfinished snapshot of each mapping of the sources and each zone has a table of its own. By its name it is
        # a staging table: if no run finishes the build, it goes with these.
        built_from = zlib.crc32(repr((settings.timezone, select)).encode())
        table = DailyTable(f"{STAGING_PREFIX}earlier_users_{built_from:08x}", file=USERS.file)
        _Build(warehouse, settings, select, next_event, log, base, table).run()


@dataclass(frozen=True)
class _Build:
    """One build of the snapshot of the day `base`, in `table` until it is finished."""

    warehouse: Warehouse
    settings: Settings
    select: str
    next_event: str
    log: Callable[[str], None]
    base: datetime.date
    table: DailyTable

    def run(self) -> None:
        end = self._begin_of(self.settings.start_date)
        first_event = self._next_event(HISTORY_START, end)
        if first_event is None:
            return
        drop_leftovers(self.warehouse, self.table)
        create_staging(self.warehouse, self.table.name, USERS.name, operation="Creating a table", repeatable=True)
        progress = self._finished()
        length = 1
        while event := self._next_event(self._begin_of(progress.last + _ONE_DAY) if progress else first_event, end):
            first = event.astimezone(self.settings.zone).date()
            if progress:
                first = max(first, progress.last + _ONE_DAY)
            last = min(first + (length - 1) * _ONE_DAY, self.base)
            started = time.perf_counter()
            try:
                progress = self._add(first, last, progress)
            except WarehouseError as error:
                if error.code not in OVER_LIMITS or first == last:
                    raise
                length = 1
                continue
            seconds = time.perf_counter() - started
            length = min(2 * length, _LONGEST_STRETCH) if seconds < _QUICK_SECONDS else max(1, length // 2)
            done = (self._begin_of(last + _ONE_DAY) - first_event) / (end - first_event)
            self.log(
                f"Users before {self.settings.start_date}: events up to {last} are in ({done:.0%} of the time), "
                f"{progress.users:,} users, {seconds:.1f} s."
            )
        if progress:
            self._publish(progress)
        drop_table(self.warehouse, self.table.name, operation="Dropping a table")

    def _begin_of(self, date: datetime.date) -> datetime.datetime:
        return first_instant(date, self.settings.zone)

    def _next_event(self, begin: datetime.datetime, end: datetime.datetime) -> datetime.datetime | None:
        """When the first event in [begin, end) happened: time without events is skipped."""
        moment: datetime.datetime | None = self.warehouse.value(
            self.next_event,
            {"from_time": begin, "until_time": end},
            operation=f"Looking for the first event from {begin:%Y-%m-%d} on",
        )
        return moment and moment.replace(tzinfo=datetime.UTC)

    def _finished(self) -> _Progress | None:
        """The progress of an earlier build."""
        rows = self.warehouse.query(
            "SELECT event_date, count() AS users FROM {table:Identifier} GROUP BY event_date ORDER BY event_date DESC "
            "LIMIT 1",
            {"table": self.table.name},
            operation="Looking for an unfinished build",
        ).rows
        if not rows:
            return None
        progress = _Progress(rows[0]["event_date"], int(rows[0]["users"]))
        self.log(f"Users before {self.settings.start_date}: going on after {progress.last}.")
        return progress

    def _add(self, first: datetime.date, last: datetime.date, progress: _Progress | None) -> _Progress:
        """Continue the snapshot by the events of the days from `first` to `last`."""
        days = [day_of(first + offset * _ONE_DAY, self.settings.zone) for offset in range((last - first).days + 1)]
        parameters = {
            "earlier": self.table.name,
            "event_date": last,
            "previous_date": progress.last if progress else first - _ONE_DAY,
            "day_start": days[0].start,
            "day_end": days[-1].end,
            # A date that the zone's clocks skipped begins with the next one, and the later of the two is taken.
            "starts": [int(day.start.timestamp()) for day in days],
            "dates": [day.key for day in days],
        }
        with staged_partition(self.warehouse, self.table, last, [(self.select, parameters)]) as staged:
            known = "SELECT count() FROM {table:Identifier} WHERE first_day < {first:Date}"
            values = {"table": staged.name, "first": first}
            self._require_all(int(self.warehouse.value(known, values, operation=f"Verifying {last}")), progress)
            publish(self.warehouse, staged)
        if progress:
            drop = f"ALTER TABLE `{self.table.name}` DROP PARTITION '{progress.last}'"
            self.warehouse.execute(drop, operation="Dropping the stretch before", repeatable=True)
        return _Progress(last, staged.totals.rows)

    def _publish(self, progress: _Progress) -> None:
        """Swap the finished snapshot in as that of the day before the first."""
        select = (
            "SELECT * REPLACE ({event_date:Date} AS event_date) "
            "FROM (SELECT * FROM {earlier:Identifier} WHERE event_date = {last:Date})"
        )
        parameters = {"event_date": self.base, "earlier": self.table.name, "last": progress.last}
        with staged_partition(self.warehouse, USERS, self.base, [(select, parameters)]) as staged:
            self._require_all(staged.totals.rows, progress)
            publish(self.warehouse, staged)

    def _require_all(self, users: int, progress: _Progress | None) -> None:
        """All users known before must still be there: another build of this snapshot may have dropped its stretch."""
        expected = progress.users if progress else 0
        if users != expected:
            raise PartitionMismatchError(
                f"The snapshot of users before {self.settings.start_date} has {users:,} rows, not {expected:,}. Did "
                "another run build this snapshot at the same time? Run the partition again."
            )
