"""What every channel does: send a message step by step, and record each step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from metrics_platform.findings import Finding
from metrics_platform.notifications.history import Sent
from metrics_platform.notifications.message import Message, Picture
from metrics_platform.notifications.retry import DeliveryError

NETWORK = "Can this machine reach it? Check the network and the proxy. Messages wait until it answers."
# Sends one step; gets the message of the first step, if it is sent, and returns the fields of its `Sent`.
Step = Callable[[Sent | None], dict[str, Any]]


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
