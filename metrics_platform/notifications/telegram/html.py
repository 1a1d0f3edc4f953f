"""A message as Telegram's HTML: escaped, within the limits, split at line ends with its tags closed and reopened.

Telegram counts UTF-16 units of the text after parsing; counting them here is never too low. It knows four named
entities and a handful of tags, refuses everything else, and drops a link whose host has no dot: such a link becomes
text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from metrics_platform.notifications.message import (
    Block,
    Details,
    Line,
    Message,
    Paragraph,
    Preformatted,
    Span,
    Table,
    broken,
    grouped,
    is_label,
    is_public,
    lines_of,
    text_of,
    units,
)

TEXT_UNITS = 4096
CAPTION_UNITS = 1024
# Telegram silently leaves the 101st entity of a message unformatted.
ENTITIES = 100
# A line longer than this, or with more entities, is broken, so that every line fits any part.
_LINE_UNITS, _LINE_ENTITIES = 900, 60
_TAGS = {"bold": "b", "italic": "i", "code": "code"}
_WRAPPERS = {"": "{}", "pre": "<pre>{}</pre>", "details": "<blockquote expandable>{}</blockquote>"}
# What Telegram turns into an entity on its own: @name, #tag, $USD, /command, an address with a dot or a scheme.
_FOUND = re.compile(r"[@#$/]\w|\w\.\w|\w://")
# Telegram refuses a message for a button with any other address, and drops such a link.
_PORT = r"(?::(?P<port>[1-9]\d{0,4}))?"
_ADDRESS = re.compile(
    rf"https?://(?:[\w.~-]+(?::[\w.~-]*)?@)?[\w.~-]+{_PORT}(?:[/?#][^\x00-\x20\x7f-\x9f]*)?", re.IGNORECASE
)


@dataclass(frozen=True)
class Part:
    """One text that Telegram accepts: as HTML, and plain for when it does not."""

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
    """The message as one text or several of at most `limit` UTF-16 units and 100 entities each, at least one."""
    # The last row of a part has no line end.
    parts = [_part(rows) for rows in grouped(_rows(message), _weight, (limit + 1, ENTITIES))]
    return [part for part in parts if part.plain.strip()]  # Telegram refuses blank texts


def one_part_of(message: Message, limit: int) -> Part:
    """The message as the one text that an edit has room for: where it is too long, without its details, then cut."""
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
    """`text` with the four characters that mean something in Telegram's HTML written as entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def takes_link(url: str) -> bool:
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
        if not takes_link(link.url):  # a button with it would cost the whole message
            yield from _line_rows((Span(f"{link.label}: "), Span(link.url, "code")))


def _line_rows(spans: Line, wrapper: str = "") -> Iterator[_Row]:
    """The rows of a line: one, or several where it is too long for one."""
    is_crowded = wrapper != "pre" and sum(map(_entities, spans)) > _LINE_ENTITIES
    for pieces in broken(spans, _LINE_ENTITIES if is_crowded else _LINE_UNITS):
        plain = text_of(pieces)
        if wrapper == "pre":
            yield _Row(escape(plain), plain, wrapper=wrapper)
        else:
            yield _Row("".join(map(_html, pieces)), plain, sum(map(_entities, pieces)), wrapper)


def _html(span: Span) -> str:
    tag = _TAGS.get(span.style)
    return f"<{tag}>{escape(span.text)}</{tag}>" if tag else escape(span.text)


def _entities(span: Span) -> int:
    """How many entities a span has at most, with those that Telegram finds on its own; in code it finds none."""
    return (span.style in _TAGS) + (len(_FOUND.findall(span.text)) if span.style != "code" else 0)


def _weight(row: _Row, previous: _Row | None) -> tuple[int, int]:
    """A row's units with its line end, and its entities; the first row of a wrapper opens one more."""
    opens = bool(row.wrapper) and (previous is None or previous.wrapper != row.wrapper)
    return units(row.plain) + 1, row.entities + opens


def _part(rows: Sequence[_Row]) -> Part:
    """The rows as one text; runs of rows in the same wrapper share its tags."""
    html = [
        _WRAPPERS[wrapper].format("\n".join(row.html for row in group))
        for wrapper, group in groupby(rows, lambda row: row.wrapper)
    ]
    return Part("\n".join(html).strip("\n"), "\n".join(row.plain for row in rows).strip("\n"))
