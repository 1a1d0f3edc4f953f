"""What the tests of messages share."""

from __future__ import annotations

import pytest

from metrics_platform_tests.notifications.waiting import Clock


@pytest.fixture
def clock() -> Clock:
    """A clock whose sleeps take no time."""
    return Clock()
