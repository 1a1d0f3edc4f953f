"""What every channel does: send a message step by step, record each step, and repeat what may be repeated.

A request that never left may always be repeated. One whose answer was lost is repeated only where twice is better than
never. Configuration errors and refusals are never repeated.
"""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from metrics_platform.findings import Finding
from metrics_platform.notifications.history import Reason, Sent
from metrics_platform.notifications.message import Message, Picture

Result = TypeVar("Result")
NETWORK = "Can this machine reach it? Check the network and the proxy. Messages wait until it answers."
# Sends one step; gets the message of the first step, if it is sent, and returns the fields of its `Sent`.
Step = Callable[[Sent | None], dict[str, Any]]


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


@dataclass(frozen=True)
class DeliveryContext:
    """What a channel needs besides the message."""

    pictures: Sequence[Picture] = ()
    # Steps of an earlier attempt: they are not repeated.
    done: dict[int, Sent] = field(default_factory=dict)
    # The message it replies to, on this channel.
    reply_to: Sent | None = None
    # The key of the message it replies to, for channels that thread by it.
    thread: str | None = None
    # Whether a step whose answer was lost may be repeated: twice is better than never.
    repeat_unknown: bool = True
    sending: Callable[[int], None] = lambda _: None  # called before each step
    sent: Callable[[Sent], None] = lambda _: None  # called after each step


class Channel(ABC):
    """A channel that messages are sent over; settings, the journal and texts call it by its name."""

    name: str
    title: str

    @abstractmethod
    def steps(self, message: Message, context: DeliveryContext) -> Sequence[Step]:
        """The steps that send a message; each raises DeliveryError if it fails."""

    def deliver(self, message: Message, context: DeliveryContext) -> None:
        """Send what an earlier attempt has not sent.

        Raises:
            DeliveryError: a step failed. Those before it are done.
        """
        steps, first = self.steps(message, context), context.done.get(0)
        for number, step in enumerate(steps):
            if number not in context.done:
                context.sending(number)
                sent = Sent(channel=self.name, step=number, steps=len(steps), **step(first))
                context.sent(sent)
                first = first or sent

    def edit(self, message: Message, original: Sent, pictures: Sequence[Picture] = ()) -> bool:
        """Replace the text of a message that was sent; False if the channel cannot, as most.

        With `pictures` its picture is replaced, too, where text and picture are one message. Without, it stays.

        Raises:
            DeliveryError: the change did not arrive.
        """
        return False

    def check(self) -> str:
        """Ask whether it would take a message, without sending one; returns what answers.

        Raises:
            DeliveryError: it would not.
        """
        return "ready"

    def inspect(self) -> Iterator[Finding]:
        """What `check` finds."""
        try:
            yield Finding(self.title, "ok", self.check())
        except DeliveryError as caught:
            yield Finding(self.title, "problem", str(caught), NETWORK if caught.passes else "")

    def remedy(self, failure: DeliveryError) -> str:
        """What to do after a failure; empty if nothing is known but what the failure says."""
        if failure.passes:
            return NETWORK
        remedies = (found.remedy for found in self.inspect() if found.status == "problem")
        return " ".join(dict.fromkeys(filter(None, remedies)))
