"""Find the tables upstream of a day's table that have not been computed, by their rows alone.

A partition without rows looks the same whether its day had no events or was never computed. So each table is compared
with what it is computed from: an extract without rows is right only if the source has no events of the day, and a
table further down only if the tables above it have no rows either. That needs no state, so it also holds after DROP
PARTITION, with an empty Dagster home, and for days that were computed without Dagster.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from metrics_platform.settings import Settings
from metrics_platform.time_windows import Day
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.daily_sources import HISTORY_START, DailySources
from metrics_platform.warehouse.tables import (
    DIMENSION_METRICS,
    EXTRACTS,
    USER_COHORTS,
    USER_DAILY,
    USERS,
    DailyTable,
    read_sql,
    slice_table,
)

_ONE_DAY = datetime.timedelta(days=1)


class NotComputedError(RuntimeError):
    """An upstream table has not been computed for the day. The text names what to materialise first."""


@dataclass(frozen=True)
class NotComputed:
    """A table that should have rows of the days from `first` to `last`, and has none."""

    table: str
    first: datetime.date
    last: datetime.date

    def __str__(self) -> str:
        """The text, such as `users of 2026-01-31`, or `users from 2026-01-29 to 2026-01-31`."""
        days = f"of {self.last}" if self.first == self.last else f"from {self.first} to {self.last}"
        return f"{self.table} {days}"


def require_upstream(sources: DailySources, table: DailyTable, day: Day, settings: Settings) -> None:
    """Refuse to compute a day of `table` while an upstream table has not been computed.

    Raises:
        NotComputedError: names what to materialise first.
    """
    missing = not_computed(sources, table, day, settings)
    if not missing:
        return
    first, begin = missing[0], min(gap.first for gap in missing)
    others = f" Also missing: {', '.join(map(str, missing[1:]))}." if missing[1:] else ""
    raise NotComputedError(
        f"{table.name} of {day.date} cannot be computed: {first} has no rows, although there are events.{others} "
        f"What to do: materialise {first} first, then the tables below it. One run of daily_etl "
        f"{'for' if begin == day.date else f'from {begin} to'} {day.date} does all of it."
    )


def not_computed(sources: DailySources, table: DailyTable, day: Day, settings: Settings) -> list[NotComputed]:
    """The upstream tables of a day of `table` that have not been computed, in the order of materialisation."""
    above = _names_above(table, settings.dimensions)
    if not above:
        return []
    rows = _rows(sources.warehouse, above, day.date)
    missing = _missing_extracts(sources, day, rows)
    active = bool(missing) or any(rows[extract.name] for extract in EXTRACTS)
    if table == USERS:
        missing += _missing_snapshot(sources, day.date - _ONE_DAY, day.start, settings)
    elif not rows[USERS.name]:
        missing += _missing_snapshot(sources, day.date, day.end, settings)
    below = above[3:]  # behind the extracts and the snapshot
    return missing + [NotComputed(name, day.date, day.date) for name in below if active and not rows[name]]


def _names_above(table: DailyTable, dimensions: tuple[str, ...]) -> list[str]:
    """All upstream tables of the same day, in the order of computation."""
    shared = [*EXTRACTS, USERS, USER_DAILY]
    if table in EXTRACTS:
        return []
    if table == DIMENSION_METRICS:
        shared += map(slice_table, dimensions)
    elif table == USER_COHORTS:
        shared.remove(USER_DAILY)
    elif table in shared:
        shared = shared[: shared.index(table)]
    return [above.name for above in shared]


def _rows(warehouse: Warehouse, names: list[str], date: datetime.date) -> dict[str, int]:
    """Table → its number of rows of the day."""
    selects = [
        f"SELECT '{name}' AS name, count() AS rows FROM `{name}` WHERE event_date = {{event_date:Date}}"  # noqa: S608
        for name in names
    ]
    counts = warehouse.query(" UNION ALL ".join(selects), {"event_date": date}, operation="Looking for upstream tables")
    return {row["name"]: int(row["rows"]) for row in counts.rows}


def _missing_extracts(sources: DailySources, day: Day, rows: dict[str, int]) -> list[NotComputed]:
    """The extracts without rows although their source has events. Sources are only read if an extract has no rows."""
    if all(rows[extract.name] for extract in EXTRACTS):
        return []
    (has_events,) = sources.warehouse.query(
        sources.render(read_sql("queries/source_has_events.sql")),
        {"from_time": day.start, "until_time": day.end},
        operation=f"Looking for events of {day.date}",
    ).rows
    return [
        NotComputed(extract.name, day.date, day.date)
        for extract in EXTRACTS
        if has_events[extract.name] and not rows[extract.name]
    ]


def _missing_snapshot(
    sources: DailySources, date: datetime.date, end: datetime.datetime, settings: Settings
) -> list[NotComputed]:
    """The users' snapshot of `date`, which ends at `end`, if it is empty although someone made an event by then.

    Days before it without a snapshot are part of the gap: each continues the one before.
    """
    if date < settings.start_date:
        return []
    warehouse, operation = sources.warehouse, f"Looking for the users' snapshot of {date}"
    latest = "SELECT maxOrNull(event_date) FROM users WHERE event_date <= {date:Date}"
    before: datetime.date | None = warehouse.value(latest, {"date": date}, operation=operation)
    if before == date:
        return []
    if before is None:
        events = sources.render(read_sql("queries/source_has_events.sql"))
        moments = {"from_time": HISTORY_START, "until_time": end}
        if not any(warehouse.query(events, moments, operation=operation).rows[0].values()):
            return []
    return [NotComputed(USERS.name, before + _ONE_DAY if before else settings.start_date, date)]
