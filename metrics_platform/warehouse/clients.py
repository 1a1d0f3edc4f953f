"""The clients of a thread, one for each account and its limits: warehouses that are alike share one.

To make one takes three requests (the driver reads all settings of the server), as long as five of our queries; and a
run makes a warehouse for each of its steps, so that their queries are told apart.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

# A connection that was idle for longer may be cut on the way without a word; a new one is soon made.
_LONGEST_IDLE = 60.0


class _Clients(threading.local):
    """The clients of a thread, each with when it was last asked for (seconds)."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.by_key: dict[Hashable, tuple[Client, float]] = {}


_CLIENTS = _Clients()


def client_for(key: Hashable, make: Callable[[], Client]) -> Client:
    """This thread's client of `key`, made by `make` where there is none that can be used."""
    clients = _of_this_process()
    now = time.monotonic()
    for other, (client, asked_at) in list(clients.items()):
        if now - asked_at > _LONGEST_IDLE:
            del clients[other]
            client.close()
    client = clients[key][0] if key in clients else make()
    clients[key] = client, now
    return client


def forget(key: Hashable) -> None:
    """Close this thread's client of `key`, if there is one."""
    found = _of_this_process().pop(key, None)
    if found is not None:
        found[0].close()


def _of_this_process() -> dict[Hashable, tuple[Client, float]]:
    """A fork must not share its parent's sockets."""
    if _CLIENTS.process != os.getpid():
        _CLIENTS.process = os.getpid()
        _CLIENTS.by_key = {}
    return _CLIENTS.by_key
