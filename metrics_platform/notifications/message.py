"""The channel-neutral message: its content, before any channel's markup.

Templates render facts as a `Message`, and every channel renders the same `Message`. Texts are cleaned on input:
characters that no channel supports (control characters, halves of surrogate pairs) become U+FFFD, and a span is one
line.

A template writes lines of text with `<b>`, `<i>` and `<code>`, and `<pre>`, `<table>` and `<blockquote>` around blocks.
Jinja escapes every value, so each tag in the text is the template's own.
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

# They reverse the text after them, even beyond the end of a name.
_BIDI_CONTROLS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_UNSUPPORTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def clean(text: str) -> str:
    """Remove bidirectional controls from `text`, replace characters that no channel supports, and expand tabs."""
    text = _BIDI_CONTROLS.sub("", text).replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    ")
    return _UNSUPPORTED.sub("\N{REPLACEMENT CHARACTER}", text)


@dataclass(frozen=True)
class Span:
    """A run of text in one style. Identifiers are `code`: otherwise messengers turn some of them into links."""

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
    """Cells of text. The first column is aligned left, the others right."""

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
    """Text that few readers need. It is folded if the channel can fold."""

    lines: tuple[Line, ...]


Block = Paragraph | Table | Preformatted | Details


@dataclass(frozen=True)
class Link:
    """A button. A message has one to three."""

    label: str
    url: str


@dataclass(frozen=True)
class Message:
    """One message.

    `headline` is one line. Its first 60 characters are the push preview: a state word, the subject, a number.
    """

    key: str
    kind: str
    severity: Severity
    headline: Line
    blocks: tuple[Block, ...]
    footer: Line
    links: tuple[Link, ...] = ()
    # Built when they are drawn: if a chart fails, the text is sent without it.
    charts: tuple[Callable[[], Drawable], ...] = ()
    # Where to see them, for channels without pictures.
    pictures: str = ""
    silent: bool = False
    language: Literal["en", "ru"] = "en"

    def __post_init__(self) -> None:
        if not self.headline or not text_of(self.headline).strip():
            raise ValueError(f"the message {self.key} has no headline")


@dataclass(frozen=True)
class Picture:
    """A drawn chart."""

    name: str  # a slug, without the file extension
    title: str
    png: bytes = field(repr=False)


def text_of(parts: Line) -> str:
    """The text of a line, without styles."""
    return "".join(span.text for span in parts)


def is_label(block: Block | None) -> bool:
    """Whether a block is the heading of the next one: one line in bold."""
    return isinstance(block, Paragraph) and [[span.style for span in line] for line in block.lines] == [["bold"]]


def units(text: str) -> int:
    """The length of `text` in UTF-16 units, as Telegram counts. Slack never counts more."""
    return len(text.encode("utf-16-le")) // 2


def wrapped(spans: Line, limit: int) -> Iterator[Line]:
    """Wrap a line into lines of at most `limit` UTF-16 units, at spaces if possible."""
    current: Line = ()
    for span in spans:
        for piece in _split_words(span.text, limit):
            if current and units(text_of(current)) + units(piece) > limit:
                yield current
                current = ()
            current = (*current, replace(span, text=piece))
    yield current


def grouped(
    items: Iterable[Item], weight_of: Callable[[Item, Item | None], tuple[int, ...]], limits: tuple[int, ...]
) -> Iterator[list[Item]]:
    """Split items into groups with weights of at most `limits`. `weight_of` receives an item and the previous one.

    An item that exceeds a limit by itself is a group of its own.
    """
    current: list[Item] = []
    total = [0] * len(limits)
    for item in items:
        weight = weight_of(item, current[-1] if current else None)
        if current and any(map(gt, map(add, total, weight), limits)):
            yield current
            current, total, weight = [], [0] * len(limits), weight_of(item, None)
        current.append(item)
        total = list(map(add, total, weight))
    if current:
        yield current


def _split_words(text: str, limit: int) -> list[str]:
    pieces = []
    while units(text) > limit:
        cut = limit // 2  # in characters, which have at most two units
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
    """Whether messengers accept `url` as a link. They drop or refuse a host without a dot (`localhost`)."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return "." in (parts.hostname or "").strip(".") and parts.scheme in ("http", "https")


def table_lines(table: Table, columns: int = 34) -> list[str]:
    """The table in a fixed-width font, at most `columns` wide. Long first cells end in an ellipsis.

    The name of a row without numbers, such as a slice below its metric, takes the whole width.
    If the numbers alone need more, the table is wider: a wrong number is worse than a wrapped line.
    """
    rows = [[clean(cell).replace("\n", " ") for cell in row] for row in (table.header, *table.rows) if row]
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    others = sum(widths[1:]) + len(widths[1:])
    widths[0] = min(widths[0], max(columns - others, 8))
    lines = []
    for first, *numbers in rows:
        width = widths[0] if any(numbers) else columns
        name = first if len(first) <= width else first[: width - 1] + "…"
        cells = [cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True)]
        lines.append(" ".join([name.ljust(widths[0]), *cells]).rstrip())
    return lines


# --- what templates write ---------------------------------------------------------------------------------------------

_STYLES: dict[str, Style] = {"b": "bold", "i": "italic", "code": "code", "": "plain"}
_BLOCK = re.compile(r"\s*<(pre|table|blockquote)>(.*?)</\1>\s*", re.DOTALL)
_SPAN = re.compile(r"<(b|i|code)>(.*?)</\1>|()([^<]+)")


def parse_blocks(text: str) -> tuple[Line, tuple[Block, ...]]:
    """Parse a template's text into its first line and the blocks after it. Empty lines separate paragraphs."""
    first, _, rest = text.strip().partition("\n")
    blocks: list[Block] = []
    pieces = _BLOCK.split(rest)
    for plain, tag, content in zip(pieces[::3], [*pieces[1::3], ""], [*pieces[2::3], ""], strict=True):
        blocks += [Paragraph(lines) for paragraph in re.split(r"\n\s*\n", plain) if (lines := _parse_lines(paragraph))]
        if tag == "pre" and content:
            blocks.append(Preformatted(unescape(content)))
        elif tag == "table":
            blocks.append(_parse_table(content))
        elif tag == "blockquote":
            blocks.append(Details(_parse_lines(content)))
    return _parse_line(first), tuple(blocks)


def markup(spans: Line) -> Markup:
    """A line as markup for use in another line: only `code` keeps its style."""
    return Markup("").join(
        Markup("<code>{}</code>").format(span.text) if span.style == "code" else escape(span.text) for span in spans
    )


def _parse_lines(text: str) -> tuple[Line, ...]:
    return tuple(_parse_line(line) for line in text.split("\n") if line.strip())


def _parse_line(text: str) -> Line:
    spans = _SPAN.findall(text.strip())
    return tuple(Span(unescape(styled or plain), _STYLES[tag]) for tag, styled, _, plain in spans if styled or plain)


def _parse_table(content: str) -> Table:
    """Rows begin with `<tr>`, their cells with `<td>`, or with `<th>` in the header."""
    rows = [row.strip() for row in content.split("<tr>")[1:]]
    cells = [tuple(text_of(_parse_line(cell)) for cell in re.split("<t[dh]>", row)[1:]) for row in rows]
    has_header = bool(rows) and rows[0].startswith("<th>")
    return Table(tuple(cells[has_header:]), cells[0] if has_header else ())
