"""What the tests of loading share: settings and tables of the test's own, and a `load` that says nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from metrics_platform.loading import FileLoad, Options, load
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import create_database
from metrics_platform_tests.loading.event_files import Row, rows_in, staging_tables


@dataclass
class Loading:
    """Loads files into databases of the test's own; what it reported is in `said`."""

    settings: Settings
    warehouse: Warehouse
    rejects: Path
    said: list[str] = field(default_factory=list)

    def __call__(self, *, feed: Path | None = None, messages: Path | None = None, **options: Any) -> list[FileLoad]:
        self.said.clear()
        return load(
            self.settings,
            self.warehouse,
            feed=feed,
            messages=messages,
            options=Options(rejects=self.rejects, **options),
            say=self.said.append,
        )

    def feed(self, file: Path, **options: Any) -> FileLoad:
        """Load one feed file."""
        (loaded,) = self(feed=file, **options)
        return loaded

    def messages(self, file: Path, **options: Any) -> FileLoad:
        """Load one file of messages."""
        (loaded,) = self(messages=file, **options)
        return loaded

    @property
    def feed_rows(self) -> list[Row]:
        return rows_in(self.warehouse, self.settings.feed_table)

    @property
    def message_rows(self) -> list[Row]:
        return rows_in(self.warehouse, self.settings.messages_table)

    @property
    def staging_tables(self) -> list[str]:
        return staging_tables(self.warehouse, self.settings.feed_table, self.settings.messages_table)

    def create(self, columns: str, engine: str = "MergeTree ORDER BY user_id", table: str | None = None) -> str:
        """Create a source table (the feed's) of a layout of its own; returns its name."""
        name = table or self.settings.feed_table
        create_database(self.warehouse, self.warehouse.database)
        self.warehouse.execute(f"CREATE DATABASE IF NOT EXISTS {name.split('.')[0]}")
        self.warehouse.execute(f"CREATE TABLE {name} ({columns}) ENGINE = {engine}")
        return name


@pytest.fixture
def loading(make_settings: Callable[..., Settings], tmp_path: Path) -> Loading:
    return loading_with(make_settings(), tmp_path)


@pytest.fixture
def loading_as(make_settings: Callable[..., Settings], tmp_path: Path) -> Callable[..., Loading]:
    """`loading_as(timezone=…)`: the same with other settings."""
    return lambda **overrides: loading_with(make_settings(**overrides), tmp_path)


def loading_with(settings: Settings, directory: Path) -> Loading:
    """Loads with these settings."""
    warehouse = replace(Warehouse.from_settings(settings), retry_waits=(0.05, 0.1))
    return Loading(settings, warehouse, directory / "rejects")
