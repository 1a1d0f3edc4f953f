"""What Telegram says of the bot (`getMe`), of each chat (`getChat`) and of its rights there (`getChatMember`).

Never `getUpdates` and no webhooks: another program may live on the bot's updates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from metrics_platform.channel_settings import ChatTarget
from metrics_platform.findings import Finding
from metrics_platform.notifications.channel import NETWORK, DeliveryError
from metrics_platform.notifications.telegram.client import TelegramClient

# Digits of a basic group's number, at most; those of a supergroup follow on 100.
_LONGEST_GROUP = 11
_RIGHTS = {
    "can_send_messages": "send messages",
    "can_send_photos": "send photos",
    "can_send_documents": "send files",
    "can_post_messages": "post messages",
    "can_edit_messages": "edit messages",
}


def inspect_chats(client: TelegramClient, targets: Sequence[ChatTarget]) -> Iterator[Finding]:
    """The bot's name, then each chat's title, or what is wrong and the remedy."""
    bot, problem = _asked(client, "getMe")
    if problem:
        yield Finding("Telegram", "problem", *problem)
        return
    yield Finding("Telegram", "ok", f"the bot is {bot.get('first_name')} (@{bot.get('username')})")
    for target in targets:
        status, detail, remedy = _chat(client, target, str(bot.get("id")))
        subject = f"Telegram chat {target.chat}" + (f", topic {target.thread}" if target.thread else "")
        yield Finding(subject, "problem" if status else "ok", detail, remedy)


def _chat(client: TelegramClient, target: ChatTarget, bot: str) -> tuple[bool, str, str]:
    """Whether there is a problem with a chat, what it is (or the chat's title), and the remedy."""
    chat, problem = _asked(client, "getChat", chat_id=target.chat)
    if problem:
        return True, problem[0], problem[1] or _other_spelling(client, target.chat)
    title = f'"{chat.get("title") or chat.get("first_name") or chat.get("username")}" ({chat.get("type")})'
    if target.thread and not chat.get("is_forum"):
        return True, f"{title} has no topics", "Remove TELEGRAM_THREAD_ID, or /topic in TELEGRAM_ROUTES."
    if chat.get("type") == "private":
        return False, title, ""
    member, problem = _asked(client, "getChatMember", chat_id=target.chat, user_id=bot)
    if problem:
        return True, f"{title}: {problem[0]}", problem[1]
    if missing := _missing_rights(chat, member):
        remedy = f"Let the bot {missing} there (in a channel: as an administrator)."
        return True, f"the bot may not {missing} in {title}", remedy
    return False, title, ""


def _other_spelling(client: TelegramClient, chat: str) -> str:
    """The chat that a number without its minus or its -100 may mean; empty for other chats."""
    digits = chat.removeprefix("-")
    if not digits.isdigit() or chat.startswith("-100"):
        return ""
    has_its_100 = digits.startswith("100") and len(digits) > _LONGEST_GROUP
    spellings = [f"-{digits}"] if has_its_100 else [f"-{digits}", f"-100{digits}"]
    for spelling in spellings:
        if spelling == chat:
            continue
        found, problem = _asked(client, "getChat", chat_id=spelling)
        if not problem:
            return f'{spelling} exists, "{found.get("title")}": is that the one?'
    return (
        f"Numbers of groups begin with a minus, those of supergroups and channels with -100: is the bot a member of "
        f"{' or '.join(spellings)}? A person's number has no minus, and the person has to write to the bot first."
    )


def _missing_rights(chat: dict[str, Any], member: dict[str, Any]) -> str:
    """What the bot has to do in a chat and may not, in words; empty if nothing is missing."""
    status = member.get("status")
    if status in ("left", "kicked"):
        return "be a member"
    if chat.get("type") == "channel":
        needed: tuple[str, ...] = ("can_post_messages", "can_edit_messages")
        rights = member if status == "administrator" else {}
    else:
        needed = ("can_send_messages", "can_send_photos", "can_send_documents")
        # Members have the group's rights, less their own restrictions. Administrators have them all.
        everyone = {} if status in ("administrator", "creator") else chat.get("permissions", {})
        rights = {right: everyone.get(right, True) and member.get(right, True) for right in needed}
    return " and ".join(_RIGHTS[right] for right in needed if not rights.get(right, False))


def _asked(client: TelegramClient, method: str, **parameters: str) -> tuple[dict[str, Any], tuple[str, str] | None]:
    """The answer to a question, or what is wrong and the remedy."""
    try:
        result = client.call(method, parameters)
    except DeliveryError as caught:
        return {}, (str(caught), NETWORK if caught.passes else "")
    return (result if isinstance(result, dict) else {}), None
