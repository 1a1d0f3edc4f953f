"""A message as Markdown, for Dagster's UI: what people received, beside the run that sent it.

Data is text here, never markup: each character that could begin any is escaped, and blocks of code are indented, so
that no text can end them.
"""

from __future__ import annotations

import base64
import re

from metrics_platform.notifications.message import (
    Block,
    Details,
    Line,
    Link,
    Message,
    Paragraph,
    Picture,
    Span,
    clean,
    lines_of,
    text_of,
)

_MARKS = {"bold": "**", "italic": "*", "plain": "", "code": "`"}
# What begins markup anywhere, what makes a link of a bare address, and what begins a list.
_SPECIAL = re.compile(r"(?=[\\`*_{}\[\]<>#|~!&@$+=]|:(?=//)|(?<=www)\.)", re.IGNORECASE)
_LIST = re.compile(r"^(\s*\d*)(?=[-.)])")


# Dagster shows a shorter text at once, and a longer one only after a click.
INLINE = 999


def message_markdown(message: Message) -> list[str]:
    """The message's text and links, in as few texts as can be shown inline; a longer block is one of its own."""
    blocks = [_line(message.headline), *(_block(block) for block in message.blocks)]
    blocks += [_line(message.footer), " · ".join(_link(link) for link in message.links)]
    texts = [""]
    for block in filter(str.strip, blocks):
        if texts[-1] and len(texts[-1]) + len(block) + 2 > INLINE:
            texts.append("")
        texts[-1] += f"\n\n{block}" if texts[-1] else block
    return texts


def picture_markdown(pictures: tuple[Picture, ...]) -> str:
    """The pictures, inline."""
    return "\n\n".join(
        f"![{_escaped(picture.title)}](data:image/png;base64,{base64.b64encode(picture.png).decode()})"
        for picture in pictures
    )


def _block(block: Block) -> str:
    if isinstance(block, Paragraph):
        return "  \n".join(filter(None, map(_line, block.lines)))
    if isinstance(block, Details):
        return "\n".join(f"> {_line(line)}  " for line in block.lines)
    return "\n".join(f"    {text_of(line)}" for line in lines_of(block))


def _line(spans: Line) -> str:
    return "".join(map(_span, spans)).strip()


def _span(span: Span) -> str:
    """Marks are next to the words, or they would be text; in code, no backtick can be written."""
    inner = span.text.strip()
    if not inner:
        return span.text
    mark = _MARKS[span.style]
    written = inner.replace("`", "\N{MODIFIER LETTER GRAVE ACCENT}") if span.style == "code" else _escaped(inner)
    before, _, after = span.text.partition(inner)
    return f"{before}{mark}{written}{mark}{after}"


def _link(link: Link) -> str:
    label = _escaped(link.label.strip())
    if not link.url.lower().startswith(("http://", "https://")):
        return f"{label}: {_escaped(link.url)}"
    address = re.sub(r"[\s<>\\]", lambda found: f"%{ord(found[0]):02X}", clean(link.url))
    return f"[{label}](<{address}>)"


def _escaped(text: str) -> str:
    return _LIST.sub(r"\1\\", _SPECIAL.sub(r"\\", clean(text).replace("\n", " ")))
