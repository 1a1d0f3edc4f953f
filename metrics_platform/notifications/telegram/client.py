"""The Bot API: one method per call, at Telegram's pace, with retries of what is temporary.

The token is part of every URL, so nothing here or below tells a URL: not an error, not a log, not a `repr`.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any

from metrics_platform.notifications.retry import RetryPolicy, retry
from metrics_platform.notifications.telegram.errors import refusal
from metrics_platform.notifications.transport import Transport

# Telegram allows a message a second to a chat, and twenty a minute to a group. It counts when they arrive, we when they
# leave: the little that is on top is for those that travel longer than others.
SECONDS_BETWEEN, GROUP_MESSAGES, GROUP_SECONDS = 1.05, 20, 61.0


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
