"""TCP ports of this machine."""

from __future__ import annotations

import socket

# Ports that are tried, from the preferred one on.
_TRIED = 50


def port_is_taken(port: int) -> bool:
    """Whether a program answers on the port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def next_free_port(preferred: int) -> int:
    """The preferred port or the next free one after it; 0, which means any, where none of the next 50 is free."""
    ports = range(preferred, min(preferred + _TRIED, 65_536))
    return next((port for port in ports if not port_is_taken(port)), 0)
