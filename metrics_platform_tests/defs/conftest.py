"""A Dagster instance and a Bot API server of the test's own, and the delivery between them.

Where a test needs more of Dagster's storage than events and runs, its module's `instance` is `stored_instance`.
"""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from metrics_platform.defs.delivery import notify
from metrics_platform.notifications import dispatcher
from metrics_platform.settings import Settings, load_settings
from metrics_platform_tests.defs.monitor_world import MonitorWorld
from metrics_platform_tests.defs.post_office import PostOffice
from metrics_platform_tests.telegram.bot_api import BotApi

# What steps print is not looked at here, and following it costs every run two processes.
_DAGSTER_YAML = """\
telemetry:
  enabled: false
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dagster's storage with nothing in it: making its databases takes longer than copying them."""
    home = tmp_path_factory.mktemp("dagster")
    (home / "dagster.yaml").write_text(_DAGSTER_YAML, encoding="utf-8")
    with dg.DagsterInstance.local_temp(str(home)) as made:
        made.get_runs(limit=1)
    return home


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Dagster's storage in memory, which keeps no states of schedules and sensors."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def stored_instance(empty_home: Path, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster's storage in a folder, as on a person's machine."""
    home = tmp_path / "dagster"
    shutil.copytree(empty_home, home)
    with dg.DagsterInstance.local_temp(str(home)) as made:
        yield made


@pytest.fixture
def telegram_settings(api: BotApi, tmp_path: Path) -> Callable[..., Settings]:
    """Makes settings of an installation that writes to the supergroup; more by name."""

    def make(**more: Any) -> Settings:
        given = {
            **api.settings,
            "timezone": "Europe/Moscow",
            "data_dir": tmp_path / "data",
            # Nothing of the delivery needs it: it is away in all of these tests.
            "clickhouse_url": "http://platform:x@127.0.0.1:1/metrics",
        }
        return load_settings(None, **{**given, **more})

    return make


@pytest.fixture
def office(telegram_settings: Callable[..., Settings], instance: dg.DagsterInstance) -> PostOffice:
    """The delivery to Telegram."""
    return PostOffice(telegram_settings(), instance)


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick does not wait for messages, and a run not for what is due soon."""
    monkeypatch.setattr(notify, "TICK_SECONDS", 0)
    monkeypatch.setattr(dispatcher, "LINGER", datetime.timedelta(0))


@pytest.fixture
def world(
    make_settings: Callable[..., Settings], instance: dg.DagsterInstance, api: BotApi, tmp_path: Path
) -> MonitorWorld:
    """A monitored product whose messages go to the Bot API server."""
    return MonitorWorld.create(make_settings, instance, **api.settings, data_dir=tmp_path / "data")
