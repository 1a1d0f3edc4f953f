"""How the sources are: the latest event, and the rows of days and slots, as ClickHouse has them."""

from __future__ import annotations

import datetime
import zoneinfo
from collections.abc import Callable

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metrics_platform.catalog import load_catalog
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, Slot, slot_at
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.source_rows import latest_event, resolve, rows_of_days, rows_of_slots, weeks_before
from metrics_platform.warehouse.tables import METRIC_DAILY, SLOT_METRICS
from metrics_platform_tests.generated_events import FEED_COLUMNS, MESSAGE_COLUMNS, TYPES
from metrics_platform_tests.worlds import SourceTables, insert_event_counts

NOW = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)
MINUTE = datetime.timedelta(minutes=1)
DAY = datetime.timedelta(days=1)
SOURCES = ("feed_actions", "message_actions")


@pytest.fixture
def sources(make_settings: Callable[..., Settings]) -> SourceTables:
    """Both tables, empty, of a product that began in May."""
    return SourceTables.create(make_settings(start_date="2026-05-01", timezone="Europe/Moscow"))


def happens(sources: SourceTables, *moments: datetime.datetime) -> None:
    """Views at these moments."""
    rows = [(1, 1, "view", moment, 1, 25, "", "", "iOS", "ads", 0) for moment in moments]
    sources.insert_feed(pd.DataFrame(rows, columns=list(FEED_COLUMNS)).astype({"time": TYPES["time"]}))


def latest(sources: SourceTables, source: str = "feed_actions") -> datetime.datetime | None:
    rows = resolve(sources.warehouse, load_catalog(sources.settings).sources[source])
    return latest_event(sources.warehouse, rows, sources.settings, NOW)


def test_each_source_has_a_latest_event_of_its_own(sources: SourceTables) -> None:
    happens(sources, NOW - 50 * DAY)
    messages = [(1, 2, NOW - 3 * DAY, 1, 25, "", "", "iOS", "ads", 0)]
    frame = pd.DataFrame(messages, columns=list(MESSAGE_COLUMNS)).astype({"time": TYPES["time"]})
    sources.insert_messages(frame.rename(columns={"reciever_id": sources.settings.receiver_column}))
    assert (latest(sources), latest(sources, "message_actions")) == (NOW - 50 * DAY, NOW - 3 * DAY)


@given(seconds=st.lists(st.integers(-250 * 86_400, 900) | st.integers(-50 * 86_400, 900), max_size=6))
@example(seconds=[-2 * 86_400, -2 * 86_400 - 1, 301])  # clocks may differ by five minutes
@example(seconds=[300, 301])
@example(seconds=[-40 * 86_400 - 1, 301])
@example(seconds=[-17_582_401])  # a second before the first day
def test_the_latest_event_is_the_one_that_pandas_finds(
    make_settings: Callable[..., Settings], seconds: list[int]
) -> None:
    sources = SourceTables.create(make_settings(start_date="2026-05-01"))
    moments = pd.Series([NOW + second * SECOND for second in seconds], dtype="datetime64[ns, UTC]")
    happens(sources, *moments.dt.to_pydatetime())
    counted = moments[moments.between(pd.Timestamp("2026-05-01", tz="UTC"), pd.Timestamp(NOW) + pd.Timedelta("5min"))]
    assert latest(sources) == (counted.max().to_pydatetime() if len(counted) else None)


@pytest.mark.parametrize("kind", ["DateTime('Asia/Tokyo')", "DateTime64(3, 'America/New_York')", "DateTime"])
def test_the_latest_event_is_an_instant_whatever_the_columns_type_and_zone(sources: SourceTables, kind: str) -> None:
    sources.warehouse.execute(f"DROP TABLE {sources.settings.feed_table}")
    sources.warehouse.execute(
        f"CREATE TABLE {sources.settings.feed_table} ENGINE = MergeTree ORDER BY tuple() AS "
        f"SELECT 1 AS user_id, CAST(toDateTime('2026-11-20 11:59:30', 'UTC') AS {kind}) AS time"
    )
    assert latest(sources) == NOW - datetime.timedelta(seconds=30)


