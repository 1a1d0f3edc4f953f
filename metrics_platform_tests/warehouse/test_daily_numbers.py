"""Every cell of the daily tables against the pandas oracle, on real messages and on generated worlds."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_platform.report.facts import LoadState, ReportData, report_of
from metrics_platform.report.highlights import LOOKBACK
from metrics_platform.report.reading import read_app_days
from metrics_platform.settings import Settings
from metrics_platform.time_windows import day_of
from metrics_platform.warehouse import daily_sources
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.daily import compute_days
from metrics_platform.warehouse.tables import (
    APP_DAILY,
    FEED_USER_DAILY,
    MESSAGE_USER_DAILY,
    USER_DAILY,
    USERS,
    daily_tables,
)
from metrics_platform_tests.generated_events import World, worlds
from metrics_platform_tests.oracle import Oracle
from metrics_platform_tests.report.expected import assert_report_equals
from metrics_platform_tests.warehouse.real_events import real_events
from metrics_platform_tests.worlds import SourceTables, assert_equals_oracle, compute_all, read_table

DIMENSIONS = ("os", "gender", "age")
FURTHER_DIMENSIONS = (("age_group", "source"), ("country", "city", "exp_group"))
MONTH = 32  # days of real messages: MAU's window, and a few days for those who drop out of it
COMPUTED_DAYS = 8  # the last ones, for the reports; all before them are in the first snapshot
WHOLE_DAYS = 3  # of which every table is computed and compared


@settings(max_examples=max(3, settings().max_examples - 2))
@given(
    world=worlds(most_days=3),
    further=st.sampled_from(FURTHER_DIMENSIONS),
    earlier_days=st.integers(0, 2),
    most_hashes=st.sampled_from((1, 1_000_000)),
)
def test_every_cell_equals_the_oracle_in_generated_worlds(
    make_settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    *,
    world: World,
    further: tuple[str, ...],
    earlier_days: int,
    most_hashes: int,
) -> None:
    # With more texts than are looked up, the extracts take their other way.
    monkeypatch.setattr(daily_sources, "_MAX_HASHES", most_hashes)
    days = world.days[min(earlier_days, len(world.days) - 2) :]
    settings = make_settings(
        timezone=world.zone,
        start_date=days[0],
        receiver_column=world.receiver_column,
        extra_dimensions=further,
    )
    sources = SourceTables.create(settings, gender_as_text=world.gender_as_text, nullable=world.nullable)
    sources.insert_feed(world.feed)
    sources.insert_messages(world.messages)
    compute_all(sources.warehouse, settings, days)
    oracle = Oracle(world.feed, world.messages, world.zone, days, world.receiver_column)
    assert_equals_oracle(sources.warehouse, oracle, days, (*DIMENSIONS, *further))
    gone = days[len(days) // 2]
    sources.warehouse.execute(f"ALTER TABLE app_daily DROP PARTITION '{gone}'")
    _assert_reports_equal_oracle(sources.warehouse, settings, oracle, days, gone)


def test_every_cell_equals_the_oracle_in_the_middle_of_real_messages(make_settings: Callable[..., Settings]) -> None:
    real = real_events(datetime.timedelta(days=MONTH + 2))  # with later events, which must not count
    days = [real.first_day + datetime.timedelta(days=offset) for offset in range(MONTH - COMPUTED_DAYS, MONTH)]
    settings = make_settings(timezone=real.zone, start_date=days[0])
    sources = SourceTables.create(settings)
    sources.insert_feed(real.feed)
    sources.insert_messages(real.messages)
    for table in daily_tables(DIMENSIONS):
        dates = (
            days if table in (FEED_USER_DAILY, MESSAGE_USER_DAILY, USERS, USER_DAILY, APP_DAILY) else days[-WHOLE_DAYS:]
        )
        assert all(result.published for result in compute_days(sources.warehouse, table, dates, settings))
    oracle = Oracle(real.feed, real.messages, real.zone, days)
    assert_equals_oracle(sources.warehouse, oracle, days[-WHOLE_DAYS:], DIMENSIONS)
    _assert_reports_equal_oracle(sources.warehouse, settings, oracle, days)
    last = read_table(sources.warehouse, "app_daily", days[-1]).iloc[0]
    assert 0 < last["app_dau"] < last["wau"] < last["mau"]
    assert last["cohort_d7"] > last["retained_d7"] > 0


# Sources of a user's feed events and messages in the first second, and which of them the user gets.
FIRST_SECONDS: list[tuple[list[str | None], list[str | None], str | None]] = [
    (["ads"], ["organic"], "ads"),  # the feed's before the messenger's
    ([], ["ads", "organic"], "organic"),  # then the greatest
    (["ads", None, "organic"], [], "organic"),
    (["", "ads"], ["organic"], "ads"),
    (["", None], ["organic"], None),  # the feed's first second knows none: nothing later counts
]


def test_the_source_of_a_user_is_that_of_the_first_event(make_settings: Callable[..., Settings]) -> None:
    second = datetime.datetime(2026, 3, 2, 10, tzinfo=datetime.UTC)
    sources = SourceTables.create(make_settings(start_date=second.date()), nullable=True)
    feed, messages = [], []
    for user, (in_feed, in_messages, _) in enumerate(FIRST_SECONDS):
        feed += [(user, "view", second, source) for source in in_feed]
        feed += [(user, "view", second + datetime.timedelta(seconds=1), "zzz")]
        messages += [(user, 99, second, source) for source in in_messages]
    for table, what, rows in (
        (sources.settings.feed_table, "action", feed),
        (sources.settings.messages_table, sources.settings.receiver_column, messages),
    ):
        names = ["user_id", what, "time", "source"]
        sources.warehouse.run(partial(_insert, table=table, rows=rows, names=names), operation="Test")
    for daily in (FEED_USER_DAILY, MESSAGE_USER_DAILY, USERS):
        list(compute_days(sources.warehouse, daily, [second.date()], sources.settings))
    found = read_table(sources.warehouse, "users").set_index("user_id")["source"]
    assert [found[user] for user in range(len(FIRST_SECONDS))] == [source for *_, source in FIRST_SECONDS]


def _insert(client: Client, *, table: str, rows: list[Any], names: list[str]) -> None:
    client.insert(table, rows, column_names=names)


def _assert_reports_equal_oracle(
    warehouse: Warehouse,
    settings: Settings,
    oracle: Oracle,
    days: list[datetime.date],
    gone: datetime.date | None = None,
) -> None:
    """The reports of all days, and of the day after them, which is missing, as is `gone`."""
    facts = pd.concat([oracle.app_daily(day) for day in days if day != gone])
    for date in (*days, days[-1] + datetime.timedelta(days=1)):
        day = day_of(date, settings.zone)
        rows = read_app_days(warehouse, date - LOOKBACK, date)
        assert_report_equals(
            report_of(day, ReportData(rows, headline=settings.report_metrics), LoadState(), occurred_at=day.end), facts
        )
