"""A real HTTP server on loopback that stands before a ClickHouse and misbehaves on demand.

It passes requests on to the real server, but first answers a given number of them with an error of
ClickHouse's or by hanging up; it notes every statement it saw.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from metrics_platform_tests.request_handler import RequestHandler


@dataclass
class Faults:
    """What to do to requests whose statement `when` accepts: `left` times the fault, then the truth."""

    when: Callable[[str], bool] = lambda _: False
    left: int = 0
    code: int | None = None  # ClickHouse's error code; None hangs up
    text: str = "DB::Exception: told to fail"
    after: bool = False  # True: the real server has done the work before the answer is lost
    statements: list[str] = field(default_factory=list)


@contextmanager
def misbehaving_proxy(url: str) -> Iterator[tuple[str, Faults]]:
    """A proxy before the ClickHouse at `url`; yields the URL to use instead, and the faults to set."""
    faults = Faults()
    target = urlsplit(url)

    class Handler(RequestHandler):
        def respond(self, body: bytes) -> None:
            statement = body.decode(errors="replace") + " ".join(parse_qs(urlsplit(self.path).query).get("query", []))
            faults.statements.append(statement)
            if faults.left and faults.when(statement):
                faults.left -= 1
                self._fail(body)
            else:
                self.reply(*self._ask(body))

        def _fail(self, body: bytes) -> None:
            if faults.after:
                self._ask(body)
            if faults.code is None:
                self.close_connection = True
                self.connection.close()
                return
            headers = [("X-ClickHouse-Exception-Code", str(faults.code))]
            self.reply(500, headers, f"Code: {faults.code}. {faults.text}".encode())

        def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=600)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            found = response.status, response.getheaders(), response.read()
            connection.close()
            return found

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        place = url.replace(f":{target.port}/", f":{server.server_port}/")
        yield place, faults
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
