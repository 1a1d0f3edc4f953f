"""What the tests of every channel share: a clock whose sleeps take no time, a message, its delivery, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from metrics_platform.notifications.channel import Channel, DeliveryContext, DeliveryError, RetryPolicy
from metrics_platform.notifications.history import Sent
from metrics_platform.notifications.message import Block, Message, Paragraph, bold, line


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


HEADLINE = line("❌ ", bold("FAILED"), " · job daily_etl")


def message(*blocks: Block, **more: Any) -> Message:
    """A message of these blocks, with a text if there are none."""
    facts: dict[str, Any] = {
        "key": "key-1",
        "kind": "failed_run",
        "severity": "failed",
        "headline": HEADLINE,
        "footer": line("production"),
    }
    return Message(**{**facts, **more}, blocks=blocks or (Paragraph((line("text"),)),))


def delivered(channel: Channel, told: Message, done: dict[int, Sent] | None = None, **context: Any) -> list[Sent]:
    """The steps that sending a message took, without those that are `done` already."""
    sent = dict(done or {})
    steps = channel.steps(told, DeliveryContext(**context))
    for number, step in enumerate(steps):
        if number not in sent:
            sent[number] = Sent(channel=channel.name, step=number, steps=len(steps), **step(sent.get(0)))
    return [done_step for number, done_step in sorted(sent.items()) if number not in (done or {})]


def failure(work: Callable[[], Any]) -> DeliveryError:
    """The DeliveryError that `work` ends with."""
    with pytest.raises(DeliveryError) as caught:
        work()
    return caught.value


def everything_in(error: BaseException | None) -> list[str]:
    """All texts of an error and of whatever led to it, along both chains."""
    told, waiting, seen = [], [error], set()
    while waiting:
        current = waiting.pop()
        if current is not None and id(current) not in seen:
            seen.add(id(current))
            told += [
                str(current),
                repr(current),
                str(current.__dict__),
                str(current.args),
                str(getattr(current, "__notes__", "")),
            ]
            waiting += [current.__cause__, current.__context__]
    return told
