"""A message as Slack's Block Kit: within the limits, cut at line ends into blocks and posts.

Texts are elements of `rich_text` blocks, which Slack shows as they are: nothing in the data is markup, no `<!channel>`
notifies anyone, and no name becomes a link. UTF-16 units are never fewer than what Slack counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from metrics_platform.notifications.message import (
    Block,
    Details,
    Line,
    Link,
    Message,
    Paragraph,
    Span,
    broken,
    grouped,
    is_public,
    lines_of,
    text_of,
    units,
)
from metrics_platform.notifications.templates.writer import phrase

BLOCKS, SECTION, HEADER, BUTTON, BUTTON_URL, BUTTONS = 50, 3000, 150, 75, 3000, 25
# One post: Slack names no limit for the blocks together, but refuses what is far longer (`msg_blocks_too_long`).
POST = 12_000
# The push preview and the notification centre show no more of it.
FALLBACK = 300


@dataclass(frozen=True)
class Piece:
    """One block, and its text for when Slack does not accept blocks."""

    block: dict[str, Any]
    plain: str


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
    found = _pieces(message, pictures, with_telegram)
    packed = list(grouped(found, lambda piece, _: (1, units(piece.plain) + 2), (BLOCKS, POST)))
    headline = text_of(message.headline).strip()
    posts = []
    for number, pieces in enumerate(packed, 1):
        place = f" ({number}/{len(packed)})" if number > 1 else ""
        posts.append(Post(shortened(headline, FALLBACK - len(place)) + place, tuple(pieces)))
    return posts


def escape(text: str) -> str:
    """`text` with the three characters that mean something in every text of Slack's written as entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shortened(text: str, limit: int) -> str:
    """`text`, or its beginning with an ellipsis, in at most `limit` UTF-16 units."""
    if units(text) <= limit:
        return text
    while units(text) > limit - 1:
        text = text[: -max(1, (units(text) - limit) // 2)]
    return text.rstrip() + "…"


def _pieces(message: Message, pictures: int, with_telegram: bool) -> Iterator[Piece]:
    headline = text_of(message.headline).strip()
    header = shortened(headline, HEADER)
    yield Piece({"type": "header", "text": _plain_text(header)}, header)
    if header != headline:
        yield from _rich_texts("rich_text_section", [message.headline])
    for block in message.blocks:
        yield from _rich_texts(_type_of(block), lines_of(block))
    buttons = [link for link in message.links if _is_button(link)][:BUTTONS]
    others = [(Span(f"{link.label}: "), Span(link.url, "code")) for link in message.links if link not in buttons]
    yield from _rich_texts("rich_text_section", others)
    if buttons:
        elements = [
            {"type": "button", "text": _plain_text(shortened(link.label.strip(), BUTTON)), "url": link.url}
            for link in buttons
        ]
        yield Piece(
            {"type": "actions", "elements": elements}, "\n".join(f"{each.label}: {each.url}" for each in buttons)
        )
    notes: list[Line] = [message.footer]
    if pictures:
        notes.insert(0, (Span(phrase(message.language, "pictures", count=pictures, in_telegram=with_telegram)),))
    for lines in _packed(notes):
        text = "\n".join(map(text_of, lines))
        yield Piece({"type": "context", "elements": [_plain_text(text)]}, text)


def _type_of(block: Block) -> str:
    if isinstance(block, Paragraph):
        return "rich_text_section"
    return "rich_text_quote" if isinstance(block, Details) else "rich_text_preformatted"


def _rich_texts(element: str, lines: Iterable[Line]) -> Iterator[Piece]:
    for packed in _packed(lines):
        elements: list[dict[str, Any]] = []
        for line in packed:
            elements += [{"type": "text", "text": "\n"}] if elements else []
            elements += [_text(span) for span in line if span.text]
        text = "\n".join(map(text_of, packed))
        yield Piece({"type": "rich_text", "elements": [{"type": element, "elements": elements}]}, text)


def _text(span: Span) -> dict[str, Any]:
    style = {} if span.style == "plain" else {"style": {span.style: True}}
    return {"type": "text", "text": span.text, **style}


def _packed(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """The lines in groups that each fit a block; Slack refuses blank ones."""
    pieces = (piece for line in lines for piece in broken(line, SECTION - 1))
    for group in grouped(pieces, lambda piece, _: (units(text_of(piece)) + 1,), (SECTION,)):
        if any(text_of(line).strip() for line in group):
            yield group


def _plain_text(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _is_button(link: Link) -> bool:
    return bool(link.label.strip()) and is_public(link.url) and units(link.url) <= BUTTON_URL
