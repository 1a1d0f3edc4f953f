"""An outside watcher on loopback, which heartbeats are sent to."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# What of its address is a secret.
PATH = "/ping/5ecret-0b7c3a55"
QUERY = "token=5ecret-too"


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
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{PATH}?{QUERY}", called
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
