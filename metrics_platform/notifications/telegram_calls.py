"""Convert a message into calls of the Bot API (the fields and files of a form), with its text as Telegram's HTML.

One photo and a text that fits become one message. Otherwise the text is sent first, in parts, and the pictures follow
as a silent reply. The HTML is escaped, within the limits, and split at line ends with its tags closed and reopened.

Telegram counts UTF-16 units of the text after parsing. The count here is never lower. Telegram supports four named
entities and a handful of tags, and refuses everything else. It drops links to hosts without a dot, so they become text.
These are pure functions: the dry run shows the same calls that Telegram would receive.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

from metrics_platform.notifications.message import (
    Block,
    Details,
    Line,
    Message,
    Paragraph,
    Picture,
    Preformatted,
    Span,
    Table,
    clean,
    grouped,
    is_label,
    is_public,
    lines_of,
    text_of,
    units,
    wrapped,
)

Carrier = Literal["text", "caption", "none"]
Files = dict[str, tuple[str, bytes, str]]
# Telegram's limits.
MAX_PHOTO_BYTES, MAX_PHOTO_SIDES, MAX_PHOTO_RATIO = 10 * 1024 * 1024, 10_000, 20
TEXT_UNITS, CAPTION_UNITS = 4096, 1024
# Telegram silently leaves the 101st entity of a message unformatted.
ENTITIES = 100
# Longer lines, or lines with more entities, are wrapped, so that every line fits into any part.
_LINE_UNITS, _LINE_ENTITIES = 900, 60
_TAGS = {"bold": "b", "italic": "i", "code": "code"}
_WRAPPERS = {"": "{}", "pre": "<pre>{}</pre>", "details": "<blockquote expandable>{}</blockquote>"}
# What Telegram turns into an entity on its own: @name, #tag, $USD, /command, an address with a dot or a scheme.
_AUTO_ENTITY = re.compile(r"[@#$/]\w|\w\.\w|\w://")
# Telegram refuses a message for a button with any other address, and drops such a link.
_PORT = r"(?::(?P<port>[1-9]\d{0,4}))?"
_ADDRESS = re.compile(
    rf"https?://(?:[\w.~-]+(?::[\w.~-]*)?@)?[\w.~-]+{_PORT}(?:[/?#][^\x00-\x20\x7f-\x9f]*)?", re.IGNORECASE
)


@dataclass(frozen=True)
class Call:
    """One call of the Bot API that makes one message (an album: several)."""

    method: str
    parameters: dict[str, Any]
    pictures: tuple[Picture, ...] = ()
    part: Part | None = None  # its text, for the field `text` or `caption`
    as_html: bool = True
    as_files: bool = False  # the pictures of an album as documents

    @property
    def carrier(self) -> Carrier:
        """Which field has the text. An edit must name it."""
        if self.part is None:
            return "none"
        return "text" if self.method in ("sendMessage", "editMessageText") else "caption"

    def with_parameters(self, **changed: Any) -> Call:
        """The same call with other parameters. None removes one."""
        return replace(self, parameters={**self.parameters, **changed})


def calls_of(message: Message, pictures: Sequence[Picture]) -> list[Call]:
    """The calls that send `message`, without the chat. The first makes the sound, the last text has the buttons."""
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
        if photos:  # a message has at most three charts, and an album holds ten
            calls.append(Call("sendPhoto" if len(photos) == 1 else "sendMediaGroup", {}, tuple(photos)))
        calls += [Call("sendDocument", {}, (picture,)) for picture in documents]
    return [
        call.with_parameters(disable_notification="true" if message.silent or number > 0 else "false")
        for number, call in enumerate(calls)
    ]


def request_of(call: Call) -> tuple[str, dict[str, Any], Files | None]:
    """A call as method, form fields (None: left out) and files."""
    fields = dict(call.parameters)
    if call.part is not None:
        fields["text" if call.carrier == "text" else "caption"] = call.part.html if call.as_html else call.part.plain
        fields["parse_mode"] = "HTML" if call.as_html else None
    if call.carrier == "text":
        fields["link_preview_options"] = json.dumps({"is_disabled": True})
    if not call.pictures:
        return call.method, fields, None
    if call.method == "editMessageMedia":
        caption = {name: value for name in ("caption", "parse_mode") if (value := fields.pop(name))}
        fields["media"] = json.dumps({"type": "photo", "media": "attach://photo", **caption})
        return call.method, fields, {"photo": _file(call.pictures[0])}
    if call.method == "sendMediaGroup":
        fields.pop("reply_markup", None)  # an album has none
        kind = "document" if call.as_files else "photo"
        names = [f"picture{number}" for number in range(len(call.pictures))]
        media = [
            {"type": kind, "media": f"attach://{name}", "caption": _title(picture)}
            for name, picture in zip(names, call.pictures, strict=True)
        ]
        fields["media"] = json.dumps(media)
    else:
        names = ["photo" if call.method == "sendPhoto" else "document"]
        if call.part is None:
            fields["caption"] = _title(call.pictures[0])
    return call.method, fields, {name: _file(picture) for name, picture in zip(names, call.pictures, strict=True)}


def is_photo(png: bytes) -> bool:
    """Whether Telegram accepts the picture as a photo, by its size in bytes and pixels and its aspect ratio."""
    if len(png) > MAX_PHOTO_BYTES or png[:8] != b"\x89PNG\r\n\x1a\n" or len(png) < 24:
        return False
    width, height = struct.unpack(">II", png[16:24])
    return bool(
        width + height <= MAX_PHOTO_SIDES
        and min(width, height) > 0
        and max(width, height) <= MAX_PHOTO_RATIO * min(width, height)
    )


def keyboard_of(message: Message) -> str | None:
    """The buttons under a message. Links that Telegram would refuse are in the text instead."""
    buttons = [{"text": clean(link.label), "url": link.url} for link in message.links if accepts_link(link.url)]
    return json.dumps({"inline_keyboard": [buttons]}, ensure_ascii=False) if buttons else None


def _file(picture: Picture) -> tuple[str, bytes, str]:
    return f"{picture.name}.png", picture.png, "image/png"


def _title(picture: Picture) -> str:
    """A picture's title as its plain caption; empty if it is too long."""
    title = clean(picture.title)
    return title if units(title) <= CAPTION_UNITS else ""


