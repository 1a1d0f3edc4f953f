"""The methods of the Bot API that the local server speaks, in the order in which a real server refuses.

First what can be read from the request alone (text, markup, keyboard), then the chat, the message replied to and
the topic, then the lengths and rights, and at last what Telegram's own servers say: too many requests, a blocked
bot, a photo that is none. Every method answers with the `result` of the Bot API or raises `ApiError`.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from metrics_platform_tests.telegram.http_server import Sent, UploadedFile, is_true
from metrics_platform_tests.telegram.parsing import (
    MOST_ENTITIES,
    ApiError,
    Parsed,
    ParseError,
    accepted_url,
    bad_request,
    parse,
    strictness,
)
from metrics_platform_tests.telegram.state import (
    Button,
    Chat,
    Media,
    Message,
    Standing,
    World,
    judge_document,
    judge_photo,
    unix_time,
)

_NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current "
    "content and reply markup of the message"
)
_RIGHT = {"photo": "photos", "document": "documents"}


class Methods:
    """What the bot can do in a world of chats. Not safe for threads: the server calls it under its lock."""

    def __init__(self, world: World, limits: RateLimits) -> None:
        self._world = world
        self._limits = limits
        self._albums = itertools.count(13_900_000_000_000_001)
        self._table: dict[str, Callable[[Sent], Any]] = {
            "getMe": self._get_me,
            "getChat": lambda sent: full_chat(self._chat(sent, "read")),
            "getChatMember": self._get_chat_member,
            "sendMessage": self._send_message,
            "sendPhoto": lambda sent: self._send_file(sent, "photo"),
            "sendDocument": lambda sent: self._send_file(sent, "document"),
            "sendMediaGroup": self._send_media_group,
            "editMessageText": self._edit_text,
            "editMessageCaption": self._edit_caption,
            "editMessageMedia": self._edit_media,
        }

    def call(self, method: str, sent: Sent) -> Any:
        """The result of one call."""
        if method not in PARAMETERS:
            raise ApiError(404, "Not Found")
        check_parameters(method, sent)
        return self._table[method](sent)

    def _get_me(self, _: Sent) -> dict[str, Any]:
        abilities = {
            "can_join_groups": True,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
            "can_connect_to_business": False,
            "has_main_web_app": False,
        }
        return self._world.bot() | abilities

    def _get_chat_member(self, sent: Sent) -> dict[str, Any]:
        return member(self._world, self._chat(sent, "members"), sent.parameters.get("user_id", ""))

    def _send_message(self, sent: Sent) -> dict[str, Any]:
        content = text_of(sent.parameters)
        return self._world.json(self._deliver(sent, [(content, None)])[0])

    def _send_file(self, sent: Sent, kind: str) -> dict[str, Any]:
        content = text_of(sent.parameters, caption=True)
        given = sent.files.get(kind) or self._reference(sent.parameters.get(kind, ""), sent.files)
        if given is None:
            raise bad_request(f"there is no {kind} in the request")
        return self._world.json(self._deliver(sent, [(content, (kind, given))])[0])

    def _send_media_group(self, sent: Sent) -> list[dict[str, Any]]:
        items = _json_list(sent.parameters.get("media", ""), "media")
        if not items:
            raise bad_request("there are no messages to send")
        if len(items) == 1:
            raise strictness("an album has 2 to 10 items, the documentation says")
        if len(items) > 10:
            raise bad_request("too many messages to send as an album")
        parts = [self._input_media(item, sent.files) for item in items]
        if len({kind for _, (kind, _) in parts}) > 1:
            raise bad_request("document can't be mixed with other media types")
        album = str(next(self._albums))
        return [self._world.json(message) for message in self._deliver(sent, parts, album=album)]

    def _edit_text(self, sent: Sent) -> dict[str, Any]:
        content = text_of(sent.parameters)
        buttons = keyboard(sent.parameters)
        message = self._own_message(sent)
        if message.media:
            raise bad_request("there is no text in the message to edit")
        content.check_length()
        edited = replace(content.put_into(message), buttons=buttons)
        return self._edited(message, edited)

    def _edit_caption(self, sent: Sent) -> dict[str, Any]:
        content = text_of(sent.parameters, caption=True)
        buttons = keyboard(sent.parameters)
        message = self._own_message(sent)
        if not message.media:
            raise bad_request("there is no caption in the message to edit")
        content.check_length()
        return self._edited(message, replace(content.put_into(message), buttons=buttons))

    def _edit_media(self, sent: Sent) -> dict[str, Any]:
        items = _json_list(f"[{sent.parameters.get('media', '')}]", "media")
        content, (kind, given) = self._input_media(items[0] if items else None, sent.files)
        buttons = keyboard(sent.parameters)
        message = self._own_message(sent)
        if message.album and message.media and message.media.kind != kind:
            raise bad_request("can't change media type in the album")
        content.check_length()
        edited = replace(content.put_into(message), media=self._check(kind, given), buttons=buttons)
        return self._edited(message, edited)

    def _deliver(self, sent: Sent, parts: list[tuple[Content, Any]], *, album: str | None = None) -> list[Message]:
        given = sent.parameters
        buttons = keyboard(given)
        chat = self._chat(sent, "write")
        reply_to = _reply_to(given, chat)
        thread = chat.thread(_number(given, "message_thread_id"))
        for content, media in parts:
            content.check_length()
            chat.check_rights("text messages" if media is None else _RIGHT[media[0]])  # type: ignore[arg-type]
        self._limits.check(chat.chat_id, is_group=chat.is_group, messages=len(parts))
        # An album is checked as a whole before any of it is stored.
        checked = [self._check(*media) if media else None for _, media in parts]
        if thread is None and reply_to:
            thread = chat.messages[reply_to].thread_id  # a reply is in the topic of the message it replies to
        messages = []
        for (content, _), media in zip(parts, checked, strict=True):
            blank = Message(chat.chat_id, chat.next_id(), unix_time(), content.parsed)
            message = replace(
                content.put_into(blank),
                media=media,
                album=album,
                reply_to=reply_to,
                thread_id=thread,
                silent=is_true(given.get("disable_notification", "")),
                buttons=buttons,
            )
            chat.messages[message.message_id] = message
            messages.append(message)
        return messages

    def _edited(self, old: Message, new: Message) -> dict[str, Any]:
        same = ("text", "entities", "media", "buttons")
        if all(getattr(old, name) == getattr(new, name) for name in same):
            raise bad_request(_NOT_MODIFIED)
        history = [*old.edits, old.before_edit()]
        message = replace(new, edits=history, edit_date=unix_time())
        self._world.chats[old.chat_id].messages[old.message_id] = message
        return self._world.json(message)

    def _chat(self, sent: Sent, need: Any) -> Chat:
        chat = self._world.find(sent.parameters.get("chat_id", ""))
        chat.check_access(need)
        return chat

    def _own_message(self, sent: Sent) -> Message:
        chat = self._chat(sent, "edit")
        message = chat.messages.get(_number(sent.parameters, "message_id"))
        if message is None:
            raise bad_request("message to edit not found")
        # A group that was upgraded keeps its old messages, and they cannot be changed.
        if not message.from_bot or chat.migrated_to is not None:
            raise bad_request("message can't be edited")
        return message

    def _input_media(self, item: Any, files: dict[str, UploadedFile]) -> tuple[Content, tuple[str, Any]]:
        if not isinstance(item, dict):
            raise bad_request("can't parse InputMedia: expected an Object")
        if unknown := item.keys() - {"type", "media", "caption", "parse_mode"}:
            raise strictness(f"InputMedia has no field {', '.join(sorted(unknown))}")
        kind = item.get("type")
        if kind not in _RIGHT:
            raise strictness(f"this server has no media of type {kind!r}")
        given = self._reference(str(item.get("media", "")), files)
        if given is None:
            raise bad_request("can't parse InputMedia: media not found")
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in item.items()}
        return text_of(texts, caption=True), (kind, given)

    @staticmethod
    def _reference(text: str, files: dict[str, UploadedFile]) -> UploadedFile | None:
        return files.get(text.removeprefix("attach://")) if text.startswith("attach://") else None

    @staticmethod
    def _check(kind: str, given: UploadedFile) -> Media:
        return judge_photo(given) if kind == "photo" else judge_document(given)


def _reply_to(given: dict[str, str], chat: Chat) -> int | None:
    if not given.get("reply_parameters"):
        return None
    wanted = json.loads(given["reply_parameters"])
    unknown = wanted.keys() - {"message_id", "chat_id", "allow_sending_without_reply"}
    if unknown or str(wanted.get("chat_id", chat.chat_id)) != str(chat.chat_id):
        raise strictness(f"reply parameters with {', '.join(sorted(unknown)) or 'another chat'} are not spoken here")
    message_id = int(wanted["message_id"])
    if message_id in chat.messages:
        return message_id
    if wanted.get("allow_sending_without_reply"):
        return None
    raise bad_request("message to be replied not found")


def _number(given: dict[str, str], name: str) -> int:
    return int(given.get(name) or 0)


def _json_list(text: str, name: str) -> list[Any]:
    given = json.loads(text or "[]")
    if not isinstance(given, list):
        raise bad_request(f"expected an Array of {name}")
    return given


# --- content ----------------------------------------------------------------------------------------------------------


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


# --- members ----------------------------------------------------------------------------------------------------------


_PERMISSIONS = (
    "can_send_messages",
    "can_send_audios",
    "can_send_documents",
    "can_send_photos",
    "can_send_videos",
    "can_send_video_notes",
    "can_send_voice_notes",
    "can_send_polls",
    "can_send_other_messages",
    "can_add_web_page_previews",
    "can_react_to_messages",
    "can_edit_tag",
    "can_change_info",
    "can_invite_users",
    "can_pin_messages",
    "can_manage_topics",
)
_ADMINISTRATOR = (
    "is_anonymous",
    "can_delete_messages",
    "can_manage_video_chats",
    "can_restrict_members",
    "can_promote_members",
    "can_change_info",
    "can_invite_users",
    "can_post_stories",
    "can_edit_stories",
    "can_delete_stories",
    "can_send_welcome_messages",
)
_GIFTS = (
    "unlimited_gifts",
    "limited_gifts",
    "unique_gifts",
    "premium_subscription",
    "gifts_from_channels",
)


def full_chat(chat: Chat) -> dict[str, Any]:
    """The `ChatFullInfo` of a chat."""
    answer = chat.json() | {"accent_color_id": 3, "max_reaction_count": 11}
    answer["accepted_gift_types"] = dict.fromkeys(_GIFTS, False)
    if chat.username:
        answer["active_usernames"] = [chat.username]
    if chat.is_group:
        answer["permissions"] = _rights(chat)
    return answer


def member(world: World, chat: Chat, user_id: str) -> dict[str, Any]:
    """The `ChatMember` of the bot in a chat."""
    if user_id != str(world.bot_id):
        raise bad_request("member not found" if user_id.isdigit() else "invalid user_id specified")
    answer: dict[str, Any] = {"user": world.bot()}
    if chat.kind == "channel":
        can_post = chat.standing is not Standing.NO_MESSAGES
        rights = dict.fromkeys(_ADMINISTRATOR, False) | {"can_be_edited": False, "can_manage_chat": True}
        rights |= {"can_post_messages": can_post, "can_edit_messages": can_post}
        return answer | {"status": "administrator"} | rights
    if chat.standing in {Standing.NO_MESSAGES, Standing.NO_PHOTOS, Standing.NO_DOCUMENTS}:
        return answer | {"status": "restricted", "is_member": True, "until_date": 0} | _rights(chat)
    return answer | {"status": "member"}


def _rights(chat: Chat) -> dict[str, bool]:
    rights = dict.fromkeys(_PERMISSIONS, True)
    for standing, name in ((Standing.NO_PHOTOS, "can_send_photos"), (Standing.NO_DOCUMENTS, "can_send_documents")):
        rights[name] = chat.standing is not standing
    return dict.fromkeys(rights, False) if chat.standing is Standing.NO_MESSAGES else rights


# --- limits -----------------------------------------------------------------------------------------------------------


_A_SECOND, _A_MINUTE, _A_MINUTE_IN_A_GROUP = 1.0, 60.0, 20
# Seconds are floats: what was waited for exactly must not be refused for its last bit.
_ROUNDING = 1e-6


class RateLimits:
    """What was sent recently, by chat."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.enabled = False
        self._clock = clock
        self._sent: dict[int, deque[float]] = defaultdict(deque)

    def check(self, chat_id: int, *, is_group: bool, messages: int = 1) -> None:
        """Count messages to a chat now, or raise 429 with the seconds to wait.

        Each message of an album counts; edits do not. A refused call counts for nothing.
        """
        if not self.enabled:
            return
        now, sent = self._clock(), self._sent[chat_id]
        while sent and sent[0] <= now - _A_MINUTE + _ROUNDING:
            sent.popleft()
        wait = sent[-1] + _A_SECOND - now if sent else 0.0
        too_many = len(sent) + messages - _A_MINUTE_IN_A_GROUP
        if is_group and too_many > 0 and sent:
            wait = max(wait, sent[min(too_many, len(sent)) - 1] + _A_MINUTE - now)
        if wait > _ROUNDING:
            seconds = max(1, math.ceil(wait - _ROUNDING))
            raise ApiError(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)
        sent.extend([now] * messages)


