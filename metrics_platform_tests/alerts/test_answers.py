"""What the command `incidents` replies to an answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metrics_platform.incidents import command
from metrics_platform.settings import load_settings
from metrics_platform_tests.alerts.course import Course


@pytest.mark.parametrize(("worst_change", "reply"), [
    (-0.8, "Deviations of up to −80% of this series are recorded and not sent for 28 days after its end."),
    (None, "Zero was expected, so the series' next rise is sent again."),
])  # fmt: skip
def test_the_reply_says_what_is_sent(monkeypatch: pytest.MonkeyPatch, worst_change: float | None, reply: str) -> None:
    course = Course()
    course.run({"views": "=.."})
    alert = replace(course.alert("views"), worst_change=worst_change)
    monkeypatch.setattr(command.Warehouse, "from_settings", lambda _settings: None)
    monkeypatch.setattr(command, "_incidents", lambda _warehouse: [alert])
    monkeypatch.setattr(command, "save_answer", lambda *_args, **_kwargs: None)
    said = command.answer(load_settings(None), alert.id.lower(), is_incident=False, who="ann", note="")
    assert said.startswith(f"{alert.id} is marked as not an incident. {reply}")
