"""What a template writes, read as blocks: lines of text with `<b>`, `<i>` and `<code>`, and `<pre>`, `<table>` and
`<blockquote>` around blocks.

Jinja escapes every value, so that each tag in the text is the template's own.
"""

from __future__ import annotations

import re
from html import unescape

from markupsafe import Markup, escape

from metrics_platform.notifications.message import (
    Block,
    Details,
    Line,
    Paragraph,
    Preformatted,
    Span,
    Style,
    Table,
    text_of,
)

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
