"""What Telegram's refusals mean: temporary, a configuration error, or about this message."""

from __future__ import annotations

import re
from typing import Any

from metrics_platform.notifications.errors import DeliveryError, Reason
from metrics_platform.notifications.transport import Answer, seconds_asked

_REPEATABLE = (500, 502, 503)
# What Telegram says where a person has to do something, and what that is.
_REMEDIES: tuple[tuple[str, str], ...] = (
    ("chat not found", "TELEGRAM_CHAT_ID names no chat that the bot can see: add the bot to the group or channel, or "
     "write it something first; groups begin with -, supergroups and channels with -100."),
    ("bot was kicked", "The bot was removed from the chat: add it again."),
    ("bot was blocked", "The person has blocked the bot: unblock it, or choose another chat in TELEGRAM_CHAT_ID."),
    ("user is deactivated", "The account is deleted: choose another chat in TELEGRAM_CHAT_ID."),
    ("bot is not a member", "Add the bot to the chat (to a channel: as an administrator)."),
    ("need administrator rights", "Make the bot an administrator of the channel, with the right to post."),
    ("not enough rights", "Give the bot the right to send messages and photos in this chat."),
    ("have no rights to send", "Give the bot the right to send messages in this chat."),
    ("chat_write_forbidden", "Give the bot the right to send messages in this chat."),
    ("chat_restricted", "The bot is restricted in this chat: give it the right to send messages."),
    ("user_banned_in_channel", "The bot is restricted in this chat: give it the right to send messages."),
    ("chat_guest_send_forbidden", "Only members may write in this group: add the bot to it."),
    ("channel_private", "The bot is not a member of the chat any more: add it again."),
    ("chat_admin_required", "Make the bot an administrator of the channel, with the right to post."),
    ("allow_payment_required", "The chat charges for messages: let the bot write for free, or choose another chat in "
     "TELEGRAM_CHAT_ID."),
    # With a topic, the message goes without it first: what is closed here is the topic "General".
    ("topic_closed", "The topic General of this group is closed: reopen it, or set TELEGRAM_THREAD_ID (in "
     "TELEGRAM_ROUTES: chat/topic) to a topic that is open."),
    ("group chat was deactivated", "The group is gone: choose another chat in TELEGRAM_CHAT_ID."),
    ("peer_id_invalid", "TELEGRAM_CHAT_ID names no chat that the bot can see."),
    ("bots can't send messages to bots", "TELEGRAM_CHAT_ID names a bot: choose a person, a group or a channel."),
)  # fmt: skip


# One right of several: "CHAT_SEND_PHOTOS_FORBIDDEN", "not enough rights to send photos to the chat".
_RIGHT = re.compile(r"chat_send_(?P<code>[a-z]+)_forbidden|not enough rights to send (?P<words>[a-z ]+?) to the chat")
_RIGHTS = {"plain": "text messages", "docs": "files", "documents": "files", "media": "photos and files"}


class RefusalError(DeliveryError):
    """Telegram itself refused the call; `said` are its words, in small letters."""

    def __init__(self, reason: Reason, text: str, *, code: int, said: str) -> None:
        super().__init__(reason, text, code=code)
        self.said = said.lower()


class MigratedError(RefusalError):
    """The group has become a supergroup with another id."""

    def __init__(self, chat: str, said: str) -> None:
        text = f"The group is a supergroup now: set TELEGRAM_CHAT_ID={chat}."
        super().__init__("misconfigured", text, code=400, said=said)
        self.chat = chat


def refusal(method: str, answer: Answer) -> DeliveryError:
    """The error for an answer other than success; `answer` is masked already."""
    body: dict[str, Any] = answer.json if isinstance(answer.json, dict) else {}
    given = body.get("parameters")
    parameters: dict[str, Any] = given if isinstance(given, dict) else {}
    said = str(body.get("description") or "")
    if answer.status == 429:
        wait = seconds_asked(parameters.get("retry_after"), answer.headers.get("Retry-After"))
        text = f"Telegram asks to wait {wait:.0f} s before the next message (429)."
        return DeliveryError("unreachable", text, code=429, retry_after=wait)
    if answer.status in _REPEATABLE:
        text = f"Telegram is not well: {method} was answered with {answer.status}."
        return DeliveryError("unreachable", text, code=answer.status)
    if answer.status == 413:  # from the Bot API, or from a relay that takes less than Telegram does
        said = said or "request entity too large"
    if not said or answer.status > 500:
        return _not_the_bot_api(method, answer)
    if "migrate_to_chat_id" in parameters:
        return MigratedError(str(parameters["migrate_to_chat_id"]), said)
    remedy = _remedy(answer.status, said)
    if remedy is not None:
        text = f"Telegram refuses: {answer.status} {said}. {remedy}"
        return RefusalError("misconfigured", text, code=answer.status, said=said)
    text = f"Telegram refused {method} ({answer.status}): {said}"
    return RefusalError("refused", text, code=answer.status, said=said)


def _remedy(status: int, said: str) -> str | None:
    """What a person has to do about a refusal; None where it is about this one message."""
    if status in (401, 404):
        return "TELEGRAM_BOT_TOKEN is wrong or was revoked; @BotFather shows the right one (/mybots → API Token)."
    if right := missing_right(said):
        return f"Give the bot the right to send {right} in this chat."
    remedy = next((remedy for phrase, remedy in _REMEDIES if phrase in said.lower()), None)
    if remedy is None and status == 403:
        return "Let the bot write to the chat, or choose another one in TELEGRAM_CHAT_ID."
    return remedy


def missing_right(said: str) -> str | None:
    """What the bot may not send in a chat, from Telegram's words; None where they are about something else."""
    match = _RIGHT.search(said.lower())
    if match is None:
        return None
    name = match["code"] or match["words"]
    return _RIGHTS.get(name, name)


def _not_the_bot_api(method: str, answer: Answer) -> DeliveryError:
    """Something else answered: a wrong address, a proxy's page, a gateway that gave up."""
    what = f"{method} was answered with {answer.status} and something that is not the Bot API's"
    if 300 <= answer.status < 500:
        text = f"{what}: {answer.text.strip()[:200]!r}. Correct TELEGRAM_API_BASE or TELEGRAM_PROXY."
        return DeliveryError("misconfigured", text, code=answer.status)
    # Whether the call was done is unknown.
    text = f"{what}: {answer.text.strip()[:200]!r}. If it stays so, look at TELEGRAM_API_BASE and TELEGRAM_PROXY."
    return DeliveryError("unknown", text, code=answer.status)
