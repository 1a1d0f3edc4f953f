"""Texts, captions and keyboards out of the parameters of a call, checked as Telegram does."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from metrics_platform_tests.telegram.errors import ParseError, bad_request, strictness
from metrics_platform_tests.telegram.parsing import MOST_ENTITIES, Parsed, accepted_url, parse
from metrics_platform_tests.telegram.reading import is_true
from metrics_platform_tests.telegram.state import Button, Message

_MOST_TEXT, _MOST_CAPTION = 4096, 1024
_PREVIEW = {"is_disabled", "url", "prefer_small_media", "prefer_large_media", "show_above_text"}


@dataclass(frozen=True)
class Content:
    """A text or caption that could be read; whether it fits is a later question."""

    source: str
    parsed: Parsed
    is_caption: bool
    link_preview_off: bool = False

    def check_length(self) -> None:
        """Refuses what a person would see too much or nothing of."""
        if not self.is_caption and not self.parsed.text:
            raise bad_request("text must be non-empty")
        if self.parsed.length > (_MOST_CAPTION if self.is_caption else _MOST_TEXT):
            raise bad_request("message caption is too long" if self.is_caption else "message is too long")

    def put_into(self, message: Message) -> Message:
        """The message with this text; entities beyond Telegram's hundred are lost on the way."""
        parsed = replace(self.parsed, entities=self.parsed.entities[:MOST_ENTITIES])
        return replace(message, source=self.source, parsed=parsed, link_preview_off=self.link_preview_off)


def text_of(given: dict[str, str], *, caption: bool = False) -> Content:
    """The text or caption of a call, with its markup read."""
    source = given.get("caption" if caption else "text", "")
    if not source and not caption:
        raise bad_request("message text is empty")
    try:
        parsed = parse(source, given.get("parse_mode", ""))
    except KeyError:
        raise bad_request("unsupported parse_mode") from None
    except ParseError as refusal:
        raise bad_request(str(refusal)) from None
    return Content(source, parsed, caption, _preview_off(given.get("link_preview_options", "")))


def _preview_off(options: str) -> bool:
    if not options:
        return False
    given = json.loads(options)
    if not isinstance(given, dict) or given.keys() - _PREVIEW:
        raise strictness(f"link_preview_options has fields of {sorted(_PREVIEW)} only")
    return is_true(json.dumps(given.get("is_disabled", False)))


def keyboard(given: dict[str, str]) -> list[list[Button]]:
    """The rows of an inline keyboard; one bad URL refuses the whole message, as at Telegram."""
    if not given.get("reply_markup"):
        return []
    markup = json.loads(given["reply_markup"])
    if not isinstance(markup, dict):
        raise bad_request("object expected as reply markup")
    if markup.keys() - {"inline_keyboard"}:
        raise strictness("this server has no keyboards but inline ones")
    rows = markup.get("inline_keyboard", [])
    return [[_button(button) for button in row] for row in rows if row]


def _button(given: Any) -> Button:
    refused = "can't parse inline keyboard button: "
    if not isinstance(given, dict):
        raise bad_request(refused + "InlineKeyboardButton must be an Object")
    unknown = given.keys() - {"text", "url"}
    if unknown:
        raise strictness(f"this server has no buttons with {', '.join(sorted(unknown))}")
    if not given.get("text"):
        raise bad_request(refused + 'Field "text" must be of type String and be non-empty')
    if given.get("url"):
        try:
            return Button(given["text"], url=accepted_url(given["url"]))
        except ParseError as refusal:
            raise bad_request(f"inline keyboard button URL '{given['url']}' is invalid: {refusal}") from None
    raise bad_request(refused + "Text buttons are unallowed in the inline keyboard")
