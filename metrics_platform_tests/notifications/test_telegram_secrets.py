"""Where the token and the proxy's password are not: in no error, cause, context, traceback, log or repr, ever."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote

import pytest

from metrics_platform.channel_settings import ChatTarget
from metrics_platform.notifications.channel import DeliveryError
from metrics_platform.notifications.telegram import TelegramChannel, TelegramClient
from metrics_platform_tests.notifications.clock import Clock, delivered, everything_in, message
from metrics_platform_tests.notifications.telegram_chat import (
    NOWHERE,
    SHORT_TIMEOUTS,
    TIMEOUTS,
    answering,
    client_to,
    cutting,
    deaf_server,
    pictures,
    raw_server,
    silent,
)
from metrics_platform_tests.telegram import BotApi, Fault, Standing

pytestmark = pytest.mark.usefixtures("no_proxies")
PASSWORD = "hunter2-of-the-proxy"
# What settings would refuse, and a relay of one's own might want: each library encodes other characters of it.
ODD_TOKEN = "12345:Odd_& token/ключ+%'\"<of>\\all"


def holds(text: str, secret: str) -> bool:
    """Whether a text has the secret in it, percent-encoded or not, or its longer half."""
    halves = [secret, *(half for half in secret.split(":") if len(half) > 12)]
    return any(half in spelt for half in halves for spelt in (text, unquote(text), unquote(unquote(text))))


def told_by(error: BaseException, caplog: pytest.LogCaptureFixture, *others: Any) -> list[str]:
    """Everything that people, logs and error trackers see of an error."""
    texts = [*everything_in(error), *traceback.format_exception(error)]
    texts += [caplog.text, *(str(record.__dict__) for record in caplog.records)]
    return texts + [shown for other_url in others for shown in (repr(other_url), str(other_url), f"{other_url}")]


_HEAD = b"HTTP/1.1 200 OK\r\n"
_AWAY, _PROXY = "https://telegram.invalid", "http://anna:{password}@{address}"


def deaf() -> None:
    """In place of a way to speak: the server takes no connection."""


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
def test_whatever_telegram_does_the_token_is_nowhere(api: BotApi, fault: str, logged: pytest.LogCaptureFixture) -> None:
    FAULTS[fault](api)
    warned: list[str] = []
    client = client_to(api, Clock(), timeouts=SHORT_TIMEOUTS if fault == "hanging" else TIMEOUTS)
    channel = TelegramChannel(client, lambda *_: ChatTarget(str(api.group)), warn=warned.append)
    with pytest.raises(DeliveryError) as caught:
        delivered(channel, message(), pictures=pictures(1))
    error = caught.value
    told = told_by(error, logged, channel, channel.client, channel.client._transport, warned)
    assert not [text for text in told if holds(text, api.token)]
    assert (error.__cause__, error.__context__) == (None, None)
    assert "urllib3.connectionpool" in {record.name for record in logged.records}


def test_a_success_leaves_no_token_in_the_logs(api: BotApi, logged: pytest.LogCaptureFixture) -> None:
    client = client_to(api, Clock())
    client.call("getMe", {})
    assert '"POST /bot***/getMe HTTP/1.1" 200' in logged.text
    assert not holds(logged.text, api.token)
    assert not [record for record in logged.records if holds(str(record.__dict__), api.token)]
    assert not holds(repr(client) + str(client), api.token)


# Ways never to reach a Bot API server, as (API base, proxy, how the server at `{address}` speaks, what becomes of it).
_ELSEWHERE: list[tuple[str, str | None, Any, str]] = [
    (NOWHERE, None, silent, "unreachable"),
    (_AWAY, None, silent, "unreachable"),
    ("http://{address}", None, deaf, "unreachable"),
    ("http://{address}", None, silent, "unknown"),
    ("http://{address}", None, answering(b""), "unknown"),
    ("http://{address}", None, answering(b"nonsense\r\n\r\n"), "unknown"),
    ("http://{address}", None, answering(_HEAD + b"Content-Length: 99\r\n\r\n{}"), "unknown"),
    ("http://{address}", None, answering(_HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"), "unknown"),
    ("https://{address}", None, silent, "unreachable"),
    ("https://{address}", None, cutting, "unreachable"),
    ("https://{address}", None, answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "unreachable"),
    ("http://[broken", None, silent, "misconfigured"),
    ("http://", None, silent, "misconfigured"),
    ("nonsense", None, silent, "misconfigured"),
    ("http://" + "x" * 99 + ".org", None, silent, "misconfigured"),
    ("http://telegram.invalid", "http://anna:{password}@127.0.0.1:9", silent, "unreachable"),
    (_AWAY, "http://anna:{password}@127.0.0.1:9", silent, "unreachable"),
    (_AWAY, _PROXY, silent, "unreachable"),
    ("https://telegram.invalid", _PROXY, answering(b"HTTP/1.1 407 Who?\r\n\r\n"), "misconfigured"),
    ("https://telegram.invalid", _PROXY, answering(b"HTTP/1.1 502 No\r\n\r\n"), "unreachable"),
    (_AWAY, "https://anna:{password}@{address}", cutting, "unreachable"),
    (_AWAY, "http://anna:{password}@", silent, "misconfigured"),
    (_AWAY, "http://anna:{password}@host:{password}", silent, "misconfigured"),
    (_AWAY, "http://anna:#{password}@host:1", silent, "unreachable"),
    (_AWAY, "http://anna:{password}#@host:1", silent, "misconfigured"),
    (_AWAY, "http://anna:/{password}@host:1", silent, "unreachable"),
    (_AWAY, "http://anna:ж{password}@127.0.0.1:9", silent, "misconfigured"),
    (_AWAY, "socks9://anna:{password}@host:1", silent, "misconfigured"),
    (_AWAY, "anna:{password}@host:1", silent, "misconfigured"),
]  # fmt: skip


@pytest.mark.parametrize(("base", "proxy", "speak", "reason"), _ELSEWHERE)
def test_wherever_the_call_goes_it_has_its_reason_and_token_and_password_are_nowhere(
    base: str, proxy: str | None, speak: Any, reason: str, logged: pytest.LogCaptureFixture
) -> None:
    with deaf_server() if speak is deaf else raw_server(speak) as address:
        client = TelegramClient(
            ODD_TOKEN,
            api_base=base.format(address=address),
            proxy=proxy.format(address=address, password=PASSWORD) if proxy else None,
            policy=replace(Clock().policy, tries=2),
            timeouts=(0.1, 0.1) if speak in (silent, deaf) or base.startswith("https://{") else TIMEOUTS,
        )
        with pytest.raises(DeliveryError) as caught:
            client.call("getMe", {"odd": "value"})
    error = caught.value
    assert error.reason == reason
    told = told_by(error, logged, client, client._transport)
    for secret in (ODD_TOKEN, PASSWORD):
        assert not [text for text in told if holds(text, secret)]
    assert (error.__cause__, error.__context__) == (None, None)
