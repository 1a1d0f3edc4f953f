"""One POST: what came back, or why nothing did, and whether the request can have arrived. Against real sockets."""

from __future__ import annotations

import http
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import trustme
from requests.adapters import HTTPAdapter

from metrics_platform.notifications import channel
from metrics_platform.notifications.channel import (
    CONNECT_TIMEOUT,
    READ_TIMEOUT,
    Answer,
    DeliveryError,
    Transport,
    retry,
    send_heartbeat,
)
from metrics_platform_tests.notifications.clock import Clock, failure
from metrics_platform_tests.notifications.telegram_chat import (
    NOWHERE,
    TIMEOUTS,
    answering,
    cutting,
    raw_server,
)
from metrics_platform_tests.telegram import BotApi, Fault, bot_api_server
from metrics_platform_tests.watcher import PATH, QUERY, watcher

pytestmark = pytest.mark.usefixtures("no_proxies")
DATA = {"text": "x"}


def transport(**more: Any) -> Transport:
    return Transport("Telegram", **{"secrets": ("hush-hush",), "timeouts": TIMEOUTS, **more})


def to(api: BotApi, method: str = "sendMessage") -> str:
    return f"{api.base}/bot{api.token}/{method}"


def reply(body: str, status: int = 200, headers: str = "") -> bytes:
    reason = http.HTTPStatus(status).phrase
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Length: {len(body.encode())}\r\n{headers}\r\n"
    return head.encode() + body.encode()


def post_to(speak: Callable[[socket.socket], None], **more: Any) -> Answer:
    with raw_server(speak) as address:
        return transport(**more).post(f"http://{address}/", data=DATA)


# --- what is asked --------------------------------------------------------------------------------------------------


class Recording(HTTPAdapter):
    """Remembers the timeouts that each request has."""

    timeouts: list[Any]

    def send(self, request: Any, **options: Any) -> requests.Response:  # type: ignore[override]
        self.timeouts.append(options["timeout"])
        return super().send(request, **options)


def test_every_request_has_a_connect_and_a_read_timeout(api: BotApi) -> None:
    recording = Recording()
    recording.timeouts = []
    default = Transport("Telegram", secrets=())
    for sender in (default, transport()):
        sender._session.mount("http://", recording)
        sender.post(to(api, "getMe"))
        sender.post(to(api), data={"chat_id": api.group, "text": "x"})
    assert recording.timeouts == [(CONNECT_TIMEOUT, READ_TIMEOUT)] * 2 + [TIMEOUTS] * 2
    assert recording.max_retries.total == 0


@pytest.mark.parametrize("location", ["{other}/bot{token}/sendMessage", "http://[broken", "x://y", "//"])
def test_a_redirect_is_an_answer_and_is_not_followed(api: BotApi, location: str) -> None:
    with bot_api_server() as other:
        api.faults.add(Fault.redirect(location.format(other=other.base, token=api.token)))
        answer = transport().post(to(api), data={"chat_id": api.group, "text": "x"})
        assert (answer.status, answer.json, other.calls, len(api.calls)) == (302, None, [], 1)


def test_passwords_in_the_persons_netrc_go_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login anna password from-netrc\n")
    monkeypatch.setenv("NETRC", str(netrc))
    heard: list[bytes] = []
    post_to(answering(reply("{}"), heard))
    assert b"uthorization" not in heard[0]
    assert b"Content-Length: 6\r\n" in heard[0]


# --- what passes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("in_body", "in_header", "wait"),
    [
        (7, "9", 7.0),
        (None, "9", 9.0),
        ("soon", "9", 9.0),
        (0, None, 1.0),
        (-3, None, 1.0),
        ("inf", "nan", 1.0),
        (None, "Wed, 25 Nov 2026 07:28:00 GMT", 1.0),
        (None, None, 1.0),
    ],
)
def test_the_wait_is_the_bodys_else_the_headers_else_a_second(in_body: Any, in_header: Any, wait: float) -> None:
    body = {"ok": False, "error_code": 429, "parameters": {"retry_after": in_body}}
    header = f"Retry-After: {in_header}\r\n" if in_header else ""
    error = failure(lambda: post_to(answering(reply(json.dumps(body), 429, header))))
    assert (error.reason, error.retry_after) == ("unreachable", wait)


# --- why nothing did ------------------------------------------------------------------------------------------------


def test_an_upload_that_is_cut_in_the_middle_cannot_have_arrived() -> None:
    with raw_server(cutting) as address:
        files = {"photo": ("chart.png", b"x" * 8_000_000, "image/png")}
        error = failure(lambda: transport().post(f"http://{address}/", files=files))
    assert error.reason == "unreachable"


