"""Slack by its webhook: what each answer becomes, against a real HTTP server, and where the URL is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from metrics_platform.channel_settings import ChannelSettings
from metrics_platform.notifications.message import Paragraph, Preformatted, bold, line
from metrics_platform.notifications.slack import SlackChannel
from metrics_platform_tests.notifications.clock import Clock, delivered, everything_in, failure, message
from metrics_platform_tests.notifications.slack_webhook import (
    OK,
    SECRET,
    Slack,
    channel_to,
    check_payload,
    running,
    texts_of,
)


@pytest.fixture
def slack() -> Iterator[Slack]:
    with running() as webhook:
        yield webhook


@pytest.fixture
def channel(slack: Slack, clock: Clock) -> SlackChannel:
    return channel_to(slack.url, clock)


def test_a_message_too_long_for_one_post_arrives_whole_in_several(channel: SlackChannel, slack: Slack) -> None:
    numbers = [f"line {number} of the error" for number in range(1500)]
    began: list[int] = []
    sent = delivered(channel, message(Preformatted("\n".join(numbers))), sending=began.append)
    assert len(slack.payloads) == len(sent) == sent[0].steps > 1
    assert began == [each.step for each in sent] == list(range(len(sent)))
    told = "\n".join(text for payload in slack.payloads for text in texts_of(payload))
    assert [each for each in told.split("\n") if each] == numbers
    for payload in slack.payloads:
        check_payload(payload)
    assert slack.payloads[1]["text"] == f"❌ FAILED · job daily_etl (2/{len(sent)})"


# --- what is answered ------------------------------------------------------------------------------------------------

TOLD = message(Paragraph((line("text"),)))


def test_what_slack_refuses_as_blocks_goes_as_plain_text(channel: SlackChannel, slack: Slack) -> None:
    slack.answers = [(400, "invalid_blocks", {}), OK]
    (sent,) = delivered(channel, message(Paragraph((line("a <b> ", bold("bold")),))))
    plain = slack.payloads[1]
    assert "blocks" not in plain
    assert plain["mrkdwn"] is False
    assert plain["text"] == "❌ FAILED · job daily_etl\n\na &lt;b&gt; bold\n\nproduction"
    assert "invalid_blocks" in sent.notes[0]


def test_what_slack_refuses_as_plain_text_too_is_refused(channel: SlackChannel, slack: Slack) -> None:
    slack.answers = [(400, "invalid_payload", {}), (400, "msg_too_long", {})]
    error = failure(lambda: delivered(channel, TOLD))
    assert (error.reason, error.code, len(slack.payloads)) == ("refused", 400, 2)


@pytest.mark.parametrize("fault", ["drop", "hang", (504, "", {})])
def test_a_lost_answer_is_repeated_only_for_alerts(slack: Slack, clock: Clock, fault: Any) -> None:
    channel = channel_to(slack.url, clock, timeouts=(2.0, 0.3 if fault == "hang" else 10.0))
    slack.answers = [fault]
    error = failure(lambda: delivered(channel, TOLD, repeat_unknown=False))
    assert (error.reason, len(slack.payloads)) == ("unknown", 1)
    slack.answers = [fault]
    assert len(delivered(channel, TOLD, repeat_unknown=True)) == 1
    assert len(slack.payloads) == 3


@pytest.mark.parametrize(
    ("status", "word", "remedy"),
    [
        (403, "invalid_token", "new webhook"),
        (403, "action_prohibited", "administrator"),
        (403, "posting_to_general_channel_denied", "general"),
        (404, "no_service", "new webhook"),
        (404, "channel_not_found", "new webhook"),
        (404, "no_team", "workspace"),
        (404, "", "SLACK_WEBHOOK_URL"),
        (400, "user_not_found", "person"),
        (410, "channel_is_archived", "archive"),
        (302, "", "SLACK_WEBHOOK_URL"),
        (200, "<html>a proxy's page</html>", "SLACK_WEBHOOK_URL"),
    ],
)
def test_a_misconfiguration_is_reported_once_with_the_remedy(
    channel: SlackChannel, slack: Slack, status: int, word: str, remedy: str
) -> None:
    slack.answers = [(status, word, {"Location": "http://127.0.0.1:9/"})]
    error = failure(lambda: delivered(channel, TOLD))
    assert (error.reason, error.code, len(slack.payloads)) == ("misconfigured", status, 1)
    assert remedy in str(error)


@pytest.mark.parametrize("fault", [(404, SECRET, {}), (400, SECRET, {}), (500, SECRET, {}), "drop", "hang", "refused"])
def test_the_webhook_is_never_shown(slack: Slack, clock: Clock, fault: Any, logged: pytest.LogCaptureFixture) -> None:
    channel = channel_to(
        f"http://127.0.0.1:9/services/{SECRET}" if fault == "refused" else slack.url, clock, timeouts=(2, 0.5)
    )
    slack.answers = [fault] * 9
    error = failure(lambda: delivered(channel, TOLD))
    told = [repr(channel), str(channel), logged.text, *(str(record.__dict__) for record in logged.records)]
    told += everything_in(error)
    for part in (SECRET, *SECRET.split("/")):
        assert not any(part in each for each in told)
    assert isinstance(fault, str) or "POST" in logged.text  # urllib3 has logged its requests


# --- the check -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["no_text", "invalid_payload", "missing_text_or_fallback_or_attachments"])
def test_the_check_finds_a_webhook_alive_without_posting(channel: SlackChannel, slack: Slack, word: str) -> None:
    slack.answers = [(400, word, {})]
    channel.check()
    assert slack.payloads == [{}]


@pytest.mark.parametrize("with_telegram", [True, False])
def test_the_channel_follows_its_settings(slack: Slack, clock: Clock, with_telegram: bool) -> None:
    telegram = {"TELEGRAM_BOT_TOKEN": "123456789:AAF0_made-up_for_tests_of_alerts_00", "TELEGRAM_CHAT_ID": "1"}
    settings = ChannelSettings(SLACK_WEBHOOK_URL=slack.url, **(telegram if with_telegram else {}))
    channel = SlackChannel.for_settings(settings, clock.policy)
    assert (len(delivered(channel, TOLD)), channel.with_telegram) == (1, with_telegram)
