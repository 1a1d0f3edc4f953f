"""A message as Slack's Block Kit: escaped, within the limits, cut at line ends into blocks and posts.

Slack counts what it is sent, entities included; counting its UTF-16 units is never too low. Only `&`, `<` and `>` can
be escaped in its mrkdwn, which is also what keeps `<!channel>` in data from ringing everybody; what would otherwise
be read as its other marks gets a zero-width space beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from metrics_platform.notifications.message import (
    Block,
    Details,
    Line,
    Link,
    Message,
    Paragraph,
    Preformatted,
    Span,
    Table,
    table_lines,
    text_of,
)
from metrics_platform.notifications.phrases import phrases
from metrics_platform.notifications.templates.writer import is_public

BLOCKS, SECTION, HEADER, BUTTON, BUTTON_URL, BUTTONS = 50, 3000, 150, 75, 3000, 25
# One post: Slack names no limit for the blocks together, but refuses what is far longer (`msg_blocks_too_long`).
POST = 12_000
# The push preview and the notification centre show no more of it.
FALLBACK = 300
# A line longer than this is broken, so that every line, escaped and marked, fits any block.
_LINE = 350
# A link longer than this, as it is sent, is told as text.
_LINK_URL = 1000
_MARKS = {"bold": "*", "italic": "_", "code": "`"}
_ZERO_WIDTH_SPACE = "\N{ZERO WIDTH SPACE}"
# Marks of mrkdwn where they could open or close something: beside a letter on one side only.
_LIVE_MARK = re.compile(r"(?<![^\W_])[*_~`]|[*_~`](?![^\W_])")


@dataclass(frozen=True)
class Piece:
    """One block, and what it says for when Slack does not accept blocks."""

    block: dict[str, Any]
    plain: str

    @property
    def units(self) -> int:
        """The length of its text, as it is sent when it goes plain."""
        return units(escape(self.plain)) + 2


@dataclass(frozen=True)
class Post:
    """One POST to the webhook: its text for previews, its blocks, and all of it as plain text."""

    fallback: str
    pieces: tuple[Piece, ...]

    @property
    def payload(self) -> dict[str, Any]:
        """The post with its blocks."""
        blocks = [piece.block for piece in self.pieces]
        return {"text": escape(self.fallback), "blocks": blocks, "unfurl_links": False, "unfurl_media": False}

    @property
    def plain_payload(self) -> dict[str, Any]:
        """The post as text without any markup."""
        text = "\n\n".join(piece.plain for piece in self.pieces)
        return {"text": escape(text), "mrkdwn": False, "unfurl_links": False, "unfurl_media": False}


def posts_of(message: Message, pictures: int = 0, *, with_telegram: bool = False) -> list[Post]:
    """The message as posts, at least one; all of its text is in them."""
    packed: list[list[Piece]] = [[]]
    for piece in _pieces(message, pictures, with_telegram):
        taken = packed[-1]
        if taken and (len(taken) == BLOCKS or sum(each.units for each in taken) + piece.units > POST):
            packed.append([])
        packed[-1].append(piece)
    headline = text_of(message.headline).strip()
    posts = []
    for number, pieces in enumerate(packed, 1):
        place = f" ({number}/{len(packed)})" if number > 1 else ""
        posts.append(Post(shortened(headline, FALLBACK - len(place)) + place, tuple(pieces)))
    return posts


def units(text: str) -> int:
    """The length of `text` in UTF-16 units."""
    return len(text.encode("utf-16-le")) // 2


def escape(text: str) -> str:
    """`text` with the three characters that mean something in every text of Slack's written as entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shortened(text: str, limit: int) -> str:
    """`text`, or its beginning and «…», in at most `limit` UTF-16 units."""
    if units(text) <= limit:
        return text
    while units(text) > limit - 1:
        text = text[: -max(1, (units(text) - limit) // 2)]
    return text.rstrip() + "…"


def _pieces(message: Message, pictures: int, with_telegram: bool) -> Iterator[Piece]:
    headline = text_of(message.headline).strip()
    header = shortened(headline, HEADER)
    yield Piece({"type": "header", "text": {"type": "plain_text", "text": header, "emoji": False}}, header)
    if header != headline or any(span.url for span in message.headline):
        yield from _sections([message.headline])
    for block in message.blocks:
        yield from _block_pieces(block)
    buttons = [link for link in message.links if _is_button(link)][:BUTTONS]
    yield from _sections(_told_link(link) for link in message.links if link not in buttons)
    if buttons:
        yield Piece(
            {"type": "actions", "elements": [_button(link) for link in buttons]},
            "\n".join(f"{link.label}: {link.url}" for link in buttons),
        )
    if pictures:
        phrase = "slack-pictures-in-telegram" if with_telegram else "slack-pictures-in-dagster"
        yield from _contexts([(Span(phrases(message.language)(phrase, count=pictures)),)])
    yield from _contexts([message.footer])


def _block_pieces(block: Block) -> Iterator[Piece]:
    if isinstance(block, Paragraph):
        yield from _sections(block.lines)
    elif isinstance(block, Details):
        yield from _contexts([(Span(block.title, "bold"),), *block.lines])
    else:
        yield from _code_sections(block)


def _sections(lines: Iterable[Line]) -> Iterator[Piece]:
    for text, plain in _texts(lines):
        yield Piece({"type": "section", "text": _mrkdwn(text), "expand": True}, plain)


def _contexts(lines: Iterable[Line]) -> Iterator[Piece]:
    for text, plain in _texts(lines):
        yield Piece({"type": "context", "elements": [_mrkdwn(text)]}, plain)


def _code_sections(block: Table | Preformatted) -> Iterator[Piece]:
    """A table is shown whole; a long error is folded behind «See more», which is Slack's own way."""
    lines = table_lines(block) if isinstance(block, Table) else block.text.split("\n")
    pieces = [piece for each in lines for piece in _broken(each)]
    for packed in _packed([(escape(_without_backticks(each)), each) for each in pieces], SECTION - 8):
        text, plain = packed
        yield Piece(
            {"type": "section", "text": _mrkdwn(f"```\n{text}\n```"), "expand": isinstance(block, Table)}, plain
        )


def _texts(lines: Iterable[Line]) -> Iterator[tuple[str, str]]:
    """The lines as texts that fit a block, each as mrkdwn and plain."""
    return _packed([each for spans in lines for each in _line_texts(spans)], SECTION)


def _line_texts(spans: Line) -> Iterator[tuple[str, str]]:
    """A line as mrkdwn and plain: one, or several where it is too long for one."""
    marked, plain = "", ""
    for span in _with_shown_urls(spans):
        for number, piece in enumerate(_broken(span.text)):
            text, said = _span(span, piece)
            if number or (marked and units(marked) + units(text) + 1 > SECTION):
                yield marked, plain
                marked, plain = "", ""
            marked, plain = _side_by_side(marked, text), plain + said
    yield marked, plain


def _with_shown_urls(spans: Line) -> Iterator[Span]:
    """The spans, a link that Slack would not make with its URL in the text."""
    for span in spans:
        if span.url and not (is_public(span.url) and units(_link_target(span.url)) <= _LINK_URL):
            yield replace(span, url=None)
            yield Span(f" ({span.url})")
        else:
            yield span


def _span(span: Span, text: str) -> tuple[str, str]:
    """A span's piece as mrkdwn and plain; marks stand next to its words, or Slack shows them as they are."""
    inner = text.strip()
    if not inner:
        return text, text
    before, _, after = text.partition(inner)
    shown = escape(_without_backticks(inner) if span.style == "code" else _without_marks(inner))
    plain = text
    mark = _MARKS.get(span.style, "")
    shown = f"{mark}{shown}{mark}"
    if span.url:
        shown, plain = f"<{_link_target(span.url)}|{shown}>", f"{text} ({span.url})"
    return before + shown + after, plain


def _side_by_side(left: str, right: str) -> str:
    """Two texts in a row: a mark that touches a letter would be shown instead of being obeyed."""
    marks = tuple(_MARKS.values())
    touching = (left[-1:].isalnum() and right.startswith(marks)) or (left.endswith(marks) and right[:1].isalnum())
    return f"{left}{_ZERO_WIDTH_SPACE if touching else ''}{right}"


def _link_target(url: str) -> str:
    return escape(quote(url, safe="%/:?#[]@!$&'()*+,;=~-._"))


def _told_link(link: Link) -> Line:
    return (Span(f"{link.label}: "), Span(link.url, "code"))


def _is_button(link: Link) -> bool:
    return bool(link.label.strip()) and is_public(link.url) and units(link.url) <= BUTTON_URL


def _button(link: Link) -> dict[str, Any]:
    label = {"type": "plain_text", "text": shortened(link.label.strip(), BUTTON), "emoji": False}
    return {"type": "button", "text": label, "url": link.url}


def _mrkdwn(text: str) -> dict[str, Any]:
    # Verbatim: Slack makes no links of `model.py`, no channels of #names and no mentions of @names by itself.
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _without_marks(text: str) -> str:
    return _LIVE_MARK.sub(lambda found: f"{_ZERO_WIDTH_SPACE}{found[0]}{_ZERO_WIDTH_SPACE}", text)


def _without_backticks(text: str) -> str:
    """`text` for inside of code: Slack knows no way to write a backtick there."""
    return text.replace("`", "\N{MODIFIER LETTER GRAVE ACCENT}")


def _broken(text: str) -> list[str]:
    """`text` in pieces of at most `_LINE` units, broken at spaces where there are any."""
    pieces = []
    while units(text) > _LINE:
        cut = _LINE // 2  # characters: never more units than the limit
        space = text.rfind(" ", cut // 2, cut)
        cut = space + 1 if space > 0 else cut
        pieces.append(text[:cut])
        text = text[cut:]
    return [*pieces, text]


def _packed(lines: list[tuple[str, str]], limit: int) -> Iterator[tuple[str, str]]:
    """Lines joined into texts of at most `limit` units; Slack refuses blank ones."""
    taken: list[tuple[str, str]] = []
    length = 0
    for each in [*lines, None]:
        if each is None or (taken and length + units(each[0]) + 1 > limit):
            marked, plain = ("\n".join(parts).strip("\n") for parts in zip(*taken, strict=True)) if taken else ("", "")
            if plain.strip():
                yield marked, plain
            taken, length = [], 0
        if each is not None:
            taken.append(each)
            length += units(each[0]) + 1
