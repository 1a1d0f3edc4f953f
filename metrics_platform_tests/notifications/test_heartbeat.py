"""The heartbeat: one call, and whatever goes wrong is said without the address, which is a secret."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from metrics_platform.notifications import heartbeat
from metrics_platform.notifications.heartbeat import beat
from metrics_platform_tests.notifications.telegram_chat import answering, raw_server
from metrics_platform_tests.watcher import PATH, QUERY, watcher


@pytest.fixture(autouse=True)
def _nothing_secret_is_logged(no_proxies: None, logged: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    texts = [f"{record.name} {record.getMessage()} {record.args}" for record in logged.get_records("call")]
    assert any("urllib3" in text for text in texts)  # which says at DEBUG what is asked for
    assert not any("5ecret" in text for text in texts)


def test_a_good_answer_is_all_there_is() -> None:
    with watcher() as (url, called):
        assert beat(url) == ""
        assert called == [f"{PATH}?{QUERY}"]


@pytest.mark.parametrize("status", [b"201 Created", b"204 No Content"])
def test_any_answer_of_success_is_a_good_one(status: bytes) -> None:
    heard: list[bytes] = []
    with raw_server(answering(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % status, heard)) as host:
        assert beat(f"http://{host}{PATH}") == ""
    assert [each.partition(b" HTTP")[0] for each in heard] == [f"POST {PATH}".encode()]


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
        said = beat(f"http://{host}{address}")
    assert said.startswith("The heartbeat's watcher answered 404: ")
    assert "***" in said and "5ecret" not in said


def test_a_password_in_the_address_is_masked_in_the_answer() -> None:
    with raw_server(answering(b"HTTP/1.1 401 No\r\nContent-Length: 15\r\n\r\nnot 5ecret-word")) as host:
        said = beat(f"http://anna:5ecret-word@{host}/")
    assert said == "The heartbeat's watcher answered 401: not ***"


@pytest.mark.parametrize("status", [404, 500])
def test_a_refusal_is_said_with_its_status_and_tried_no_second_time(status: int) -> None:
    with watcher(status) as (url, called):
        said = beat(url)
        assert len(called) == 1
    assert str(status) in said and "5ecret" not in said


def test_a_watcher_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "_TIMEOUTS", (0.5, 0.2))
    started = time.monotonic()
    with watcher(wait=60.0) as (url, _):
        said = beat(url)
        assert time.monotonic() - started < 30
    assert said and "5ecret" not in said
