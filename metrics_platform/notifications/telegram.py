"""Telegram: paced calls of the Bot API, the meaning of its refusals, and what to leave out of a refused message.

Finished steps are not repeated. Replies and edits go to the chat where the original was sent. The token is part of
every URL, so no URL leaves this module: not in an error, and not in a log.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from metrics_platform.channel_settings import ChatTarget
from metrics_platform.findings import Finding
from metrics_platform.notifications.channel import (
    NETWORK,
    Answer,
    Channel,
    DeliveryContext,
    DeliveryError,
    RetryPolicy,
    Step,
    Transport,
    retry,
)
from metrics_platform.notifications.history import Reason, Sent
from metrics_platform.notifications.message import Message, Picture
from metrics_platform.notifications.telegram_calls import (
    CAPTION_UNITS,
    TEXT_UNITS,
    Call,
    calls_of,
    is_photo,
    keyboard_of,
    one_part_of,
    request_of,
)

# Telegram allows one message a second to a chat, and twenty a minute to a group. It counts arrivals and we count sends,
# so both limits have a small margin for messages that take longer than others.
SECONDS_BETWEEN, GROUP_MESSAGES, GROUP_SECONDS = 1.05, 20, 61.0
# Parts of Telegram's errors for a wrong setting or a missing right, and the remedy.
_REMEDIES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("chat not found", "peer_id_invalid"), "TELEGRAM_CHAT_ID names no chat that the bot can see: add the bot to the "
     "group or channel, or send the bot a message first; groups begin with -, supergroups and channels with -100."),
    (("bot was kicked", "channel_private"), "The bot is not in the chat any more: add it again."),
    (("bot was blocked",), "The person has blocked the bot: unblock it, or choose another chat in TELEGRAM_CHAT_ID."),
    (("user is deactivated", "group chat was deactivated"), "It is gone: choose another chat in TELEGRAM_CHAT_ID."),
    (("bot is not a member",), "Add the bot to the chat (to a channel: as an administrator)."),
    (("need administrator rights", "chat_admin_required"), "Make the bot an administrator of the channel, with the "
     "right to post."),
    (("not enough rights", "have no rights to send", "chat_write_forbidden", "chat_restricted",
      "user_banned_in_channel"), "Give the bot the right to send messages and photos in this chat."),
    (("chat_guest_send_forbidden",), "Only members may write in this group: add the bot to it."),
    (("allow_payment_required",), "The chat charges for messages: let the bot write for free, or choose another chat "
     "in TELEGRAM_CHAT_ID."),
    # With a topic, the message goes without it first: what is closed here is the topic "General".
    (("topic_closed",), "The topic General of this group is closed: reopen it, or set TELEGRAM_THREAD_ID (in "
     "TELEGRAM_ROUTES: chat/topic) to a topic that is open."),
    (("bots can't send messages to bots",), "TELEGRAM_CHAT_ID names a bot: choose a person, a group or a channel."),
)  # fmt: skip
# One right of several: "CHAT_SEND_PHOTOS_FORBIDDEN", "not enough rights to send photos to the chat".
_RIGHT = re.compile(r"chat_send_(?P<code>[a-z]+)_forbidden|not enough rights to send (?P<words>[a-z ]+?) to the chat")
_RIGHTS = {"plain": "text messages", "docs": "files", "documents": "files", "media": "photos and files"}


class RefusalError(DeliveryError):
    """Telegram itself refused the call.

    Attributes:
        description: Telegram's error text, in lower case.
        migrated_to: the supergroup that the chat was upgraded to.
    """

    def __init__(self, reason: Reason, text: str, *, description: str, migrated_to: str | None = None) -> None:
        super().__init__(reason, text)
        self.description = description.lower()
        self.migrated_to = migrated_to

    def mentions(self, *phrases: str) -> bool:
        """Whether Telegram's error text contains any of these phrases."""
        return any(phrase in self.description for phrase in phrases)


