"""Trying again what passes: one rule for every channel about what may be repeated, and for how long.

What never left may always be repeated; what lost its answer only where twice is better than never; what a person has
to mend, or what this message is refused for, never.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from metrics_platform.notifications.errors import DeliveryError
from metrics_platform.notifications.transport import Patience

Result = TypeVar("Result")


def patiently(
    patience: Patience,
    once: Callable[[], Result],
    *,
    repeat_unknown: bool,
    before_again: Callable[[], None] = lambda: None,
) -> Result:
    """The result of `once`, tried again, after `before_again`, within the patience's budget where its error passes.

    Raises:
        DeliveryError: the last one; with the service's `retry_after` where that wait is over the budget.
    """
    deadline = patience.clock() + patience.budget
    waits = patience.waits()
    while True:
        try:
            return once()
        except DeliveryError as caught:
            error = caught
        # A service that says «again at once» is not asked a thousand times within the budget.
        asked = None if error.retry_after is None else max(error.retry_after, patience.first_wait)
        wait = next(waits, None) if asked is None else asked
        repeatable = error.reason == "unreachable" or (error.reason == "unknown" and repeat_unknown)
        if not repeatable or wait is None or patience.clock() + wait > deadline:
            raise error
        patience.sleep(wait)
        before_again()
