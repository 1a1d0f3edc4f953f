"""The heartbeat: a web address is called after each good check, so that an outside watcher notices silence."""

from __future__ import annotations

from urllib.parse import urlsplit

from metrics_platform.notifications.errors import DeliveryError
from metrics_platform.notifications.transport import Transport

_TIMEOUTS = (3.0, 5.0)


def beat(url: str) -> str:
    """Call `url` once; returns what went wrong, without the address, which is a secret; empty: nothing."""
    parts = urlsplit(url)
    secrets = tuple(each for each in (url, parts.path.strip("/"), parts.query, parts.password) if each)
    transport = Transport("The heartbeat's watcher", secrets=secrets, timeouts=_TIMEOUTS)
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
