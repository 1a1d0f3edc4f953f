"""What all tests share: one embedded ClickHouse for the session, fresh databases and settings for each test."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings

from metrics_platform.connection import parse_url
from metrics_platform.local.clickhouse import EmbeddedServer, running_server
from metrics_platform.settings import CHANNEL_PREFIXES, PREFIX, Settings, SettingsError, load_settings
from metrics_platform.warehouse.client import Warehouse

if TYPE_CHECKING:
    from metrics_platform_tests.telegram.bot_api import BotApi

# A generated world takes seconds in a real ClickHouse. By default a handful is tried, the same in every run, so that a
# run that passed passes again; HYPOTHESIS_PROFILE=thorough tries many new ones and shrinks what fails.
_CHECKS = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
_QUICK = (Phase.explicit, Phase.generate)
hypothesis_settings.register_profile(
    "default",
    deadline=None,
    suppress_health_check=_CHECKS,
    max_examples=5,
    phases=_QUICK,
    derandomize=True,
    database=None,
)
hypothesis_settings.register_profile("thorough", deadline=None, suppress_health_check=_CHECKS, max_examples=150)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
_numbers = itertools.count(1)
# As wherever the platform runs a second time: hundreds of processes of these tests need not compile it anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Tests see none of the settings that the person running them has set.
for setting in [name for name in os.environ if name.startswith((PREFIX, *CHANNEL_PREFIXES))]:
    del os.environ[setting]

# An eighth of the suite's time is the disk's: where there is a file system in memory with room, tests write there. They
# hold 240 MB at most.
_IN_MEMORY = Path("/dev/shm")
_ROOM = 1024**3
if _IN_MEMORY.is_dir() and os.access(_IN_MEMORY, os.W_OK) and shutil.disk_usage(_IN_MEMORY).free > _ROOM:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_IN_MEMORY))

# Whole runs and whole worlds: files of few tests that take long. Begun last, one worker would end alone.
_LONG = ("faults", "warehouse", "defs", "test_cli.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first."""
    items.sort(key=lambda item: not any(name in item.path.parts for name in _LONG))


@pytest.fixture(autouse=True)
def _sigterm_ends_children() -> Iterator[None]:
    """Every run in this process makes SIGTERM what SIGINT is: ignored, where the tests run in the background. Children
    would inherit that."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def signals_as_in_a_terminal() -> Iterator[None]:
    """Tests and their children heed SIGINT and SIGHUP, which are ignored where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler), signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGHUP, before[1])


@pytest.fixture
def refusal_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """The error that refuses a setting's value; it names both, and what the setting means."""

    def refuse(name: str, value: str) -> str:
        monkeypatch.setenv(name, value)
        with pytest.raises(SettingsError) as refused:
            load_settings(None)
        text = str(refused.value)
        assert f"{name} = {value!r}" in text
        assert "It means: " in text
        return text

    return refuse


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """The embedded ClickHouse, one for all tests that do not hurt it."""
    with running_server(tmp_path_factory.mktemp("clickhouse") / "data") as server:
        yield server


@pytest.fixture(scope="session")
def make_settings(clickhouse_server: EmbeddedServer) -> Callable[..., Settings]:
    """Makes settings on new databases: `make_settings(timezone=…)`."""
    return settings_factory(clickhouse_server.url)


def settings_factory(url: str) -> Callable[..., Settings]:
    """A function that makes settings whose platform and source databases are new on the server at `url`."""

    def make(**overrides: Any) -> Settings:
        number = next(_numbers)
        base = url.rsplit("/", 1)[0]
        names = {
            "clickhouse_url": f"{base}/metrics_{number}",
            "feed_table": f"source_{number}.feed_actions",
            "messages_table": f"source_{number}.message_actions",
        }
        return load_settings(None, **{**names, **overrides})

    return make


@pytest.fixture
def admin(clickhouse_server: EmbeddedServer) -> Warehouse:
    """The platform's account of the shared server, outside of any test's database."""
    return Warehouse(parse_url(clickhouse_server.url))


@pytest.fixture
def api() -> Iterator[BotApi]:
    """Telegram, on loopback."""
    from metrics_platform_tests.telegram.bot_api import bot_api_server

    with bot_api_server() as server:
        yield server
