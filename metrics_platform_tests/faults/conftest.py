"""What the tests of faults share: a prepared server directory, and a server of their own to hurt."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from metrics_platform_tests.faults.world import Prepared, World, prepare


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Sources and old tables, made once."""
    return prepare(tmp_path_factory.mktemp("prepared") / "clickhouse")


@pytest.fixture(scope="session")
def world(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server that may be killed, with the prepared tables."""
    made = World(prepared, tmp_path_factory.mktemp("world") / "clickhouse")
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _without_the_drivers_warnings(caplog: pytest.LogCaptureFixture) -> None:
    """Where ClickHouse is killed, the driver warns at every look of the reader."""
    caplog.set_level(logging.ERROR, logger="urllib3")
