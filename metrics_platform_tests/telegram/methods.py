"""The methods of the Bot API that the local server speaks, in the order in which a real server refuses.

First what can be read from the request alone (text, markup, keyboard), then the chat, the message replied to and
the topic, then the lengths and rights, and at last what Telegram's own servers say: too many requests, a blocked
bot, a photo that is none. Every method answers with the `result` of the Bot API or raises `ApiError`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from metrics_platform_tests.telegram.content import Content, keyboard, text_of
from metrics_platform_tests.telegram.errors import ApiError, bad_request, strictness
from metrics_platform_tests.telegram.limits import RateLimits
from metrics_platform_tests.telegram.media import Media, judge_document, judge_photo
from metrics_platform_tests.telegram.members import full_chat, member
from metrics_platform_tests.telegram.parameters import PARAMETERS, check_parameters
from metrics_platform_tests.telegram.reading import Sent, UploadedFile, is_true
from metrics_platform_tests.telegram.state import Chat, Message, World, unix_time

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
