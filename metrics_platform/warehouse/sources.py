"""How the sources are: their latest event, and how many rows a day or a slot has."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from zoneinfo import ZoneInfo

from metrics_platform.settings import Settings
from metrics_platform.time_windows import Slot, first_instant, slot_at
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import tables_are_there
from metrics_platform.warehouse.source_rows import SourceRows
from metrics_platform.warehouse.tables import METRIC_DAILY, SLOT_METRICS, read_sql

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
    """When the latest event of a source happened, UTC; None: it has none since METRICS_START_DATE.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer.
    """
    beginning = first_instant(settings.start_date, settings.zone)
    until = now + _AHEAD
    for since in _beginnings(beginning, now):
        latest: datetime.datetime | None = warehouse.value(
            rows.render(read_sql("queries/latest_event_of_source.sql")),
            {"from_time": _written(since), "until_time": _written(until)},
            doing=f"Looking for the latest event of {rows.source.table}",
        )
        if latest is not None:
            return latest.replace(tzinfo=datetime.UTC) if latest.tzinfo is None else latest.astimezone(datetime.UTC)
    return None


def rows_of_days(warehouse: Warehouse, dates: Iterable[datetime.date]) -> dict[datetime.date, Rows]:
    """The events of each source on each of these days, as far as `metric_daily` has them.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer.
        SchemaMismatchError: the table has other columns than this version reads.
    """
    if not tables_are_there(warehouse, [METRIC_DAILY]):
        return {}
    answer = warehouse.query(
        "SELECT event_date, replaceOne(toString(metric), '.events', '') AS source, toUInt64(value) AS rows "
        "FROM metric_daily FINAL WHERE endsWith(toString(metric), '.events') AND dimension = 'total' "
        "AND event_date IN {dates:Array(Date)}",
        {"dates": [date.isoformat() for date in dates]},
        doing="Reading how many events the days have",
    )
    found: dict[datetime.date, dict[str, int]] = {}
    for row in answer.rows:
        found.setdefault(row["event_date"], {})[row["source"]] = int(row["rows"])
    return dict(found)


def rows_of_slots(warehouse: Warehouse, slots: Iterable[Slot]) -> dict[Slot, Rows]:
    """The events of each source in each of these slots, as far as `slot_metrics` has them.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer.
        SchemaMismatchError: the table has other columns than this version reads.
    """
    if not tables_are_there(warehouse, [SLOT_METRICS]):
        return {}
    answer = warehouse.query(
        read_sql("queries/slot_rows.sql"),
        {"slots": [_written(slot.start) for slot in slots]},
        doing="Reading how many events the slots have",
    )
    found: dict[Slot, dict[str, int]] = {}
    for row in answer.rows:
        found.setdefault(slot_at(row["slot_start"].replace(tzinfo=datetime.UTC)), {})[row["source"]] = int(row["rows"])
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


def _written(moment: datetime.datetime) -> str:
    return f"{moment.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S}"