def refusal(method: str, answer: Answer) -> DeliveryError:
    """The error for an answer other than success. `answer` is already masked."""
    body: dict[str, Any] = answer.json if isinstance(answer.json, dict) else {}
    parameters, description, status = body.get("parameters"), str(body.get("description") or ""), answer.status
    if status == 413:  # from the Bot API, or from a relay with a lower limit
        description = description or "request entity too large"
    if not description:  # a wrong address, or a proxy's page
        text = f"{method} was answered with {status} and something that is not the Bot API's: "
        text += f"{answer.text.strip()[:200]!r}. Correct TELEGRAM_API_BASE or TELEGRAM_PROXY."
        return DeliveryError("misconfigured" if 300 <= status < 500 else "unknown", text)
    if isinstance(parameters, dict) and (chat := parameters.get("migrate_to_chat_id")):
        text = f"The group is a supergroup now: set TELEGRAM_CHAT_ID={chat}."
        return RefusalError("misconfigured", text, description=description, migrated_to=str(chat))
    if remedy := _remedy(status, description):
        text = f"Telegram refuses: {status} {description}. {remedy}"
        return RefusalError("misconfigured", text, description=description)
    return RefusalError("refused", f"Telegram refused {method} ({status}): {description}", description=description)


def _remedy(status: int, description: str) -> str | None:
    """The remedy for a refusal; None if it concerns only this message."""
    if status in (401, 404):
        return "TELEGRAM_BOT_TOKEN is wrong or was revoked; @BotFather shows the right one (/mybots → API Token)."
    if match := _RIGHT.search(description.lower()):
        right = match["code"] or match["words"]
        return f"Give the bot the right to send {_RIGHTS.get(right, right)} in this chat."
    remedies = (remedy for phrases, remedy in _REMEDIES if any(phrase in description.lower() for phrase in phrases))
    remedy = next(remedies, None)
    if remedy is None and status == 403:
        return "Let the bot write to the chat, or choose another one in TELEGRAM_CHAT_ID."
    return remedy


class Pacer:
    """Paces the messages to each chat, including those that earlier runs sent (wall-clock seconds)."""

    def __init__(
        self,
        recent: Mapping[str, list[float]] | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._sent: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=GROUP_MESSAGES))
        for chat, moments in (recent or {}).items():
            self._sent[chat].extend(sorted(moments))

    def wait(self, chat: str, messages: int = 1) -> None:
        """Wait until `chat` allows this many messages at once (the photos of an album), and count them."""
        sent, now = self._sent[chat], self._clock()
        due = sent[-1] + SECONDS_BETWEEN if sent else now
        is_group = chat.startswith(("-", "@"))
        before = len(sent) + messages - GROUP_MESSAGES  # this many must be older than a minute
        if is_group and before > 0:
            due = max(due, sent[before - 1] + GROUP_SECONDS)
        if 0 < due - now <= GROUP_SECONDS:  # a longer wait means that the clock was set back
            self._sleep(due - now)
        sent.extend([self._clock()] * messages)


class TelegramClient:
    """Calls methods of the Bot API with one bot's token. Its texts, errors and logs never contain the token."""

    def __init__(
        self,
        token: str,
        *,
        api_base: str = "https://api.telegram.org",
        proxy: str | None = None,
        policy: RetryPolicy | None = None,
        pacer: Pacer | None = None,
        timeouts: tuple[float, float] | None = None,
    ) -> None:
        self._prefix = f"{api_base.rstrip('/')}/bot{token}/"
        options = {"timeouts": timeouts} if timeouts else {}
        self._transport = Transport("Telegram", secrets=(token,), proxy=proxy, **options)
        self._policy = policy or RetryPolicy()
        self._pacer = pacer or Pacer()

    def call(
        self,
        method: str,
        parameters: Mapping[str, Any],
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        *,
        repeat_unknown: bool = True,
    ) -> Any:
        """Call a method and return its result. Parameters that are None are left out.

        Transient errors (no connection, 5xx, 429) are retried within the policy's budget. With `repeat_unknown`, a call
        whose answer was lost is retried, too, so it may take effect twice.

        Raises:
            DeliveryError: with the reason that decides what happens next.
        """
        chat = parameters.get("chat_id")
        messages = len(files or ()) if method == "sendMediaGroup" else 1

        def wait_for_turn() -> None:
            if chat is not None and not method.startswith("get"):
                self._pacer.wait(str(chat), messages)

        wait_for_turn()  # before the policy's budget starts, because pacing is not a failure
        return retry(
            self._policy,
            lambda: self._call_once(method, parameters, files),
            repeat_unknown=repeat_unknown,
            before_retry=wait_for_turn,
        )

    def _call_once(
        self, method: str, parameters: Mapping[str, Any], files: Mapping[str, tuple[str, bytes, str]] | None
    ) -> Any:
        answer = self._transport.post(self._prefix + method, data=parameters, files=files)
        if answer.status == 200 and isinstance(answer.json, dict) and answer.json.get("ok") is True:
            return answer.json.get("result")
        raise refusal(method, answer)


