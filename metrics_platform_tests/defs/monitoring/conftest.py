"""A monitored product whose messages go to a Bot API server of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from metrics_platform.settings import Settings
from metrics_platform_tests.defs.monitor_world import MonitorWorld
from metrics_platform_tests.telegram.bot_api import BotApi


@pytest.fixture
def world(
    make_settings: Callable[..., Settings], instance: dg.DagsterInstance, api: BotApi, tmp_path: Path
) -> MonitorWorld:
    return MonitorWorld.create(
        make_settings,
        instance,
        **api.settings,
        data_dir=tmp_path / "data",
    )
