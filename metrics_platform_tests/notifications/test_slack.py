"""Slack by its webhook: what each answer becomes, against a real HTTP server, and where the URL is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given

from metrics_platform.notifications.message import (
    Details,
    Link,
    Message,
    Paragraph,
    Preformatted,
    Table,
    bold,
    code,
    line,
    units,
)
from metrics_platform.notifications.slack import SlackChannel, posts_of
from metrics_platform_tests.notifications.any_message import messages
from metrics_platform_tests.notifications.clock import Clock, delivered, everything_in, failure, message
from metrics_platform_tests.notifications.examples import EXAMPLES, told
from metrics_platform_tests.notifications.slack_webhook import (
    OK,
    SECRET,
    Slack,
    channel_to,
    check_payload,
    running,
    texts_of,
    types_of,
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
    sent = delivered(channel, message(Preformatted("\n".join(numbers))))
    assert len(slack.payloads) == len(sent) == sent[0].steps > 1
    told = "\n".join(text for payload in slack.payloads for text in texts_of(payload))
    assert [text_line for text_line in told.split("\n") if text_line] == numbers
    for payload in slack.payloads:
        check_payload(payload)
    assert slack.payloads[1]["text"] == f"❌ FAILED · job daily_etl (2/{len(sent)})"


# --- what is answered -----------------------------------------------------------------------------------------------

TOLD = message(Paragraph((line("text"),)))


def test_what_slack_refuses_as_blocks_goes_as_plain_text(channel: SlackChannel, slack: Slack) -> None:
    slack.answers = [(400, "invalid_blocks", {}), OK]
    (sent,) = delivered(channel, message(Paragraph((line("a <b> ", bold("bold")),))))
    plain = slack.payloads[1]
    assert "blocks" not in plain
    assert plain["mrkdwn"] is False
    assert plain["text"] == "❌ FAILED · job daily_etl\n\na &lt;b&gt; bold\n\nproduction"
    assert "invalid_blocks" in sent.notes[0]


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
    assert (error.reason, len(slack.payloads)) == ("misconfigured", 1)
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
        assert not any(part in text for text in told)
    assert isinstance(fault, str) or "POST" in logged.text  # urllib3 has logged its requests


# --- the check ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["no_text", "invalid_payload", "missing_text_or_fallback_or_attachments"])
def test_the_check_finds_a_webhook_alive_without_posting(channel: SlackChannel, slack: Slack, word: str) -> None:
    slack.answers = [(400, word, {})]
    channel.check()
    assert slack.payloads == [{}]


# --- Block Kit, read by Slack's own models ----------------------------------------------------------------------------


def elements_of(payload: dict[str, Any]) -> list[dict[str, Any]]:
    return [block["elements"][0] for block in payload["blocks"] if block["type"] == "rich_text"]


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("key", EXAMPLES)
def test_every_kind_of_message_is_valid_block_kit(key: str, language: Any) -> None:
    sent = told(language, key)
    (post,) = posts_of(sent, has_pictures=bool(sent.charts))
    check_payload(post.payload)
    assert types_of(post.payload)[0] == "header"
    assert "actions" in types_of(post.payload)


def test_a_message_is_a_header_texts_buttons_and_a_last_line() -> None:
    sent = message(
        Paragraph((line(bold("Where"), "  Android"), line("second ", code("a`b")))),
        Table((("Views", "617,487"),), header=("metric", "value")),
        Preformatted("Error: `x` < 3"),
        Details((line(bold("Why:"), " detector seasonal"),)),
        links=(Link("Run", "https://dagster.example.com/runs/1"), Link("Board", "http://localhost:3000/7")),
        pictures="🖼 2 pictures in Telegram and Dagster",
    )
    (post,) = posts_of(sent, has_pictures=True)
    payload = post.payload
    check_payload(payload)
    assert payload["text"] == "❌ FAILED · job daily_etl"
    assert types_of(payload) == ["header", *["rich_text"] * 5, "actions", "context"]
    kinds = [element["type"].removeprefix("rich_text_") for element in elements_of(payload)]
    assert kinds == ["section", "preformatted", "preformatted", "quote", "section"]
    assert texts_of(payload) == [
        "Where  Android\nsecond a`b",
        "metric   value\nViews  617,487",
        "Error: `x` < 3",
        "Why: detector seasonal",
        "Board: http://localhost:3000/7",  # Slack makes no button of a host without a dot
    ]
    styles = [part.get("style") for part in elements_of(payload)[0]["elements"]]
    assert styles == [{"bold": True}, None, None, None, {"code": True}]
    actions, context = payload["blocks"][-2:]
    assert [(button["text"]["text"], button["url"]) for button in actions["elements"]] == [
        ("Run", "https://dagster.example.com/runs/1")
    ]
    assert context["elements"][0]["text"] == "🖼 2 pictures in Telegram and Dagster\nproduction"


def test_data_is_never_markup() -> None:
    evil = "<!channel> <@U123> <https://evil.example.com|click> @here #general *bold* `code` _x_ ~y~"
    (post,) = posts_of(
        message(
            Paragraph((line(evil), line(code(evil)), line(bold(evil)))),
            Preformatted(f"```\n{evil}"),
            Table(((evil, evil),)),
            Details((line(evil),)),
            headline=line(evil),
            links=(Link(evil, "https://a.example.com/"),),
        )
    )
    check_payload(post.payload)
    assert "<" not in post.payload["text"]
    assert "<" not in post.plain_payload["text"]
    # Slack parses `mrkdwn` alone: text elements and `plain_text` are shown as they are.
    assert "mrkdwn" not in str(post.payload)
    assert post.plain_payload["mrkdwn"] is False


@given(messages(most_blocks=70))
def test_no_text_breaks_a_limit(sent: Message) -> None:
    for post in posts_of(sent):
        check_payload(post.payload)
        # Slack cuts a longer text.
        assert 1 <= units(post.plain_payload["text"]) <= 40_000
