"""A message to a chat: which calls it takes, and what is done where Telegram accepts it only otherwise.

One photo and a text that fits make one message; else the text goes first, in parts, and the pictures follow as a
silent reply. Nothing is lost to markup, to a topic that is gone or to a picture that is refused.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from metrics_platform.channel_settings import ChatTarget
from metrics_platform.notifications.channel import Dispatch
from metrics_platform.notifications.errors import DeliveryError
from metrics_platform.notifications.journal import Sent
from metrics_platform.notifications.message import Message, Picture
from metrics_platform.notifications.telegram.answers import MigratedError
from metrics_platform.notifications.telegram.client import TelegramClient
from metrics_platform.notifications.telegram.html import CAPTION_UNITS, Part, escape, fits, parts_of, units
from metrics_platform.notifications.templates.writer import is_public

MAX_PHOTO_BYTES, MAX_PHOTO_SIDES, MAX_PHOTO_RATIO, MAX_ALBUM = 10 * 1024 * 1024, 10_000, 20, 10
_PHOTO_REFUSED = ("photo", "image_process_failed", "wrong type of the web page", "file is too big")

Carrier = Literal["text", "caption", "none"]


@dataclass(frozen=True)
class Call:
    """One call of the Bot API that makes one message (an album: several)."""

    method: str
    parameters: dict[str, Any]
    pictures: tuple[Picture, ...] = ()
    part: Part | None = None  # its text, which goes in `text` or `caption`

    @property
    def carrier(self) -> Carrier:
        """Where the text stands: what an edit has to name."""
        if self.part is None:
            return "none"
        return "text" if self.method == "sendMessage" else "caption"


def calls_of(message: Message, pictures: Sequence[Picture]) -> list[Call]:
    """The calls that send `message`, without the chat; the first carries the sound, the last text the buttons."""
    photos = [picture for picture in pictures if is_photo(picture.png)]
    documents = [picture for picture in pictures if not is_photo(picture.png)]
    keyboard = _keyboard(message)
    calls: list[Call] = []
    if len(photos) == 1 and not documents and fits(message, CAPTION_UNITS):
        (part,) = parts_of(message, CAPTION_UNITS)
        calls.append(Call("sendPhoto", {"reply_markup": keyboard}, (photos[0],), part))
    else:
        parts = parts_of(message)
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            calls.append(Call("sendMessage", {"reply_markup": keyboard if last else None}, part=part))
        for first in range(0, len(photos), MAX_ALBUM):
            album = tuple(photos[first : first + MAX_ALBUM])
            calls.append(Call("sendPhoto" if len(album) == 1 else "sendMediaGroup", {}, album))
        calls += [Call("sendDocument", {}, (picture,)) for picture in documents]
    return [
        replace(call, parameters={**call.parameters, "disable_notification": _flag(message.silent or number > 0)})
        for number, call in enumerate(calls)
    ]


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
            reply_to = first or dispatch.reply_to
            result, carrier = self._send(call, target, reply_to, dispatch.repeat_unknown)
            sent = self._sent(result, carrier, target, step, len(calls))
            dispatch.sent(sent)
            first = first or sent

    def edit(self, message: Message, original: Sent) -> bool:
        """Change the text of the message that `original` names; its picture, if any, stays."""
        if not original.message_ids or original.carrier == "none" or original.within is not None:
            return False
        chat, _, _ = original.address.partition("/")
        method = "editMessageText" if original.carrier == "text" else "editMessageCaption"
        limit = {} if original.carrier == "text" else {"limit": CAPTION_UNITS}
        part = parts_of(message, **limit)[0]
        parameters = {
            "chat_id": self._moved.get(chat, chat),
            "message_id": original.message_ids[0],
            "reply_markup": _keyboard(message),
        }
        call = Call(method, parameters, part=part)
        try:
            self._call(call, parameters, as_html=True)
        except DeliveryError as caught:
            if "message is not modified" in str(caught):
                return True
            if caught.reason != "refused":
                raise
            self._note(f"The message could not be edited: {caught}")
            return False
        return True

    def _send(self, call: Call, target: ChatTarget, reply_to: Sent | None, repeat_unknown: bool) -> tuple[Any, Carrier]:
        """Send a call; where Telegram refuses one aspect of it, again without that aspect, as often as it takes."""
        chat = self._moved.get(target.chat, target.chat)
        parameters: dict[str, Any] = {
            **call.parameters,
            "chat_id": chat,
            "message_thread_id": target.thread,
            "reply_parameters": _reply(reply_to, {target.chat, chat}),
        }
        as_html = True
        for _ in range(6):  # each aspect can be given up once
            try:
                return self._call(call, parameters, as_html=as_html, repeat_unknown=repeat_unknown), call.carrier
            except MigratedError as caught:
                self._moved[target.chat] = parameters["chat_id"] = caught.chat
                parameters["message_thread_id"] = None
                parameters["reply_parameters"] = None
                self._note(str(caught))
                continue
            except DeliveryError as caught:
                error = caught
            said = str(error).lower()
            if "message thread not found" in said and parameters.get("message_thread_id"):
                parameters["message_thread_id"] = None
                self._note(f"The topic {target.thread} is gone: sent without it. Correct TELEGRAM_THREAD_ID.")
            elif "can't parse entities" in said and as_html:
                as_html = False
                self._note(f"Telegram did not accept the markup, the text went plain: {error}")
            elif "button" in said and parameters.get("reply_markup"):
                parameters["reply_markup"] = None
                self._note(f"Telegram did not accept the buttons, they were left out: {error}")
            elif error.reason == "refused" and call.pictures and any(each in said for each in _PHOTO_REFUSED):
                if call.method == "sendDocument":
                    raise error
                self._note(f"Telegram did not accept the picture as a photo, it went as a file: {error}")
                return self._as_documents(call, parameters, repeat_unknown=repeat_unknown)
            else:
                raise error
        raise error

    def _as_documents(self, call: Call, parameters: dict[str, Any], *, repeat_unknown: bool) -> tuple[Any, Carrier]:
        """The pictures of a refused photo or album as files; the caption is the first one's."""
        results = []
        for number, picture in enumerate(call.pictures):
            part = call.part if number == 0 else None
            document = Call("sendDocument", call.parameters, (picture,), part)
            given = parameters if number == 0 else {**parameters, "reply_markup": None, "disable_notification": "true"}
            results.append(self._call(document, given, as_html=True, repeat_unknown=repeat_unknown))
        return results, "caption" if call.part else "none"

    def _call(self, call: Call, parameters: dict[str, Any], *, as_html: bool, repeat_unknown: bool = True) -> Any:
        method, given, files = request_of(replace(call, parameters=parameters), as_html=as_html)
        return self.client.call(method, given, files, repeat_unknown=repeat_unknown)

    def _sent(self, result: Any, carrier: Carrier, target: ChatTarget, step: int, steps: int) -> Sent:
        messages = [each for each in (result if isinstance(result, list) else [result]) if isinstance(each, dict)]
        ids = tuple(str(each.get("message_id")) for each in messages if each.get("message_id") is not None)
        chat = messages[0].get("chat") if messages and isinstance(messages[0].get("chat"), dict) else {}
        address = self._moved.get(target.chat, target.chat)
        return Sent(
            channel=self.name,
            step=step,
            steps=steps,
            address=f"{address}/{target.thread}" if target.thread else address,
            message_ids=ids,
            carrier=carrier,
            link=link_to(chat or {}, ids[0]) if ids else None,
            notes=tuple(self._notes),
        )

    def _note(self, text: str) -> None:
        self._notes.append(text)
        self.warn(text)


