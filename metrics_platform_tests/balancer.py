"""A load balancer before the replicas of a ClickHouse: each request goes to the next one.

Replicas that have no ON CLUSTER of their own (the embedded engine) get it here: such a statement goes to all of them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager

from metrics_platform.connection import Connection
from metrics_platform_tests.request_handler import RequestHandler, serving

_ON_CLUSTER = re.compile(rb" ON CLUSTER `[^`]+`")


@contextmanager
def balanced(*replicas: Connection) -> Iterator[int]:
    """The port of a balancer on loopback."""
    turns = itertools.cycle(replicas)

    class Balancer(RequestHandler):
        def respond(self, body: bytes) -> None:
            everywhere = _ON_CLUSTER.search(body)
            for replica in replicas if everywhere else [next(turns)]:
                answer = self.answer_of(replica.host, replica.port, _ON_CLUSTER.sub(b"", body))
                if answer[0] != 200:
                    break
            self.reply(*answer)

    with serving(Balancer) as port:
        yield port
