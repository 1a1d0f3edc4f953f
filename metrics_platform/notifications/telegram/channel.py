"""A message to a chat, call by call, and what is done where Telegram accepts one only otherwise.

Steps that are done are not done again; replies and edits go to the message that was sent, in the chat it was sent to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from metrics_platform.channel_settings import ChannelSettings, ChatTarget
from metrics_platform.findings import Finding
from metrics_platform.notifications.channel import Channel, DeliveryContext, DeliveryError, RetryPolicy, Step
from metrics_platform.notifications.history import Sent
from metrics_platform.notifications.message import Message, Picture
from metrics_platform.notifications.telegram.client import Pacer, RefusalError, TelegramClient
from metrics_platform.notifications.telegram.inspection import inspect_chats
from metrics_platform.notifications.telegram.rendering import (
    CAPTION_UNITS,
    TEXT_UNITS,
    Call,
    calls_of,
    is_photo,
    keyboard_of,
    one_part_of,
    request_of,
)


@dataclass
class TelegramChannel(Channel):
    """Messages to the chats that `target_of` names by kind and severity."""

    name = "telegram"
    title = "Telegram"

    client: TelegramClient
    target_of: Callable[[str, str], ChatTarget | None]
    targets: Sequence[ChatTarget] = ()
    warn: Callable[[str], None] = lambda _: None
    # The supergroups that groups have become.
    _moved: dict[str, str] = field(default_factory=dict)

    @classmethod
    def for_settings(
        cls,
        settings: ChannelSettings,
        policy: RetryPolicy,
        recent: Mapping[str, list[float]] | None,
        warn: Callable[[str], None],
    ) -> TelegramChannel:
        """The channel of the TELEGRAM_* settings; `recent`: see `Pacer`."""
        assert settings.telegram_bot_token is not None
        proxy = settings.telegram_proxy
        client = TelegramClient(
            settings.telegram_bot_token.get_secret_value(),
            api_base=settings.telegram_api_base,
            proxy=proxy.get_secret_value() if proxy else None,
            policy=policy,
            pacer=Pacer(recent, sleep=policy.sleep),
        )
        return cls(client, settings.telegram_target, settings.telegram_targets, warn)

    def inspect(self) -> Iterator[Finding]:
        """See `Channel`; asks for the bot and each chat."""
        return inspect_chats(self.client, self.targets)

    def steps(self, message: Message, context: DeliveryContext) -> list[Step]:
        """See `Channel`."""
        target = self.target_of(message.kind, message.severity)
        if target is None:
            raise DeliveryError("misconfigured", "TELEGRAM_CHAT_ID is not set. Set it to the chat for messages.")
        return [partial(self._send, call, target, context) for call in calls_of(message, context.pictures)]

    def _send(self, call: Call, target: ChatTarget, context: DeliveryContext, first: Sent | None) -> dict[str, Any]:
        chat = self._moved.get(target.chat, target.chat)
        addressed = call.with_parameters(
            chat_id=chat,
            message_thread_id=target.thread if chat == target.chat else None,
            reply_parameters=_reply(first or context.reply_to, chat),
        )
        result, made, notes = self._make(addressed, repeat_unknown=context.repeat_unknown)
        messages = [each for each in (result if isinstance(result, list) else [result]) if isinstance(each, dict)]
        ids = tuple(str(each["message_id"]) for each in messages if each.get("message_id") is not None)
        found = messages[0].get("chat") if messages else None
        address, thread = made.parameters["chat_id"], made.parameters.get("message_thread_id")
        return {
            "address": f"{address}/{thread}" if thread else address,
            "message_ids": ids,
            "carrier": made.carrier,
            "link": link_to(found, ids[0]) if ids and isinstance(found, dict) else None,
            "notes": notes,
        }

    def edit(self, message: Message, original: Sent, pictures: Sequence[Picture] = ()) -> bool:
        """Change the text of the message that `original` names, and its picture if there is one and a new one."""
        if not original.message_ids or original.carrier == "none" or original.within is not None:
            return False
        is_text = original.carrier == "text"
        parameters = {
            # A group that has become a supergroup keeps its messages: none of the new chat's has this number by right.
            "chat_id": _chat_of(original),
            "message_id": original.message_ids[0],
            "reply_markup": keyboard_of(message),
        }
        part = one_part_of(message, TEXT_UNITS if is_text else CAPTION_UNITS)
        call = Call("editMessageText" if is_text else "editMessageCaption", parameters, part=part)
        if not is_text and len(pictures) == 1 and is_photo(pictures[0].png):
            call = replace(call, method="editMessageMedia", pictures=tuple(pictures))
        error = None
        try:
            self._make(call)
        except DeliveryError as caught:
            error = caught
        if error is None or (isinstance(error, RefusalError) and "message is not modified" in error.said):
            return True
        cannot_be_edited = isinstance(error, RefusalError) and (error.moved_to or "topic_closed" in error.said)
        if error.reason == "refused" or cannot_be_edited:
            self.warn(f"The message could not be edited: {error}")
            return False
        raise error

    def _make(self, call: Call, *, repeat_unknown: bool = True) -> tuple[Any, Call, tuple[str, ...]]:
        """Make a call. If Telegram refuses one aspect of it, repeat it without that aspect, as often as it takes.

        Returns the result, the call as it was made in the end, and what was done differently than intended.
        """
        notes: list[str] = []
        for _ in range(_MOST_CHANGES + 1):
            if call.part is None and not call.pictures:
                return [], call, tuple(notes)  # a picture that could not be sent; its text is sent
            try:
                return self.client.call(*request_of(call), repeat_unknown=repeat_unknown), call, tuple(notes)
            except DeliveryError as caught:
                error = caught
            changed = _degraded(call, error)
            if changed is None:
                break
            if isinstance(error, RefusalError) and error.moved_to:
                self._moved[call.parameters["chat_id"]] = error.moved_to
            call, note = changed
            notes.append(note)
        raise error


def link_to(chat: dict[str, Any], message_id: str) -> str | None:
    """The link that opens a message: groups without a name and private chats have none."""
    if username := chat.get("username"):
        return f"https://t.me/{username}/{message_id}" if chat.get("type") != "private" else None
    number = str(chat.get("id", ""))
    return f"https://t.me/c/{number[4:]}/{message_id}" if number.startswith("-100") else None


def _reply(reply_to: Sent | None, chat: str) -> str | None:
    """The reply to a message of the same chat; a number means another message in any other."""
    if reply_to is None or not reply_to.message_ids or _chat_of(reply_to) != chat:
        return None
    return json.dumps({"message_id": int(reply_to.message_ids[0]), "allow_sending_without_reply": True})


def _chat_of(sent: Sent) -> str:
    return sent.address.partition("/")[0]


# --- leaving parts out ------------------------------------------------------------------------------------------------

# A call has no more than these to give up: chat, topic, markup, buttons, reply, photo, file.
_MOST_CHANGES = 7
_TOPIC_REFUSED = ("message thread not found", "topic_closed", "topic_deleted")
_BUTTONS_REFUSED = ("button", "reply markup", "reply_markup")
_REPLY_REFUSED = ("message to be replied not found", "reply message not found", "reply_message_id_invalid")
_PICTURE_REFUSED = (
    "photo",
    "image_process_failed",
    "media_invalid",
    "media_empty",
    "wrong type of the web page",
    "too big",
    "too large",
    "file must be non-empty",
    "wrong file identifier",
    "rights to send documents",
    "chat_send_docs_forbidden",
    "chat_send_media_forbidden",
)
# Neither a photo nor a file may be sent.
_NO_MEDIA = "chat_send_media_forbidden"


Changed = tuple[Call, str] | None


def _degraded(call: Call, error: DeliveryError) -> Changed:
    """The call without what Telegram refuses of it, and what people should know; None where nothing helps.

    The call that is left may have neither text nor picture: there is nothing to send any more.
    """
    if not isinstance(error, RefusalError):
        return None
    ways = (_moved, _without_topic, _plain, _without_buttons, _without_reply, _as_file, _without_picture)
    return next((changed for way in ways if (changed := way(call, error))), None)


def _moved(call: Call, error: RefusalError) -> Changed:
    """To the supergroup; topics and messages of the old group are not there, so no reply, and no edit."""
    if not error.moved_to or "message_id" in call.parameters:
        return None
    moved = call.with_parameters(chat_id=error.moved_to, message_thread_id=None, reply_parameters=None)
    return moved, str(error)


def _without_topic(call: Call, error: RefusalError) -> Changed:
    topic = call.parameters.get("message_thread_id")
    if not topic or not _any_of(_TOPIC_REFUSED, error):
        return None
    note = f"The topic {topic} is gone or closed: sent without it. Correct TELEGRAM_THREAD_ID or TELEGRAM_ROUTES."
    return call.with_parameters(message_thread_id=None), note


def _plain(call: Call, error: RefusalError) -> Changed:
    if not call.part or not call.as_html or "can't parse entities" not in error.said:
        return None
    return replace(call, as_html=False), f"Telegram did not accept the markup, the text went plain: {error}"


def _without_buttons(call: Call, error: RefusalError) -> Changed:
    if not call.parameters.get("reply_markup") or not _any_of(_BUTTONS_REFUSED, error):
        return None
    note = f"Telegram did not accept the buttons, they were left out: {error}"
    return call.with_parameters(reply_markup=None), note


def _without_reply(call: Call, error: RefusalError) -> Changed:
    if not call.parameters.get("reply_parameters") or not _any_of(_REPLY_REFUSED, error):
        return None
    return call.with_parameters(reply_parameters=None), f"The message it replies to is gone: {error}"


def _as_file(call: Call, error: RefusalError) -> Changed:
    """Its pictures as files: those of an album in one call still, so that none of them is sent twice."""
    is_photo = call.method == "sendPhoto" or (call.method == "sendMediaGroup" and not call.as_files)
    if not is_photo or not _any_of(_PICTURE_REFUSED, error) or _NO_MEDIA in error.said:
        return None
    method = "sendDocument" if call.method == "sendPhoto" else call.method
    note = f"Telegram did not accept the picture as a photo, it went as a file: {error}"
    return replace(call, method=method, as_files=True), note


def _without_picture(call: Call, error: RefusalError) -> Changed:
    if not call.pictures or not _any_of(_PICTURE_REFUSED, error):
        return None
    note = f"Telegram did not accept the picture, it was left out: {error}"
    method = "editMessageCaption" if call.method == "editMessageMedia" else "sendMessage"
    return replace(call, method=method, pictures=(), as_files=False), note


def _any_of(phrases: tuple[str, ...], error: RefusalError) -> bool:
    return any(phrase in error.said for phrase in phrases)
