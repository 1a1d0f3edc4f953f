"""An outside watcher on loopback, which heartbeats are sent to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from metrics_platform_tests.telegram.http_server import Answer, LoopbackServer, Request

# What of its address is a secret.
PATH = "/ping/5ecret-0b7c3a55"
QUERY = "token=5ecret-too"


@contextmanager
def watcher(status: int = 200, *, hang: bool = False) -> Iterator[tuple[str, list[str]]]:
    """A watcher that answers so, or never; yields its address and the paths that were called."""
    called: list[str] = []

    def answer(request: Request) -> Answer:
        called.append(f"{request.path}?{request.query}")
        return Answer(status, f"no check at {called[-1]}".encode(), hang=hang)

    server = LoopbackServer(answer)
    try:
        yield f"http://127.0.0.1:{server.port}{PATH}?{QUERY}", called
    finally:
        server.stop()