# --- messages ---------------------------------------------------------------------------------------------------------


@dataclass
class TelegramChannel(Channel):
    """Messages to the chats that `target_of` names by kind and severity."""

    name = "telegram"
    title = "Telegram"

    client: TelegramClient
    target_of: Callable[[str, str], ChatTarget | None]
    targets: Sequence[ChatTarget] = ()
    warn: Callable[[str], None] = lambda _: None
    # Groups that were upgraded, each with its supergroup.
    _migrated: dict[str, str] = field(default_factory=dict)

    def inspect(self) -> Iterator[Finding]:
        """The bot's name (`getMe`), then each chat's title (`getChat`), or what is wrong and the remedy."""
        try:
            bot = self.client.call("getMe", {})
        except DeliveryError as caught:
            yield Finding("Telegram", "problem", str(caught), NETWORK if caught.is_transient else "")
            return
        yield Finding("Telegram", "ok", f"the bot is {bot.get('first_name')} (@{bot.get('username')})")
        for target in self.targets:
            yield _inspect_chat(self.client, target, str(bot.get("id")))

    def steps(self, message: Message, context: DeliveryContext) -> list[Step]:
        target = self.target_of(message.kind, message.severity)
        if target is None:
            raise DeliveryError("misconfigured", "TELEGRAM_CHAT_ID is not set. Set it to the chat for messages.")
        return [partial(self._send, call, target, context) for call in calls_of(message, context.pictures)]

    def _send(self, call: Call, target: ChatTarget, context: DeliveryContext, first: Sent | None) -> dict[str, Any]:
        chat = self._migrated.get(target.chat, target.chat)
        addressed = call.with_parameters(
            chat_id=chat,
            message_thread_id=target.thread if chat == target.chat else None,
            reply_parameters=_reply(first or context.reply_to, chat),
        )
        result, final_call, notes = self._call_degrading(addressed, repeat_unknown=context.repeat_unknown)
        messages = [
            message for message in (result if isinstance(result, list) else [result]) if isinstance(message, dict)
        ]
        ids = tuple(str(message["message_id"]) for message in messages if message.get("message_id") is not None)
        chat_data = messages[0].get("chat") if messages else None
        address, thread = final_call.parameters["chat_id"], final_call.parameters.get("message_thread_id")
        return {
            "address": f"{address}/{thread}" if thread else address,
            "message_ids": ids,
            "carrier": final_call.carrier,
            "link": link_to(chat_data, ids[0]) if ids and isinstance(chat_data, dict) else None,
            "notes": notes,
        }

    def edit(self, message: Message, original: Sent, pictures: Sequence[Picture] = ()) -> bool:
        """Change the text of the message that `original` names, and its picture if there is one and a new one."""
        if not original.message_ids or original.carrier == "none" or original.within is not None:
            return False
        is_text = original.carrier == "text"
        parameters = {
            # The original chat, even if it was upgraded: in the supergroup, this id belongs to another message.
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
            self._call_degrading(call)
        except DeliveryError as caught:
            error = caught
        if error is None or (isinstance(error, RefusalError) and error.mentions("message is not modified")):
            return True
        cannot_be_edited = isinstance(error, RefusalError) and (error.migrated_to or error.mentions("topic_closed"))
        if error.reason == "refused" or cannot_be_edited:
            self.warn(f"The message could not be edited: {error}")
            return False
        raise error

    def _call_degrading(self, call: Call, *, repeat_unknown: bool = True) -> tuple[Any, Call, tuple[str, ...]]:
        """Make a call. If Telegram refuses an aspect of it, repeat it without that aspect, as often as needed.

        Returns the result, the final call, and notes on what was left out.
        """
        notes: list[str] = []
        for _ in range(_MAX_DEGRADATIONS + 1):
            if call.part is None and not call.pictures:
                return [], call, tuple(notes)  # a picture that could not be sent; its text is sent
            try:
                return self.client.call(*request_of(call), repeat_unknown=repeat_unknown), call, tuple(notes)
            except DeliveryError as caught:
                error = caught
            degraded = _degrade(call, error)
            if degraded is None:
                break
            if isinstance(error, RefusalError) and error.migrated_to:
                self._migrated[call.parameters["chat_id"]] = error.migrated_to
            call, note = degraded
            notes.append(note)
        raise error


def link_to(chat: dict[str, Any], message_id: str) -> str | None:
    """The link to a message; None for groups without a name and for private chats."""
    if username := chat.get("username"):
        return f"https://t.me/{username}/{message_id}" if chat.get("type") != "private" else None
    number = str(chat.get("id", ""))
    return f"https://t.me/c/{number[4:]}/{message_id}" if number.startswith("-100") else None


def _reply(reply_to: Sent | None, chat: str) -> str | None:
    """The reply parameters; None if the message is in another chat, where its id means another message."""
    if reply_to is None or not reply_to.message_ids or _chat_of(reply_to) != chat:
        return None
    return json.dumps({"message_id": int(reply_to.message_ids[0]), "allow_sending_without_reply": True})


def _chat_of(sent: Sent) -> str:
    return sent.address.partition("/")[0]


# --- leaving parts out ------------------------------------------------------------------------------------------------

# The aspects that a call can lose: chat, topic, markup, buttons, reply, photo, file.
_MAX_DEGRADATIONS = 7
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


def _degrade(  # noqa: PLR0911  (one case per aspect reads best)
    call: Call, error: DeliveryError
) -> tuple[Call, str] | None:
    """The call without the aspect that Telegram refuses, and a note for users; None if nothing helps.

    If the new call has neither text nor picture, nothing is left to send.
    """
    if not isinstance(error, RefusalError):
        return None
    parameters = call.parameters
    if error.migrated_to and "message_id" not in parameters:
        # The supergroup does not have the topics and messages of the old group, so replies and edits are impossible.
        migrated = call.with_parameters(chat_id=error.migrated_to, message_thread_id=None, reply_parameters=None)
        return migrated, str(error)
    if (topic := parameters.get("message_thread_id")) and error.mentions(*_TOPIC_REFUSED):
        note = f"The topic {topic} is gone or closed: sent without it. Correct TELEGRAM_THREAD_ID or TELEGRAM_ROUTES."
        return call.with_parameters(message_thread_id=None), note
    if call.part and call.as_html and error.mentions("can't parse entities"):
        return replace(call, as_html=False), f"Telegram did not accept the markup, the text went plain: {error}"
    if parameters.get("reply_markup") and error.mentions(*_BUTTONS_REFUSED):
        note = f"Telegram did not accept the buttons, they were left out: {error}"
        return call.with_parameters(reply_markup=None), note
    if parameters.get("reply_parameters") and error.mentions(*_REPLY_REFUSED):
        return call.with_parameters(reply_parameters=None), f"The message it replies to is gone: {error}"
    if not call.pictures or not error.mentions(*_PICTURE_REFUSED):
        return None
    is_photo = call.method == "sendPhoto" or (call.method == "sendMediaGroup" and not call.as_files)
    if is_photo and not error.mentions("chat_send_media_forbidden"):  # neither a photo nor a file may be sent
        # An album stays one call, so that no picture is sent twice.
        method = "sendDocument" if call.method == "sendPhoto" else call.method
        note = f"Telegram did not accept the picture as a photo, it went as a file: {error}"
        return replace(call, method=method, as_files=True), note
    method = "editMessageCaption" if call.method == "editMessageMedia" else "sendMessage"
    note = f"Telegram did not accept the picture, it was left out: {error}"
    return replace(call, method=method, pictures=(), as_files=False), note


# --- checks of the bot and of each chat, without sending anything ----------------------------------------------------
#
# Never `getUpdates` and no webhooks: another program may use the bot's updates.

# The most digits of a basic group's id. The id of a supergroup has 100 before its digits.
_MAX_GROUP_DIGITS = 11
_RIGHT_TITLES = {
    "can_send_messages": "send messages",
    "can_send_photos": "send photos",
    "can_send_documents": "send files",
    "can_post_messages": "post messages",
    "can_edit_messages": "edit messages",
}


def _inspect_chat(client: TelegramClient, target: ChatTarget, bot: str) -> Finding:
    """A chat's title, or what is wrong with it or with the bot's rights there."""
    subject, title = f"Telegram chat {target.chat}" + (f", topic {target.thread}" if target.thread else ""), ""
    try:
        chat = client.call("getChat", {"chat_id": target.chat})
        title = f'"{chat.get("title") or chat.get("first_name") or chat.get("username")}" ({chat.get("type")})'
        if target.thread and not chat.get("is_forum"):
            remedy = "Remove TELEGRAM_THREAD_ID, or /topic in TELEGRAM_ROUTES."
            return Finding(subject, "problem", f"{title} has no topics", remedy)
        if chat.get("type") == "private":
            return Finding(subject, "ok", title)
        member = client.call("getChatMember", {"chat_id": target.chat, "user_id": bot})
    except DeliveryError as caught:
        remedy = NETWORK if caught.is_transient else "" if title else _suggest_chat(client, target.chat)
        return Finding(subject, "problem", f"{title}: {caught}" if title else str(caught), remedy)
    if missing := _missing_rights(chat, member):
        remedy = f"Let the bot {missing} there (in a channel: as an administrator)."
        return Finding(subject, "problem", f"the bot may not {missing} in {title}", remedy)
    return Finding(subject, "ok", title)


def _suggest_chat(client: TelegramClient, chat: str) -> str:
    """Suggest a chat id for a number without its minus or its -100; empty for other chats."""
    digits = chat.removeprefix("-")
    if not digits.isdigit() or chat.startswith("-100"):
        return ""
    has_its_100 = digits.startswith("100") and len(digits) > _MAX_GROUP_DIGITS
    spellings = [f"-{digits}"] if has_its_100 else [f"-{digits}", f"-100{digits}"]
    for spelling in (spelling for spelling in spellings if spelling != chat):
        with contextlib.suppress(DeliveryError):
            other = client.call("getChat", {"chat_id": spelling})
            return f'{spelling} exists, "{other.get("title")}": is that the one?'
    return (
        f"Numbers of groups begin with a minus, those of supergroups and channels with -100: is the bot a member of "
        f"{' or '.join(spellings)}? A person's number has no minus, and the person has to write to the bot first."
    )


def _missing_rights(chat: dict[str, Any], member: dict[str, Any]) -> str:
    """The rights that the bot needs in a chat and does not have, in words; empty if none is missing."""
    status = member.get("status")
    if status in ("left", "kicked"):
        return "be a member"
    if chat.get("type") == "channel":
        needed: tuple[str, ...] = ("can_post_messages", "can_edit_messages")
        rights = member if status == "administrator" else {}
    else:
        needed = ("can_send_messages", "can_send_photos", "can_send_documents")
        # Members have the group's rights minus their own restrictions. Administrators have all rights.
        group_rights = {} if status in ("administrator", "creator") else chat.get("permissions", {})
        rights = {right: group_rights.get(right, True) and member.get(right, True) for right in needed}
    return " and ".join(_RIGHT_TITLES[right] for right in needed if not rights.get(right, False))
