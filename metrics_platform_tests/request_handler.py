"""HTTP servers on loopback that read a request as a whole and answer it as a whole, or pass it on."""

from __future__ import annotations

import http.client
import threading
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOP_HEADERS = {"host", "connection", "content-length", "transfer-encoding", "keep-alive"}


class RequestHandler(BaseHTTPRequestHandler):
    """Calls `respond` with the body of each request; writes no log."""

    protocol_version = "HTTP/1.1"

    @abstractmethod
    def respond(self, body: bytes) -> None:
        """Answer the request with `reply`."""

    def reply(self, status: int, headers: Iterable[tuple[str, str]], content: bytes) -> None:
        """Send an answer; its length replaces the headers that concern one connection."""
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in HOP_HEADERS:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def answer_of(self, host: str, port: int, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """Status, headers and content that another server answers to this request."""
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_HEADERS}
        with closing(http.client.HTTPConnection(host, port, timeout=600)) as connection:
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()

    def do_POST(self) -> None:
        self.respond(self._body())

    do_GET = do_POST  # noqa: N815  (the name http.server looks for)

    def log_message(self, *_: object) -> None:
        """Write nothing."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that was killed."""


@contextmanager
def serving(handler: type[RequestHandler]) -> Iterator[int]:
    """Answer requests on a free port, which is yielded."""
    with _Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
