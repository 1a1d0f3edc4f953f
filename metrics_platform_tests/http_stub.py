"""A real HTTP server on loopback that stands before a ClickHouse and misbehaves on demand.

It passes requests on to the real server, but first answers a given number of them with an error of
ClickHouse's or by hanging up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from metrics_platform_tests.request_handler import RequestHandler, serving


@dataclass
class Faults:
    """What to do to requests whose statement `when` accepts: `left` times the fault, then the truth."""

    when: Callable[[str], bool] = lambda _: False
    left: int = 0
    code: int | None = None  # ClickHouse's error code; None hangs up
    after: bool = False  # True: the real server has done the work before the answer is lost


@contextmanager
def misbehaving_proxy(url: str) -> Iterator[tuple[str, Faults]]:
    """A proxy before the ClickHouse at `url`; yields the URL to use instead, and the faults to set."""
    faults = Faults()
    target = urlsplit(url)

    class Handler(RequestHandler):
        def respond(self, body: bytes) -> None:
            statement = body.decode(errors="replace") + " ".join(parse_qs(urlsplit(self.path).query).get("query", []))
            if not (faults.left and faults.when(statement)):
                self.reply(*self.answer_of(str(target.hostname), int(target.port or 0), body))
                return
            faults.left -= 1
            if faults.after:
                self.answer_of(str(target.hostname), int(target.port or 0), body)
            if faults.code is None:
                self.close_connection = True
                self.connection.close()
                return
            headers = [("X-ClickHouse-Exception-Code", str(faults.code))]
            self.reply(500, headers, f"Code: {faults.code}. DB::Exception: told to fail".encode())

    with serving(Handler) as port:
        yield url.replace(f":{target.port}/", f":{port}/"), faults
