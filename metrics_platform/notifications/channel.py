"""What every channel shares: the steps that send a message, HTTP requests, and retries.

A request that was never sent may always be retried. If the answer was lost, it is retried only where a duplicate is
better than a lost message. Configuration errors and refusals are never retried.
"""

from __future__ import annotations

import contextlib
import io
import math
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from metrics_platform.findings import Finding
from metrics_platform.notifications.history import Reason, Sent
from metrics_platform.notifications.message import Message, Picture
from metrics_platform.proxies import display_proxy, is_loopback
from metrics_platform.redaction import mask, mask_http_logs, secrets_of_url

if TYPE_CHECKING:
    import requests


Result = TypeVar("Result")
NETWORK = "Can this machine reach it? Check the network and the proxy. Messages wait until it answers."
# Sends one step. It receives the result of the first step, if there is one, and returns the fields of its own `Sent`.
Step = Callable[[Sent | None], dict[str, Any]]


class DeliveryError(Exception):
    """A channel could not send a message or a part of it. The text has no secrets and says what to do.

    Raise it outside of `except` blocks: otherwise its context is an error of the HTTP or SMTP library, which holds URLs
    and passwords.
    """

    def __init__(self, reason: Reason, text: str, *, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.reason: Reason = reason
        self.retry_after = retry_after  # seconds that the service asks to wait

    @property
    def is_transient(self) -> bool:
        """Whether waiting may help: the service or the network is down."""
        return self.reason in ("unreachable", "unknown")


@dataclass(frozen=True)
class RetryPolicy:
    """How long and how often to retry, in seconds, with the clock and the sleep to use."""

    budget: float = 45.0
    tries: int = 4
    first_wait: float = 1.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def waits(self) -> Iterator[float]:
        """The waits between tries. They double, with jitter of up to a half, so that senders do not synchronise."""
        for number in range(self.tries - 1):
            yield self.first_wait * 2**number * (1 + self.jitter() / 2)


def retry(
    policy: RetryPolicy,
    call: Callable[[], Result],
    *,
    repeat_unknown: bool,
    before_retry: Callable[[], None] = lambda: None,
) -> Result:
    """Repeat `call` until it succeeds, within the policy's budget. `before_retry` is called before each retry.

    Raises:
        DeliveryError: the last one. It has the service's `retry_after` if that wait exceeds the budget.
    """
    deadline = policy.clock() + policy.budget
    waits = policy.waits()
    while True:
        try:
            return call()
        except DeliveryError as caught:
            error = caught
        # A service that asks for a wait of zero must not be called a thousand times within the budget.
        requested = None if error.retry_after is None else max(error.retry_after, policy.first_wait)
        wait = next(waits, None) if requested is None else requested
        retryable = error.reason == "unreachable" or (error.reason == "unknown" and repeat_unknown)
        if not retryable or wait is None or policy.clock() + wait > deadline:
            raise error
        policy.sleep(wait)
        before_retry()


@dataclass(frozen=True)
class DeliveryContext:
    """What a channel needs besides the message."""

    pictures: Sequence[Picture] = ()
    # The message to reply to, on this channel.
    reply_to: Sent | None = None
    # The key of the message to reply to, for channels that thread by it.
    thread: str | None = None
    # Whether to retry a step after its answer was lost: a duplicate is better than a lost message.
    repeat_unknown: bool = True


class Channel(ABC):
    """A channel for messages. Settings, the journal and texts use its name."""

    name: str
    title: str

    @abstractmethod
    def steps(self, message: Message, context: DeliveryContext) -> Sequence[Step]:
        """The steps that send a message; each raises DeliveryError if it fails."""

    def edit(self, message: Message, original: Sent, pictures: Sequence[Picture] = ()) -> bool:
        """Replace the text of a message that was sent. Returns False if the channel cannot edit; most cannot.

        `pictures` replace the message's picture, if text and picture are one message. Without them it stays.

        Raises:
            DeliveryError: the edit did not arrive.
        """
        return False

    def check(self) -> str:
        """Check that the channel would accept a message, without sending one. Returns a short status.

        Raises:
            DeliveryError: it would not.
        """
        return "ready"

    def inspect(self) -> Iterator[Finding]:
        try:
            yield Finding(self.title, "ok", self.check())
        except DeliveryError as caught:
            yield Finding(self.title, "problem", str(caught), NETWORK if caught.is_transient else "")


# --- HTTP ------------------------------------------------------------------------------------------------------------
#
# `requests` and urllib3's DEBUG log quote the URL, which contains the token or the webhook. No such exception leaves
# this module: a new one is raised after the `except` block, with masked text, so that neither its cause nor its context
# refers to the original.

CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 30.0
HEARTBEAT_TIMEOUTS = (3.0, 5.0)


@dataclass(frozen=True)
class Answer:
    """A server's answer: the status, the body as text, and the parsed body if it is JSON."""

    status: int
    text: str
    json: Any = None


class Transport:
    """Sends POST requests to one service; errors name it. Timeouts are always set, and redirects are never followed."""

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
            DeliveryError: `unreachable` if the request cannot have arrived or the service asks to retry later,
                `unknown` if its answer was lost, `misconfigured` if the address is not valid.
        """
        failure, response, tracked_body = None, None, _TrackedBody()
        try:
            response = self._session.post(
                url,
                data=data,
                json=json,
                files=files,
                auth=tracked_body,
                timeout=self._timeouts,
                allow_redirects=False,
                # Proxies of a request take precedence over HTTPS_PROXY and NO_PROXY. Those of a session do not.
                proxies=self._proxies_for(url),
            )
        except Exception as caught:  # noqa: BLE001  (whatever it is, it may quote the address)
            failure = self._delivery_error(caught, url, arrived=tracked_body.complete)
        if response is None:
            raise failure or DeliveryError("unknown", f"{self._service} gave no answer.")
        try:
            body = mask_json(response.json(), self.mask_secrets)
        except (ValueError, RecursionError):
            body = None
        text = self.mask_secrets(response.content.decode("utf-8", "replace"))
        answer = Answer(response.status_code, text[:2000], body)
        if failure := self._temporary_error(answer, response.headers.get("Retry-After")):
            raise failure
        return answer

    def _temporary_error(self, answer: Answer, header_wait: str | None) -> DeliveryError | None:
        """The error for an answer that may change later; None for all others."""
        status, service = answer.status, self._service
        if status == 429:
            # The Bot API sends the wait as JSON, others in a header.
            parameters = answer.json.get("parameters") if isinstance(answer.json, dict) else None
            wait = _retry_after(parameters.get("retry_after") if isinstance(parameters, dict) else None, header_wait)
            text = f"{service} asks to wait {wait:.0f} s before the next message (429)."
            return DeliveryError("unreachable", text, retry_after=wait)
        if status in (500, 502, 503):
            return DeliveryError("unreachable", f"{service} has a problem: it answered {status}.")
        if status == 408 or status > 500:  # a gateway gave up waiting
            text = f"{service} answered {status}, so it is unknown whether the message arrived. If this lasts, check "
            return DeliveryError("unknown", f"{text}the address and the proxy.")
        return None

    def close(self) -> None:
        self._session.close()

    def mask_secrets(self, text: str) -> str:
        """`text` without this service's secrets."""
        return mask(text, self._secrets)

    def _proxies_for(self, url: str) -> dict[str, Any]:
        """The configured proxy; without one, none for a loopback address and the environment's for any other."""
        if not self._proxies and is_loopback(_host(url)):
            return {"http": None, "https": None, "all": None}
        return dict(self._proxies)

    def _via_proxy(self, url: str) -> str:
        """The proxy that a request to `url` uses, as an addition to its error; empty if there is none."""
        from requests.utils import get_environ_proxies, select_proxy  # noqa: PLC0415

        proxy = None
        with contextlib.suppress(ValueError):  # an address that cannot be read
            proxy = select_proxy(url, self._proxies_for(url) or get_environ_proxies(url, no_proxy=None))
        return f" through the proxy {display_proxy(proxy)}" if proxy else ""

    def _delivery_error(self, caught: Exception, url: str, *, arrived: bool) -> DeliveryError:
        """The error to show. `arrived`: the server may have received the whole request."""
        import requests  # noqa: PLC0415
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        chain = list(_chain(caught))
        cause = self.mask_secrets(str(chain[-1]))[:300]
        server = f"{self._service} ({_host(url)})"
        via_proxy = self._via_proxy(url)
        is_network_error = isinstance(caught, OSError | HTTPError | HTTPException) and not isinstance(
            caught, ValueError
        )
        if not is_network_error and not arrived:
            # Leave out its text: it quotes the address, and any part of that may be the password.
            kind = type(caught).__name__
            text = (
                f"No request could be made to {server} ({kind}): correct its address, or that of the proxy before it."
            )
            return DeliveryError("misconfigured", text)
        if not arrived and any("Tunnel connection failed: 407" in str(error) for error in chain):
            text = f"{server} cannot be reached{via_proxy}, which wants another user or password: {cause}"
            return DeliveryError("misconfigured", text)
        if not arrived:
            return DeliveryError("unreachable", f"{server} cannot be reached{via_proxy}: {cause}")
        if isinstance(caught, requests.ReadTimeout):
            return DeliveryError("unknown", f"{server} accepted the request{via_proxy} but did not answer in time.")
        return DeliveryError("unknown", f"The connection to {server}{via_proxy} broke before its answer: {cause}")


def _session() -> requests.Session:
    import requests  # noqa: PLC0415  (a tenth of a second, on use only)

    class Session(requests.Session):
        """Ignores redirects: requests would read the next address even without following it."""

        def get_redirect_target(self, resp: Any) -> None:
            return None

    return Session()


class _TrackedBody(io.BytesIO):
    """A request body that records whether all of it was sent. Until then the server cannot have acted on it.

    This tells a lost answer from a TLS handshake that hangs or is cut, as happens where a messenger is blocked. It is
    passed as the `auth` of the request, which may replace the body. (With an `auth`, requests does not look for a
    password in ~/.netrc either.)
    """

    complete = False

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        self.write(body.encode() if isinstance(body, str) else body)
        self.seek(0)
        request.body = self  # type: ignore[assignment]  # requests takes files, its types do not say so
        return request

    def read(self, size: int | None = -1, /) -> bytes:
        """Read the next bytes. After the last ones the request is complete."""
        piece = super().read(size)
        self.complete = self.tell() == len(self.getbuffer())
        return piece


def mask_json(value: Any, mask_text: Callable[[str], str]) -> Any:
    """JSON with `mask_text` applied to each of its strings."""
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, list):
        return [mask_json(item, mask_text) for item in value]
    return {name: mask_json(item, mask_text) for name, item in value.items()} if isinstance(value, dict) else value


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and the ones it wraps: requests holds urllib3's in `args`, and urllib3 holds its own in `reason`."""
    seen: set[int] = set()
    unvisited: list[Any] = [error]
    while unvisited:
        current = unvisited.pop(0)
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            yield current
            unvisited += [getattr(current, "reason", None), current.__cause__, *current.args]


def _retry_after(*waits: Any) -> float:
    """The wait that a service asks for, in seconds: the first valid number, at least 1; 1 if none is valid."""
    for candidate in waits:
        with contextlib.suppress(TypeError, ValueError):
            if candidate is not None and math.isfinite(seconds := float(candidate)):
                return max(1.0, seconds)
    return 1.0


def send_heartbeat(url: str) -> str:
    """Call the heartbeat's `url`. Returns the error without the address, which is a secret; empty if all went well.

    Call it after each successful check, so that an outside watcher notices silence.
    """
    transport = Transport("The heartbeat's watcher", secrets=tuple(_secrets(url)), timeouts=HEARTBEAT_TIMEOUTS)
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
    """The secret parts of an address. An answer may repeat any of them, decoded."""
    parts = urlsplit(url)
    yield from (url, parts.query)
    yield from map(unquote, (*parts.path.split("/"), parts.password or ""))
    yield from (value for _, value in parse_qsl(parts.query))