# --- parameters -------------------------------------------------------------------------------------------------------


_TARGET = {"chat_id", "message_thread_id"}
_MANNER = {"disable_notification", "reply_parameters", "reply_markup"}
_CAPTION = {"caption", "parse_mode"}
_EDITED = {"chat_id", "message_id"}

PARAMETERS: dict[str, set[str]] = {
    "getMe": set(),
    "getChat": {"chat_id"},
    "getChatMember": {"chat_id", "user_id"},
    "sendMessage": _TARGET | _MANNER | {"text", "parse_mode", "link_preview_options"},
    "sendPhoto": _TARGET | _MANNER | _CAPTION | {"photo"},
    "sendDocument": _TARGET | _MANNER | _CAPTION | {"document"},
    # An album has no keyboard.
    "sendMediaGroup": (_TARGET | _MANNER | {"media"}) - {"reply_markup"},
    "editMessageText": _EDITED | {"text", "parse_mode", "link_preview_options", "reply_markup"},
    "editMessageCaption": _EDITED | _CAPTION | {"reply_markup"},
    "editMessageMedia": _EDITED | {"media", "reply_markup"},
}
_FILES = {"sendPhoto": {"photo"}, "sendDocument": {"document"}}


def check_parameters(method: str, sent: Sent) -> None:
    """Refuses names that the documentation does not have for the method, and files that nothing refers to."""
    unknown = sent.parameters.keys() - PARAMETERS[method]
    if unknown:
        raise strictness(f"{method} has no parameter {', '.join(sorted(unknown))}")
    attached = {name for name in sent.files if any(f"attach://{name}" in value for value in sent.parameters.values())}
    stray = sent.files.keys() - attached - _FILES.get(method, set())
    if stray:
        raise strictness(f"nothing refers to the file {', '.join(sorted(stray))}")
