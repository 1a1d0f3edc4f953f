"""A day is refused while a table above it has not been computed, however its partition came to be empty."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import pytest

from metrics_platform.settings import Settings
from metrics_platform.warehouse.daily import DayResult, compute_days
from metrics_platform.warehouse.source_rows import SourceError
from metrics_platform.warehouse.tables import DailyTable, daily_tables
from metrics_platform.warehouse.upstream import NotComputedError
from metrics_platform_tests.worlds import SourceTables, compute_all, read_table

FIRST = datetime.date(2026, 3, 6)
DAY, AFTER = FIRST + datetime.timedelta(days=1), FIRST + datetime.timedelta(days=2)
TABLES = {table.name: table for table in daily_tables(("os", "gender", "age"))}
EXTRACTS = ("feed_user_daily", "message_user_daily")
SLICES = ("os_slice", "gender_slice", "age_slice")
MERGED = (*EXTRACTS, "users", "user_daily")
ABOVE = {
    "users": EXTRACTS,
    "user_daily": (*EXTRACTS, "users"),
    **dict.fromkeys(SLICES, MERGED),
    "dimension_metrics": (*MERGED, *SLICES),
    "app_daily": MERGED,
}
EVENT = "1, 30, 'Russia', 'Omsk', 'iOS', 'ads', 1"


def _feed(sources: SourceTables, day: datetime.date, events: int = 1000) -> None:
    sources.warehouse.execute(
        f"INSERT INTO {sources.settings.feed_table} SELECT number % 100, 1, 'view', "
        f"toDateTime('{day} 12:00:00', 'UTC'), {EVENT} FROM numbers({events})"
    )


def _messages(sources: SourceTables, day: datetime.date, events: int = 100) -> None:
    sources.warehouse.execute(
        f"INSERT INTO {sources.settings.messages_table} SELECT number % 50, 1 + number % 60, "
        f"toDateTime('{day} 12:00:00', 'UTC'), {EVENT} FROM numbers({events})"
    )


def _compute(sources: SourceTables, name: str, day: datetime.date) -> DayResult:
    (result,) = compute_days(sources.warehouse, _table(name), [day], sources.settings)
    return result


def _table(name: str) -> DailyTable:
    return TABLES[name]


def _drop(sources: SourceTables, name: str, day: datetime.date) -> None:
    sources.warehouse.execute(f"ALTER TABLE {name} DROP PARTITION '{day}'")


@pytest.fixture(scope="module")
def computed(make_settings: Callable[..., Settings]) -> SourceTables:
    sources = SourceTables.create(make_settings(start_date=FIRST))
    for day in (FIRST, DAY):
        _feed(sources, day)
        _messages(sources, day)
    compute_all(sources.warehouse, sources.settings, [FIRST, DAY])
    return sources


@pytest.fixture
def two_days(computed: SourceTables, make_settings: Callable[..., Settings]) -> SourceTables:
    return computed.copy(make_settings(start_date=FIRST))


def test_a_dropped_partition_anywhere_above_a_table_stops_its_day(two_days: SourceTables) -> None:
    for upstream in TABLES:
        two_days.warehouse.execute(f"CREATE TABLE saved AS {upstream}")
        two_days.warehouse.execute(f"ALTER TABLE saved REPLACE PARTITION '{DAY}' FROM {upstream}")
        _drop(two_days, upstream, DAY)
        for name in (name for name, above in ABOVE.items() if upstream in above):
            before = read_table(two_days.warehouse, name)
            with pytest.raises(NotComputedError, match=rf"{name} of {DAY} .*materialise {upstream} of {DAY} first"):
                _compute(two_days, name, DAY)
            assert read_table(two_days.warehouse, name).equals(before)
        two_days.warehouse.execute(f"ALTER TABLE {upstream} REPLACE PARTITION '{DAY}' FROM saved")
        two_days.warehouse.execute("DROP TABLE saved SYNC")
    assert all(result.published for result in compute_all(two_days.warehouse, two_days.settings, [DAY]))


def test_a_gap_of_snapshots_is_named_from_its_first_day_to_its_last(two_days: SourceTables) -> None:
    later = AFTER + datetime.timedelta(days=1)
    for name in EXTRACTS:
        _compute(two_days, name, later)
    _feed(two_days, later, 10)
    _compute(two_days, "feed_user_daily", later)
    with pytest.raises(NotComputedError, match=f"materialise users of {AFTER} first"):
        _compute(two_days, "users", later)
    with pytest.raises(NotComputedError, match=f"materialise users from {AFTER} to {later} first"):
        _compute(two_days, "user_daily", later)


def test_the_sources_are_asked_only_where_an_extract_has_no_rows(two_days: SourceTables) -> None:
    nowhere = two_days.settings.model_copy(
        update={"feed_table": "nowhere.events", "messages_table": "nowhere.messages"}
    )
    (result,) = compute_days(two_days.warehouse, _table("user_daily"), [DAY], nowhere)
    assert result.published
    with pytest.raises(SourceError, match=r"nowhere\.events"):
        list(compute_days(two_days.warehouse, _table("user_daily"), [AFTER], nowhere))


def test_a_snapshot_that_continues_an_older_one_is_refused(two_days: SourceTables) -> None:
    _feed(two_days, FIRST, 101)
    two_days.warehouse.execute(
        f"INSERT INTO {two_days.settings.feed_table} SELECT 777, 1, 'view', "
        f"toDateTime('{FIRST} 12:00:00', 'UTC'), {EVENT}"
    )
    for name in (*EXTRACTS, "users"):
        _compute(two_days, name, FIRST)
    result = _compute(two_days, "app_daily", DAY)
    assert not result.published
    (violation,) = result.violations
    assert violation.quantity == "users known before, in the snapshot of the day before"
    assert all(_compute(two_days, name, DAY).published for name in (*MERGED, "app_daily"))


def test_a_product_with_one_service_alone_is_published(make_settings: Callable[..., Settings]) -> None:
    sources = SourceTables.create(make_settings(start_date=FIRST))
    _feed(sources, FIRST)
    assert all(result.published for result in compute_all(sources.warehouse, sources.settings, [FIRST]))
    assert read_table(sources.warehouse, "app_daily")["views"].tolist() == [1000]


def test_late_events_are_forgiven_up_to_their_bound(two_days: SourceTables) -> None:
    for late, more, published in ((11, 11, True), (12, 1, False)):
        _feed(two_days, DAY, more)  # of users who were there
        result = _compute(two_days, "app_daily", DAY)
        checks = {(comparison.check, comparison.quantity): comparison for comparison in result.comparisons}
        views = checks["reconciles_with_source", "views"]
        assert (views.late, views.late_allowed, result.published) == (late, 11, published)


def test_a_day_without_events_needs_its_snapshot_and_is_published_with_zeros(two_days: SourceTables) -> None:
    with pytest.raises(NotComputedError, match=f"materialise users of {AFTER} first"):
        _compute(two_days, "app_daily", AFTER)
    compute_all(two_days.warehouse, two_days.settings, [AFTER])
    (row,) = read_table(two_days.warehouse, "app_daily", AFTER).to_dict("records")
    assert (row["app_dau"], row["views"], row["cohort_d1"]) == (0, 0, 0)
