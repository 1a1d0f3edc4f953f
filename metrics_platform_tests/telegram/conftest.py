"""The local Bot API server as a fixture."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from metrics_platform_tests.telegram.bot_api import BotApi, bot_api_server


@pytest.fixture
def api() -> Iterator[BotApi]:
    """A new server for the test."""
    with bot_api_server() as server:
        yield server
