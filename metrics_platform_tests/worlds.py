"""Putting generated or real events into source tables, computing days, and reading the results as frames."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd
import pytest

from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.daily import DayResult, compute_days
from metrics_platform.warehouse.schema import create_database
from metrics_platform.warehouse.tables import Column, columns_of, daily_tables
from metrics_platform_tests.oracle import Oracle, assert_same_rows


@dataclass
class SourceTables:
    """The two event tables of one test."""

    settings: Settings
    warehouse: Warehouse

    @classmethod
    def create(cls, settings: Settings, *, gender_as_text: bool = False, nullable: bool = False) -> SourceTables:
        """Create both tables, empty, in the database the settings name."""
        warehouse = Warehouse.from_settings(settings)
        create_database(warehouse, warehouse.database)
        for table, file in ((settings.feed_table, "feed_actions"), (settings.messages_table, "message_actions")):
            create_database(warehouse, table.split(".")[0])
            columns = ", ".join(
                f"{_actual_name(column.name, settings)} {_source_type(column, gender_as_text, nullable)}"
                for column in columns_of(file)
            )
            cluster = f" ON CLUSTER `{settings.clickhouse_cluster}`" if settings.clickhouse_cluster else ""
            engine = settings.clickhouse_engine or "MergeTree"
            warehouse.execute(f"CREATE TABLE {table}{cluster} ({columns}) ENGINE = {engine} ORDER BY time")
        return cls(settings, warehouse)

    def copy(self, settings: Settings) -> SourceTables:
        """The same sources and computed tables in the databases of other settings, sharing their files."""
        copied = SourceTables(settings, Warehouse.from_settings(settings))
        names = {
            self.warehouse.database: copied.warehouse.database,
            self.settings.feed_table.split(".")[0]: settings.feed_table.split(".")[0],
        }
        tables = "SELECT database, name FROM system.tables WHERE database IN {names:Array(String)}"
        for database in names.values():
            create_database(self.warehouse, database)
        for row in self.warehouse.query(tables, {"names": list(names)}).rows:
            name, original = row["name"], f"{row['database']}.{row['name']}"
            self.warehouse.execute(f"CREATE TABLE {names[row['database']]}.{name} CLONE AS {original}")
        return copied

    def insert_feed(self, events: pd.DataFrame) -> None:
        """Add feed events (columns of docs/metrics.md)."""
        self._insert(self.settings.feed_table, "feed_actions", events)

    def insert_messages(self, events: pd.DataFrame) -> None:
        """Add messages (columns of docs/metrics.md, `receiver_id` under either spelling)."""
        self._insert(self.settings.messages_table, "message_actions", events)

    def _insert(self, table: str, file: str, events: pd.DataFrame) -> None:
        if events.empty:
            return
        names = [_actual_name(column.name, self.settings) for column in columns_of(file)]
        frame = events.rename(columns={name: _actual_name(name, self.settings) for name in events.columns})[names]
        self.warehouse.run(lambda client: client.insert_df(table, frame), operation="Inserting test events")


def _actual_name(column: str, settings: Settings) -> str:
    return settings.receiver_column if column in ("receiver_id", "reciever_id") else column


def _source_type(column: Column, gender_as_text: bool, nullable: bool) -> str:
    kind = "LowCardinality(String)" if column.name == "gender" and gender_as_text else column.type
    if not nullable or column.name in ("post_id", "action", "time"):
        return kind
    return "LowCardinality(Nullable(String))" if "String" in kind else f"Nullable({kind})"


def in_environment(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Let commands find ClickHouse, the sources and the zone of these settings."""
    assert settings.clickhouse_url is not None
    monkeypatch.setenv("METRICS_CLICKHOUSE_URL", settings.clickhouse_url.get_secret_value())
    for name in ("feed_table", "messages_table", "timezone"):
        monkeypatch.setenv(f"METRICS_{name.upper()}", getattr(settings, name))


def compute_all(warehouse: Warehouse, settings: Settings, dates: Iterable[datetime.date]) -> list[DayResult]:
    """Compute every table for `dates`, table by table as a range run does."""
    days = list(dates)
    return [
        result
        for table in daily_tables(settings.dimensions)
        for result in compute_days(warehouse, table, days, settings)
    ]


def read_table(warehouse: Warehouse, table: str, date: datetime.date | None = None) -> pd.DataFrame:
    """The rows of a daily table, of one day or all, `event_date` included."""
    where = "WHERE event_date = {date:Date}" if date else ""
    answer = warehouse.query(f"SELECT * FROM `{table}` {where} ORDER BY ALL", {"date": date} if date else None)
    file = "slice" if table.endswith("_slice") else table
    return pd.DataFrame(answer.rows, columns=[column.name for column in columns_of(file)], dtype=object)


def assert_equals_oracle(
    warehouse: Warehouse,
    oracle: Oracle,
    days: list[datetime.date],
    dimensions: tuple[str, ...],
) -> None:
    """Every cell of the daily tables is as the oracle computes it."""
    for day in days:
        users = read_table(warehouse, "users", day)
        assert_same_rows(users.drop(columns="event_date"), oracle.users(day), "user_id")
        merged = read_table(warehouse, "user_daily", day)
        assert_same_rows(merged.drop(columns=["event_date", "age_group"]), oracle.user_daily(day), "user_id")
        assert_same_rows(read_table(warehouse, "app_daily", day), oracle.app_daily(day), "event_date")
        assert_same_rows(
            read_table(warehouse, "user_cohorts", day), oracle.user_cohorts(day), ["event_date", "first_day", "source"]
        )
        final = read_table(warehouse, "dimension_metrics", day)
        assert_same_rows(
            final, oracle.dimension_metrics(day, dimensions), ["event_date", "dimension", "dimension_value"]
        )


def insert_event_counts(
    warehouse: Warehouse,
    table: str,
    counts: Mapping[datetime.datetime, Mapping[str, int]],
    dimension: str = "total",
) -> None:
    """How many events each source had in slots or on days, as `slot_metrics` and `metric_daily` keep them."""
    names = ["event_date", "metric", "dimension", "dimension_value", "value", "numerator"]
    rows: list[list[object]] = [
        [moment.date(), f"{source}.events", dimension, dimension, count, count]
        for moment, sources in counts.items()
        for source, count in sources.items()
    ]
    if table == "slot_metrics":
        names.append("slot_start")
        moments = [moment for moment, sources in counts.items() for _ in sources]
        rows = [[*row, moment] for row, moment in zip(rows, moments, strict=True)]
    if rows:
        warehouse.run(lambda client: client.insert(table, rows, column_names=names), operation="Test")
