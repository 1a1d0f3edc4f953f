"""The Bot API's calls: the pace they keep, what they wait for, and what they say where waiting does not help."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from metrics_platform.notifications.telegram import Pacer, TelegramClient
from metrics_platform_tests.notifications.clock import Clock, failure
from metrics_platform_tests.notifications.telegram_chat import client_to, standing
from metrics_platform_tests.telegram import BotApi, Fault, Standing, bot_api_server
from metrics_platform_tests.telegram.bot_api import TOKEN
from metrics_platform_tests.telegram.state import picture


@pytest.fixture
def client(api: BotApi, clock: Clock) -> TelegramClient:
    return client_to(api, clock)


def send(client: TelegramClient, chat: int | str, *, repeat_unknown: bool = True, text: str = "x") -> Any:
    return client.call("sendMessage", {"chat_id": chat, "text": text}, repeat_unknown=repeat_unknown)


def send_album(client: TelegramClient, chat: int, photos: int) -> Any:
    names = [f"picture{number}" for number in range(photos)]
    media = [{"type": "photo", "media": f"attach://{name}"} for name in names]
    files = {name: (f"{name}.png", picture(), "image/png") for name in names}
    return client.call("sendMediaGroup", {"chat_id": chat, "media": json.dumps(media)}, files)


# --- what passes ----------------------------------------------------------------------------------------------------


def test_a_429_is_waited_for_before_reports_too(client: TelegramClient, api: BotApi, clock: Clock) -> None:
    api.faults.add(Fault.too_many_requests(7), times=3)
    send(client, api.group, repeat_unknown=False)
    assert (clock.waits, len(api.messages(api.group))) == ([7.0] * 3, 1)


@pytest.mark.parametrize("where", ["body", "header"])
def test_a_429_over_the_budget_is_given_up_at_once(
    client: TelegramClient, api: BotApi, clock: Clock, where: Any
) -> None:
    api.faults.add(Fault.too_many_requests(300, where=where))
    error = failure(lambda: send(client, api.group))
    assert (error.reason, error.retry_after) == ("unreachable", 300.0)
    assert (clock.waits, len(api.calls)) == ([], 1)
    assert "300 s" in str(error)


@pytest.mark.parametrize("fault", [Fault.server_error(status) for status in (500, 502, 503)])
def test_a_5xx_answer_is_tried_again(client: TelegramClient, api: BotApi, clock: Clock, fault: Fault) -> None:
    api.faults.add(fault, times=2)
    send(client, api.group, repeat_unknown=False)
    assert (clock.waits, len(api.messages(api.group))) == ([1.0, 2.0], 1)
    api.faults.add(fault, times=9)
    error = failure(lambda: send(client, api.group))
    assert error.reason == "unreachable"
    assert clock.waits == [1.0, 2.0, 1.0, 2.0, 4.0]
    assert "<html>" not in str(error)


# --- what someone has to fix --------------------------------------------------------------------------------------


def refusing(said: str) -> Callable[[BotApi], int]:
    def arranged(api: BotApi) -> int:
        api.faults.add(Fault.refusal(400, f"Bad Request: {said}"))
        return api.group

    return arranged


@pytest.mark.parametrize(
    ("arrange", "remedy"),
    [
        (standing("group", Standing.KICKED), "add it again"),
        (standing("supergroup", Standing.KICKED), "add it again"),
        (standing("channel", Standing.NOT_A_MEMBER), "as an administrator"),
        (standing("private", Standing.BLOCKED), "unblock it"),
        (standing("private", Standing.NOT_STARTED), "TELEGRAM_CHAT_ID"),
        (standing("private", Standing.DEACTIVATED), "another chat"),
        (standing("group", Standing.DELETED), "another one in TELEGRAM_CHAT_ID"),
        (standing("group", Standing.NO_MESSAGES), "the right to send text messages"),
        (standing("channel", Standing.NO_MESSAGES), "with the right to post"),
        (lambda _: -1_009_999_999_999, "add the bot to the group or channel"),
        (lambda _: "@nobody_here", "TELEGRAM_CHAT_ID names no chat"),
        (refusing("CHAT_RESTRICTED"), "the right to send messages"),
        (refusing("USER_BANNED_IN_CHANNEL"), "the right to send messages"),
        (refusing("CHAT_GUEST_SEND_FORBIDDEN"), "Only members may write"),
        (refusing("CHANNEL_PRIVATE"), "add it again"),
        (refusing("CHAT_ADMIN_REQUIRED"), "an administrator"),
        (refusing("TOPIC_CLOSED"), "reopen it, or set TELEGRAM_THREAD_ID"),
    ],
)
def test_a_chat_that_does_not_take_the_bot_is_called_once_and_says_what_to_do(
    api: BotApi, clock: Clock, arrange: Any, remedy: str
) -> None:
    client = client_to(api, clock)
    error = failure(lambda: send(client, arrange(api)))
    assert (error.reason, clock.waits, len(api.calls)) == ("misconfigured", [], 1)
    assert remedy in str(error)


@pytest.mark.parametrize("token", [TOKEN[:-1] + "1", "123456:short"])
def test_a_wrong_token_is_called_once_and_names_the_remedy(api: BotApi, clock: Clock, token: str) -> None:
    error = failure(lambda: client_to(api, clock, token=token).call("getMe", {}))
    assert (error.reason, clock.waits, len(api.calls)) == ("misconfigured", [], 1)
    assert "TELEGRAM_BOT_TOKEN" in str(error)
    assert "@BotFather" in str(error)


@pytest.mark.parametrize(
    "fault",
    [
        Fault.redirect("https://portal.example.org/login"),
        Fault("404", "answer", 404, b"<html>404 Not Found</html>", {"Content-Type": "text/html"}),
        Fault("407", "answer", 407, b"<html>Who are you?</html>", {"Content-Type": "text/html"}),
        Fault("403", "answer", 403, b"", {}),
    ],
)
def test_another_servers_answer_is_a_wrong_address(
    client: TelegramClient, api: BotApi, clock: Clock, fault: Fault
) -> None:
    api.faults.add(fault)
    error = failure(lambda: send(client, api.group))
    assert (error.reason, clock.waits, len(api.calls)) == ("misconfigured", [], 1)
    assert "TELEGRAM_API_BASE or TELEGRAM_PROXY" in str(error)


@pytest.mark.parametrize("body", [b"<html>Please log in</html>", b"[]", b'"ok"', b'{"ok": 1}', b"{}", b""])
def test_a_portals_page_is_no_success(client: TelegramClient, api: BotApi, clock: Clock, body: bytes) -> None:
    api.faults.add(Fault.not_json(body), times=9)
    error = failure(lambda: send(client, api.group))
    assert (error.reason, len(clock.waits)) == ("unknown", 3)
    assert "TELEGRAM_API_BASE" in str(error)


# --- the pace -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chat", ["group", "supergroup", "channel_name", "private"])
def test_fifty_messages_in_a_burst_meet_not_a_single_429(chat: str) -> None:
    clock = Clock()
    with bot_api_server(rate_limits=True, clock=lambda: clock.now) as api:
        client = client_to(api, clock, pace=clock)
        for _ in range(50):
            send(client, getattr(api, chat))
        assert [call.status for call in api.calls] == [200] * 50
    if chat == "private":
        assert clock.now == pytest.approx(49 * 1.05)
    else:  # the 50th is the 10th of the third minute
        assert 120 < clock.now < 140


def test_the_photos_of_albums_count_each_and_meet_no_429() -> None:
    clock = Clock()
    with bot_api_server(rate_limits=True, clock=lambda: clock.now) as api:
        client = client_to(api, clock, pace=clock)
        for photos in (10, 9, 2, 10, 3):
            send_album(client, api.group, photos)
            send(client, api.group)
        assert [call.status for call in api.calls] == [200] * 10


def test_messages_of_earlier_processes_count_too() -> None:
    clock = Clock()
    with bot_api_server(rate_limits=True, clock=lambda: clock.now) as api:
        first = client_to(api, clock, pace=clock)
        moments = []
        for _ in range(20):
            send(first, api.group)
            moments.append(clock.now)
        second = client_to(api, clock, pace=clock, recent={str(api.group): moments[::-1]})
        send(second, api.group)
        assert [call.status for call in api.calls] == [200] * 21
        assert clock.now == pytest.approx(moments[0] + 61)


def test_each_chat_has_its_own_pace() -> None:
    clock = Clock()
    pacer = Pacer(clock=lambda: clock.now, sleep=clock.sleep)
    for chat in ("-1", "-2", "@x", "7", "-1"):
        pacer.wait(chat)
    assert clock.waits == [pytest.approx(1.05)]


def test_waiting_for_a_turn_does_not_use_the_retry_budget() -> None:
    clock = Clock()
    clock.now = 30.0
    with bot_api_server(clock=lambda: clock.now) as api:
        client = client_to(api, clock, pace=clock, recent={str(api.group): [clock.now - 2.0] * 20})
        api.faults.add(Fault.server_error(503), times=2)
        send(client, api.group)
        assert [call.status for call in api.calls] == [503, 503, 200]
        assert clock.waits[0] == pytest.approx(59)


def test_a_clock_that_was_set_back_is_not_waited_for() -> None:
    clock = Clock()
    pacer = Pacer({"-1": [3600.0]}, clock=lambda: clock.now, sleep=clock.sleep)
    pacer.wait("-1")
    assert clock.waits == []
    pacer.wait("-1")
    assert clock.waits == [pytest.approx(1.05)]


def test_repeats_keep_the_pace_too() -> None:
    clock = Clock()
    with bot_api_server(rate_limits=True, clock=lambda: clock.now) as api:
        client = client_to(api, clock, pace=clock)
        api.faults.add(Fault.dropped(processed=True), times=2)
        send(client, api.group)
        assert [call.status for call in api.calls] == [None, None, 200]
        moments = [call.time for call in api.calls]
        assert moments == pytest.approx([0, 1.05, 1.05 + 2.0])