# --- HTML -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """One text: as HTML, and plain in case Telegram refuses the HTML."""

    html: str
    plain: str


@dataclass(frozen=True)
class _Row:
    """A rendered line: its HTML, its visible text, its number of entities and what it is wrapped in."""

    html: str = ""
    plain: str = ""
    entities: int = 0
    wrapper: str = ""


def parts_of(message: Message, limit: int = TEXT_UNITS) -> list[Part]:
    """Split the message into texts of at most `limit` UTF-16 units and 100 entities each, at least one."""
    # The last row of a part has no line end.
    parts = [_part(rows) for rows in grouped(_rows(message), _weight, (limit + 1, ENTITIES))]
    return [part for part in parts if part.plain.strip()]  # Telegram refuses blank texts


def one_part_of(message: Message, limit: int) -> Part:
    """The message as a single text, for an edit. If it is too long, its details are left out, then it is cut."""
    shorter = replace(message, blocks=tuple(block for block in message.blocks if not isinstance(block, Details)))
    for candidate in (message, shorter):
        if fits(candidate, limit):
            return parts_of(candidate, limit)[0]
    first = parts_of(shorter, limit - len("\n…"))[0]
    return Part(f"{first.html}\n…", f"{first.plain}\n…")


def fits(message: Message, limit: int) -> bool:
    """Whether the whole message is one text of at most `limit` units."""
    return len(parts_of(message, limit)) == 1


def escape(text: str) -> str:
    """Escape the four characters that are special in Telegram's HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def accepts_link(url: str) -> bool:
    """Whether Telegram accepts `url` as a link or a button: its host needs a dot, and it has no spaces."""
    match = _ADDRESS.fullmatch(url)
    return match is not None and int(match["port"] or 1) < 2**16 and is_public(url)


def _rows(message: Message) -> Iterator[_Row]:
    yield from _line_rows(message.headline)
    previous: Block | None = None
    for block in message.blocks:
        if not (isinstance(block, Preformatted | Table) and is_label(previous)):
            yield _Row()
        wrapper = "" if isinstance(block, Paragraph) else "details" if isinstance(block, Details) else "pre"
        for line in lines_of(block):
            yield from _line_rows(line, wrapper)
        previous = block
    if message.footer:
        yield _Row()
        yield from _line_rows(
            tuple(span if span.style == "code" else replace(span, style="italic") for span in message.footer)
        )
    for link in message.links:
        if not accepts_link(link.url):  # Telegram would refuse the message for such a button
            yield from _line_rows((Span(f"{link.label}: "), Span(link.url, "code")))


def _line_rows(spans: Line, wrapper: str = "") -> Iterator[_Row]:
    """The rows of a line: one, or several if it is too long."""
    is_crowded = wrapper != "pre" and sum(map(_entities, spans)) > _LINE_ENTITIES
    for pieces in wrapped(spans, _LINE_ENTITIES if is_crowded else _LINE_UNITS):
        plain = text_of(pieces)
        if wrapper == "pre":
            yield _Row(escape(plain), plain, wrapper=wrapper)
        else:
            yield _Row("".join(map(_html, pieces)), plain, sum(map(_entities, pieces)), wrapper)


def _html(span: Span) -> str:
    tag = _TAGS.get(span.style)
    return f"<{tag}>{escape(span.text)}</{tag}>" if tag else escape(span.text)


def _entities(span: Span) -> int:
    """The most entities that a span may have, including those that Telegram detects; it detects none in code."""
    return (span.style in _TAGS) + (len(_AUTO_ENTITY.findall(span.text)) if span.style != "code" else 0)


def _weight(row: _Row, previous: _Row | None) -> tuple[int, int]:
    """A row's units with its line end, and its entities. The first row of a wrapper adds an entity."""
    opens = bool(row.wrapper) and (previous is None or previous.wrapper != row.wrapper)
    return units(row.plain) + 1, row.entities + opens


def _part(rows: Sequence[_Row]) -> Part:
    """Join the rows into one text. Consecutive rows in the same wrapper share its tags."""
    html = [
        _WRAPPERS[wrapper].format("\n".join(row.html for row in group))
        for wrapper, group in groupby(rows, lambda row: row.wrapper)
    ]
    return Part("\n".join(html).strip("\n"), "\n".join(row.plain for row in rows).strip("\n"))
