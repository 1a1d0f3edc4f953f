"""One POST to a messenger's HTTP API: what came back, or why nothing did, without a secret in it.

`requests` puts the URL, and so the token or the webhook, into the texts of its exceptions and of urllib3's DEBUG log.
Here they end: what is raised is made after the `except` block, from masked text, so that neither its cause nor its
context leads back to them.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from metrics_platform.notifications.errors import DeliveryError
from metrics_platform.notifications.redaction import mask, mask_http_logs

if TYPE_CHECKING:
    import requests

CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 30.0
# What TLS says when it never came to an encrypted connection: the request cannot have left.
_HANDSHAKE_ERRORS = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER", "UNSUPPORTED_PROTOCOL", "HANDSHAKE_FAILURE")


@dataclass(frozen=True)
class Answer:
    """What a server answered: its status, its headers, its body as text and, if it is JSON, as that."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    text: str
    json: Any = None


@dataclass(frozen=True)
class Patience:
    """How long tries are repeated, in seconds, and the clocks that count it (a test brings its own)."""

    budget: float = 45.0
    tries: int = 4
    first_wait: float = 1.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def waits(self) -> Iterator[float]:
        """The waits between tries: doubling, each with up to half of it on top, lest senders march in step."""
        for number in range(self.tries - 1):
            yield self.first_wait * 2**number * (1 + self.jitter() / 2)


class Transport:
    """POSTs to one service, whose name errors use. Timeouts are always set, redirects never followed."""

    def __init__(
        self,
        service: str,
        *,
        secrets: tuple[str, ...],
        proxy: str | None = None,
        timeouts: tuple[float, float] = (CONNECT_TIMEOUT, READ_TIMEOUT),
    ) -> None:
        import requests  # noqa: PLC0415  (a tenth of a second, on use only)

        mask_http_logs()
        self._service = service
        self._secrets = secrets
        self._timeouts = timeouts
        self._session: requests.Session = requests.Session()
        if proxy:
            self._session.proxies = {"http": proxy, "https": proxy}

    def post(
        self,
        url: str,
        *,
        data: Mapping[str, Any] | None = None,
        json: Any = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
    ) -> Answer:
        """POST once.

        Raises:
            DeliveryError: `unreachable` where the request cannot have left, `unknown` where its answer was lost.
        """
        error, response = None, None
        try:
            response = self._session.post(
                url, data=data, json=json, files=files, timeout=self._timeouts, allow_redirects=False
            )
        except (OSError, ValueError) as caught:  # all of requests' and urllib3's are one or the other
            error = self._explained(caught, url)
        if response is None:
            raise error or DeliveryError("unknown", f"{self._service} gave no answer.")
        try:
            body = response.json()
        except ValueError:
            body = None
        return Answer(response.status_code, response.headers, self.masked(response.text)[:2000], body)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def masked(self, text: str) -> str:
        """`text` without this service's secrets."""
        return mask(text, self._secrets)

    def _explained(self, caught: Exception, url: str) -> DeliveryError:
        import requests  # noqa: PLC0415
        from urllib3.exceptions import NewConnectionError, ProxyError  # noqa: PLC0415

        chain = list(_chain(caught))
        text = " ".join(str(each) for each in chain)
        cause = self.masked(str(chain[-1]))[:300]
        host = urlsplit(url).hostname
        if isinstance(caught, requests.ReadTimeout):
            return DeliveryError("unknown", f"{self._service} ({host}) took the request and did not answer in time.")
        never_left = (
            isinstance(caught, requests.ConnectTimeout | requests.exceptions.InvalidURL)
            or any(isinstance(each, NewConnectionError | ProxyError) for each in chain)
            or any(name in text for name in _HANDSHAKE_ERRORS)
        )
        if never_left:
            return DeliveryError("unreachable", f"{self._service} ({host}) cannot be reached: {cause}")
        return DeliveryError("unknown", f"The connection to {self._service} ({host}) broke before its answer: {cause}")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and what it was made of: requests wraps urllib3's as arguments, urllib3 its own as `reason`."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [getattr(each, "reason", None), each.__cause__, *each.args]
