"""A message as Markdown, for Dagster's UI: what people got, beside the run that sent it."""

from __future__ import annotations

import base64
import re

from metrics_platform.notifications.message import (
    Block,
    Details,
    Line,
    Message,
    Paragraph,
    Picture,
    Preformatted,
    table_lines,
)

_STYLES = {"bold": "**", "italic": "_", "code": "`"}


def message_markdown(message: Message) -> str:
    """The message's text and links."""
    parts = [_line(message.headline), *(_block(block) for block in message.blocks)]
    if message.footer:
        parts.append(_line(message.footer))
    if message.links:
        parts.append(" · ".join(f"[{_escaped(link.label)}](<{link.url}>)" for link in message.links))
    return "\n\n".join(part for part in parts if part.strip())


def picture_markdown(pictures: tuple[Picture, ...]) -> str:
    """The pictures, inline."""
    return "\n\n".join(
        f"![{_escaped(picture.title)}](data:image/png;base64,{base64.b64encode(picture.png).decode()})"
        for picture in pictures
    )


def _block(block: Block) -> str:
    if isinstance(block, Paragraph):
        return "  \n".join(_line(each) for each in block.lines)
    if isinstance(block, Details):
        return "\n".join(f"> {text}  " for text in (f"**{_escaped(block.title)}**", *map(_line, block.lines)))
    text = block.text if isinstance(block, Preformatted) else "\n".join(table_lines(block))
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}\n{text}\n{fence}"


def _line(spans: Line) -> str:
    written = []
    for span in spans:
        mark = _STYLES.get(span.style, "")
        text = span.text.replace("`", "'") if span.style == "code" else _escaped(span.text)
        inner = text.strip()
        written.append(text.replace(inner, f"{mark}{inner}{mark}", 1) if mark and inner else text)
    return "".join(written)


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", text)
