"""Which tables above a day's table have not been computed, found from their rows alone.

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
from metrics_platform.warehouse.client import Parameters, Warehouse
from metrics_platform.warehouse.daily_sources import DailySources
from metrics_platform.warehouse.tables import (
    DIMENSION_METRICS,
    FEED_USER_DAILY,
    MESSAGE_USER_DAILY,
    USER_COHORTS,
    USER_DAILY,
    USERS,
    DailyTable,
    read_sql,
    slice_table,
)

EXTRACTS = (FEED_USER_DAILY.name, MESSAGE_USER_DAILY.name)
_ONE_DAY = datetime.timedelta(days=1)


class NotComputedError(RuntimeError):
    """A table above has not been computed for the day; the text names what to materialise first."""


@dataclass(frozen=True)
class NotComputed:
    """A table without rows of the days from `first` to `last`, which should have some."""

    table: str
    first: datetime.date
    last: datetime.date

    def __str__(self) -> str:
        """For people: `users of 2026-01-31`, or `users from 2026-01-29 to 2026-01-31`."""
        days = f"of {self.last}" if self.first == self.last else f"from {self.first} to {self.last}"
        return f"{self.table} {days}"


def require_upstream(
    sources: DailySources, table: DailyTable, day: Day, settings: Settings, parameters: Parameters
) -> None:
    """Refuse to compute a day of `table` while a table above it has not been computed; `parameters`: the day's.

    Raises:
        NotComputedError: names what to materialise first.
        SourceError: a source does not fit its table.
        WarehouseError: ClickHouse refused, failed or did not answer.
    """
    missing = not_computed(sources, table, day, settings, parameters)
    if not missing:
        return
    first, begin = missing[0], min(each.first for each in missing)
    others = f" Also missing: {', '.join(map(str, missing[1:]))}." if missing[1:] else ""
    raise NotComputedError(
        f"{table.name} of {day.date} cannot be computed: {first} has no rows, although there are events.{others} "
        f"What to do: materialise {first} first, then the tables below it. One run of daily_etl "
        f"{'for' if begin == day.date else f'from {begin} to'} {day.date} does all of it."
    )


def not_computed(
    sources: DailySources, table: DailyTable, day: Day, settings: Settings, parameters: Parameters
) -> list[NotComputed]:
    """The tables above a day of `table` that have not been computed, in the order in which to materialise them.

    Raises:
        SourceError: a source does not fit its table.
        WarehouseError: ClickHouse refused, failed or did not answer.
    """
    above = _tables_above(table, settings.dimensions)
    if not above:
        return []
    rows = _rows(sources.warehouse, above, parameters)
    missing = _missing_extracts(sources, day, rows, parameters)
    active = bool(missing) or any(rows[name] for name in EXTRACTS)
    if table.name == USERS.name:
        missing += _missing_snapshot(sources, day.date - _ONE_DAY, day.start, settings, parameters)
    elif not rows[USERS.name]:
        missing += _missing_snapshot(sources, day.date, day.end, settings, parameters)
    missing += [
        NotComputed(each.name, day.date, day.date)
        for each in above
        if each.name not in (*EXTRACTS, USERS.name) and active and not rows[each.name]
    ]
    return missing


def _missing_extracts(
    sources: DailySources, day: Day, rows: dict[str, int], parameters: Parameters
) -> list[NotComputed]:
    """The extracts without rows whose source has events; the sources are asked only where an extract has no rows."""
    if all(rows[name] for name in EXTRACTS):
        return []
    (has_events,) = sources.warehouse.query(
        sources.render(read_sql("queries/source_has_events.sql")), parameters, doing=f"Looking for events of {day.date}"
    ).rows
    return [NotComputed(name, day.date, day.date) for name in EXTRACTS if has_events[name] and not rows[name]]


def _tables_above(table: DailyTable, dimensions: tuple[str, ...]) -> tuple[DailyTable, ...]:
    """Everything of the same day that `table` is computed from, in the order in which it is computed."""
    shared = (FEED_USER_DAILY, MESSAGE_USER_DAILY, USERS, USER_DAILY)
    if table == USER_COHORTS:
        return shared[:3]
    if table in shared:
        return () if table.name in EXTRACTS else shared[: shared.index(table)]
    return (*shared, *map(slice_table, dimensions)) if table == DIMENSION_METRICS else shared


def _rows(warehouse: Warehouse, tables: tuple[DailyTable, ...], parameters: Parameters) -> dict[str, int]:
    """Table → how many rows it has of the day."""
    selects = [
        f"SELECT '{table.name}' AS name, count() AS rows FROM `{table.name}` WHERE event_date = {{event_date:Date}}"  # noqa: S608
        for table in tables
    ]
    found = warehouse.query(" UNION ALL ".join(selects), parameters, doing="Looking for the tables above").rows
    return {row["name"]: int(row["rows"]) for row in found}


def _missing_snapshot(
    sources: DailySources,
    date: datetime.date,
    end: datetime.datetime,
    settings: Settings,
    parameters: Parameters,
) -> list[NotComputed]:
    """The users' snapshot of `date`, which ends at `end`, if it is empty although somebody made an event by then.

    Days before it without a snapshot are part of the gap: each continues the one before.
    """
    if date < settings.start_date:
        return []
    (row,) = sources.warehouse.query(
        sources.render(read_sql("queries/snapshot.sql")),
        {
            **parameters,
            "snapshot_date": date,
            "snapshot_end": f"{end:%Y-%m-%d %H:%M:%S}",
        },
        doing=f"Looking for the users' snapshot of {date}",
    ).rows
    if row["has_snapshot"] or not (row["has_earlier_snapshot"] or row["has_events"]):
        return []
    begin = row["latest_snapshot"] + _ONE_DAY if row["has_earlier_snapshot"] else settings.start_date
    return [NotComputed(USERS.name, begin, date)]
