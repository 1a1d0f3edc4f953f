"""The clients of a thread, one for each account and its limits. Equal warehouses share one.

To make one takes three requests (the driver reads all settings of the server), as long as five of our queries; and a
run makes a warehouse for each of its steps, so that `system.query_log` shows which step sent a query.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

# A connection that was idle for longer may have been cut unnoticed. A new one is cheap.
_LONGEST_IDLE = 60.0


class _Clients(threading.local):
    """The clients of a thread, each with the time of its last use (seconds)."""

    def __init__(self) -> None:
        self.by_key: dict[Hashable, tuple[Client, float]] = {}


_CLIENTS = _Clients()


def _forget_all() -> None:
    """Forget this thread's clients: a fork must not share its parent's sockets."""
    _CLIENTS.by_key.clear()


os.register_at_fork(after_in_child=_forget_all)


def client_for(key: Hashable, make: Callable[[], Client]) -> Client:
    """This thread's client of `key`. `make` creates it if there is no usable one."""
    clients, now = _CLIENTS.by_key, time.monotonic()
    for other, (_, asked_at) in list(clients.items()):
        if now - asked_at > _LONGEST_IDLE:
            forget(other)
    client = clients[key][0] if key in clients else make()
    clients[key] = client, now
    return client


def forget(key: Hashable) -> None:
    """Close this thread's client of `key`, if there is one."""
    client, _ = _CLIENTS.by_key.pop(key, (None, 0.0))
    if client is not None:
        client.close()
