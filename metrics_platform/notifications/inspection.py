"""Would every channel take a message now? Asked without sending one: for `doctor`, and at start-up.

Telegram is asked who the bot is (`getMe`), and of each chat whether it is there (`getChat`) and what the bot may do
in it (`getChatMember`). Never `getUpdates` and no webhooks: another program may live by the bot's updates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from metrics_platform.channel_settings import ChatTarget
from metrics_platform.findings import Finding
from metrics_platform.notifications.channels import telegram_client
from metrics_platform.notifications.email import EmailChannel
from metrics_platform.notifications.errors import DeliveryError
from metrics_platform.notifications.retry import RetryPolicy
from metrics_platform.notifications.routing import configured
from metrics_platform.notifications.slack import SlackChannel
from metrics_platform.notifications.telegram.client import TelegramClient
from metrics_platform.settings import Settings

# A person waits for the answer.
_POLICY = RetryPolicy(budget=6, tries=2)
_NETWORK = "Can this machine reach it? Look at the network and the proxy; messages wait until it answers."
# Digits of a basic group's number, at most; those of a supergroup follow on 100.
_LONGEST_GROUP = 11
_RIGHTS = {
    "can_send_messages": "send messages",
    "can_send_photos": "send photos",
    "can_send_documents": "send files",
    "can_post_messages": "post messages",
    "can_edit_messages": "edit messages",
}


def inspect_channels(settings: Settings, policy: RetryPolicy = _POLICY) -> Iterator[Finding]:
    """What is found of each channel that is set up; of none, that messages go to the outbox."""
    names = configured(settings)
    if not names:
        why = "METRICS_DRY_RUN is true" if settings.dry_run else "no channel is set up"
        remedy = "" if settings.dry_run else "Set TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID to send them to Telegram."
        yield Finding("Messages", "note", f"dry run ({why}): they go to {settings.outbox}/index.html", remedy)
        return
    for name in names:
        yield from inspect_channel(name, settings, policy)
    first, *others = names
    if not others:
        remedy = "Set up Slack or e-mail as the fallback, for when it cannot be reached."
        yield Finding("Messages", "note", f"they go over {first} alone", remedy)


def inspect_channel(name: str, settings: Settings, policy: RetryPolicy = _POLICY) -> Iterator[Finding]:
    """What is found of one channel that is set up."""
    if name == "telegram":
        yield from _telegram(settings, policy)
    elif name == "slack":
        yield from _alive("Slack", SlackChannel.for_settings(settings, policy=policy).check, "the webhook")
    elif name == "email":
        yield from _alive("E-mail", EmailChannel.for_settings(settings, policy=policy).check, "the mail server")


def remedy_of(name: str, failure: DeliveryError, settings: Settings, policy: RetryPolicy = _POLICY) -> str:
    """What to do where a channel has failed just now; empty where nothing is known but what the failure says."""
    if failure.reason in ("unreachable", "unknown"):
        return _NETWORK
    remedies = (found.remedy for found in inspect_channel(name, settings, policy) if found.status == "problem")
    return " ".join(dict.fromkeys(filter(None, remedies)))


def _telegram(settings: Settings, policy: RetryPolicy) -> Iterator[Finding]:
    client = telegram_client(settings, policy)
    bot, problem = _asked(client, "getMe")
    if problem:
        yield Finding("Telegram", "problem", *problem)
        return
    yield Finding("Telegram", "ok", f"the bot is {bot.get('first_name')} (@{bot.get('username')})")
    for target in settings.telegram_targets:
        yield _chat(client, target, str(bot.get("id")))


def _chat(client: TelegramClient, target: ChatTarget, bot: str) -> Finding:
    subject = f"Telegram chat {target.chat}" + (f", topic {target.thread}" if target.thread else "")
    chat, problem = _asked(client, "getChat", chat_id=target.chat)
    if problem:
        said, remedy = problem
        return Finding(subject, "problem", said, remedy or _meant(client, target.chat))
    title = f'"{chat.get("title") or chat.get("first_name") or chat.get("username")}" ({chat.get("type")})'
    if target.thread and not chat.get("is_forum"):
        remedy = "Leave TELEGRAM_THREAD_ID, or /topic in TELEGRAM_ROUTES, out."
        return Finding(subject, "problem", f"{title} has no topics", remedy)
    if chat.get("type") == "private":
        return Finding(subject, "ok", title)
    member, problem = _asked(client, "getChatMember", chat_id=target.chat, user_id=bot)
    if problem:
        return Finding(subject, "problem", f"{title}: {problem[0]}", problem[1])
    lacking = _lacking(chat, member)
    if lacking:
        remedy = f"Let the bot {lacking} there (in a channel: as an administrator)."
        return Finding(subject, "problem", f"the bot may not {lacking} in {title}", remedy)
    return Finding(subject, "ok", title)


def _meant(client: TelegramClient, chat: str) -> str:
    """Which chat a number may mean that has lost its minus or its -100: asked, not guessed; empty where none may."""
    digits = chat.removeprefix("-")
    if not digits.isdigit() or chat.startswith("-100"):
        return ""
    has_its_100 = digits.startswith("100") and len(digits) > _LONGEST_GROUP
    spellings = [f"-{digits}"] if has_its_100 else [f"-{digits}", f"-100{digits}"]
    for spelling in spellings:
        found, problem = _asked(client, "getChat", chat_id=spelling) if spelling != chat else ({}, ("", ""))
        if not problem:
            return f'{spelling} exists, "{found.get("title")}": is that the one?'
    return (
        f"Numbers of groups begin with a minus, those of supergroups and channels with -100: is the bot a member of "
        f"{' or '.join(spellings)}? A person's has no minus, and has to write to the bot first."
    )


def _lacking(chat: dict[str, Any], member: dict[str, Any]) -> str:
    """What the bot may not do in a chat and has to, in words; empty where nothing is lacking."""
    status = member.get("status")
    if status in ("left", "kicked"):
        return "be a member"
    if chat.get("type") == "channel":
        needed: tuple[str, ...] = ("can_post_messages", "can_edit_messages")
        rights = member if status == "administrator" else {}
    else:
        needed = ("can_send_messages", "can_send_photos", "can_send_documents")
        if status in ("administrator", "creator"):
            return ""
        # What everybody may do in the group, and for a bot that was restricted, what it may do itself.
        everybody = {right: chat.get("permissions", {}).get(right, True) for right in needed}
        rights = {right: everybody[right] and member.get(right, True) for right in needed}
    return " and ".join(_RIGHTS[right] for right in needed if not rights.get(right, False))


def _asked(client: TelegramClient, method: str, **parameters: str) -> tuple[dict[str, Any], tuple[str, str] | None]:
    """The answer to a question, or what is the matter and the remedy."""
    try:
        result = client.call(method, parameters)
    except DeliveryError as caught:
        return {}, (str(caught), _NETWORK if caught.reason in ("unreachable", "unknown") else "")
    return (result if isinstance(result, dict) else {}), None


def _alive(subject: str, check: Callable[[], None], what: str) -> Iterator[Finding]:
    try:
        check()
    except DeliveryError as caught:
        yield Finding(subject, "problem", str(caught), _NETWORK if caught.reason in ("unreachable", "unknown") else "")
        return
    yield Finding(subject, "ok", f"{what} answers")
