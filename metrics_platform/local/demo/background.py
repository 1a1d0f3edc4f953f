"""What the demo does again and again until Ctrl-C: a failure is reported and retried, and never ends the demo."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

_FIRST_GAP_SECONDS = 5.0
_LONGEST_GAP_SECONDS = 300.0


@dataclass
class BackgroundTask:
    """An action that is repeated; after a failure it waits for gaps that grow from 5 s to 5 minutes.

    Attributes:
        name: what is done, as a noun phrase that begins a sentence.
        report: is called with each failure and with the recovery.
    """

    name: str
    action: Callable[[], object]
    report: Callable[[str], None]
    monotonic: Callable[[], float] = time.monotonic
    _failures: int = field(default=0, init=False)
    _not_before: float = field(default=float("-inf"), init=False)

    def run_if_due(self) -> None:
        """Run the action, unless a failure of it was too short a time ago."""
        if self.monotonic() < self._not_before:
            return
        try:
            self.action()
        except Exception as error:  # noqa: BLE001  (whatever fails, the demo goes on and reports it)
            gap = min(_FIRST_GAP_SECONDS * 2**self._failures, _LONGEST_GAP_SECONDS)
            self._failures += 1
            self._not_before = self.monotonic() + gap
            reason = str(error).strip() or type(error).__name__
            self.report(f"{self.name} failed: {reason}. Next attempt in {gap:.0f} s.")
        else:
            if self._failures:
                self.report(f"{self.name} works again, after {self._failures} failed attempts.")
            self._failures = 0
