"""Every cell of the daily tables against the pandas oracle, on real messages and on generated worlds."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import pandas as pd
import pytest
from hypothesis import given

from metrics_platform.local.example_data import ExampleFiles, write_example
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform_tests.generated_events import World, worlds
from metrics_platform_tests.oracle import Oracle, assert_same_rows
from metrics_platform_tests.worlds import SourceTables, compute_all, read_table

ALL_DIMENSIONS = ("os", "gender", "age", "age_group", "source", "country", "city", "exp_group")
REAL_DAYS = 35


@given(world=worlds())
def test_every_cell_equals_the_oracle_in_generated_worlds(make_settings: Callable[..., Settings], world: World) -> None:
    settings = make_settings(
        timezone=world.zone,
        start_date=world.days[0],
        receiver_column=world.receiver_column,
        extra_dimensions=ALL_DIMENSIONS[3:],
    )
    sources = SourceTables.create(settings, gender_as_text=world.gender_as_text, nullable=world.nullable)
    sources.insert_feed(world.feed)
    sources.insert_messages(world.messages)
    compute_all(sources.warehouse, settings, world.days)
    oracle = Oracle(world.feed, world.messages, world.zone, world.days, world.receiver_column)
    _assert_equals_oracle(sources.warehouse, oracle, world.days, ALL_DIMENSIONS)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> ExampleFiles:
    return write_example(tmp_path_factory.mktemp("example"))


def test_every_cell_equals_the_oracle_on_35_days_of_real_messages(
    make_settings: Callable[..., Settings], example: ExampleFiles
) -> None:
    days = [example.first_day + datetime.timedelta(days=offset) for offset in range(REAL_DAYS)]
    settings = make_settings(timezone=example.zone, start_date=days[0])
    sources = SourceTables.create(settings)
    feed, messages = (_until(pd.read_csv(path), days[-1]) for path in (example.feed, example.messages))
    sources.insert_feed(feed)
    sources.insert_messages(messages)
    compute_all(sources.warehouse, settings, days)
    oracle = Oracle(feed, messages, example.zone, days)
    _assert_equals_oracle(sources.warehouse, oracle, days, ("os", "gender", "age"))


def _until(events: pd.DataFrame, last: datetime.date) -> pd.DataFrame:
    """The events up to two days after `last`, so that there are later ones which must not count."""
    times = pd.to_datetime(events["time"])
    texts = {name: events[name].fillna("") for name in ("country", "city", "os", "source")}
    keep = times < pd.Timestamp(last) + pd.Timedelta(days=3)
    return events.assign(time=times, **texts)[keep]


def _assert_equals_oracle(
    warehouse: Warehouse, oracle: Oracle, days: list[datetime.date], dimensions: tuple[str, ...]
) -> None:
    for day in days:
        users = read_table(warehouse, "users", day)
        assert_same_rows(users.drop(columns="event_date"), oracle.users(day), "user_id")
        merged = read_table(warehouse, "user_daily", day)
        assert_same_rows(merged.drop(columns=["event_date", "age_group"]), oracle.user_daily(day), "user_id")
        final = read_table(warehouse, "dimension_metrics", day)
        assert_same_rows(
            final, oracle.dimension_metrics(day, dimensions), ["event_date", "dimension", "dimension_value"]
        )
        assert_same_rows(read_table(warehouse, "app_daily", day), oracle.app_daily(day), "event_date")
