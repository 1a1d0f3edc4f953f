"""What the tests of the way to Telegram share: messages, a channel on a clock without waiting, servers that misbehave.

The Bot API server of `metrics_platform_tests.telegram` answers as Telegram does; `raw_server` is for what never gets
as far as an answer: handshakes that hang, connections that are cut, proxies that refuse.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from metrics_platform.channel_settings import ChatTarget
from metrics_platform.notifications.history import Sent
from metrics_platform.notifications.message import (
    Link,
    Picture,
    Preformatted,
)
from metrics_platform.notifications.telegram import Pacer, TelegramChannel, TelegramClient
from metrics_platform_tests.notifications.clock import Clock
from metrics_platform_tests.telegram import BotApi, Fault, Standing
from metrics_platform_tests.telegram.state import picture

# Telegram's words for markup it does not read.
UNPARSED = Fault.refusal(400, 'Bad Request: can\'t parse entities: Unsupported start tag "x" at byte offset 2')
# Long ones, lest a busy machine looks like a lost answer; short ones are for servers that never answer.
TIMEOUTS, SHORT_TIMEOUTS = (10.0, 10.0), (0.5, 0.5)
LONG = Preformatted("\n".join(f"line {number} of the error" for number in range(400)))
BUTTON = Link("Run", "https://dagster.example.com/runs/1")
# No one listens there.
NOWHERE = "http://127.0.0.1:9"


def pictures(count: int, png: bytes | None = None) -> tuple[Picture, ...]:
    """This many charts."""
    return tuple(Picture(f"chart-{number}", f"Chart {number}", png or picture()) for number in range(count))


def client_to(
    api: BotApi, clock: Clock, *, pace: Clock | None = None, recent: dict[str, list[float]] | None = None, **more: Any
) -> TelegramClient:
    """The client of the server's bot. Its waits for repeats are the clock's, those for its turn are of `pace`."""
    pace = pace or Clock()
    options: dict[str, Any] = {"api_base": api.base, "timeouts": TIMEOUTS, **more}
    pacer = Pacer(recent, clock=lambda: pace.now, sleep=pace.sleep)
    return TelegramClient(options.pop("token", api.token), policy=clock.policy, pacer=pacer, **options)


def channel_to(
    api: BotApi, clock: Clock, chat: int | str | None = None, thread: int | None = None, **more: Any
) -> TelegramChannel:
    """The channel to a chat, by default the group."""
    target = ChatTarget(str(api.group if chat is None else chat), thread)
    return TelegramChannel(client_to(api, clock, **more), lambda *_: target)


def standing(chat: str, how: Standing) -> Callable[[BotApi], int]:
    """Arranges how the bot stands with a chat; returns its number."""

    def arranged(api: BotApi) -> int:
        number: int = getattr(api, chat)
        api.chat(number).standing = how
        return number

    return arranged


def broken_png() -> bytes:
    """Its head is that of a picture, the rest is not."""
    return picture()[:60] + b"\x00" * 200


def methods(api: BotApi) -> list[str]:
    """What the server was asked, in order."""
    return [call.method for call in api.calls]


def notes_of(sent: list[Sent]) -> str:
    """What was done differently than meant."""
    return " ".join(note for message in sent for note in message.notes)


@contextmanager
def raw_server(speak: Callable[[socket.socket], None]) -> Iterator[str]:
    """The address of a server that lets `speak` do what it wants with each connection."""
    listening = socket.create_server(("127.0.0.1", 0))
    connections: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            speak(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                connections.append(connection)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        for connection in (listening, *connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


def answering(answer: bytes, heard: list[bytes] | None = None) -> Callable[[socket.socket], None]:
    """Reads a request's head, answers these bytes and hangs up."""

    def speak(connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head and (piece := connection.recv(65536)):
            head += piece
        if heard is not None:
            heard.append(head)
        connection.sendall(answer)

    return speak


def silent(connection: socket.socket) -> None:
    """Listens and never says a word."""
    while connection.recv(65536):
        pass


def cutting(connection: socket.socket) -> None:
    """Hears the first words and cuts the connection, as those do who block a messenger."""
    connection.recv(100)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def deaf_server() -> Iterator[str]:
    """The address of a server that takes no more connections: trying to connect ends by its timeout only."""
    with socket.socket() as listening, contextlib.ExitStack() as waiting:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listening.getsockname())
        yield f"127.0.0.1:{listening.getsockname()[1]}"
