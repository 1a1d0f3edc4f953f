"""Why a message did not go out, and what may be repeated within an attempt: the same for every channel.

A request that never left may always be repeated. One whose answer was lost is repeated only where twice is better than
never. Configuration errors and refusals are never repeated.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

Result = TypeVar("Result")
# unreachable: nothing arrived; try later.       unknown: it may have arrived, the answer was lost.
# misconfigured: a person has to fix a setting.  refused: this message is not accepted, others may be.
Reason = Literal["unreachable", "unknown", "misconfigured", "refused"]


class DeliveryError(Exception):
    """A message, or a part of it, did not go out over a channel; the text has no secrets and says what to do.

    Raise it outside of `except` blocks: the errors of HTTP and SMTP libraries hold URLs and passwords, and would be
    kept as its context.
    """

    def __init__(self, reason: Reason, text: str, *, code: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.reason: Reason = reason
        self.code = code  # the status of the answer, if there was one
        self.retry_after = retry_after  # seconds the service asks to be left alone

    @property
    def passes(self) -> bool:
        """Whether waiting may help: the service or the network is down."""
        return self.reason in ("unreachable", "unknown")


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
