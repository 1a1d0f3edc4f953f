"""Where the token and the proxy's password are not: in no error, cause, context, traceback, log or repr, ever."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote, unquote

import pytest

from metrics_platform.channel_settings import ChatTarget
from metrics_platform.notifications.channel import DeliveryError
from metrics_platform.notifications.telegram.channel import TelegramChannel
from metrics_platform.notifications.telegram.client import TelegramClient
from metrics_platform.notifications.transport import Transport
from metrics_platform_tests.notifications.clock import Clock, everything_in
from metrics_platform_tests.notifications.telegram_chat import (
    NOWHERE,
    SHORT_TIMEOUTS,
    TIMEOUTS,
    answering,
    client_to,
    cutting,
    deaf_server,
    delivered,
    message,
    pictures,
    raw_server,
    silent,
)
from metrics_platform_tests.telegram import BotApi, Fault, Standing, bot_api_server
from metrics_platform_tests.telegram.bot_api import TOKEN

PASSWORD = "hunter2-of-the-proxy"
# What settings would refuse, and a relay of one's own might want: each library encodes other characters of it.
ODD_TOKEN = "12345:Odd_& token/ключ+%'\"<of>\\all"


@pytest.fixture(autouse=True)
def _no_proxies_of_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def api() -> Iterator[BotApi]:
    with bot_api_server() as server:
        yield server


def holds(text: str, secret: str) -> bool:
    """Whether a text has the secret in it, percent-encoded or not, or its longer half."""
    halves = [secret, *(half for half in secret.split(":") if len(half) > 12)]
    return any(half in spelt for half in halves for spelt in (text, unquote(text), unquote(unquote(text))))


def told_by(error: BaseException, caplog: pytest.LogCaptureFixture, *others: Any) -> list[str]:
    """Everything that people, logs and error trackers see of an error."""
    assert caplog.records == [] or caplog.records[0].levelno >= logging.DEBUG
    texts = everything_in(error)
    texts += traceback.format_exception(error)
    texts += ["".join(traceback.TracebackException.from_exception(error, capture_locals=False).format(chain=True))]
    texts += [caplog.text, *(str(record.__dict__) for record in caplog.records)]
    return texts + [shown for each in others for shown in (repr(each), str(each), f"{each}")]


def echoing(token: str) -> str:
    return f"Not Found: /bot{token}/sendMessage of {quote(token, safe='')}"


# How a call ends badly: what to make the server do, or where to send the call instead.
FAULTS: dict[str, Callable[[BotApi], Any]] = {
    "429": lambda api: api.faults.add(Fault.too_many_requests(9999)),
    "400": lambda api: api.faults.add(Fault.refusal(400, echoing(api.token))),
    "401": lambda api: api.faults.add(Fault.refusal(401, echoing(api.token))),
    "403": lambda api: setattr(api.chat(api.group), "standing", Standing.KICKED),
    "404": lambda api: api.faults.add(Fault.refusal(404, echoing(api.token))),
    "404 of another server": lambda api: api.faults.add(Fault("", "answer", 404, echoing(api.token).encode())),
    "413": lambda api: api.faults.add(Fault("", "answer", 413, echoing(api.token).encode()), times=9),
    "500": lambda api: api.faults.add(Fault.server_error(500), times=9),
    "502": lambda api: api.faults.add(Fault("", "answer", 502, echoing(api.token).encode()), times=9),
    "504": lambda api: api.faults.add(Fault("", "answer", 504, echoing(api.token).encode()), times=9),
    "not JSON": lambda api: api.faults.add(Fault.not_json(echoing(api.token).encode()), times=9),
    "other JSON": lambda api: api.faults.add(Fault.not_json(f'["{echoing(api.token)}"]'.encode()), times=9),
    "redirect": lambda api: api.faults.add(Fault.redirect(f"http://127.0.0.1:9/bot{api.token}/x")),
    "broken redirect": lambda api: api.faults.add(Fault.redirect(f"http://[bot{api.token}")),
    "dropped": lambda api: api.faults.add(Fault.dropped(processed=False), times=9),
    "dropped after": lambda api: api.faults.add(Fault.dropped(processed=True), times=9),
    "hanging": lambda api: api.faults.add(Fault.hanging(processed=True), times=9),
    "down": lambda api: api.down(),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("count", [0, 1])
def test_whatever_telegram_does_the_token_is_nowhere(
    api: BotApi, fault: str, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(1)
    caplog.set_level(1, "urllib3")  # some driver has silenced it
    FAULTS[fault](api)
    warned: list[str] = []
    client = client_to(api, Clock(), timeouts=SHORT_TIMEOUTS if fault == "hanging" else TIMEOUTS)
    channel = TelegramChannel(client, lambda *_: ChatTarget(str(api.group)), warn=warned.append)
    with pytest.raises(DeliveryError) as caught:
        delivered(channel, message(), pictures=pictures(count))
    error = caught.value
    told = told_by(error, caplog, channel, channel.client, channel.client._transport, warned)
    assert not [text for text in told if holds(text, api.token)]
    assert (error.__cause__, error.__context__) == (None, None)
    assert "urllib3.connectionpool" in {record.name for record in caplog.records}


def test_a_success_leaves_no_token_in_the_logs(api: BotApi, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    caplog.set_level(1, "urllib3")  # some driver has silenced it
    client = client_to(api, Clock())
    client.call("getMe", {})
    assert '"POST /bot***/getMe HTTP/1.1" 200' in caplog.text
    assert not holds(caplog.text, api.token)
    assert not [record for record in caplog.records if holds(str(record.__dict__), api.token)]
    assert not holds(repr(client) + str(client), api.token)


# Ways never to reach a Bot API server, as (API base, proxy); `{address}` is that of a server that speaks so.
_ELSEWHERE: list[tuple[str, str | None, Any]] = [
    (NOWHERE, None, silent),
    ("http://telegram.invalid", None, silent),
    ("https://telegram.invalid", None, silent),
    ("http://{address}", None, "deaf"),
    ("http://{address}", None, answering(b"nonsense\r\n\r\n")),
    ("http://{address}", None, answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}")),
    ("http://{address}", None, answering(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}")),
    ("http://{address}", None, answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n{}")),
    ("http://{address}", None, answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n")),
    ("https://{address}", None, silent),
    ("https://{address}", None, cutting),
    ("https://{address}", None, answering(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
    ("http://[broken", None, silent),
    ("http://", None, silent),
    ("nonsense", None, silent),
    ("http://x:port", None, silent),
    ("http://" + "x" * 99 + ".org", None, silent),
    ("http://telegram.invalid", "http://anna:{password}@127.0.0.1:9", silent),
    ("https://telegram.invalid", "http://anna:{password}@127.0.0.1:9", silent),
    ("https://telegram.invalid", "http://anna:{password}@proxy.invalid:1", silent),
    ("https://telegram.invalid", "http://anna:{password}@{address}", silent),
    ("https://telegram.invalid", "http://anna:{password}@{address}", cutting),
    ("https://telegram.invalid", "http://anna:{password}@{address}", answering(b"HTTP/1.1 407 Who?\r\n\r\n")),
    ("https://telegram.invalid", "http://anna:{password}@{address}", answering(b"HTTP/1.1 502 No\r\n\r\n")),
    ("https://telegram.invalid", "https://anna:{password}@{address}", cutting),
    ("https://telegram.invalid", "http://anna:{password}@", silent),
    ("https://telegram.invalid", "http://anna:{password}@[broken", silent),
    ("https://telegram.invalid", "http://anna:{password}@host:{password}", silent),
    ("https://telegram.invalid", "http://anna:#{password}@host:1", silent),
    ("https://telegram.invalid", "http://anna:/{password}@host:1", silent),
    ("https://telegram.invalid", "http://anna:ж{password}@127.0.0.1:9", silent),
    ("https://telegram.invalid", "socks9://anna:{password}@host:1", silent),
    ("https://telegram.invalid", "anna:{password}@host:1", silent),
]


@pytest.mark.parametrize("token", [TOKEN, ODD_TOKEN], ids=["token", "odd"])
@pytest.mark.parametrize(("base", "proxy", "speak"), _ELSEWHERE)
def test_wherever_the_call_goes_token_and_password_are_nowhere(
    base: str, proxy: str | None, speak: Any, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(1)
    caplog.set_level(1, "urllib3")  # some driver has silenced it
    clock = Clock()
    with ExitStack() as running:
        address = running.enter_context(deaf_server() if speak == "deaf" else raw_server(speak))
        client = TelegramClient(
            token,
            api_base=base.format(address=address),
            proxy=proxy.format(address=address, password=PASSWORD) if proxy else None,
            policy=clock.policy,
            timeouts=(0.1, 0.1),
        )
        with pytest.raises(DeliveryError) as caught:
            client.call("getMe", {"odd": "value"})
    error = caught.value
    told = told_by(error, caplog, client, client._transport)
    for secret in (token, PASSWORD):
        assert not [text for text in told if holds(text, secret)]
    assert (error.__cause__, error.__context__) == (None, None)


@pytest.mark.parametrize("where", ["text", "JSON"])
def test_an_odd_token_that_comes_back_is_masked(where: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    caplog.set_level(1, "urllib3")  # some driver has silenced it
    heard: list[bytes] = []
    with raw_server(answering(b"", heard)) as address:
        client = TelegramClient(ODD_TOKEN, api_base=f"http://{address}", policy=Clock().policy, timeouts=TIMEOUTS)
        with pytest.raises(DeliveryError):
            client.call("getMe", {}, repeat_unknown=False)
    path = heard[0].split()[1].decode()
    body = f"no {path} here" if where == "text" else f'{{"description": "no {path} here"}}'
    answer = f"HTTP/1.1 400 Bad Request\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    with raw_server(answering(answer)) as address:
        client = TelegramClient(ODD_TOKEN, api_base=f"http://{address}", policy=Clock().policy, timeouts=TIMEOUTS)
        with pytest.raises(DeliveryError) as caught:
            client.call("getMe", {})
    told = told_by(caught.value, caplog)
    assert "no /bot*** here" in str(caught.value) or "no /bot***/getMe here" in str(caught.value)
    assert not [text for text in told if holds(text, ODD_TOKEN)]


def test_an_error_while_another_is_handled_has_no_http_error_behind_it(api: BotApi) -> None:
    api.down()
    transport = Transport("Telegram", secrets=(api.token,), timeouts=TIMEOUTS)
    with pytest.raises(DeliveryError) as caught:
        transport.post(f"{api.base}/bot{api.token}/getMe")
    assert everything_in(caught.value) == everything_in(DeliveryError("unreachable", str(caught.value)))
