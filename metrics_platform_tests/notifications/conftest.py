"""What the tests of messages share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from metrics_platform.notifications.telegram import TelegramChannel
from metrics_platform_tests.notifications.clock import Clock
from metrics_platform_tests.notifications.delivery import Delivery, running_delivery
from metrics_platform_tests.notifications.telegram_chat import channel_to
from metrics_platform_tests.telegram import BotApi


@pytest.fixture
def clock() -> Clock:
    """A clock whose sleeps take no time."""
    return Clock()


@pytest.fixture
def channel(api: BotApi, clock: Clock) -> TelegramChannel:
    """The channel to the group."""
    return channel_to(api, clock)


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of the environment."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything that is logged at any level."""
    caplog.set_level(1)
    caplog.set_level(1, "urllib3")  # some driver has silenced it
    return caplog


@pytest.fixture
def delivery() -> Iterator[Delivery]:
    """The delivery, with a chat and a webhook on loopback."""
    with running_delivery() as running:
        yield running
