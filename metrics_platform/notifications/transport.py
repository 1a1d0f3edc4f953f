"""One POST to a messenger's HTTP API: what came back, or why nothing did, without a secret in it.

`requests` puts the URL, and so the token or the webhook, into the texts of its exceptions and of urllib3's DEBUG log.
Here they end: what is raised is made after the `except` block, from masked text, so that neither its cause nor its
context leads back to them.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from metrics_platform.notifications.channel import DeliveryError
from metrics_platform.proxies import is_loopback, shown_proxy
from metrics_platform.redaction import mask, mask_http_logs, secrets_of_url

if TYPE_CHECKING:
    import requests

CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 30.0


@dataclass(frozen=True)
class Answer:
    """What a server answered: its status, its headers, its body as text and, if it is JSON, as that."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    text: str
    json: Any = None


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
        self._service = service
        self._secrets = (*secrets, *(secrets_of_url(proxy) if proxy else ()))
        self._timeouts = timeouts
        self._proxies = {"http": proxy, "https": proxy} if proxy else {}
        self._session = _session()
        mask_http_logs(self._secrets)

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
            DeliveryError: `unreachable` where the request cannot have arrived or the service asks for a later one,
                `unknown` where its answer was lost, `misconfigured` where there is no address to send it to.
        """
        error, response, handover = None, None, _Handover()
        try:
            response = self._session.post(
                url,
                data=data,
                json=json,
                files=files,
                auth=handover,
                timeout=self._timeouts,
                allow_redirects=False,
                # Given with each request, they go before HTTPS_PROXY and NO_PROXY; the session's own would not.
                proxies=self._proxies_for(url),
            )
        except Exception as caught:  # noqa: BLE001  (whatever it is, it may quote the address)
            error = self._explained(caught, url, arrived=handover.complete)
        if response is None:
            raise error or DeliveryError("unknown", f"{self._service} gave no answer.")
        try:
            body = masked_json(response.json(), self.masked)
        except (ValueError, RecursionError):
            body = None
        text = self.masked(response.content.decode("utf-8", "replace"))
        answer = Answer(response.status_code, response.headers, text[:2000], body)
        if error := self._temporary(answer):
            raise error
        return answer

    def _temporary(self, answer: Answer) -> DeliveryError | None:
        """The error of an answer that may be another one later; None for all others."""
        status, service = answer.status, self._service
        if status == 429:
            # The Bot API names the wait in its JSON, others in a header.
            given = answer.json.get("parameters") if isinstance(answer.json, dict) else None
            wait = _seconds((given if isinstance(given, dict) else {}).get("retry_after"), answer.headers)
            text = f"{service} asks to wait {wait:.0f} s before the next message (429)."
            return DeliveryError("unreachable", text, code=status, retry_after=wait)
        if status in (500, 502, 503):
            return DeliveryError("unreachable", f"{service} has a problem: it answered {status}.", code=status)
        if status == 408 or status > 500:  # a gateway gave up waiting
            text = f"{service} answered {status}, so it is unknown whether the message arrived. If this lasts, check "
            return DeliveryError("unknown", f"{text}the address and the proxy.", code=status)
        return None

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def masked(self, text: str) -> str:
        """`text` without this service's secrets."""
        return mask(text, self._secrets)

    def _proxies_for(self, url: str) -> dict[str, Any]:
        """The setting's proxy, else none for a loopback address, else what the environment says."""
        if not self._proxies and is_loopback(_host(url)):
            return {"http": None, "https": None, "all": None}
        return dict(self._proxies)

    def _through(self, url: str) -> str:
        """The proxy that a request to `url` takes, as an addition to its error; empty where it takes none."""
        from requests.utils import get_environ_proxies, select_proxy  # noqa: PLC0415

        proxy = None
        with contextlib.suppress(ValueError):  # an address that cannot be read
            proxy = select_proxy(url, self._proxies_for(url) or get_environ_proxies(url, no_proxy=None))
        return f" through the proxy {shown_proxy(proxy)}" if proxy else ""

    def _explained(self, caught: Exception, url: str, *, arrived: bool) -> DeliveryError:
        """The error for people; `arrived`: the whole request may have."""
        import requests  # noqa: PLC0415
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        chain = list(_chain(caught))
        cause = self.masked(str(chain[-1]))[:300]
        where = f"{self._service} ({_host(url)})"
        through = self._through(url)
        of_network = isinstance(caught, OSError | HTTPError | HTTPException) and not isinstance(caught, ValueError)
        if not of_network and not arrived:
            # Its text is left out: it quotes the address, of which any part may be the password.
            kind = type(caught).__name__
            text = f"No request could be made to {where} ({kind}): correct its address, or that of the proxy before it."
            return DeliveryError("misconfigured", text)
        if not arrived and any("Tunnel connection failed: 407" in str(each) for each in chain):
            text = f"{where} cannot be reached{through}, which wants another user or password: {cause}"
            return DeliveryError("misconfigured", text)
        if not arrived:
            return DeliveryError("unreachable", f"{where} cannot be reached{through}: {cause}")
        if isinstance(caught, requests.ReadTimeout):
            return DeliveryError("unknown", f"{where} accepted the request{through} but did not answer in time.")
        return DeliveryError("unknown", f"The connection to {where}{through} broke before its answer: {cause}")


def _session() -> requests.Session:
    import requests  # noqa: PLC0415  (a tenth of a second, on use only)

    class Session(requests.Session):
        """Ignores redirects: requests would read the next address even without following it."""

        def get_redirect_target(self, resp: Any) -> None:
            return None

    return Session()


class _Handover(io.BytesIO):
    """A request's body that knows whether the connection has taken all of it: before that, nothing can be done.

    So a TLS handshake that hangs or is cut, as it is where a messenger is blocked, differs from a lost answer. An
    `auth` of requests may finish the request: this one takes the place of its body. (With an `auth`, requests does
    not look for a password in ~/.netrc either.)
    """

    complete = False

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        self.write(body.encode() if isinstance(body, str) else body)
        self.seek(0)
        request.body = self  # type: ignore[assignment]  # requests takes files, its types do not say so
        return request

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes; after the last ones the request is complete."""
        piece = super().read(size)
        self.complete = self.tell() == len(self.getbuffer())
        return piece


def masked_json(value: Any, masked: Callable[[str], str]) -> Any:
    """JSON with each of its texts `masked`."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, list):
        return [masked_json(each, masked) for each in value]
    return {name: masked_json(each, masked) for name, each in value.items()} if isinstance(value, dict) else value


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


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


def _seconds(wait: Any, headers: Mapping[str, str]) -> float:
    """How long a service asks to be left alone: a number of seconds, at least one; one if none is given."""
    for candidate in (wait, headers.get("Retry-After")):
        with contextlib.suppress(TypeError, ValueError):
            if candidate is not None and math.isfinite(seconds := float(candidate)):
                return max(1.0, seconds)
    return 1.0
