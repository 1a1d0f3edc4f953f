"""The HTTP side of the local Bot API server: it can be closed and opened on one port, and hang up on anybody.

Only the bytes are here: reading requests as real servers do (kept-alive connections, chunked bodies) and writing
answers in one piece. What to answer is a function of the request that the server is given.
"""

from __future__ import annotations

import re
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from metrics_platform_tests.request_handler import RequestHandler
from metrics_platform_tests.telegram.parsing import bad_request, strictness


@dataclass(frozen=True)
class Request:
    """One HTTP request, whole."""

    path: str
    query: str
    media_type: str
    body: bytes


@dataclass(frozen=True)
class Answer:
    """One HTTP answer. `hang_up` closes the connection instead of it; `hang` waits for the end of the server."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False
    hang: bool = False


class LoopbackServer:
    """Listens on a free port of 127.0.0.1 and answers each request by `answer`, each connection in a thread."""

    def __init__(self, answer: Callable[[Request], Answer]) -> None:
        self.answer = answer
        self.failures: list[BaseException] = []
        self.stopping = threading.Event()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server: _Server | None = None
        # Holds the port, also while the server is closed: a server of another test would get its requests.
        self._holder = socket.socket()
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._holder.bind(("127.0.0.1", 0))
        self.port = self._holder.getsockname()[1]
        self.open()

    def open(self) -> None:
        """Listens (again, on the same port)."""
        if self._server is None:
            self._server = _Server(("127.0.0.1", self.port), self)
            # A short poll: closing waits for it.
            threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Refuses new connections and hangs up on those there are."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        with self._lock:
            for connection in self._connections:
                _cut(connection)

    def stop(self) -> None:
        """Closes for good and lets go of what hangs."""
        self.stopping.set()
        self.close()
        self._holder.close()

    def connected(self, connection: socket.socket) -> None:
        """Remembers a connection, to hang up on it when the server goes down."""
        with self._lock:
            self._connections.add(connection)

    def disconnected(self, connection: socket.socket) -> None:
        """Forgets a connection."""
        with self._lock:
            self._connections.discard(connection)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A call that hangs must not hold up the end of a test.
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], owner: LoopbackServer) -> None:
        self.owner = owner
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        # Known before its thread begins, so that closing misses none.
        self.owner.connected(request)
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        # Clients that time out are what the tests are about; anything else is a mistake of this server.
        if error is not None and not isinstance(error, ConnectionError):
            self.owner.failures.append(error)


class _Handler(RequestHandler):
    disable_nagle_algorithm = True
    server_version = "nginx/1.18.0"
    sys_version = ""
    wbufsize = 1 << 16
    server: _Server

    def finish(self) -> None:
        self.server.owner.disconnected(self.connection)
        try:
            super().finish()
        except ConnectionError:
            self.close_connection = True  # the client did not wait for the answer

    def respond(self, body: bytes) -> None:
        url = urlsplit(self.path)
        request = Request(url.path, url.query, self.headers.get("Content-Type", ""), body)
        answer = self.server.owner.answer(request)
        if answer.hang:
            self.server.owner.stopping.wait()
        if answer.hang or answer.hang_up:
            self.close_connection = True
            _cut(self.connection)
            return
        self.reply(answer.status, answer.headers.items(), answer.body)
        self.wfile.flush()

    def _body(self) -> bytes:
        body = super()._body()
        if len(body) < int(self.headers.get("Content-Length") or 0):
            # A client that was killed while it spoke has said nothing.
            raise ConnectionAbortedError("the client went away in the middle of its request")
        return body


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was faster


# --- reading ----------------------------------------------------------------------------------------------------------


_DISPOSITION = re.compile(r';\s*(?P<key>[\w*]+)=(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^;\s]+))')


@dataclass(frozen=True)
class UploadedFile:
    """One file of a multipart request."""

    name: str
    media_type: str
    content: bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.content)


@dataclass(frozen=True)
class Sent:
    """What a request carries."""

    parameters: dict[str, str]
    files: dict[str, UploadedFile]


def read_request(query: str, media_type: str, body: bytes) -> Sent:
    """The parameters and files of one call; raises `ApiError` where the body is not what its type says."""
    parameters = dict(_pairs(query))
    files: dict[str, UploadedFile] = {}
    kind = media_type.split(";", 1)[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        parameters |= _pairs(body.decode())
    elif kind == "multipart/form-data":
        fields, files = _multipart(media_type, body)
        parameters |= fields
    elif body:
        raise strictness(f"a body of type {media_type!r} is ignored by the Bot API")
    return Sent(parameters, files)


def is_true(text: str) -> bool:
    """Whether the Bot API takes this text for yes."""
    return text.strip().lower() in {"true", "yes", "1"}


def _pairs(text: str) -> dict[str, str]:
    pairs = parse_qsl(text, keep_blank_values=True)
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise strictness(f"a parameter is given twice in {sorted(names)}")
    return dict(pairs)


def _multipart(media_type: str, body: bytes) -> tuple[dict[str, str], dict[str, UploadedFile]]:
    boundary = dict(_attributes(media_type)).get("boundary", "")
    if not boundary:
        raise bad_request("boundary too big or empty")
    fields: dict[str, str] = {}
    files: dict[str, UploadedFile] = {}
    delimiter = b"\r\n--" + boundary.encode()
    for part in (b"\r\n" + body).split(delimiter)[1:]:
        if part.startswith(b"--"):
            break
        head, separator, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        if not separator:
            raise bad_request("can't find headers of a part of the multipart body")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head.decode().split("\r\n"))
        }
        named = dict(_attributes(headers.get("content-disposition", "")))
        if "filename" in named or "filename*" in named:
            name = named.get("filename", "") or named["filename*"].split("''", 1)[-1]
            files[named["name"]] = UploadedFile(name, headers.get("content-type", ""), content)
        else:
            fields[named["name"]] = content.decode()
    return fields, files


def _attributes(header: str) -> list[tuple[str, str]]:
    return [
        (one["key"].lower(), re.sub(r"\\(.)", r"\1", one["quoted"]) if one["quoted"] is not None else one["bare"])
        for one in _DISPOSITION.finditer(header)
    ]
