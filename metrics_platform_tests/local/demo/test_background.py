"""What the demo repeats: failures are reported, retried with growing gaps, and their end is reported."""

from __future__ import annotations

from dataclasses import dataclass, field

from metrics_platform.local.demo.command import BackgroundTask


@dataclass
class Action:
    """Fails while it has errors left."""

    errors: list[Exception]
    seconds: float = 0.0
    called_at: list[float] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)

    def __call__(self) -> None:
        self.called_at.append(self.seconds)
        if self.errors:
            raise self.errors.pop(0)

    def run_for(self, seconds: int) -> None:
        """Every second, for some seconds."""
        task = BackgroundTask("Writing events", self, self.reports.append, monotonic=lambda: self.seconds)
        for second in range(seconds):
            self.seconds = second
            task.run_if_due()


def test_failures_are_reported_and_retried_with_growing_gaps_until_they_end() -> None:
    action = Action([TimeoutError("no answer within 30 s"), ValueError("refused"), RuntimeError()])
    action.run_for(37)
    assert action.called_at == [0, 5, 15, 35, 36]
    assert action.reports == [
        "Writing events failed: no answer within 30 s. Next attempt in 5 s.",
        "Writing events failed: refused. Next attempt in 10 s.",
        "Writing events failed: RuntimeError. Next attempt in 20 s.",
        "Writing events works again, after 3 failed attempts.",
    ]


def test_the_longest_gap_is_five_minutes() -> None:
    action = Action([TimeoutError("away")] * 12)
    action.run_for(2_116)
    gaps = [later - earlier for earlier, later in zip(action.called_at, action.called_at[1:], strict=False)]
    assert gaps == [5, 10, 20, 40, 80, 160, 300, 300, 300, 300, 300, 300]
