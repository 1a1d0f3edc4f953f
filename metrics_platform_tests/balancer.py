"""A load balancer before the replicas of a ClickHouse: each request goes to the next one.

Replicas that have no ON CLUSTER of their own (the embedded engine) get it here: such a statement goes to all of them.
"""

from __future__ import annotations

import http.client
import itertools
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer

from metrics_platform.connection import Connection
from metrics_platform_tests.request_handler import HOP_HEADERS, RequestHandler

_ON_CLUSTER = re.compile(rb" ON CLUSTER `[^`]+`")


@contextmanager
def balanced(*replicas: Connection) -> Iterator[int]:
    """The port of a balancer on loopback."""
    turns = itertools.cycle(replicas)

    class Balancer(RequestHandler):
        def respond(self, body: bytes) -> None:
            everywhere = _ON_CLUSTER.search(body)
            for replica in replicas if everywhere else [next(turns)]:
                status, headers, answer = self._ask(replica, _ON_CLUSTER.sub(b"", body))
                if status != 200:
                    break
            self.reply(status, headers, answer)

        def _ask(self, replica: Connection, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            connection = http.client.HTTPConnection(replica.host, replica.port, timeout=120)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_HEADERS}
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Balancer)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
