"""Telegram's flood limits: one message a second to a chat, twenty a minute to a group.

Off unless a test asks for them; then every test of them brings its own clock, so that no test waits.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable

from metrics_platform_tests.telegram.errors import ApiError

_A_SECOND, _A_MINUTE, _A_MINUTE_IN_A_GROUP = 1.0, 60.0, 20
# Seconds are floats: what was waited for exactly must not be refused for its last bit.
_ROUNDING = 1e-6


class RateLimits:
    """What was sent recently, by chat."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.enabled = False
        self._clock = clock
        self._sent: dict[int, deque[float]] = defaultdict(deque)

    def check(self, chat_id: int, *, is_group: bool, messages: int = 1) -> None:
        """Count messages to a chat now, or raise 429 with the seconds to wait.

        Each message of an album counts; edits do not. A refused call counts for nothing.
        """
        if not self.enabled:
            return
        now, sent = self._clock(), self._sent[chat_id]
        while sent and sent[0] <= now - _A_MINUTE + _ROUNDING:
            sent.popleft()
        wait = sent[-1] + _A_SECOND - now if sent else 0.0
        too_many = len(sent) + messages - _A_MINUTE_IN_A_GROUP
        if is_group and too_many > 0 and sent:
            wait = max(wait, sent[min(too_many, len(sent)) - 1] + _A_MINUTE - now)
        if wait > _ROUNDING:
            seconds = max(1, math.ceil(wait - _ROUNDING))
            raise ApiError(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)
        sent.extend([now] * messages)