# --- by way of a proxy ----------------------------------------------------------------------------------------------


def test_the_proxy_that_is_set_goes_before_the_environments(api: BotApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", NOWHERE)
    monkeypatch.setenv("NO_PROXY", "*")
    url = f"http://telegram.invalid/bot{api.token}/getMe"
    assert transport(proxy=api.base).post(url).status == 200
    monkeypatch.setenv("NO_PROXY", "")
    assert transport(proxy=api.base).post(url).status == 200
    assert failure(lambda: transport().post(url, data=DATA)).reason == "unreachable"


def test_a_loopback_address_is_reached_past_a_proxy(api: BotApi, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, NOWHERE)
    assert transport().post(to(api, "getMe")).status == 200
    assert transport().post(to(api, "getMe").replace("127.0.0.1", "localhost")).status == 200


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_error_names_the_proxy_without_its_password(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = NOWHERE.replace("://", "://anna:hunter22@").rstrip("/")
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", proxy)
    of_environment = str(failure(lambda: transport().post(f"{scheme}://telegram.invalid/", data=DATA)))
    of_setting = str(failure(lambda: transport(proxy=proxy).post(f"{scheme}://telegram.invalid/", data=DATA)))
    for text in (of_environment, of_setting):
        assert f"through the proxy {urlsplit(NOWHERE).netloc}" in text
        assert "hunter22" not in text


# --- trying again ---------------------------------------------------------------------------------------------------


def asked_to_wait(*seconds: float) -> tuple[DeliveryError, list[float]]:
    """The error of a call that a service asks to make later, and what was waited for."""
    clock, left = Clock(), iter(seconds)

    def once() -> None:
        raise DeliveryError("unreachable", "later", retry_after=next(left))

    return failure(lambda: retry(clock.policy, once, repeat_unknown=True)), clock.waits


def test_a_wait_over_the_budget_is_not_begun() -> None:
    error, waits = asked_to_wait(40, 6)
    assert (error.retry_after, waits) == (6, [40])


def test_a_service_that_says_at_once_is_not_asked_a_thousand_times() -> None:
    _, waits = asked_to_wait(*[0] * 60)
    assert len(waits) <= 45


# --- the heartbeat ----------------------------------------------------------------------------------------------------


@pytest.fixture
def nothing_secret_is_logged(logged: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    texts = [f"{record.name} {record.getMessage()} {record.args}" for record in logged.get_records("call")]
    assert any("urllib3" in text for text in texts)  # which says at DEBUG what is asked for
    assert not any("5ecret" in text for text in texts)


@pytest.mark.usefixtures("nothing_secret_is_logged")
@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("/ping/5ecret-uuid", "no check 5ecret-uuid"),
        ("/5ecret-uuid/", "no check 5ecret-uuid"),
        ("/5ecret-key/nightly-5ecret", "no check NIGHTLY of 5ecret-key: nightly-5ecret"),
        ("/push?5ecret-one", "token 5ecret-one is not known"),
        ("/push?token=5ecret-one&msg=OK", "token 5ecret-one is not known"),
        ("/push?token=5ecret%2Fone", "5ecret/one or 5ecret%2Fone"),
        ("/5ecret%20one", "5ecret one or 5ecret%20one"),
    ],
)
def test_an_answer_that_repeats_a_part_of_the_address_is_masked(address: str, told: str) -> None:
    body = told.encode()
    with raw_server(answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))) as host:
        said = send_heartbeat(f"http://{host}{address}")
    assert said.startswith("The heartbeat's watcher answered 404: ")
    assert "***" in said and "5ecret" not in said


@pytest.mark.usefixtures("nothing_secret_is_logged")
@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_heartbeat_is_one_call_that_says_what_was_refused(status: int) -> None:
    with watcher(status) as (url, called):
        said = send_heartbeat(url)
    assert called == [f"{PATH}?{QUERY}"]
    assert (str(status) in said) if status >= 300 else said == ""
    assert "5ecret" not in said


@pytest.mark.usefixtures("nothing_secret_is_logged")
def test_a_watcher_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "HEARTBEAT_TIMEOUTS", (0.5, 0.2))
    started = time.monotonic()
    with watcher(hang=True) as (url, _):
        said = send_heartbeat(url)
        assert time.monotonic() - started < 30
    assert said and "5ecret" not in said


def test_with_an_unknown_certificate_nothing_has_arrived() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    def speak(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as encrypted:
            encrypted.recv(100)

    with raw_server(speak) as address:
        error = failure(lambda: transport().post(f"https://{address}/", data=DATA))
    assert error.reason == "unreachable"
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)
