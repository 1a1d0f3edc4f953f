"""The channel-neutral message: what is said, before any channel's markup.

Templates make a `Message` from facts, and every channel renders the same `Message`. Texts are cleaned on the way in:
what no channel can carry (control characters, halves of surrogate pairs) becomes U+FFFD, and a span is one line.

A template writes lines of text with `<b>`, `<i>` and `<code>`, and `<pre>`, `<table>` and `<blockquote>` around blocks.
Jinja escapes every value, so that each tag in the text is the template's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from html import unescape
from operator import add, gt
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from markupsafe import Markup, escape

from metrics_platform.channel_settings import Severity
from metrics_platform.charts.model import Drawable

Item = TypeVar("Item")
Style = Literal["plain", "bold", "italic", "code"]

# They reverse the text after them, also beyond a name's end.
_BIDI_CONTROLS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def clean(text: str) -> str:
    """`text` without what no channel can carry and without bidirectional controls; tabs become spaces."""
    text = _BIDI_CONTROLS.sub("", text).replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    ")
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)


@dataclass(frozen=True)
class Span:
    """A run of text in one style. Identifiers are `code`, or messengers make links of them."""

    text: str
    style: Style = "plain"

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", clean(self.text).replace("\n", " "))


Line = tuple[Span, ...]


def line(*parts: str | Span) -> Line:
    """A line of plain texts and spans; empty texts are left out."""
    return tuple(part if isinstance(part, Span) else Span(part) for part in parts if part)


def bold(text: str) -> Span:
    """A span in bold."""
    return Span(text, "bold")


def code(text: str) -> Span:
    """An identifier: never a link, never translated."""
    return Span(text, "code")


@dataclass(frozen=True)
class Paragraph:
    """Lines that belong together; a label before a text is bold."""

    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Table:
    """Cells as texts: the first column to the left, the others to the right."""

    rows: tuple[tuple[str, ...], ...]
    header: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        widths = {len(row) for row in (*self.rows, *((self.header,) if self.header else ()))}
        if len(widths) > 1:
            raise ValueError(f"the table's rows have different lengths: {sorted(widths)}")


@dataclass(frozen=True)
class Preformatted:
    """Text with its own line ends, such as an error, in a fixed-width font."""

    text: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", clean(self.text).strip("\n"))


@dataclass(frozen=True)
class Details:
    """What only some want to read: folded where the channel can fold."""

    lines: tuple[Line, ...]


Block = Paragraph | Table | Preformatted | Details


@dataclass(frozen=True)
class Link:
    """A button: one to three under a message."""

    label: str
    url: str


@dataclass(frozen=True)
class Message:
    """One message to people.

    `headline` is one line whose first 60 characters are the push preview: a state word, the subject, a number.
    """

    key: str
    kind: str
    severity: Severity
    headline: Line
    blocks: tuple[Block, ...]
    footer: Line
    links: tuple[Link, ...] = ()
    # Made when they are drawn: a chart that cannot be made must not cost the text.
    charts: tuple[Callable[[], Drawable], ...] = ()
    # Where they are seen, for channels that carry none.
    pictures: str = ""
    silent: bool = False
    language: Literal["en", "ru"] = "en"

    def __post_init__(self) -> None:
        if not self.headline or not text_of(self.headline).strip():
            raise ValueError(f"the message {self.key} has no headline")


@dataclass(frozen=True)
class Picture:
    """A drawn chart."""

    name: str  # a slug, without the file's ending
    title: str
    png: bytes = field(repr=False)


def text_of(parts: Line) -> str:
    """The text of a line, without styles."""
    return "".join(span.text for span in parts)


def is_label(block: Block | None) -> bool:
    """Whether a block is the heading of the next one: one line in bold."""
    return isinstance(block, Paragraph) and [[span.style for span in line] for line in block.lines] == [["bold"]]


def units(text: str) -> int:
    """The length of `text` in UTF-16 units: what Telegram counts, and never less than what Slack does."""
    return len(text.encode("utf-16-le")) // 2


def broken(spans: Line, limit: int) -> Iterator[Line]:
    """A line in lines of at most `limit` UTF-16 units, broken at spaces where there are any."""
    taken: Line = ()
    for span in spans:
        for piece in _pieces_of(span.text, limit):
            if taken and units(text_of(taken)) + units(piece) > limit:
                yield taken
                taken = ()
            taken = (*taken, replace(span, text=piece))
    yield taken


def grouped(
    items: Iterable[Item], weigh: Callable[[Item, Item | None], tuple[int, ...]], limits: tuple[int, ...]
) -> Iterator[list[Item]]:
    """The items in groups whose weights add up to at most `limits`; `weigh` gets an item and the one before it.

    An item that is too heavy alone is a group of its own.
    """
    taken: list[Item] = []
    total = [0] * len(limits)
    for item in items:
        weight = weigh(item, taken[-1] if taken else None)
        if taken and any(map(gt, map(add, total, weight), limits)):
            yield taken
            taken, total, weight = [], [0] * len(limits), weigh(item, None)
        taken.append(item)
        total = list(map(add, total, weight))
    if taken:
        yield taken


def _pieces_of(text: str, limit: int) -> list[str]:
    pieces = []
    while units(text) > limit:
        cut = limit // 2  # characters, of two units at most
        space = text.rfind(" ", cut // 2, cut)
        cut = space + 1 if space > 0 else cut
        pieces.append(text[:cut])
        text = text[cut:]
    return [*pieces, text]


def lines_of(block: Block, columns: int = 34) -> tuple[Line, ...]:
    """The lines of any block; a table is at most `columns` wide."""
    if isinstance(block, Paragraph | Details):
        return block.lines
    texts = table_lines(block, columns) if isinstance(block, Table) else block.text.split("\n")
    return tuple((Span(text),) for text in texts)


def is_public(url: str) -> bool:
    """Whether messengers accept `url` as a link: they drop, or refuse, a host without a dot (`localhost`)."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return "." in (parts.hostname or "").strip(".") and parts.scheme in ("http", "https")


