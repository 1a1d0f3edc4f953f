"""What the tests of messages share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from metrics_platform_tests.notifications.clock import Clock
from metrics_platform_tests.notifications.desk import Desk, running_desk


@pytest.fixture
def clock() -> Clock:
    """A clock whose sleeps take no time."""
    return Clock()


@pytest.fixture
def desk() -> Iterator[Desk]:
    """The delivery, with a chat and a webhook on loopback."""
    with running_desk() as running:
        yield running
