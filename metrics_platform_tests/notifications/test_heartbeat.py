"""The heartbeat: one call, and whatever goes wrong is said without the address, which is a secret."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest

from metrics_platform.notifications import heartbeat
from metrics_platform.notifications.heartbeat import beat
from metrics_platform_tests.watcher import PATH, QUERY, watcher


@pytest.fixture(autouse=True)
def nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert "5ecret" not in caplog.text


def test_a_good_answer_is_all_there_is(caplog: pytest.LogCaptureFixture) -> None:
    with watcher() as (url, called):
        assert beat(url) == ""
        assert called == [f"{PATH}?{QUERY}"]


@pytest.mark.parametrize("status", [404, 500])
def test_a_refusal_is_said_with_its_status_and_tried_no_second_time(status: int) -> None:
    with watcher(status) as (url, called):
        said = beat(url)
        assert len(called) == 1
    assert str(status) in said and "no check at" in said and "5ecret" not in said


def test_a_redirect_is_not_followed() -> None:
    with watcher() as (elsewhere, missed), watcher(302, Location=elsewhere) as (url, called):
        assert "302" in beat(url)
        assert len(called) == 1 and missed == []


def test_a_watcher_that_is_away_is_said() -> None:
    said = beat(f"http://127.0.0.1:1{PATH}")
    assert said and "5ecret" not in said


def test_a_watcher_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "_TIMEOUTS", (0.5, 0.2))
    started = time.monotonic()
    with watcher(wait=1.0) as (url, _):
        said = beat(url)
        assert time.monotonic() - started < 0.9
    assert said and "5ecret" not in said
