"""What the demo repeats: a failure is reported once, and so is its end."""

from __future__ import annotations

from metrics_platform.local.demo.command import Attempts


def test_a_failure_and_its_end_are_reported_once_each() -> None:
    reports: list[str] = []
    outcomes = iter([TimeoutError("no answer within 30 s"), RuntimeError(), None, None, RuntimeError()])

    def write() -> None:
        if error := next(outcomes):
            raise error

    attempts = Attempts(reports.append)
    for _ in range(5):
        attempts.attempt("Writing events", write)
        attempts.attempt("Reading messages", lambda: None)
    assert reports == [
        "Writing events failed: no answer within 30 s. Trying again.",
        "Writing events works again.",
        "Writing events failed: RuntimeError. Trying again.",
    ]
