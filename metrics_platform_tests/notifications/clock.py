"""A clock whose sleeps take no time, and what every channel's tests ask of its errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from metrics_platform.notifications.errors import DeliveryError
from metrics_platform.notifications.retry import RetryPolicy


class Clock:
    """Sleeps in no time, and remembers how long."""

    def __init__(self) -> None:
        self.now, self.waits = 0.0, list[float]()

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    @property
    def policy(self) -> RetryPolicy:
        """The default policy on this clock, without jitter."""
        return RetryPolicy(clock=lambda: self.now, sleep=self.sleep, jitter=lambda: 0.0)


def failure(work: Callable[[], Any]) -> DeliveryError:
    """The DeliveryError that `work` ends with."""
    with pytest.raises(DeliveryError) as caught:
        work()
    return caught.value


def everything_in(error: BaseException | None) -> list[str]:
    """All texts of an error and of whatever led to it, along both chains."""
    told, waiting, seen = [], [error], set()
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            told += [str(each), repr(each), str(each.__dict__), str(each.args), str(getattr(each, "__notes__", ""))]
            waiting += [each.__cause__, each.__context__]
    return told
