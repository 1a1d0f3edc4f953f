"""Why a message did not go out, in the terms that decide what happens next."""

from __future__ import annotations

from typing import Literal

# unreachable: nothing arrived; try later.       unknown: it may have arrived, the answer was lost.
# misconfigured: a person has to fix a setting.  refused: this message is not accepted, others may be.
Reason = Literal["unreachable", "unknown", "misconfigured", "refused"]


class DeliveryError(Exception):
    """A message, or a part of it, did not go out over a channel; the text has no secrets and says what to do.

    Raise it outside of `except` blocks: the errors of HTTP and SMTP libraries hold URLs and passwords, and would be
    kept as its context.
    """

    def __init__(self, reason: Reason, text: str, *, code: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.reason: Reason = reason
        self.code = code  # the status of the answer, if there was one
        self.retry_after = retry_after  # seconds the service asks to be left alone

    @property
    def passes(self) -> bool:
        """Whether waiting may help: the service or the network is down."""
        return self.reason in ("unreachable", "unknown")
