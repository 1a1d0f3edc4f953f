"""The heartbeat: one call, and whatever goes wrong is said without the address, which is a secret."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from metrics_platform.notifications import heartbeat
from metrics_platform.notifications.heartbeat import beat

SECRET = "/ping/5ecret-0b7c3a55"


@contextmanager
def watcher(status: int = 200, *, wait: float = 0.0, **headers: str) -> Iterator[tuple[str, list[str]]]:
    """An outside watcher that answers so; yields its address and the paths that were called."""
    called: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            called.append(self.path)
            time.sleep(wait)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            body = f"no check at {self.path}".encode()
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing to say."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{SECRET}?token=5ecret-too", called
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert "5ecret" not in caplog.text


def test_a_good_answer_is_all_there_is(caplog: pytest.LogCaptureFixture) -> None:
    with watcher() as (url, called):
        assert beat(url) == ""
        assert called == [f"{SECRET}?token=5ecret-too"]


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
    said = beat(f"http://127.0.0.1:1{SECRET}")
    assert said and "5ecret" not in said


def test_a_watcher_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "_TIMEOUTS", (0.5, 0.2))
    started = time.monotonic()
    with watcher(wait=1.0) as (url, _):
        said = beat(url)
        assert time.monotonic() - started < 0.9
    assert said and "5ecret" not in said
