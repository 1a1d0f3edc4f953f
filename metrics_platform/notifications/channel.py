"""What every channel shares: the steps that send a message, requests over HTTP, and the repetition of both.

A request that never left may always be repeated. One whose answer was lost is repeated only where twice is better than
never. Configuration errors and refusals are never repeated.
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
from metrics_platform.proxies import is_loopback, shown_proxy
from metrics_platform.redaction import mask, mask_http_logs, secrets_of_url

if TYPE_CHECKING:
    import requests


Result = TypeVar("Result")
NETWORK = "Can this machine reach it? Check the network and the proxy. Messages wait until it answers."
# Sends one step; gets the message of the first step, if it is sent, and returns the fields of its `Sent`.
Step = Callable[[Sent | None], dict[str, Any]]


class DeliveryError(Exception):
    """A message, or a part of it, did not go out over a channel; the text has no secrets and says what to do.

    Raise it outside of `except` blocks: the errors of HTTP and SMTP libraries hold URLs and passwords, and would be
    kept as its context.
    """

    def __init__(self, reason: Reason, text: str, *, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.reason: Reason = reason
        self.retry_after = retry_after  # seconds the service asks to be left alone

    @property
    def passes(self) -> bool:
        """Whether waiting may help: the service or the network is down."""
        return self.reason in ("unreachable", "unknown")


@dataclass(frozen=True)
class RetryPolicy:
    """How long tries are repeated, in seconds, and the clocks that count it."""

    budget: float = 45.0
    tries: int = 4
    first_wait: float = 1.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def waits(self) -> Iterator[float]:
        """The waits between tries: doubling, each with up to half of it on top, so that senders do not synchronise."""
        for number in range(self.tries - 1):
            yield self.first_wait * 2**number * (1 + self.jitter() / 2)


def retry(
    policy: RetryPolicy,
    once: Callable[[], Result],
    *,
    repeat_unknown: bool,
    before_again: Callable[[], None] = lambda: None,
) -> Result:
    """Call `once` until it succeeds, within the policy's budget; `before_again` is called before each repetition.

    Raises:
        DeliveryError: the last one; with the service's `retry_after` where that wait exceeds the budget.
    """
    deadline = policy.clock() + policy.budget
    waits = policy.waits()
    while True:
        try:
            return once()
        except DeliveryError as caught:
            error = caught
        # A service that asks for no wait at all is not called a thousand times within the budget.
        requested = None if error.retry_after is None else max(error.retry_after, policy.first_wait)
        wait = next(waits, None) if requested is None else requested
        repeatable = error.reason == "unreachable" or (error.reason == "unknown" and repeat_unknown)
        if not repeatable or wait is None or policy.clock() + wait > deadline:
            raise error
        policy.sleep(wait)
        before_again()


@dataclass(frozen=True)
class DeliveryContext:
    """What a channel needs besides the message."""

    pictures: Sequence[Picture] = ()
    # The message it replies to, on this channel.
    reply_to: Sent | None = None
    # The key of the message it replies to, for channels that thread by it.
    thread: str | None = None
    # Whether a step whose answer was lost may be repeated: twice is better than never.
    repeat_unknown: bool = True


class Channel(ABC):
    """A channel that messages are sent over; settings, the journal and texts call it by its name."""

    name: str
    title: str

    @abstractmethod
    def steps(self, message: Message, context: DeliveryContext) -> Sequence[Step]:
        """The steps that send a message; each raises DeliveryError if it fails."""

    def edit(self, message: Message, original: Sent, pictures: Sequence[Picture] = ()) -> bool:
        """Replace the text of a message that was sent; False if the channel cannot, as most.

        With `pictures` its picture is replaced, too, where text and picture are one message. Without, it stays.

        Raises:
            DeliveryError: the change did not arrive.
        """
        return False

    def check(self) -> str:
        """Ask whether it would take a message, without sending one; returns what answers.

        Raises:
            DeliveryError: it would not.
        """
        return "ready"

    def inspect(self) -> Iterator[Finding]:
        try:
            yield Finding(self.title, "ok", self.check())
        except DeliveryError as caught:
            yield Finding(self.title, "problem", str(caught), NETWORK if caught.passes else "")


# --- HTTP ------------------------------------------------------------------------------------------------------------
#
# `requests` puts the URL, and so the token or the webhook, into the texts of its exceptions and of urllib3's DEBUG log.
# Here they end: what is raised is made after the `except` block, from masked text, so that neither its cause nor its
# context leads back to them.

CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 30.0
HEARTBEAT_TIMEOUTS = (3.0, 5.0)


@dataclass(frozen=True)
class Answer:
    """What a server answered: its status, its body as text and, if it is JSON, as that."""

    status: int
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
        answer = Answer(response.status_code, text[:2000], body)
        if error := self._temporary(answer, response.headers.get("Retry-After")):
            raise error
        return answer

    def _temporary(self, answer: Answer, wait_of_header: str | None) -> DeliveryError | None:
        """The error of an answer that may be another one later; None for all others."""
        status, service = answer.status, self._service
        if status == 429:
            # The Bot API names the wait in its JSON, others in a header.
            given = answer.json.get("parameters") if isinstance(answer.json, dict) else None
            wait = _seconds(given.get("retry_after") if isinstance(given, dict) else None, wait_of_header)
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
        if not arrived and any("Tunnel connection failed: 407" in str(error) for error in chain):
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
        return [masked_json(item, masked) for item in value]
    return {name: masked_json(item, masked) for name, item in value.items()} if isinstance(value, dict) else value


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
        current = waiting.pop(0)
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            yield current
            waiting += [getattr(current, "reason", None), current.__cause__, *current.args]


def _seconds(*waits: Any) -> float:
    """How long a service asks to be left alone: a number of seconds, at least one; one if none is given."""
    for candidate in waits:
        with contextlib.suppress(TypeError, ValueError):
            if candidate is not None and math.isfinite(seconds := float(candidate)):
                return max(1.0, seconds)
    return 1.0


def beat(url: str) -> str:
    """Call the heartbeat's `url`; returns what went wrong, without the address, which is a secret; empty: nothing.

    It is called after each good check, so that an outside watcher notices silence.
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
    """The parts of an address that let others call it; an answer may repeat any of them, decoded."""
    parts = urlsplit(url)
    yield from (url, parts.query)
    yield from map(unquote, (*parts.path.split("/"), parts.password or ""))
    yield from (value for _, value in parse_qsl(parts.query))
