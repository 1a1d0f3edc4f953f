"""Retrying within an attempt: one rule for every channel about what may be repeated, and for how long.

A request that never left may always be repeated. One whose answer was lost is repeated only where twice is better than
never. Configuration errors and refusals are never repeated.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from metrics_platform.notifications.errors import DeliveryError

Result = TypeVar("Result")


@dataclass(frozen=True)
class RetryPolicy:
    """How long tries are repeated, in seconds, and the clocks that count it."""

    budget: float = 45.0
    tries: int = 4
    first_wait: float = 1.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def waits(self) -> Iterator[float]:
        """The waits between tries: doubling, each with up to half of it on top, so that senders do not synchronise."""
        for number in range(self.tries - 1):
            yield self.first_wait * 2**number * (1 + self.jitter() / 2)


def retry(
    policy: RetryPolicy,
    once: Callable[[], Result],
    *,
    repeat_unknown: bool,
    before_again: Callable[[], None] = lambda: None,
) -> Result:
    """Call `once` until it succeeds, within the policy's budget; `before_again` is called before each repetition.

    Raises:
        DeliveryError: the last one; with the service's `retry_after` where that wait exceeds the budget.
    """
    deadline = policy.clock() + policy.budget
    waits = policy.waits()
    while True:
        try:
            return once()
        except DeliveryError as caught:
            error = caught
        # A service that asks for no wait at all is not called a thousand times within the budget.
        requested = None if error.retry_after is None else max(error.retry_after, policy.first_wait)
        wait = next(waits, None) if requested is None else requested
        repeatable = error.reason == "unreachable" or (error.reason == "unknown" and repeat_unknown)
        if not repeatable or wait is None or policy.clock() + wait > deadline:
            raise error
        policy.sleep(wait)
        before_again()
