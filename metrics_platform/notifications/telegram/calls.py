"""Which calls of the Bot API a message takes, and each as the fields and files of a form.

One photo and a text that fits make one message; else the text goes first, in parts, and the pictures follow as a
silent reply. Pure functions: the dry run shows the very calls that Telegram would get.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from metrics_platform.notifications.message import Message, Picture, clean, units
from metrics_platform.notifications.telegram.html import CAPTION_UNITS, Part, fits, parts_of, takes_link

MAX_PHOTO_BYTES, MAX_PHOTO_SIDES, MAX_PHOTO_RATIO, MAX_ALBUM = 10 * 1024 * 1024, 10_000, 20, 10

Carrier = Literal["text", "caption", "none"]
Files = dict[str, tuple[str, bytes, str]]


@dataclass(frozen=True)
class Call:
    """One call of the Bot API that makes one message (an album: several)."""

    method: str
    parameters: dict[str, Any]
    pictures: tuple[Picture, ...] = ()
    part: Part | None = None  # its text, which goes in `text` or `caption`
    as_html: bool = True
    as_files: bool = False  # the pictures of an album as documents

    @property
    def carrier(self) -> Carrier:
        """Where the text stands: what an edit has to name."""
        if self.part is None:
            return "none"
        return "text" if self.method in ("sendMessage", "editMessageText") else "caption"

    def with_parameters(self, **changed: Any) -> Call:
        """The same call with other parameters; None leaves one out."""
        return replace(self, parameters={**self.parameters, **changed})


def calls_of(message: Message, pictures: Sequence[Picture]) -> list[Call]:
    """The calls that send `message`, without the chat; the first carries the sound, the last text the buttons."""
    photos = [picture for picture in pictures if is_photo(picture.png)]
    documents = [picture for picture in pictures if not is_photo(picture.png)]
    keyboard = keyboard_of(message)
    calls: list[Call] = []
    if len(photos) == 1 and not documents and fits(message, CAPTION_UNITS):
        (part,) = parts_of(message, CAPTION_UNITS)
        calls.append(Call("sendPhoto", {"reply_markup": keyboard}, (photos[0],), part))
    else:
        parts = parts_of(message)
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            calls.append(Call("sendMessage", {"reply_markup": keyboard if last else None}, part=part))
        for first in range(0, len(photos), MAX_ALBUM):
            album = tuple(photos[first : first + MAX_ALBUM])
            calls.append(Call("sendPhoto" if len(album) == 1 else "sendMediaGroup", {}, album))
        calls += [Call("sendDocument", {}, (picture,)) for picture in documents]
    return [
        call.with_parameters(disable_notification="true" if message.silent or number > 0 else "false")
        for number, call in enumerate(calls)
    ]


def request_of(call: Call) -> tuple[str, dict[str, Any], Files | None]:
    """A call as method, form fields (None: left out) and files."""
    given = dict(call.parameters)
    if call.part is not None:
        given["text" if call.carrier == "text" else "caption"] = call.part.html if call.as_html else call.part.plain
        given["parse_mode"] = "HTML" if call.as_html else None
    if call.carrier == "text":
        given["link_preview_options"] = json.dumps({"is_disabled": True})
    if not call.pictures:
        return call.method, given, None
    if call.method == "editMessageMedia":
        caption = {name: value for name in ("caption", "parse_mode") if (value := given.pop(name))}
        given["media"] = json.dumps({"type": "photo", "media": "attach://photo", **caption})
        return call.method, given, {"photo": _file(call.pictures[0])}
    if call.method == "sendMediaGroup":
        given.pop("reply_markup", None)  # an album has none
        kind = "document" if call.as_files else "photo"
        fields = [f"picture{number}" for number in range(len(call.pictures))]
        media = [
            {"type": kind, "media": f"attach://{name}", "caption": _title(picture)}
            for name, picture in zip(fields, call.pictures, strict=True)
        ]
        given["media"] = json.dumps(media)
    else:
        fields = ["photo" if call.method == "sendPhoto" else "document"]
        if call.part is None:
            given["caption"] = _title(call.pictures[0])
    return call.method, given, {name: _file(each) for name, each in zip(fields, call.pictures, strict=True)}


def is_photo(png: bytes) -> bool:
    """Whether Telegram takes the picture as a photo: its size in bytes and pixels and its ratio."""
    if len(png) > MAX_PHOTO_BYTES or png[:8] != b"\x89PNG\r\n\x1a\n" or len(png) < 24:
        return False
    width, height = struct.unpack(">II", png[16:24])
    return bool(
        width + height <= MAX_PHOTO_SIDES
        and min(width, height) > 0
        and max(width, height) <= MAX_PHOTO_RATIO * min(width, height)
    )


def keyboard_of(message: Message) -> str | None:
    """The buttons under a message; links that would cost the whole message are in its text instead."""
    buttons = [{"text": clean(link.label), "url": link.url} for link in message.links if takes_link(link.url)]
    return json.dumps({"inline_keyboard": [buttons]}, ensure_ascii=False) if buttons else None


def _file(picture: Picture) -> tuple[str, bytes, str]:
    return f"{picture.name}.png", picture.png, "image/png"


def _title(picture: Picture) -> str:
    """A picture's title as its caption, plain: too long ones give way to none."""
    title = clean(picture.title)
    return title if units(title) <= CAPTION_UNITS else ""
