"""The dry run: a folder of pages that show the calls that Telegram would receive.

Each message has a JSON file with the content of its page, the page, and its pictures. `index.html` shows the latest
messages as a chat does. Nothing leaves the machine.
"""

from __future__ import annotations

import datetime
import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from markupsafe import escape

from metrics_platform.notifications.channel import Channel, DeliveryContext, DeliveryError, Step
from metrics_platform.notifications.history import Sent
from metrics_platform.notifications.message import Message, Picture, text_of
from metrics_platform.notifications.telegram_calls import Call, calls_of, request_of
from metrics_platform.notifications.writer import page

_MAX_INDEXED = 100


@dataclass(frozen=True)
class OutboxChannel(Channel):
    """Messages as pages in `directory`, instead of in a chat."""

    name = "outbox"
    title = "Outbox"

    directory: Path
    zone: datetime.tzinfo = datetime.UTC

    def steps(self, message: Message, context: DeliveryContext) -> list[Step]:
        return [lambda _: self._send(message, context)]

    def _send(self, message: Message, context: DeliveryContext) -> dict[str, Any]:
        now = datetime.datetime.now(datetime.UTC)
        key = re.sub(r"[^A-Za-z0-9._-]+", "_", message.key)[:80]
        name = f"{now:%Y-%m-%dT%H-%M-%S-%f}-{key}"  # in UTC, so that names are in order
        local = now.astimezone(self.zone)
        with self._directory_errors():
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            original = _read_facts(self._file(context.reply_to)) if context.reply_to else None
            facts = {"reply": original and original["title"], "moment": f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()}"}
            self._write_message(name, message, context.pictures, facts)
        return {
            "address": str(self.directory),
            "message_ids": (f"{name}.html",),
            "carrier": "caption" if context.pictures else "text",
            "link": (self.directory / f"{name}.html").resolve().as_uri(),
        }

    def edit(self, message: Message, original: Sent, pictures: Sequence[Picture] = ()) -> bool:
        """Rewrite the message. It keeps its quote, and its pictures unless there are new ones.

        Raises:
            DeliveryError: the folder cannot be used.
        """
        name = Path(original.message_ids[0]).stem
        with self._directory_errors():
            if (facts := _read_facts(self._file(original))) is None:
                return False
            kept = [Picture(key, title, self._picture(name, key).read_bytes()) for key, title in facts["pictures"]]
            self._write_message(name, message, pictures or kept, {**facts, "edited": True})
        return True

    @contextmanager
    def _directory_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as caught:
            text = f"The outbox folder {self.directory} cannot be used: {caught.strerror}. Set METRICS_DATA_DIR."
            raise DeliveryError("misconfigured", text) from None

    def _file(self, sent: Sent) -> Path:
        return self.directory / f"{Path(sent.message_ids[0]).stem}.json"

    def _picture(self, name: str, key: str) -> Path:
        return self.directory / f"{name}-{key}.png"

    def _write_message(self, name: str, message: Message, pictures: Sequence[Picture], kept: dict[str, Any]) -> None:
        """Write a message's pictures, facts and page, then the index. `kept` are its facts that do not change."""
        for picture in pictures:
            _write(self._picture(name, picture.name), picture.png)
        facts = {
            "edited": False,
            **kept,
            "title": text_of(message.headline),
            "language": message.language,
            "bubbles": [_bubble(call, name) for call in calls_of(message, pictures)],
            "pictures": [(picture.name, picture.title) for picture in pictures],
            "silent": message.silent,
        }
        _write(self.directory / f"{name}.json", json.dumps(facts, ensure_ascii=False).encode())
        self._render(f"{name}.html", [facts], title=facts["title"], language=message.language)
        messages = filter(None, map(_read_facts, sorted(self.directory.glob("*.json"), reverse=True)))
        self._render("index.html", islice(messages, _MAX_INDEXED), title="Outbox", language="en")

    def _render(self, file: str, messages: Iterable[Any], **facts: Any) -> None:
        _write(self.directory / file, page("outbox.html.j2", messages=messages, **facts).encode())


def _read_facts(file: Path) -> dict[str, Any] | None:
    """The content of a message's page; None if the file is missing or was written by another program."""
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) and "bubbles" in facts else None


def _bubble(call: Call, name: str) -> dict[str, Any]:
    """What a chat shows for a call. Its HTML is Telegram's own, or escaped plain text."""
    method, fields, _ = request_of(call)
    html = str(fields.get("text" if method == "sendMessage" else "caption") or "")
    if call.part:
        # A messenger does not show the line end next to a block, which a page would.
        html = re.sub(r"\n?(<pre>|<blockquote>)", r"\1", html.replace("<blockquote expandable>", "<blockquote>"))
        html = re.sub(r"(</pre>|</blockquote>)\n", r"\1", html)
    markup = fields.get("reply_markup")
    return {
        "method": method,
        "html": html if call.part else str(escape(html)),
        "buttons": [button for row in json.loads(markup)["inline_keyboard"] for button in row] if markup else [],
        "pictures": [(f"{name}-{picture.name}.png", picture.title) for picture in call.pictures],
    }


def _write(path: Path, content: bytes) -> None:
    """Write a file atomically, so that no one sees half a page. Other accounts cannot read it."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        file.write(content)
    Path(file.name).replace(path)
