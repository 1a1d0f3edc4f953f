"""What every channel can do: take a message in steps, and say after each what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from metrics_platform.notifications.journal import Sent
from metrics_platform.notifications.message import Message, Picture


@dataclass(frozen=True)
class Dispatch:
    """What a channel needs besides the message."""

    pictures: Sequence[Picture] = ()
    # Steps an earlier try has done; they are not done again.
    done: dict[int, Sent] = field(default_factory=dict)
    # The message it replies to, on this channel.
    reply_to: Sent | None = None
    # The key of the message it replies to, for channels that thread by it.
    thread: str | None = None
    # A step whose answer was lost may be tried again: twice is better than never.
    repeat_unknown: bool = True
    sending: Callable[[int], None] = lambda _: None  # called before each step
    sent: Callable[[Sent], None] = lambda _: None  # called after each step


class Channel(Protocol):
    """A way messages leave by."""

    @property
    def name(self) -> str:
        """What settings, the journal and people call it."""

    def deliver(self, message: Message, dispatch: Dispatch) -> None:
        """Send what is not done yet, step by step.

        Raises:
            DeliveryError: a step did not succeed; those before it are done.
        """

    def edit(self, message: Message, original: Sent, pictures: Sequence[Picture] = ()) -> bool:
        """Make the message that was sent say `message`; False where the channel cannot.

        With `pictures` its picture is replaced, too, where text and picture are one message. Without, it stays.

        Raises:
            DeliveryError: the change did not arrive.
        """
