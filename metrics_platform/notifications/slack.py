"""Slack over an incoming webhook: what is posted, and the meaning of each answer.

The webhook's URL is a secret: whoever has it can write to the channel. A webhook cannot reply, edit or send pictures.
The text says where the pictures are. If Slack refuses the blocks, the message is sent again as plain text.

A message is split at line ends into blocks and posts. Texts are elements of `rich_text` blocks, which Slack shows
verbatim: data is never parsed as markup, no `<!channel>` notifies anyone, and no name becomes a link. Lengths are
counted in UTF-16 units; Slack never counts more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from metrics_platform.notifications.channel import (
    CONNECT_TIMEOUT,
    READ_TIMEOUT,
    Answer,
    Channel,
    DeliveryContext,
    DeliveryError,
    RetryPolicy,
    Step,
    Transport,
    retry,
)
from metrics_platform.notifications.history import Sent
from metrics_platform.notifications.message import (
    Block,
    Details,
    Line,
    Message,
    Paragraph,
    Span,
    grouped,
    is_public,
    lines_of,
    text_of,
    units,
    wrapped,
)

_NEW_WEBHOOK = "Create a new webhook in the Slack app's settings (Incoming Webhooks) and set SLACK_WEBHOOK_URL to it."
_ASK_ADMIN = "Ask an administrator of the workspace to let the app post to this channel."
# Slack's error codes for a wrong setting or a missing permission, and the remedy. The status may be 400, too.
_REMEDIES: dict[str, str] = {
    "no_service": f"The webhook was removed or never existed. {_NEW_WEBHOOK}",
    "no_service_id": f"SLACK_WEBHOOK_URL is incomplete. {_NEW_WEBHOOK}",
    "no_active_hooks": f"The webhook is switched off. {_NEW_WEBHOOK}",
    "invalid_token": f"SLACK_WEBHOOK_URL is wrong or was revoked. {_NEW_WEBHOOK}",
    "no_team": f"SLACK_WEBHOOK_URL names no workspace. {_NEW_WEBHOOK}",
    "team_disabled": "The workspace is switched off.",
    "user_not_found": f"The person that the webhook writes to is gone. {_NEW_WEBHOOK}",
    "channel_not_found": f"The channel is gone. {_NEW_WEBHOOK}",
    "channel_is_archived": "The channel is archived. Take it out of the archive, or create a webhook for another one.",
    "action_prohibited": f"An administrator has restricted posting. {_ASK_ADMIN}",
    "posting_to_general_channel_denied": f"Not everyone may post to #general. Choose another channel. {_ASK_ADMIN}",
}


def refusal(answer: Answer) -> DeliveryError | None:
    """The error for an answer; None for a success. `answer` is already masked."""
    status, answer_text = answer.status, answer.text.strip()
    body = answer.json if isinstance(answer.json, dict) else {}
    code = str(body.get("error") or answer_text)
    if status == 200 and (answer_text == "ok" or body.get("ok") is True):
        return None
    if code in _REMEDIES:
        return DeliveryError("misconfigured", f"Slack refuses: {status} {code}. {_REMEDIES[code]}")
    if status in (400, 413):
        return DeliveryError("refused", f"Slack refused the message ({status}): {answer_text[:200]}")
    text = f"SLACK_WEBHOOK_URL was answered with {status} and {answer_text[:200]!r}. Check the URL. {_NEW_WEBHOOK}"
    return DeliveryError("misconfigured", text)


@dataclass
class SlackChannel(Channel):
    """Messages to the one channel that a webhook belongs to."""

    webhook_url: str = field(repr=False)
    policy: RetryPolicy = field(default_factory=RetryPolicy, repr=False)
    timeouts: tuple[float, float] = (CONNECT_TIMEOUT, READ_TIMEOUT)
    name = "slack"
    title = "Slack"

    def __post_init__(self) -> None:
        path = urlsplit(self.webhook_url).path
        token = path.strip("/").partition("/")[2]
        secrets = (self.webhook_url, path, token, token.rpartition("/")[2])
        self._transport = Transport("Slack", secrets=secrets, timeouts=self.timeouts)

    def steps(self, message: Message, context: DeliveryContext) -> list[Step]:
        posts = posts_of(message, has_pictures=bool(context.pictures))
        return [partial(self._send, post, repeat_unknown=context.repeat_unknown) for post in posts]

    def check(self) -> str:
        try:
            self._post({}, repeat_unknown=True)
        except DeliveryError as caught:
            if caught.reason != "refused":
                raise
        return "the webhook answers"

    def _send(self, post: Post, _: Sent | None, *, repeat_unknown: bool) -> dict[str, Any]:
        """Post it. If Slack refuses the blocks, post it without them."""
        sent = {"address": "webhook", "carrier": "text"}
        try:
            self._post(post.payload, repeat_unknown=repeat_unknown)
        except DeliveryError as caught:
            if caught.reason != "refused":
                raise
            refused = str(caught)
        else:
            return sent
        self._post(post.plain_payload, repeat_unknown=repeat_unknown)
        return {**sent, "notes": (f"Slack did not accept the blocks, so the text was sent plain: {refused}",)}

    def _post(self, payload: dict[str, Any], *, repeat_unknown: bool) -> None:
        retry(self.policy, lambda: self._post_once(payload), repeat_unknown=repeat_unknown)

    def _post_once(self, payload: dict[str, Any]) -> None:
        error = refusal(self._transport.post(self.webhook_url, json=payload))
        if error is not None:
            raise error


# --- Block Kit --------------------------------------------------------------------------------------------------------

BLOCKS, SECTION, HEADER, BUTTON, BUTTON_URL, BUTTONS = 50, 3000, 150, 75, 3000, 25
# Slack documents no limit for all blocks of a post, but refuses much longer ones (`msg_blocks_too_long`).
POST = 12_000
# The push preview and the notification centre show no more than this.
FALLBACK = 300
_NO_UNFURL = {"unfurl_links": False, "unfurl_media": False}


class Piece(NamedTuple):
    """One block, and its text for when Slack does not accept blocks."""

    block: dict[str, Any]
    plain: str


class Post(NamedTuple):
    """One POST to the webhook: with blocks and a preview text, and as plain text only."""

    payload: dict[str, Any]
    plain_payload: dict[str, Any]


def posts_of(message: Message, *, has_pictures: bool = False) -> list[Post]:
    """Split the message into one or more posts without losing any text."""
    all_pieces = _pieces(message, has_pictures)
    pages = list(grouped(all_pieces, lambda piece, _: (1, units(piece.plain) + 2), (BLOCKS, POST)))
    headline = text_of(message.headline).strip()
    posts = []
    for number, pieces in enumerate(pages, 1):
        page = f" ({number}/{len(pages)})" if number > 1 else ""
        preview = shorten(headline, FALLBACK - len(page)) + page
        plain = "\n\n".join(piece.plain for piece in pieces)
        with_blocks = {**_NO_UNFURL, "text": escape(preview), "blocks": [piece.block for piece in pieces]}
        posts.append(Post(with_blocks, {**_NO_UNFURL, "text": escape(plain), "mrkdwn": False}))
    return posts


def escape(text: str) -> str:
    """Escape the three characters that are special in every text of Slack."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shorten(text: str, limit: int) -> str:
    """`text`, or its beginning with an ellipsis, in at most `limit` UTF-16 units."""
    if units(text) <= limit:
        return text
    while units(text) > limit - 1:
        text = text[: -max(1, (units(text) - limit) // 2)]
    return text.rstrip() + "…"


def _pieces(message: Message, has_pictures: bool) -> Iterator[Piece]:
    headline = text_of(message.headline).strip()
    header = shorten(headline, HEADER)
    yield Piece({"type": "header", "text": _plain_text(header)}, header)
    if header != headline:
        yield from _rich_texts("rich_text_section", [message.headline])
    for block in message.blocks:
        yield from _rich_texts(_type_of(block), lines_of(block))
    public = [link for link in message.links if is_public(link.url) and units(link.url) <= BUTTON_URL]
    buttons = [link for link in public if link.label.strip()][:BUTTONS]
    others = [(Span(f"{link.label}: "), Span(link.url, "code")) for link in message.links if link not in buttons]
    yield from _rich_texts("rich_text_section", others)
    if buttons:
        elements = [
            {"type": "button", "text": _plain_text(shorten(link.label.strip(), BUTTON)), "url": link.url}
            for link in buttons
        ]
        yield Piece(
            {"type": "actions", "elements": elements}, "\n".join(f"{button.label}: {button.url}" for button in buttons)
        )
    notes: list[Line] = [message.footer]
    if has_pictures:
        notes.insert(0, (Span(message.pictures),))
    for lines in _pack_lines(notes):
        text = "\n".join(map(text_of, lines))
        yield Piece({"type": "context", "elements": [_plain_text(text)]}, text)


def _type_of(block: Block) -> str:
    if isinstance(block, Paragraph):
        return "rich_text_section"
    return "rich_text_quote" if isinstance(block, Details) else "rich_text_preformatted"


def _rich_texts(element: str, lines: Iterable[Line]) -> Iterator[Piece]:
    for packed in _pack_lines(lines):
        elements: list[dict[str, Any]] = []
        for line in packed:
            elements += [{"type": "text", "text": "\n"}] if elements else []
            elements += [_text_element(span) for span in line if span.text]
        text = "\n".join(map(text_of, packed))
        yield Piece({"type": "rich_text", "elements": [{"type": element, "elements": elements}]}, text)


def _text_element(span: Span) -> dict[str, Any]:
    style = {} if span.style == "plain" else {"style": {span.style: True}}
    return {"type": "text", "text": span.text, **style}


def _pack_lines(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Group the lines so that each group fits into a block. Blank groups are left out: Slack refuses them."""
    pieces = (piece for line in lines for piece in wrapped(line, SECTION - 1))
    for group in grouped(pieces, lambda piece, _: (units(text_of(piece)) + 1,), (SECTION,)):
        if any(text_of(line).strip() for line in group):
            yield group


def _plain_text(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}
