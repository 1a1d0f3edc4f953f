"""The channel-neutral message: what is to be said, before any channel's markup.

A template makes a `Message` from facts; every channel renders the same `Message`. Texts are cleaned as they come in:
what no channel can carry (control characters, halves of surrogate pairs) becomes U+FFFD, and a span is one line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from metrics_platform.channel_settings import Severity
from metrics_platform.charts.model import Chart

Style = Literal["plain", "bold", "italic", "code"]

# They reverse what stands behind them, also beyond a name's end.
_BIDI_CONTROLS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")

# Letters and figures, with single spaces, hyphens, colons or underscores between them: no messenger makes a link of
# these, but of long numbers it does (telephones, cards).
_WORDS = re.compile(r"[^\W_]+(?:[ _:-][^\W_]+)*")
_LONG_NUMBER = re.compile(r"\d{5}")


def clean(text: str) -> str:
    """`text` without what no channel can carry and without bidirectional controls; line ends are newlines, tabs are
    spaces."""
    text = _BIDI_CONTROLS.sub("", text).replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    ")
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)


@dataclass(frozen=True)
class Span:
    """A run of text in one style; with `url` a link. Identifiers are `code`, or messengers make links of them."""

    text: str
    style: Style = "plain"
    url: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", clean(self.text).replace("\n", " "))


Line = tuple[Span, ...]
# What a line is made of: plain texts and spans.
Parts = tuple[str | Span, ...]


def line(*parts: str | Span) -> Line:
    """A line of plain texts and spans; empty texts are left out."""
    return tuple(part if isinstance(part, Span) else Span(part) for part in parts if part)


def bold(text: str) -> Span:
    """A span in bold."""
    return Span(text, "bold")


def code(text: str) -> Span:
    """An identifier: never a link, never translated."""
    return Span(text, "code")


def cut(text: str, length: int = 64) -> str:
    """`text` on one line, at most `length` long: its middle gives way to «…», for names differ at their ends."""
    text = " ".join(clean(text).split())
    tail = length // 3
    return text if len(text) <= length else f"{text[: length - tail - 1]}…{text[-tail:]}"


def named(text: str, length: int = 32) -> Span:
    """A name that comes with the data, such as a slice's: words stay words, what could become a link is `code`."""
    text = cut(text, length)
    is_words = not text or (_WORDS.fullmatch(text) and not _LONG_NUMBER.search(text))
    return Span(text) if is_words else code(text)


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

    title: str
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
    charts: tuple[Callable[[], Chart], ...] = ()
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


def table_lines(table: Table, columns: int = 34) -> list[str]:
    """The table in a fixed-width font, at most `columns` wide: too long first cells end in «…».

    Where the numbers alone need more than the width, it grows: a wrong number is worse than a wrapped line.
    """
    rows = [tuple(clean(cell).replace("\n", " ") for cell in row) for row in ([table.header] if table.header else [])]
    rows += [tuple(clean(cell).replace("\n", " ") for cell in row) for row in table.rows]
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    others = sum(widths[1:]) + len(widths[1:])
    widths[0] = min(widths[0], max(columns - others, 8))
    lines = []
    for row in rows:
        first = row[0] if len(row[0]) <= widths[0] else row[0][: widths[0] - 1] + "…"
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append(" ".join([first.ljust(widths[0]), *cells]).rstrip())
    return lines
