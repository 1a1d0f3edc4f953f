"""The dry run: the very calls that Telegram would get, as pages a person can open, in a folder.

One page per message, its pictures beside it, and `index.html` with the latest of them as a chat shows them. Nothing
leaves the machine.
"""

from __future__ import annotations

import contextlib
import datetime
import html
import json
import os
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from metrics_platform.notifications.channel import Channel, DeliveryContext, Step
from metrics_platform.notifications.errors import DeliveryError
from metrics_platform.notifications.history import Sent
from metrics_platform.notifications.message import Message, Picture, text_of
from metrics_platform.notifications.pages import page
from metrics_platform.notifications.telegram.calls import Call, calls_of, request_of

_SHOWN_IN_INDEX = 100
_MOMENT = "%Y-%m-%dT%H-%M-%S-%f"  # in UTC, so that names are in order


@dataclass(frozen=True)
class OutboxChannel(Channel):
    """Messages as pages in `directory`, instead of in a chat."""

    directory: Path
    zone: datetime.tzinfo = datetime.UTC
    name = "outbox"
    title = "Outbox"

    def steps(self, message: Message, context: DeliveryContext) -> list[Step]:
        """See `Channel`."""
        return [lambda _: self._send(message, context)]

    def _send(self, message: Message, context: DeliveryContext) -> dict[str, Any]:
        """Write the message's page and pictures, then the index."""
        now = datetime.datetime.now(datetime.UTC)
        path = self.directory / f"{now:{_MOMENT}}-{_slug(message.key)}.html"
        self._write(lambda: self._write_new(message, context, path))
        return {
            "address": str(self.directory),
            "message_ids": (path.name,),
            "carrier": "caption" if context.pictures else "text",
            "link": path.resolve().as_uri(),
        }

    def edit(self, message: Message, original: Sent, pictures: Sequence[Picture] = ()) -> bool:
        """Write the page again, with the quote it has, and with its pictures unless there are new ones.

        Raises:
            DeliveryError: the folder cannot be written, or what is in it not read.
        """
        path = self.directory / original.message_ids[0]
        if not path.is_file():
            return False
        self._write(lambda: self._write_again(message, path, pictures))
        return True

    def _write(self, work: Callable[[], None]) -> None:
        problem = None
        try:
            work()
        except (OSError, UnicodeError) as caught:
            what = getattr(caught, "strerror", None) or "it holds a page that is not UTF-8"
            problem = f"The outbox folder {self.directory} cannot be used: {what}. Set METRICS_DATA_DIR."
        if problem:
            raise DeliveryError("misconfigured", problem)

    def _write_new(self, message: Message, context: DeliveryContext, path: Path) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(PermissionError):  # it is another account's, who decides
            self.directory.chmod(0o700)
        reply = text_of_page(self.directory / context.reply_to.message_ids[0]) if context.reply_to else None
        for picture in context.pictures:
            _write(self.directory / f"{path.stem}-{picture.name}.png", picture.png)
        _write(path, self._page(message, context.pictures, path.stem, reply).encode())
        _write(self.directory / "index.html", self._index().encode())

    def _write_again(self, message: Message, path: Path, pictures: Sequence[Picture]) -> None:
        before = path.read_text(encoding="utf-8")
        quoted = re.search(r'<div class="reply">(.*?)</div>', before, re.DOTALL)
        reply = html.unescape(quoted[1]) if quoted else None
        for picture in pictures:
            _write(self.directory / f"{path.stem}-{picture.name}.png", picture.png)
        pictures = pictures or [
            Picture(
                Path(html.unescape(name)).stem.removeprefix(f"{path.stem}-"),
                html.unescape(title),
                (self.directory / html.unescape(name)).read_bytes(),
            )
            for name, title in re.findall(r'<img src="([^"]*)" alt="([^"]*)">', before)
        ]
        _write(path, self._page(message, pictures, path.stem, reply, edited=True).encode())
        _write(self.directory / "index.html", self._index().encode())

    def _page(
        self, message: Message, pictures: Sequence[Picture], stem: str, reply: str | None, *, edited: bool = False
    ) -> str:
        moment = datetime.datetime.strptime(stem[:26], _MOMENT).replace(tzinfo=datetime.UTC).astimezone(self.zone)
        return page(
            "outbox.html.j2",
            title=text_of(message.headline),
            language=message.language,
            bubbles=[_bubble(call, stem) for call in calls_of(message, pictures)],
            reply=reply,
            silent=message.silent,
            edited=edited,
            moment=f"{moment:%Y-%m-%d %H:%M:%S} {moment.tzname()}",
        )

    def _index(self) -> str:
        pages = sorted((path for path in self.directory.glob("*.html") if path.name != "index.html"), reverse=True)
        bodies = []
        for path in pages[:_SHOWN_IN_INDEX]:
            match = re.search(r"<!--message-->(.*)<!--/message-->", path.read_text(encoding="utf-8"), re.DOTALL)
            bodies.append(match[1] if match else "")
        return page("outbox.html.j2", title="Outbox", language="en", bodies=bodies)


def text_of_page(path: Path) -> str | None:
    """The headline of a page of the outbox."""
    if not path.is_file():
        return None
    match = re.search(r"<title>(.*?)</title>", path.read_text(encoding="utf-8"), re.DOTALL)
    return html.unescape(match[1]) if match else None


def _bubble(call: Call, stem: str) -> dict[str, Any]:
    method, given, _ = request_of(call)
    text = str(given.get("text" if method == "sendMessage" else "caption") or "")
    if call.part:
        # A messenger does not show the line end next to a block, which a page would.
        text = re.sub(r"\n?(<pre>|<blockquote>)", r"\1", text.replace("<blockquote expandable>", "<blockquote>"))
        text = Markup(re.sub(r"(</pre>|</blockquote>)\n", r"\1", text))  # noqa: S704  (Telegram's HTML, escaped)
    markup = given.get("reply_markup")
    buttons = [button for row in json.loads(markup)["inline_keyboard"] for button in row] if markup else []
    pictures = [(f"{stem}-{picture.name}.png", picture) for picture in call.pictures]
    return {"method": method, "text": text, "buttons": buttons, "pictures": pictures}


def _slug(key: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", key)[:80]


def _write(path: Path, content: bytes) -> None:
    """Write whole or not at all, so that no reader sees half a page. Other accounts may not read it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)
