"""The snapshot before the first day: from all earlier events, in stretches, resumed after a kill, and never twice."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from metrics_platform.settings import Settings
from metrics_platform.warehouse import earlier_users
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.daily import compute_days
from metrics_platform.warehouse.daily_sources import DailySources
from metrics_platform.warehouse.errors import Cause, WarehouseError
from metrics_platform.warehouse.partitions import PartitionMismatchError
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.tables import USERS
from metrics_platform_tests.oracle import Oracle, assert_same_rows
from metrics_platform_tests.worlds import SourceTables, compute_all, read_table

START = datetime.date(2026, 3, 10)
BASE = START - datetime.timedelta(days=1)
ZONE = "America/New_York"  # its clocks change on 8 March
STAGED = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND startsWith(name, 'staging__')"


@pytest.fixture(scope="module")
def history(make_settings: Callable[..., Settings]) -> SourceTables:
    """A year before the first day, with a gap of months in it; hundreds of users, each with values that change."""
    sources = SourceTables.create(make_settings(start_date=START, timezone=ZONE))
    for table, what, step in (
        (sources.settings.feed_table, "1, ['view', 'like'][1 + number % 2]", 9001),
        (sources.settings.messages_table, "number % 97", 30011),
    ):
        sources.warehouse.execute(
            f"INSERT INTO {table} SELECT cityHash64(number) % (100 + intDiv(number, 4)), {what}, "
            f"toDateTime('2025-03-05 00:00:00', 'UTC') + number * {step} AS moment, cityHash64(number, 1) % 3 - 1, "
            "cityHash64(number, 2) % 4 * 20, ['Russia', ''][1 + cityHash64(number, 3) % 2], 'Omsk', "
            "['iOS', 'Android', ''][1 + cityHash64(number, 4) % 3], "
            "['ads', 'organic', ''][1 + cityHash64(number, 5) % 3], cityHash64(number, 6) % 5 - 1 "
            f"FROM numbers({32 * 10**6 // step}) WHERE toYYYYMM(moment) NOT BETWEEN 202506 AND 202510"
        )
    return sources


@pytest.fixture(scope="module")
def computed(history: SourceTables, make_settings: Callable[..., Settings]) -> tuple[SourceTables, list[str]]:
    """The first day with what is above it, and what was logged."""
    sources = _copy(history, make_settings)
    logged = _build(sources)
    assert all(result.published for result in compute_all(sources.warehouse, sources.settings, [START]))
    return sources, logged


@pytest.fixture
def sources(history: SourceTables, make_settings: Callable[..., Settings]) -> SourceTables:
    return _copy(history, make_settings)


def _copy(sources: SourceTables, make_settings: Callable[..., Settings]) -> SourceTables:
    return sources.copy(make_settings(start_date=START, timezone=ZONE))


def _events(sources: SourceTables, table: str) -> pd.DataFrame:
    return pd.DataFrame(sources.warehouse.query(f"SELECT * FROM {table} ORDER BY ALL").rows)


def _oracle(sources: SourceTables, day: datetime.date) -> Oracle:
    settings = sources.settings
    return Oracle(_events(sources, settings.feed_table), _events(sources, settings.messages_table), ZONE, [day])


def _build(sources: SourceTables) -> list[str]:
    """Build the snapshot before the first day; returns what was logged."""
    create_tables(sources.warehouse, [USERS])
    logged: list[str] = []
    daily = DailySources.of(sources.warehouse, sources.settings)
    earlier_users.build_earlier_users(daily, sources.settings, logged.append)
    return logged


@pytest.fixture(scope="module")
def expected(history: SourceTables) -> pd.DataFrame:
    """The snapshot before the first day, computed from all events at once."""
    return _oracle(history, BASE).users(BASE)


def _assert_whole(sources: SourceTables, expected: pd.DataFrame) -> None:
    """The snapshot is whole, and nothing is left behind."""
    found = read_table(sources.warehouse, "users", BASE).drop(columns="event_date")
    assert_same_rows(found, expected, "user_id")
    assert sources.warehouse.value(STAGED) == 0


def test_it_equals_a_computation_over_all_events_at_once(
    computed: tuple[SourceTables, list[str]], expected: pd.DataFrame
) -> None:
    sources, logged = computed
    _assert_whole(sources, expected)
    shares = [int(match[1]) for line in logged if (match := re.search(r"\((\d+)% of the time\)", line))]
    assert len(shares) == len(logged) < 15  # of a year
    assert shares == sorted(shares)
    assert shares[-1] == 100


def test_a_build_killed_and_cut_into_days_by_limits_goes_on_from_its_last_stretch(
    sources: SourceTables, expected: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, published = earlier_users.publish, []
    staged_partition, refused = earlier_users.staged_partition, []

    def dying(warehouse: Warehouse, staged: Any) -> None:
        published.append(staged.date)
        if len(published) in (4, 9):
            raise KeyboardInterrupt
        publish(warehouse, staged)

    def limited(warehouse: Warehouse, table: Any, date: datetime.date, selects: Any) -> Any:
        ((_, parameters),) = selects
        if len(parameters.get("dates", ())) > 32 and len(refused) < 2:
            refused.append(date)
            raise WarehouseError("Test", Cause(159, "TIMEOUT_EXCEEDED", "", transient=False, remedy=""))
        return staged_partition(warehouse, table, date, selects)

    monkeypatch.setattr(earlier_users, "publish", dying)
    monkeypatch.setattr(earlier_users, "staged_partition", limited)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            _build(sources)
        assert read_table(sources.warehouse, "users").empty
    logged = _build(sources)
    assert "going on after" in logged[0]
    assert len(set(published)) >= len(published) - 2  # only what was cut off was done again
    assert len(refused) == 2
    _assert_whole(sources, expected)


def test_another_build_at_the_same_time_loses_nobody(sources: SourceTables, monkeypatch: pytest.MonkeyPatch) -> None:
    publish, published = earlier_users.publish, []

    def disturbed(warehouse: Warehouse, staged: Any) -> None:
        publish(warehouse, staged)
        published.append(staged.date)
        if len(published) == 3:  # as the other build does, which is further
            warehouse.execute(f"ALTER TABLE `{staged.table.name}` DROP PARTITION '{staged.date}'")

    monkeypatch.setattr(earlier_users, "publish", disturbed)
    with pytest.raises(PartitionMismatchError, match="another run build this snapshot"):
        _build(sources)
    assert read_table(sources.warehouse, "users").empty


def test_the_first_day_again_gives_the_same_rows_and_reads_no_history(
    computed: tuple[SourceTables, list[str]], make_settings: Callable[..., Settings]
) -> None:
    sources = _copy(computed[0], make_settings)
    before = read_table(sources.warehouse, "users")
    sources.warehouse.execute(f"TRUNCATE TABLE {sources.settings.messages_table}")  # no event of this day
    logged: list[str] = []
    (result,) = compute_days(sources.warehouse, USERS, [START], sources.settings, log=logged.append)
    assert result.published
    assert read_table(sources.warehouse, "users").equals(before)
    assert logged == []


def test_without_earlier_events_nothing_is_built(make_settings: Callable[..., Settings]) -> None:
    sources = SourceTables.create(make_settings(start_date=START))
    assert _build(sources) == []
    sources.warehouse.execute(
        f"INSERT INTO {sources.settings.feed_table} (user_id, action, time) VALUES (1, 'view', 0)"  # a missing time
    )
    assert _build(sources) == []
    assert read_table(sources.warehouse, "users").empty


def test_the_first_day_is_right_in_the_middle_of_the_products_life(computed: tuple[SourceTables, list[str]]) -> None:
    sources, _ = computed
    found = read_table(sources.warehouse, "app_daily", START)
    assert_same_rows(found, _oracle(sources, START).app_daily(START), "event_date")
    (row,) = found.to_dict("records")
    assert row["new_users"] < row["app_dau"] < row["wau"] < row["mau"]
    assert row["cohort_d1"] > 0
