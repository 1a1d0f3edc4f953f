"""A message as Markdown, for Dagster's UI: what people got, beside the run that sent it.

Whatever stands in the data is text there, never markup: each character that could begin any is escaped.
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
    Preformatted,
    Span,
    clean,
    table_lines,
)

_MARKS = {"bold": "**", "italic": "*"}
# What begins markup anywhere, what makes a link of a bare address, and what begins a list or a heading in a line.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&@$+=]|:(?=//)|(?<=www)\.|^\s*-|^\s*\d+(?=[.)]))", re.IGNORECASE)


def message_markdown(message: Message) -> str:
    """The message's text and links."""
    parts = [_line(message.headline), *(_block(block) for block in message.blocks)]
    parts.append(_line(message.footer))
    parts.append(" · ".join(_link(link) for link in message.links))
    return "\n\n".join(part for part in parts if part.strip())


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
        return "\n".join(f"> {text}  " for text in (f"**{_escaped(block.title)}**", *map(_line, block.lines)))
    text = block.text if isinstance(block, Preformatted) else "\n".join(table_lines(block))
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}\n{text}\n{fence}"


def _line(spans: Line) -> str:
    return "".join(map(_span, spans)).strip()


def _span(span: Span) -> str:
    inner = span.text.strip()
    if not inner:
        return span.text
    if span.style == "code":
        fence = "`" * (_longest_run(inner) + 1)
        pad = " " if "`" in (inner[0], inner[-1]) else ""
        written = f"{fence}{pad}{inner}{pad}{fence}"
    else:
        mark = _MARKS.get(span.style, "")
        written = f"{mark}{_escaped(inner)}{mark}"
    if span.url:
        written = f"[{written}](<{_address(span.url)}>)" if _is_web(span.url) else f"{written} ({_escaped(span.url)})"
    before, _, after = span.text.partition(inner)
    return f"{before}{written}{after}"


def _link(link: Link) -> str:
    label = _escaped(link.label.strip())
    return f"[{label}](<{_address(link.url)}>)" if _is_web(link.url) else f"{label}: {_escaped(link.url)}"


def _is_web(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))


def _address(url: str) -> str:
    return re.sub(r"[\s<>\\]", lambda found: f"%{ord(found[0]):02X}", clean(url))


def _escaped(text: str) -> str:
    return _SPECIAL.sub(_with_backslash, clean(text).replace("\n", " "))


def _with_backslash(found: re.Match[str]) -> str:
    """A number before a dot or a bracket stays, its dot is escaped: only punctuation can be."""
    text = found[0]
    if text[-1].isdigit():
        return f"{text}\\"
    return f"{text[:-1]}\\{text[-1]}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
