"""The local Bot API server misbehaves on demand, and only then; it counts messages by a clock where it is asked to."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Any

import pytest
import requests

from metrics_platform_tests.telegram.asking import ask, picture, post, refusal
from metrics_platform_tests.telegram.bot_api import BotApi, bot_api_server
from metrics_platform_tests.telegram.faults import Fault


def send(api: BotApi, text: str = "x", *, patience: float = 5) -> requests.Response:
    """One message to the group by a client with this timeout in seconds."""
    url, data = f"{api.base}/bot{api.token}/sendMessage", {"chat_id": api.group, "text": text}
    return requests.post(url, data=data, timeout=patience, allow_redirects=False)


_ANSWERS = [
    (Fault.server_error(500), 500, "application/json"),
    (Fault.server_error(502), 502, "text/html"),
    (Fault.server_error(503), 503, "text/html"),
    (Fault.not_json(), 200, "text/html"),
    (Fault.redirect("http://127.0.0.1:9/elsewhere"), 302, None),
    (Fault.refusal(400, "Bad Request: chat not found"), 400, "application/json"),
    (Fault.too_many_requests(3), 429, "application/json"),
]


@pytest.mark.parametrize(("fault", "status", "media_type"), _ANSWERS)
def test_a_fault_answers_one_call_and_nothing_is_sent(
    api: BotApi, fault: Fault, status: int, media_type: str | None
) -> None:
    api.faults.add(fault)
    answer = send(api)
    assert (answer.status_code, answer.headers.get("Content-Type")) == (status, media_type)
    assert api.messages(api.group) == []
    assert send(api).json()["ok"]
    assert [(call.status, call.fault) for call in api.calls] == [(status, fault), (200, None)]
    assert api.faults.waiting == 0


def test_an_answer_can_fail_after_the_message_was_sent(api: BotApi) -> None:
    api.faults.add(Fault.server_error(502).after_processing())
    assert send(api).status_code == 502
    assert len(api.messages(api.group)) == 1


@pytest.mark.parametrize(
    ("where", "in_body", "in_header"), [("body", True, False), ("header", False, True), ("both", True, True)]
)
def test_the_seconds_to_wait_are_where_the_test_wants_them(
    api: BotApi, where: Any, in_body: bool, in_header: bool
) -> None:
    api.faults.add(Fault.too_many_requests(7, where=where))
    answer = send(api)
    assert (answer.json().get("parameters") == {"retry_after": 7}) == in_body
    assert (answer.headers.get("Retry-After") == "7") == in_header


@pytest.mark.parametrize("processed", [False, True])
def test_a_dropped_connection_has_no_answer(api: BotApi, processed: bool) -> None:
    api.faults.add(Fault.dropped(processed=processed))
    with pytest.raises(requests.ConnectionError):
        send(api)
    assert len(api.messages(api.group)) == processed
    assert (api.calls[0].status, api.calls[0].ok) == (None, False)


@pytest.mark.parametrize("processed", [False, True])
def test_a_hanging_call_is_never_answered_and_does_not_hold_up_the_end(processed: bool) -> None:
    threads = set(threading.enumerate())
    with bot_api_server() as api:
        api.faults.add(Fault.hanging(processed=processed))
        with pytest.raises(requests.ReadTimeout):
            send(api, patience=0.15)
        assert len(api.messages(api.group)) == processed
        assert send(api, "others are served meanwhile").json()["ok"]
        began = time.monotonic()
    for left in set(threading.enumerate()) - threads:
        left.join(1)
        assert not left.is_alive()
    assert time.monotonic() - began < 1


def test_a_fault_waits_for_the_calls_it_is_meant_for(api: BotApi) -> None:
    api.faults.add(Fault.server_error(500), method="sendPhoto", nth=2, times=2)
    api.faults.add(Fault.server_error(503), when=lambda _, given: given.get("text") == "bad")
    statuses = [post(api, "sendPhoto", chat_id=api.group, files={"photo": picture()}).status_code for _ in range(4)]
    assert statuses == [200, 500, 500, 200]
    assert [send(api, text).status_code for text in ("good", "bad", "bad")] == [200, 503, 200]


def test_a_server_that_is_down_refuses_and_comes_back_on_its_port(api: BotApi) -> None:
    with requests.Session() as kept_alive:
        assert kept_alive.get(f"{api.base}/bot{api.token}/getMe", timeout=1).json()["ok"]
        api.down()
        for client in (kept_alive, requests):
            with pytest.raises(requests.ConnectionError):
                client.get(f"{api.base}/bot{api.token}/getMe", timeout=1)
        api.up()
        assert kept_alive.get(f"{api.base}/bot{api.token}/getMe", timeout=1).json()["ok"]
    assert len(api.calls) == 2
    api.down()
    api.down()


@pytest.mark.parametrize("framing", ["Content-Length: 99", "Transfer-Encoding: chunked"])
def test_a_client_killed_while_it_speaks_has_said_nothing(framing: str) -> None:
    with bot_api_server() as api:
        port = int(api.base.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            head = f"POST /bot{api.token}/sendMessage HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n"
            client.sendall(f"{head}20\r\nchat_id={api.group}&text=".encode())
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b""
        assert api.calls == [] and api.messages(api.group) == []


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_messages_are_counted_by_the_second_in_each_chat() -> None:
    clock = Clock()
    with bot_api_server(rate_limits=True, clock=clock) as api:
        ask(api, "sendMessage", chat_id=api.private, text="1")
        ask(api, "sendMessage", chat_id=api.group, text="another chat")
        answer = post(api, "sendMessage", chat_id=api.private, text="2")
        assert answer.json() == {
            "ok": False,
            "error_code": 429,
            "description": "Too Many Requests: retry after 1",
            "parameters": {"retry_after": 1},
        }
        assert answer.headers["Retry-After"] == "1"
        clock.now += 1.0
        ask(api, "sendMessage", chat_id=api.private, text="2")
        assert [call.time for call in api.calls] == [1000.0, 1000.0, 1000.0, 1001.0]


def test_messages_are_counted_by_the_minute_in_groups_only() -> None:
    clock = Clock()
    with bot_api_server(rate_limits=True, clock=clock) as api:
        for number in range(20):
            for chat in (api.group, api.private):
                ask(api, "sendMessage", chat_id=chat, text=str(number))
            clock.now += 1.5
        ask(api, "sendMessage", chat_id=api.private, text="no group")
        assert refusal(api, "sendMessage", chat_id=api.group, text="21") == (429, "Too Many Requests: retry after 30")
        clock.now += 10.5
        assert refusal(api, "sendMessage", chat_id=api.group, text="21") == (429, "Too Many Requests: retry after 20")
        clock.now += 19.4
        assert refusal(api, "sendMessage", chat_id=api.group, text="21") == (429, "Too Many Requests: retry after 1")
        clock.now += 0.1
        ask(api, "sendMessage", chat_id=api.group, text="21")


def test_every_message_of_an_album_counts() -> None:
    clock = Clock()
    media = [{"type": "photo", "media": "attach://a"}] * 10
    with bot_api_server(rate_limits=True, clock=clock) as api:
        for _ in range(2):
            ask(api, "sendMediaGroup", chat_id=api.group, media=media, files={"a": picture(10, 10)})
            clock.now += 2
        assert refusal(api, "sendMessage", chat_id=api.group, text="21") == (429, "Too Many Requests: retry after 56")


def test_a_mistake_of_the_server_itself_fails_the_test_that_met_it() -> None:
    server = bot_api_server()
    api = server.__enter__()
    api.faults.add(Fault.server_error(500), when=lambda *_: 1 / 0 > 0)
    with contextlib.suppress(requests.ConnectionError):
        send(api)
    with pytest.raises(AssertionError, match="the test server failed: ZeroDivisionError"):
        server.__exit__(None, None, None)
