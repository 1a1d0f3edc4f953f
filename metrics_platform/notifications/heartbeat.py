"""The heartbeat: a web address is called after each good check, so that an outside watcher notices silence."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote, urlsplit

from metrics_platform.notifications.channel import DeliveryError
from metrics_platform.notifications.transport import Transport

_TIMEOUTS = (3.0, 5.0)


def beat(url: str) -> str:
    """Call `url` once; returns what went wrong, without the address, which is a secret; empty: nothing."""
    transport = Transport("The heartbeat's watcher", secrets=tuple(_secrets(url)), timeouts=_TIMEOUTS)
    problem = ""
    try:
        answer = transport.post(url)
        if answer.status >= 300:
            problem = f"The heartbeat's watcher answered {answer.status}: {answer.text[:200].strip()}"
    except DeliveryError as error:
        problem = str(error)
    finally:
        transport.close()
    return problem


def _secrets(url: str) -> Iterator[str]:
    """The parts of an address that let others call it; an answer may repeat any of them, decoded."""
    parts = urlsplit(url)
    yield from (url, parts.query)
    yield from map(unquote, (*parts.path.split("/"), parts.password or ""))
    yield from (value for _, value in parse_qsl(parts.query))