def request_of(
    call: Call, *, as_html: bool = True
) -> tuple[str, dict[str, Any], dict[str, tuple[str, bytes, str]] | None]:
    """A call as method, form fields and files."""
    given = dict(call.parameters)
    if call.part is not None:
        given["text" if call.method in ("sendMessage", "editMessageText") else "caption"] = (
            call.part.html if as_html else call.part.plain
        )
        given["parse_mode"] = "HTML" if as_html else None
    if call.method in ("sendMessage", "editMessageText"):
        given["link_preview_options"] = json.dumps({"is_disabled": True})
    if not call.pictures:
        return call.method, given, None
    names = [f"{picture.name}.png" for picture in call.pictures]
    if call.method == "sendMediaGroup":
        given.pop("reply_markup", None)
        media = [
            {
                "type": "photo",
                "media": f"attach://picture{number}",
                "caption": escape(picture.title),
                "parse_mode": "HTML",
            }
            for number, picture in enumerate(call.pictures)
        ]
        given["media"] = json.dumps(media)
        fields = [f"picture{number}" for number in range(len(call.pictures))]
    else:
        fields = ["photo" if call.method == "sendPhoto" else "document"]
        if call.part is None and units(call.pictures[0].title) <= CAPTION_UNITS:
            given["caption"] = call.pictures[0].title
    pictures = zip(fields, names, call.pictures, strict=True)
    return call.method, given, {name: (file, picture.png, "image/png") for name, file, picture in pictures}


def is_photo(png: bytes) -> bool:
    """Whether Telegram takes the picture as a photo: its size in bytes and pixels and its ratio."""
    if len(png) > MAX_PHOTO_BYTES or png[:8] != b"\x89PNG\r\n\x1a\n" or len(png) < 24:
        return False
    width, height = struct.unpack(">II", png[16:24])
    return bool(
        width + height <= MAX_PHOTO_SIDES
        and min(width, height) > 0
        and max(width, height) <= MAX_PHOTO_RATIO * min(width, height)
    )


def link_to(chat: dict[str, Any], message_id: str) -> str | None:
    """The link that opens a message: groups without a name and private chats have none."""
    if username := chat.get("username"):
        return f"https://t.me/{username}/{message_id}" if chat.get("type") != "private" else None
    number = str(chat.get("id", ""))
    return f"https://t.me/c/{number[4:]}/{message_id}" if number.startswith("-100") else None


def _keyboard(message: Message) -> str | None:
    buttons = [{"text": link.label, "url": link.url} for link in message.links if is_public(link.url)]
    return json.dumps({"inline_keyboard": [buttons]}, ensure_ascii=False) if buttons else None


def _reply(reply_to: Sent | None, chats: set[str]) -> str | None:
    if reply_to is None or not reply_to.message_ids or reply_to.address.partition("/")[0] not in chats:
        return None
    return json.dumps({"message_id": int(reply_to.message_ids[0]), "allow_sending_without_reply": True})


def _flag(value: bool) -> str:
    return "true" if value else "false"
