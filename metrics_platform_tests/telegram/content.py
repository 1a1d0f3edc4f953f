"""Texts, captions and keyboards out of the parameters of a call, checked as Telegram does."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from metrics_platform_tests.telegram.errors import ParseError, bad_request, strictness
from metrics_platform_tests.telegram.parsing import MOST_ENTITIES, Parsed, accepted_url, finished, parse
from metrics_platform_tests.telegram.reading import is_true
from metrics_platform_tests.telegram.state import Button, Message

_MOST_TEXT, _MOST_CAPTION, _MOST_CALLBACK_BYTES = 4096, 1024, 64
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
        kept, lost = self.parsed.entities[:MOST_ENTITIES], self.parsed.entities[MOST_ENTITIES:]
        parsed = replace(self.parsed, entities=kept)
        return replace(
            message,
            source=self.source,
            parsed=parsed,
            lost_entities=len(lost),
            link_preview_off=self.link_preview_off,
        )


def text_of(given: dict[str, str], *, caption: bool = False) -> Content:
    """The text or caption of a call, with its markup read."""
    source = given.get("caption" if caption else "text", "")
    if not source and not caption:
        raise bad_request("message text is empty")
    entities = given.get("caption_entities" if caption else "entities")
    mode = given.get("parse_mode", "")
    if entities and mode:
        raise strictness("parse_mode makes a real server ignore the given entities")
    try:
        parsed = _with_entities(source, entities) if entities else parse(source, mode)
    except KeyError:
        raise bad_request("unsupported parse_mode") from None
    except ParseError as refusal:
        raise bad_request(str(refusal)) from None
    return Content(source, parsed, caption, _preview_off(given.get("link_preview_options", "")))


def _with_entities(source: str, entities: str) -> Parsed:
    try:
        given = json.loads(entities)
        kept = [{**one, "offset": int(one["offset"]), "length": int(one["length"])} for one in given]
    except (ValueError, TypeError, KeyError):
        raise bad_request("can't parse MessageEntity") from None
    return finished(Parsed(source, kept))


def _preview_off(options: str) -> bool:
    if not options:
        return False
    try:
        given = json.loads(options)
    except ValueError:
        raise bad_request("can't parse link preview options JSON object") from None
    if not isinstance(given, dict) or given.keys() - _PREVIEW:
        raise strictness(f"link_preview_options has fields of {sorted(_PREVIEW)} only")
    return is_true(json.dumps(given.get("is_disabled", False)))


def keyboard(given: dict[str, str]) -> list[list[Button]]:
    """The rows of an inline keyboard; one bad URL refuses the whole message, as at Telegram."""
    if not given.get("reply_markup"):
        return []
    try:
        markup = json.loads(given["reply_markup"])
    except ValueError:
        raise bad_request("can't parse reply keyboard markup JSON object") from None
    if not isinstance(markup, dict):
        raise bad_request("object expected as reply markup")
    if markup.keys() - {"inline_keyboard"}:
        raise strictness("this server has no keyboards but inline ones")
    rows = markup.get("inline_keyboard", [])
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise bad_request('field "inline_keyboard" of the InlineKeyboardMarkup must be an Array of Arrays')
    return [[_button(button) for button in row] for row in rows if row]


def _button(given: Any) -> Button:
    refused = "can't parse inline keyboard button: "
    if not isinstance(given, dict):
        raise bad_request(refused + "InlineKeyboardButton must be an Object")
    unknown = given.keys() - {"text", "url", "callback_data", "style", "icon_custom_emoji_id"}
    if unknown:
        raise strictness(f"this server has no buttons with {', '.join(sorted(unknown))}")
    if not given.get("text"):
        raise bad_request(refused + 'Field "text" must be of type String and be non-empty')
    if given.get("url"):
        try:
            return Button(given["text"], url=accepted_url(given["url"]))
        except ParseError as refusal:
            raise bad_request(f"inline keyboard button URL '{given['url']}' is invalid: {refusal}") from None
    if "callback_data" not in given:
        raise bad_request(refused + "Text buttons are unallowed in the inline keyboard")
    if not 1 <= len(given["callback_data"].encode()) <= _MOST_CALLBACK_BYTES:
        raise bad_request("BUTTON_DATA_INVALID")
    return Button(given["text"], callback_data=given["callback_data"])
