"""A message as Telegram's HTML: escaped, within the limits, split at line ends with its tags closed and reopened.

Telegram counts UTF-16 units of the text after parsing; counting them here is never too low. It knows four named
entities and a handful of tags, refuses everything else, and drops a link whose host has no dot: such a link is told
as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from metrics_platform.notifications.message import (
    Block,
    Details,
    Line,
    Message,
    Paragraph,
    Preformatted,
    Span,
    Table,
    table_lines,
)
from metrics_platform.notifications.templates.writer import is_public

TEXT_UNITS = 4096
CAPTION_UNITS = 1024
# Telegram leaves the 101st entity of a message unformatted, without a word.
ENTITIES = 100
# A line longer than this, or with more entities, is broken, so that every line fits any part.
_LINE_UNITS, _LINE_ENTITIES = 900, 60
_TAGS = {"bold": "b", "italic": "i", "code": "code"}
_WRAPPERS = {
    "": ("", ""),
    "pre": ("<pre>", "</pre>"),
    "details": ("<blockquote expandable>", "</blockquote>"),
}
# What Telegram makes an entity of by itself: @name, #tag, $USD, /command, an address with a dot or a scheme.
_FOUND = re.compile(r"[@#$/]\w|\w\.\w|\w://")
# Telegram refuses a message for a button with any other address, and drops such a link.
_PORT = r"(?::(?P<port>[1-9]\d{0,4}))?"
_ADDRESS = re.compile(
    rf"https?://(?:[\w.~-]+(?::[\w.~-]*)?@)?[\w.~-]+{_PORT}(?:[/?#][^\x00-\x20\x7f-\x9f]*)?", re.IGNORECASE
)


def units(text: str) -> int:
    """The length of `text` in UTF-16 units, as Telegram counts it."""
    return len(text.encode("utf-16-le")) // 2


def escape(text: str) -> str:
    """`text` with the four characters that mean something in Telegram's HTML written as entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def takes_link(url: str) -> bool:
    """Whether Telegram takes `url` for a link or a button: it wants a host with a dot, and no spaces in the address."""
    match = _ADDRESS.fullmatch(url)
    return match is not None and int(match["port"] or 1) < 2**16 and is_public(url)


@dataclass(frozen=True)
class Row:
    """A rendered line: its HTML, its visible length, its number of entities and what it is wrapped in."""

    html: str
    plain: str
    entities: int = 0
    wrapper: str = ""

    @property
    def units(self) -> int:
        """The visible length, with the line end."""
        return units(self.plain) + 1


@dataclass(frozen=True)
class Part:
    """One text that Telegram accepts: as HTML, and plain for when it does not."""

    html: str
    plain: str


def parts_of(message: Message, limit: int = TEXT_UNITS) -> list[Part]:
    """The message as one text or several of at most `limit` UTF-16 units and 100 entities each, at least one."""
    parts = [_part(rows) for rows in _packed(list(_rows(message)), limit)]
    return [part for part in parts if part.plain.strip()]  # Telegram refuses blank texts


def one_part_of(message: Message, limit: int) -> Part:
    """The message as the one text that an edit has room for: without its details, then cut, where it is too long."""
    shorter = replace(message, blocks=tuple(block for block in message.blocks if not isinstance(block, Details)))
    for each in (message, shorter):
        if fits(each, limit):
            return parts_of(each, limit)[0]
    first = parts_of(shorter, limit - len("\n…"))[0]
    return Part(f"{first.html}\n…", f"{first.plain}\n…")


def fits(message: Message, limit: int) -> bool:
    """Whether the whole message is one text of at most `limit` units."""
    return len(parts_of(message, limit)) == 1


def _rows(message: Message) -> Iterator[Row]:
    yield from _line_rows(message.headline)
    blocks = list(message.blocks)
    for number, block in enumerate(blocks):
        if number == 0 or not (isinstance(block, Preformatted | Table) and _label(blocks[number - 1])):
            yield Row("", "")
        yield from _block_rows(block)
    if message.footer:
        yield Row("", "")
        yield from _line_rows(tuple(_quiet(span) for span in message.footer))
    for link in message.links:
        if not takes_link(link.url):  # a button with it would cost the whole message
            yield from _line_rows((Span(f"{link.label}: "), Span(link.url, "code")))


def _quiet(span: Span) -> Span:
    """A span of the last line: italic, where it is not an identifier."""
    return span if span.style == "code" else replace(span, style="italic")


