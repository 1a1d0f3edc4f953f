"""The Bot API: one method per call, patient with what passes, clear about what does not.

Whether a call may be repeated is decided here: what never left, 5xx and 429 may; what lost its answer only where the
caller says that twice is better than never.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any

from metrics_platform.notifications.errors import DeliveryError
from metrics_platform.notifications.telegram.answers import refusal
from metrics_platform.notifications.transport import Patience, Transport

# Telegram allows a message a second to a chat, and twenty a minute to a group.
SECONDS_BETWEEN, GROUP_MESSAGES, GROUP_SECONDS = 1.05, 20, 60.0


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

    def wait(self, chat: str) -> None:
        """Wait until a message to `chat` is allowed, and count it."""
        sent, now = self._sent[chat], self._clock()
        due = sent[-1] + SECONDS_BETWEEN if sent else now
        is_group = chat.startswith(("-", "@"))
        if is_group and len(sent) == GROUP_MESSAGES:
            due = max(due, sent[0] + GROUP_SECONDS)
        if 0 < due - now <= GROUP_SECONDS:  # a clock that was set back is not waited for
            self._sleep(due - now)
        sent.append(self._clock())


class TelegramClient:
    """Calls methods of the Bot API with one bot's token, which no text, error or log of it ever holds."""

    def __init__(
        self,
        token: str,
        *,
        api_base: str = "https://api.telegram.org",
        proxy: str | None = None,
        patience: Patience | None = None,
        pacer: Pacer | None = None,
        timeouts: tuple[float, float] | None = None,
    ) -> None:
        self._prefix = f"{api_base.rstrip('/')}/bot{token}/"
        options = {"timeouts": timeouts} if timeouts else {}
        secrets = (token, *((proxy,) if proxy else ()))
        self._transport = Transport("Telegram", secrets=secrets, proxy=proxy, **options)
        self._patience = patience or Patience()
        self._pacer = pacer or Pacer()

    def __repr__(self) -> str:
        return "TelegramClient(token=***)"

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def masked(self, text: str) -> str:
        """`text` without the token."""
        return self._transport.masked(text)

    def call(
        self,
        method: str,
        parameters: Mapping[str, Any],
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        *,
        repeat_unknown: bool = True,
    ) -> Any:
        """The method's result.

        Within the patience's budget, what passes is waited for: no connection, 5xx, 429 with its wait. With
        `repeat_unknown` a call whose answer was lost is repeated, too, and may so be done twice.

        Raises:
            DeliveryError: with the reason that decides what happens next.
        """
        deadline = self._patience.clock() + self._patience.budget
        waits = self._patience.waits()
        while True:
            try:
                return self._once(method, parameters, files)
            except DeliveryError as caught:
                error = caught
            wait = error.retry_after if error.retry_after is not None else next(waits, None)
            repeatable = error.reason == "unreachable" or (error.reason == "unknown" and repeat_unknown)
            if not repeatable or wait is None or self._patience.clock() + wait > deadline:
                raise error
            self._patience.sleep(wait)

    def _once(
        self, method: str, parameters: Mapping[str, Any], files: Mapping[str, tuple[str, bytes, str]] | None
    ) -> Any:
        chat = parameters.get("chat_id")
        if chat is not None and not method.startswith("get"):
            self._pacer.wait(str(chat))
        given = {name: value for name, value in parameters.items() if value is not None}
        answer = self._transport.post(self._prefix + method, data=given, files=files)
        if answer.status == 200 and isinstance(answer.json, dict) and answer.json.get("ok") is True:
            return answer.json.get("result")
        raise refusal(method, answer)