def test_rows_of_days_are_those_that_were_computed_and_zero_where_nothing_happened(sources: SourceTables) -> None:
    date = datetime.date(2026, 11, 19)
    assert rows_of_days(sources.warehouse, [date]) == {}  # there is no table yet
    assert rows_of_days(sources.warehouse, []) == {}
    create_tables(sources.warehouse, [METRIC_DAILY])
    for day, count in ((date, 1), (date - 7 * DAY, 0), (date - DAY, 100)):
        midnight = datetime.datetime.combine(day, datetime.time.min, tzinfo=datetime.UTC)
        counts = {"feed_actions": 13 * count, "message_actions": 4 * count}
        insert_event_counts(sources.warehouse, METRIC_DAILY.name, {midnight: counts})
    assert rows_of_days(sources.warehouse, [date, date - 7 * DAY, date - 14 * DAY]) == {
        date: {"feed_actions": 13, "message_actions": 4},
        date - 7 * DAY: {"feed_actions": 0, "message_actions": 0},
    }


def test_rows_of_slots_are_the_totals_of_those_that_were_computed(sources: SourceTables) -> None:
    slot = slot_at(NOW)
    assert rows_of_slots(sources.warehouse, [slot]) == {}
    create_tables(sources.warehouse, [SLOT_METRICS])
    for moment, feed, messages in ((NOW, 13, 4), (NOW + SLOT, 0, 0), (NOW + 2 * SLOT, 18, 9)):
        counts = {"feed_actions": feed, "message_actions": messages}
        insert_event_counts(sources.warehouse, SLOT_METRICS.name, {moment: counts})
    insert_event_counts(sources.warehouse, SLOT_METRICS.name, {NOW: {"feed_actions": 9}}, dimension="os")
    asked = [Slot(NOW - SLOT), slot, Slot(NOW + SLOT)]
    assert rows_of_slots(sources.warehouse, iter(asked)) == {
        slot: {"feed_actions": 13, "message_actions": 4},
        Slot(NOW + SLOT): dict.fromkeys(SOURCES, 0),
    }
    assert rows_of_slots(sources.warehouse, []) == {}


@given(
    number=st.integers(0, 365 * 96),
    name=st.sampled_from(["Europe/Berlin", "America/New_York", "Europe/Moscow", "Asia/Kathmandu", "UTC"]),
)
def test_the_weeks_before_are_those_of_pandas(number: int, name: str) -> None:
    slot = slot_at(datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) + number * SLOT)
    local = pd.Timestamp(slot.start).tz_convert(name).tz_localize(None)
    expected = [
        (local - pd.Timedelta(weeks=week)).tz_localize(name, ambiguous=True, nonexistent=pd.Timedelta("1h"))
        for week in range(1, 6)
    ]
    assert [week.start for week in weeks_before(slot, zoneinfo.ZoneInfo(name), 5)] == expected


def test_looking_for_the_latest_event_reads_the_last_days_alone(sources: SourceTables) -> None:
    sources.warehouse.execute(f"DROP TABLE {sources.settings.feed_table}")
    sources.warehouse.execute(
        f"CREATE TABLE {sources.settings.feed_table} ENGINE = MergeTree PARTITION BY toDate(time) ORDER BY time AS "
        "SELECT 1 AS user_id, toDateTime('2026-11-20 11:59:00', 'UTC') - number * 60 AS time "
        "FROM numbers(57600)"  # forty days
    )
    seen: list[int] = []

    class Counting(Warehouse):
        """Notes what each statement read."""

        def query(self, *given: object, **named: object) -> object:  # type: ignore[override]
            answer = super().query(*given, **named)  # type: ignore[arg-type]
            seen.append(answer.read_rows)
            return answer

    rows = resolve(sources.warehouse, load_catalog(sources.settings).sources["feed_actions"])
    counting = Counting(sources.warehouse.connection)
    assert latest_event(counting, rows, sources.settings, NOW) == NOW - MINUTE
    assert len(seen) == 1 and seen[0] <= 3 * 24 * 60
