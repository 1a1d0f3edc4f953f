"""A message to a chat, call by call, and what is done where Telegram accepts one only otherwise.

Steps that are done are not done again; replies and edits go to the message that was sent, in the chat it was sent to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from metrics_platform.channel_settings import ChatTarget
from metrics_platform.notifications.channel import Dispatch
from metrics_platform.notifications.errors import DeliveryError
from metrics_platform.notifications.journal import Sent
from metrics_platform.notifications.message import Message, Picture
from metrics_platform.notifications.telegram.answers import MigratedError, RefusalError
from metrics_platform.notifications.telegram.calls import Call, calls_of, is_photo, keyboard_of, request_of
from metrics_platform.notifications.telegram.client import TelegramClient
from metrics_platform.notifications.telegram.concessions import MOST_CONCESSIONS, concession
from metrics_platform.notifications.telegram.html import CAPTION_UNITS, TEXT_UNITS, one_part_of


@dataclass
class TelegramChannel:
    """Messages to the chats that `target_of` names by kind and severity."""

    client: TelegramClient
    target_of: Callable[[str, str], ChatTarget | None]
    name: str = "telegram"
    # What people and the journal should know: «sent without its topic», «the group is a supergroup now».
    warn: Callable[[str], None] = lambda _: None
    _notes: list[str] = field(default_factory=list)
    _moved: dict[str, str] = field(default_factory=dict)

    def deliver(self, message: Message, dispatch: Dispatch) -> None:
        """See `Channel`."""
        target = self.target_of(message.kind, message.severity)
        if target is None:
            raise DeliveryError("misconfigured", "TELEGRAM_CHAT_ID is not set: name the chat messages go to.")
        calls = calls_of(message, dispatch.pictures)
        first = dispatch.done.get(0)
        for step, call in enumerate(calls):
            if step in dispatch.done:
                continue
            dispatch.sending(step)
            self._notes = []
            chat = self._moved.get(target.chat, target.chat)
            addressed = call.with_parameters(
                chat_id=chat,
                message_thread_id=target.thread if chat == target.chat else None,
                reply_parameters=_reply(first or dispatch.reply_to, chat),
            )
            result, made = self._make(addressed, repeat_unknown=dispatch.repeat_unknown)
            sent = self._sent(result, made, step, len(calls))
            dispatch.sent(sent)
            first = first or sent

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
        in_closed_topic = isinstance(error, RefusalError) and "topic_closed" in error.said
        if error.reason == "refused" or isinstance(error, MigratedError) or in_closed_topic:
            self._note(f"The message could not be edited: {error}")
            return False
        raise error

    def _make(self, call: Call, *, repeat_unknown: bool = True) -> tuple[Any, Call]:
        """Make a call; where Telegram refuses one aspect of it, again without that aspect, as often as it takes.

        The result, and the call as it was made in the end.
        """
        for _ in range(MOST_CONCESSIONS + 1):
            if call.part is None and not call.pictures:
                return [], call  # a picture that nothing helped; its text is out
            try:
                return self.client.call(*request_of(call), repeat_unknown=repeat_unknown), call
            except DeliveryError as caught:
                error = caught
            conceded = concession(call, error)
            if conceded is None:
                break
            if isinstance(error, MigratedError):
                self._moved[call.parameters["chat_id"]] = error.chat
            call, note = conceded
            self._note(note)
        raise error

    def _sent(self, result: Any, call: Call, step: int, steps: int) -> Sent:
        messages = [each for each in (result if isinstance(result, list) else [result]) if isinstance(each, dict)]
        ids = tuple(str(each["message_id"]) for each in messages if each.get("message_id") is not None)
        chat = messages[0].get("chat") if messages else None
        address, thread = call.parameters["chat_id"], call.parameters.get("message_thread_id")
        return Sent(
            channel=self.name,
            step=step,
            steps=steps,
            address=f"{address}/{thread}" if thread else address,
            message_ids=ids,
            carrier=call.carrier,
            link=link_to(chat, ids[0]) if ids and isinstance(chat, dict) else None,
            notes=tuple(self._notes),
        )

    def _note(self, text: str) -> None:
        self._notes.append(text)
        self.warn(text)


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
