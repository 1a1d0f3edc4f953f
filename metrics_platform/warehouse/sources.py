"""How the sources are: their latest event, and how many rows a day or a slot has."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from metrics_platform.settings import Settings
from metrics_platform.time_windows import Slot, first_instant, slot_at
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import tables_are_there
from metrics_platform.warehouse.source_rows import SourceRows
from metrics_platform.warehouse.tables import METRIC_DAILY, SLOT_METRICS, DailyTable, read_sql

_DAY = datetime.timedelta(days=1)
# The latest event is looked for in the last days first, and only where there is none in more: of a large table a whole
# column would be read.
_LOOK_BACK_DAYS = (2, 40)
# Clocks differ: an event that is dated a little ahead is one of now.
_AHEAD = datetime.timedelta(minutes=5)

Rows = Mapping[str, int]


def latest_event(
    warehouse: Warehouse, rows: SourceRows, settings: Settings, now: datetime.datetime
) -> datetime.datetime | None:
    """When the latest event of a source happened, UTC; None: it has none since METRICS_START_DATE."""
    beginning = first_instant(settings.start_date, settings.zone)
    until = now + _AHEAD
    for since in _beginnings(beginning, now):
        latest: datetime.datetime | None = warehouse.value(
            rows.render(read_sql("queries/latest_event_of_source.sql")),
            {"from_time": since, "until_time": until},
            doing=f"Looking for the latest event of {rows.source.table}",
        )
        if latest is not None:
            return latest.replace(tzinfo=datetime.UTC) if latest.tzinfo is None else latest.astimezone(datetime.UTC)
    return None


def rows_of_days(warehouse: Warehouse, dates: Iterable[datetime.date]) -> dict[datetime.date, Rows]:
    """The events of each source on each of these days, as far as `metric_daily` has them."""
    return _events(warehouse, METRIC_DAILY, "event_date", "Date", list(dates))


def rows_of_slots(warehouse: Warehouse, slots: Iterable[Slot]) -> dict[Slot, Rows]:
    """The events of each source in each of these slots, as far as `slot_metrics` has them; errors as above."""
    starts = [slot.start for slot in slots]
    found = _events(warehouse, SLOT_METRICS, "slot_start", "DateTime('UTC')", starts)
    return {slot_at(start.replace(tzinfo=datetime.UTC)): rows for start, rows in found.items()}


def _events(warehouse: Warehouse, table: DailyTable, key: str, kind: str, values: list[Any]) -> dict[Any, Rows]:
    """Day or start of the slot → source → events, of those that have been computed."""
    if not tables_are_there(warehouse, [table]):
        return {}
    found: dict[Any, dict[str, int]] = {}
    for row in warehouse.query(
        f"SELECT {key} AS key, replaceOne(toString(metric), '.events', '') AS source, "  # noqa: S608
        f"toUInt64(value) AS rows FROM {table.name} FINAL "
        f"WHERE endsWith(toString(metric), '.events') AND dimension = 'total' AND {key} IN {{at:Array({kind})}}",
        {"at": values},
        doing=f"Reading the events in {table.name}",
    ).rows:
        found.setdefault(row["key"], {})[row["source"]] = int(row["rows"])
    return dict(found)


def weeks_before(slot: Slot, zone: ZoneInfo, weeks: int) -> list[Slot]:
    """The slots at the same time of day on the same weekday of the weeks before, by the clocks of `zone`."""
    local = slot.start.astimezone(zone).replace(tzinfo=None)
    return [
        slot_at((local - week * 7 * _DAY).replace(tzinfo=zone).astimezone(datetime.UTC)) for week in range(1, weeks + 1)
    ]


def _beginnings(beginning: datetime.datetime, now: datetime.datetime) -> Iterator[datetime.datetime]:
    for days in _LOOK_BACK_DAYS:
        since = now - days * _DAY
        if since > beginning:
            yield since
    yield beginning
