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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit


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

    class Handler(BaseHTTPRequestHandler):
        protocol_version: ClassVar[str] = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            statement = body.decode(errors="replace") + " ".join(parse_qs(urlsplit(self.path).query).get("query", []))
            faults.statements.append(statement)
            if faults.left and faults.when(statement):
                faults.left -= 1
                self._fail(body)
            else:
                self._pass_on(body)

        do_GET = do_POST  # noqa: N815  (the name http.server looks for)

        def _fail(self, body: bytes) -> None:
            if faults.after:
                self._ask(body)
            if faults.code is None:
                self.close_connection = True
                self.connection.close()
                return
            answer = f"Code: {faults.code}. {faults.text}".encode()
            self.send_response(500)
            self.send_header("X-ClickHouse-Exception-Code", str(faults.code))
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=60)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            found = response.status, response.getheaders(), response.read()
            connection.close()
            return found

        def _pass_on(self, body: bytes) -> None:
            status, headers, answer = self._ask(body)
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in ("transfer-encoding", "content-length", "connection", "keep-alive"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            return

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