def _label(block: Block) -> bool:
    """Whether a block is the one-line heading of the next one."""
    return isinstance(block, Paragraph) and [line[:1] and line[0].style for line in block.lines] == ["bold"]


def _block_rows(block: Block) -> Iterator[Row]:
    if isinstance(block, Paragraph):
        for each in block.lines:
            yield from _line_rows(each)
    elif isinstance(block, Details):
        for each in ((Span(block.title, "bold"),), *block.lines):
            yield from _line_rows(each, "details")
    else:
        lines = table_lines(block) if isinstance(block, Table) else block.text.split("\n")
        for text in lines:
            for piece in _broken(text, opaque=True):
                yield Row(escape(piece), piece, wrapper="pre")


def _line_rows(spans: Line, wrapper: str = "") -> Iterator[Row]:
    """The rows of a line: one, or several where it is too much for one."""
    html, plain, entities = "", "", 0
    for span in _with_shown_urls(spans):
        for number, piece in enumerate(_broken(span.text, opaque=_is_opaque(span))):
            rendered, count = _span(span, piece)
            too_much = units(plain) + units(piece) > _LINE_UNITS or entities + count > _LINE_ENTITIES
            if number or (plain and too_much):
                yield Row(html, plain, entities, wrapper)
                html, plain, entities = "", "", 0
            html, plain, entities = html + rendered, plain + piece, entities + count
    yield Row(html, plain, entities, wrapper)


def _with_shown_urls(spans: Line) -> Iterator[Span]:
    """The spans, a link that Telegram would drop with its URL in the text."""
    for span in spans:
        if span.url and not takes_link(span.url):
            yield replace(span, url=None)
            yield Span(f" ({span.url})")
        else:
            yield span


def _is_opaque(span: Span) -> bool:
    """Whether Telegram looks for no links of its own in a span."""
    return span.style == "code" or span.url is not None


def _span(span: Span, text: str) -> tuple[str, int]:
    """The HTML of a span's text and how many entities it has at most, with those that Telegram finds by itself."""
    html, entities = escape(text), 0
    if not _is_opaque(span):
        entities += len(_FOUND.findall(text))
    if tag := _TAGS.get(span.style):
        html, entities = f"<{tag}>{html}</{tag}>", entities + 1
    if span.url:
        html, entities = f'<a href="{escape(span.url)}">{html}</a>', entities + 1
    return html, entities


def _broken(text: str, *, opaque: bool) -> list[str]:
    """`text` in pieces that each fit a line, broken at spaces where there are any; Telegram finds nothing in opaque."""
    pieces, waiting = [], [text]
    while waiting:
        piece = waiting.pop()
        if units(piece) <= _LINE_UNITS and (opaque or len(_FOUND.findall(piece)) <= _LINE_ENTITIES):
            pieces.append(piece)
            continue
        cut = min(_LINE_UNITS, len(piece)) // 2  # characters, of two units at most
        space = piece.rfind(" ", cut // 2, cut)
        cut = space + 1 if space > 0 else cut
        waiting += [piece[cut:], piece[:cut]]
    return pieces


def _packed(rows: list[Row], limit: int) -> Iterator[list[Row]]:
    """The rows in groups that each make a part."""
    limit += 1  # the last row of a part has no line end
    taken: list[Row] = []
    length = entities = 0
    for row in rows:
        opened = 1 if row.wrapper and (not taken or taken[-1].wrapper != row.wrapper) else 0
        if taken and (length + row.units > limit or entities + row.entities + opened > ENTITIES):
            yield taken
            taken, length, entities = [], 0, 0
            opened = 1 if row.wrapper else 0
        if not taken and not row.plain and not row.wrapper:
            continue  # a part does not begin with an empty line
        taken.append(row)
        length, entities = length + row.units, entities + row.entities + opened
    if taken:
        yield taken


def _part(rows: Iterable[Row]) -> Part:
    """The rows as one text; runs of rows in the same wrapper share its tags."""
    html: list[str] = []
    plain: list[str] = []
    wrapper = ""
    for row in rows:
        prefix = ""
        if row.wrapper != wrapper:
            closing = _WRAPPERS[wrapper][1]
            if html:
                html[-1] += closing
            prefix = _WRAPPERS[row.wrapper][0]
            wrapper = row.wrapper
        html.append(prefix + row.html)
        plain.append(row.plain)
    if html:
        html[-1] += _WRAPPERS[wrapper][1]
    return Part("\n".join(html).strip("\n"), "\n".join(plain).strip("\n"))