def table_lines(table: Table, columns: int = 34) -> list[str]:
    """The table in a fixed-width font, at most `columns` wide: first cells that are too long end in an ellipsis.

    Where the numbers alone need more than the width, it grows: a wrong number is worse than a wrapped line.
    """
    rows = [[clean(cell).replace("\n", " ") for cell in row] for row in (table.header, *table.rows) if row]
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    others = sum(widths[1:]) + len(widths[1:])
    widths[0] = min(widths[0], max(columns - others, 8))
    lines = []
    for first, *numbers in rows:
        name = first if len(first) <= widths[0] else first[: widths[0] - 1] + "…"
        cells = [cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True)]
        lines.append(" ".join([name.ljust(widths[0]), *cells]).rstrip())
    return lines


# --- what templates write ---------------------------------------------------------------------------------------------

_STYLES: dict[str, Style] = {"b": "bold", "i": "italic", "code": "code", "": "plain"}
_BLOCK = re.compile(r"\s*<(pre|table|blockquote)>(.*?)</\1>\s*", re.DOTALL)
_SPAN = re.compile(r"<(b|i|code)>(.*?)</\1>|()([^<]+)")


def read_blocks(text: str) -> tuple[Line, tuple[Block, ...]]:
    """The first line, and the blocks of the others: paragraphs are set apart by empty lines."""
    first, _, rest = text.strip().partition("\n")
    blocks: list[Block] = []
    pieces = _BLOCK.split(rest)
    for plain, tag, content in zip(pieces[::3], [*pieces[1::3], ""], [*pieces[2::3], ""], strict=True):
        blocks += [Paragraph(lines) for paragraph in re.split(r"\n\s*\n", plain) if (lines := _lines(paragraph))]
        if tag == "pre" and content:
            blocks.append(Preformatted(unescape(content)))
        elif tag == "table":
            blocks.append(_table(content))
        elif tag == "blockquote":
            blocks.append(Details(_lines(content)))
    return _line(first), tuple(blocks)


def markup(spans: Line) -> Markup:
    """A line as plain text and code, for use in another line."""
    return Markup("").join(
        Markup("<code>{}</code>").format(span.text) if span.style == "code" else escape(span.text) for span in spans
    )


def _lines(text: str) -> tuple[Line, ...]:
    return tuple(_line(line) for line in text.split("\n") if line.strip())


def _line(text: str) -> Line:
    found = _SPAN.findall(text.strip())
    return tuple(Span(unescape(styled or plain), _STYLES[tag]) for tag, styled, _, plain in found if styled or plain)


def _table(content: str) -> Table:
    """Rows begin with `<tr>`, their cells with `<td>`, or with `<th>` in the header."""
    rows = [row.strip() for row in content.split("<tr>")[1:]]
    cells = [tuple(text_of(_line(cell)) for cell in re.split("<t[dh]>", row)[1:]) for row in rows]
    has_header = bool(rows) and rows[0].startswith("<th>")
    return Table(tuple(cells[has_header:]), cells[0] if has_header else ())
