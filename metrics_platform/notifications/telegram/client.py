"""The Bot API: one method per call, at Telegram's pace, with retries of what is temporary, and what refusals mean.

The token is part of every URL, so no URL leaves this module: not in an error, not in a log, not in a `repr`.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any

from metrics_platform.notifications.channel import DeliveryError, RetryPolicy, retry
from metrics_platform.notifications.history import Reason
from metrics_platform.notifications.transport import Answer, Transport

# Telegram allows a message a second to a chat, and twenty a minute to a group. It counts when they arrive, we when they
# leave: the little that is on top is for those that travel longer than others.
SECONDS_BETWEEN, GROUP_MESSAGES, GROUP_SECONDS = 1.05, 20, 61.0
# What Telegram says where a setting or a right is wrong, and what to do.
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
    """Telegram itself refused the call.

    Attributes:
        said: Telegram's words, in small letters.
        moved_to: the supergroup that the chat has become.
    """

    def __init__(self, reason: Reason, text: str, *, code: int, said: str, moved_to: str | None = None) -> None:
        super().__init__(reason, text, code=code)
        self.said = said.lower()
        self.moved_to = moved_to


def refusal(method: str, answer: Answer) -> DeliveryError:
    """The error for an answer other than success; `answer` is masked already."""
    body: dict[str, Any] = answer.json if isinstance(answer.json, dict) else {}
    parameters, said, status = body.get("parameters"), str(body.get("description") or ""), answer.status
    if status == 413:  # from the Bot API, or from a relay that takes less than Telegram does
        said = said or "request entity too large"
    if not said:  # a wrong address, or a proxy's page
        text = f"{method} was answered with {status} and something that is not the Bot API's: "
        text += f"{answer.text.strip()[:200]!r}. Correct TELEGRAM_API_BASE or TELEGRAM_PROXY."
        return DeliveryError("misconfigured" if 300 <= status < 500 else "unknown", text, code=status)
    if isinstance(parameters, dict) and (chat := parameters.get("migrate_to_chat_id")):
        text = f"The group is a supergroup now: set TELEGRAM_CHAT_ID={chat}."
        return RefusalError("misconfigured", text, code=status, said=said, moved_to=str(chat))
    if remedy := _remedy(status, said):
        text = f"Telegram refuses: {status} {said}. {remedy}"
        return RefusalError("misconfigured", text, code=status, said=said)
    return RefusalError("refused", f"Telegram refused {method} ({status}): {said}", code=status, said=said)


def _remedy(status: int, said: str) -> str | None:
    """What to do about a refusal; None if it is about this one message."""
    if status in (401, 404):
        return "TELEGRAM_BOT_TOKEN is wrong or was revoked; @BotFather shows the right one (/mybots → API Token)."
    if match := _RIGHT.search(said.lower()):
        right = match["code"] or match["words"]
        return f"Give the bot the right to send {_RIGHTS.get(right, right)} in this chat."
    remedy = next((remedy for phrase, remedy in _REMEDIES if phrase in said.lower()), None)
    if remedy is None and status == 403:
        return "Let the bot write to the chat, or choose another one in TELEGRAM_CHAT_ID."
    return remedy


class Pacer:
    """Keeps the distance between messages to one chat; knows of those that earlier runs sent (wall-clock seconds)."""

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
        """Wait until this many messages at once (an album's photos) are allowed in `chat`, and count them."""
        sent, now = self._sent[chat], self._clock()
        due = sent[-1] + SECONDS_BETWEEN if sent else now
        is_group = chat.startswith(("-", "@"))
        before = len(sent) + messages - GROUP_MESSAGES  # this many must be older than a minute
        if is_group and before > 0:
            due = max(due, sent[before - 1] + GROUP_SECONDS)
        if 0 < due - now <= GROUP_SECONDS:  # a clock that was set back is not waited for
            self._sleep(due - now)
        sent.extend([self._clock()] * messages)


class TelegramClient:
    """Calls methods of the Bot API with one bot's token, which no text, error or log of it ever holds."""

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

    def __repr__(self) -> str:
        return "TelegramClient(token=***)"

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def call(
        self,
        method: str,
        parameters: Mapping[str, Any],
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        *,
        repeat_unknown: bool = True,
    ) -> Any:
        """The method's result; parameters that are None are left out.

        Within the policy's budget, what passes is waited for: no connection, 5xx, 429 with its wait. With
        `repeat_unknown` a call whose answer was lost is repeated, too, and may so be done twice.

        Raises:
            DeliveryError: with the reason that decides what happens next.
        """
        chat = parameters.get("chat_id")
        messages = len(files or ()) if method == "sendMediaGroup" else 1

        def keep_pace() -> None:
            if chat is not None and not method.startswith("get"):
                self._pacer.wait(str(chat), messages)

        keep_pace()  # before the policy's budget begins: waiting for one's turn is no failure
        return retry(
            self._policy,
            lambda: self._once(method, parameters, files),
            repeat_unknown=repeat_unknown,
            before_again=keep_pace,
        )

    def _once(
        self, method: str, parameters: Mapping[str, Any], files: Mapping[str, tuple[str, bytes, str]] | None
    ) -> Any:
        answer = self._transport.post(self._prefix + method, data=parameters, files=files)
        if answer.status == 200 and isinstance(answer.json, dict) and answer.json.get("ok") is True:
            return answer.json.get("result")
        raise refusal(method, answer)
