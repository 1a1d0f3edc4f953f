"""A message as Block Kit: its shape and its limits, read by Slack's own models, and what data cannot do to it."""

from __future__ import annotations

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
from metrics_platform.notifications.slack import posts_of
from metrics_platform_tests.notifications.any_message import messages
from metrics_platform_tests.notifications.clock import message
from metrics_platform_tests.notifications.examples import EXAMPLES, told
from metrics_platform_tests.notifications.slack_webhook import check_payload, texts_of, types_of


def elements_of(payload: dict[str, Any]) -> list[dict[str, Any]]:
    return [block["elements"][0] for block in payload["blocks"] if block["type"] == "rich_text"]


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("key", EXAMPLES)
def test_every_kind_of_message_is_valid_block_kit(key: str, language: Any) -> None:
    sent = told(language, key)
    (post,) = posts_of(sent, len(sent.charts))
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
    )
    (post,) = posts_of(sent, 2, with_telegram=True)
    payload = post.payload
    check_payload(payload)
    assert payload["text"] == "❌ FAILED · job daily_etl"
    assert types_of(payload) == ["header", *["rich_text"] * 5, "actions", "context"]
    assert [element["type"].removeprefix("rich_text_") for element in elements_of(payload)] == [
        "section",
        "preformatted",
        "preformatted",
        "quote",
        "section",
    ]
    assert texts_of(payload) == [
        "Where  Android\nsecond a`b",
        "metric   value\nViews  617,487",
        "Error: `x` < 3",
        "Why: detector seasonal",
        "Board: http://localhost:3000/7",  # Slack makes no button of a host without a dot
    ]
    assert elements_of(payload)[0]["elements"] == [
        {"type": "text", "text": "Where", "style": {"bold": True}},
        {"type": "text", "text": "  Android"},
        {"type": "text", "text": "\n"},
        {"type": "text", "text": "second "},
        {"type": "text", "text": "a`b", "style": {"code": True}},
    ]
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


def test_a_long_headline_is_cut_in_the_header_and_whole_below_it() -> None:
    (post,) = posts_of(message(headline=line("🔴 " + "word " * 60 + "end")))
    check_payload(post.payload)
    assert post.payload["blocks"][0]["text"]["text"].endswith("…")
    assert texts_of(post.payload)[0].endswith("word end")


@given(messages(most_blocks=70))
def test_no_text_breaks_a_limit(sent: Message) -> None:
    for post in posts_of(sent, 3):
        check_payload(post.payload)
        # Slack cuts a longer text.
        assert 1 <= units(post.plain_payload["text"]) <= 40_000
