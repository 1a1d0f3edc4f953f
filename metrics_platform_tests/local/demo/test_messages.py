"""The messages that arrive, in the outbox or in chats, while the demo runs."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from metrics_platform.defs.delivery.storage import journal_of
from metrics_platform.local.demo.messages import Arrivals
from metrics_platform.notifications import kinds
from metrics_platform.notifications.journal import Asked, Entry, Failed, Sending, Sent
from metrics_platform.notifications.message import text_of
from metrics_platform.notifications.templates import render
from metrics_platform_tests.notifications.examples import EXAMPLES, NOON, writer
from metrics_platform_tests.notifications.simulation import settings_of


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with dg.DagsterInstance.get() as found:
        yield found


def _store(instance: dg.DagsterInstance, key: str, *entries: Entry) -> None:
    for entry in entries:
        journal_of(instance).write(key, entry)


def _sent(step: int = 0, steps: int = 1, **more: Any) -> Sent:
    return Sent(channel="telegram", step=step, steps=steps, address="-1001234567890", **more)


def test_a_message_that_was_sent_is_told_once_with_its_headline_and_its_chat(instance: dg.DagsterInstance) -> None:
    key, event = next((key, each) for key, each in EXAMPLES.items() if isinstance(each, kinds.AnomalyOpened))
    _store(instance, "before", _sent())
    messages = Arrivals(settings_of())
    _store(instance, key, Asked(notification=event), Sending(channel="telegram", step=0, composed_at=NOON), _sent(0, 2))
    assert messages.take() == []  # its picture is still on its way
    _store(instance, key, _sent(1, 2))
    (told,) = messages.take()
    assert told.headline == text_of(render(event, writer(now=datetime.datetime.now(datetime.UTC))).headline)
    assert told.where == "telegram -1001234567890"
    assert messages.take() == []


def test_a_message_with_a_link_is_told_with_it_and_one_over_two_channels_twice(instance: dg.DagsterInstance) -> None:
    messages = Arrivals(settings_of())
    _store(instance, "known-by-its-key", _sent(link="https://t.me/c/1234567890/7"))
    _store(instance, "known-by-its-key", Sent(channel="slack", step=0, steps=1))
    assert messages.take() == [
        ("known-by-its-key", "https://t.me/c/1234567890/7"),
        ("known-by-its-key", "slack"),
    ]


def test_a_page_of_the_outbox_is_shown_by_its_path(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    messages = Arrivals(settings_of())
    page = tmp_path / "outbox" / "1.html"
    sent = Sent(
        channel="outbox", step=0, steps=1, address=str(page.parent), message_ids=(page.name,), link=page.as_uri()
    )
    _store(instance, "known-by-its-key", sent)
    assert messages.take() == [("known-by-its-key", str(page))]


def test_what_failed_or_went_out_in_a_digest_is_not_told(instance: dg.DagsterInstance) -> None:
    messages = Arrivals(settings_of())
    _store(instance, "one", Failed(channel="telegram", reason="unreachable", text="away"))
    _store(instance, "two", _sent(within="digest"))
    assert messages.take() == []
