"""The messages that arrive in the outbox while the demo runs."""

from __future__ import annotations

from pathlib import Path

from metrics_platform.local.demo.messages import NewMessages


def test_only_what_arrives_is_told_once_and_in_its_order(tmp_path: Path) -> None:
    (tmp_path / "2026-11-27-a.html").write_text("<title>Before</title>")
    messages = NewMessages(tmp_path)
    assert messages.take() == []
    (tmp_path / "2026-11-27-c.html").write_text("<title>Feed users &amp; views −91 %</title>")
    (tmp_path / "2026-11-27-b.html").write_text("<p>no title</p>")
    (tmp_path / "index.html").write_text("<title>Messages</title>")
    assert messages.take() == [
        ("2026-11-27-b", tmp_path / "2026-11-27-b.html"),
        ("Feed users & views −91 %", tmp_path / "2026-11-27-c.html"),
    ]
    assert messages.take() == []


def test_an_outbox_that_is_not_there_yet_has_no_messages(tmp_path: Path) -> None:
    messages = NewMessages(tmp_path / "outbox")
    assert messages.take() == []
    (tmp_path / "outbox").mkdir()
    (tmp_path / "outbox" / "x.html").write_text("<title>First</title>")
    assert [title for title, _ in messages.take()] == ["First"]
