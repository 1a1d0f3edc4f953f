"""A message as Block Kit: its shape, its limits, what data cannot do to it; read by Slack's own models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_platform.notifications.message import (
    Details,
    Link,
    Message,
    Paragraph,
    Picture,
    Preformatted,
    Span,
    Table,
    bold,
    code,
    line,
)
from metrics_platform.notifications.slack import SlackChannel
from metrics_platform.notifications.slack_blocks import posts_of, units
from metrics_platform.notifications.templates import write
from metrics_platform_tests.notifications.examples import EXAMPLES, parts_of_example, writer
from metrics_platform_tests.notifications.slack_webhook import (
    Slack,
    channel_to,
    check_payload,
    delivered,
    message,
    running,
    texts_of,
    types_of,
)
from metrics_platform_tests.notifications.waiting import Clock


@pytest.fixture
def slack() -> Iterator[Slack]:
    with running() as webhook:
        yield webhook


@pytest.fixture
def channel(slack: Slack, clock: Clock) -> SlackChannel:
    return channel_to(slack.url, clock)


# --- what is posted --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("key", EXAMPLES)
def test_every_kind_of_message_is_valid_block_kit(key: str, language: Any) -> None:
    told = write(EXAMPLES[key], writer(language), parts_of_example(EXAMPLES[key]))
    (post,) = posts_of(told, len(told.charts))
    check_payload(post.payload)
    assert types_of(post.payload)[0] == "header"
    assert types_of(post.payload)[-1] == "context"
    assert "actions" in types_of(post.payload)


def test_a_message_is_a_header_sections_details_buttons_and_a_last_line(channel: SlackChannel, slack: Slack) -> None:
    told = message(
        Paragraph((line(bold("Where"), "  Android"), line("second"))),
        Table((("Views", "617,487"),), header=("metric", "value")),
        Preformatted("Error: `x` < 3"),
        Details("How it was judged", (line("detector seasonal"),)),
        links=(Link("Run", "https://dagster.example.com/runs/1"),),
    )
    (sent,) = delivered(channel, told)
    (payload,) = slack.payloads
    assert payload["text"] == "❌ FAILED · job daily_etl"
    assert types_of(payload) == ["header", "section", "section", "section", "context", "actions", "context"]
    assert texts_of(payload) == [
        "*Where*  Android\nsecond",
        "```\nmetric   value\nViews  617,487\n```",
        "```\nError: ˋxˋ &lt; 3\n```",
    ]
    assert payload["blocks"][4]["elements"][0]["text"] == "*How it was judged*\ndetector seasonal"
    assert payload["blocks"][5]["elements"][0]["url"] == "https://dagster.example.com/runs/1"
    assert (sent.channel, sent.step, sent.steps, sent.notes) == ("slack", 0, 1, ())
    check_payload(payload)


def test_data_that_looks_like_a_mention_rings_nobody(channel: SlackChannel, slack: Slack) -> None:
    evil = "<!channel> <@U123> <https://evil.example.com|click> @here #general"
    told = message(
        Paragraph((line(evil), line(code(evil)), line(bold(evil)))),
        Preformatted(f"```\n{evil}"),
        Table(((evil, evil),)),
        Details(evil, (line(evil),)),
        headline=line(evil),
        links=(Link(evil, "https://a.example.com/"),),
    )
    delivered(channel, told)
    (payload,) = slack.payloads
    assert "<" not in payload["text"]
    for each in payload["blocks"]:
        for text in [each.get("text"), *each.get("elements", ())]:
            if text and text["type"] == "mrkdwn":
                assert "<" not in text["text"]
                assert text["verbatim"] is True  # no names are looked up, no links are made
    check_payload(payload)


def test_marks_in_data_stay_marks_and_code_cannot_be_left() -> None:
    told = message(
        Paragraph((line("*not bold* snake_case_name _x_ ~y~ `z`"), line(code("a`b")))), Preformatted("``` out")
    )
    (post,) = posts_of(told)
    first, second = texts_of(post.payload)
    assert "\u200b*\u200bnot bold\u200b*\u200b snake_case_name" in first
    assert first.endswith("\n`aˋb`")
    assert second == "```\nˋˋˋ out\n```"


def test_marks_beside_letters_are_kept_apart_so_that_slack_obeys_them() -> None:
    (post,) = posts_of(message(Paragraph((line("x", bold("bold "), "y", bold(" "), code("c"), "s"),))))
    assert texts_of(post.payload) == ["x\u200b*bold* y `c`\u200bs"]


def test_links_are_links_only_where_the_host_has_a_dot() -> None:
    told = message(
        Paragraph(
            (line(Span("page", url="https://a.example.com/x?a=1&b=<2>|"), " ", Span("here", url="http://host/")),)
        ),
        links=(Link("Run", "http://localhost:3000/runs/1"), Link("Board", "https://bi.example.com/7")),
    )
    (post,) = posts_of(told)
    assert texts_of(post.payload) == [
        "<https://a.example.com/x?a=1&amp;b=%3C2%3E%7C|page> here (http://host/)",
        "Run: `http://localhost:3000/runs/1`",
    ]
    (actions,) = [each for each in post.payload["blocks"] if each["type"] == "actions"]
    assert [button["text"]["text"] for button in actions["elements"]] == ["Board"]


@pytest.mark.parametrize(
    ("language", "with_telegram", "said"),
    [
        ("en", True, "🖼 2 pictures are in Telegram and in notify's run in Dagster"),
        ("en", False, "🖼 2 pictures are in notify's run in Dagster"),
        ("ru", True, "🖼 2 картинки – в Telegram и в запуске notify в Dagster"),
        ("ru", False, "🖼 2 картинки – в запуске notify в Dagster"),
    ],
)
def test_where_the_pictures_are_is_said(
    slack: Slack, clock: Clock, language: Any, with_telegram: bool, said: str
) -> None:
    pictures = (Picture("a", "A", b""), Picture("b", "B", b""))
    told = message(Paragraph((line("x"),)), language=language)
    delivered(channel_to(slack.url, clock, with_telegram=with_telegram), told, pictures=pictures)
    assert said in slack.texts()


def test_a_long_headline_is_cut_in_the_header_and_whole_below_it() -> None:
    (post,) = posts_of(message(headline=line("🔴 " + "word " * 60 + "end")))
    check_payload(post.payload)
    assert post.payload["blocks"][0]["text"]["text"].endswith("…")
    assert texts_of(post.payload)[0].endswith("word end")


def test_a_message_too_long_for_one_post_is_several_steps_and_all_of_it_arrives(
    channel: SlackChannel, slack: Slack
) -> None:
    numbers = [f"line {number} of the error" for number in range(1500)]
    began: list[int] = []
    sent = delivered(channel, message(Preformatted("\n".join(numbers))), sending=began.append)
    assert len(slack.payloads) == len(sent) == sent[0].steps > 1
    assert began == [each.step for each in sent] == list(range(len(sent)))
    told = "\n".join(text for payload in slack.payloads for text in texts_of(payload)).replace("```", "")
    assert [each for each in told.split("\n") if each] == numbers
    for payload in slack.payloads:
        check_payload(payload)
    assert slack.payloads[1]["text"] == f"❌ FAILED · job daily_etl (2/{len(sent)})"


def test_steps_that_are_done_are_not_done_again(channel: SlackChannel, slack: Slack) -> None:
    told = message(Preformatted("x" * 30_000))
    everything = delivered(channel, told)
    slack.payloads.clear()
    rest = delivered(channel, told, done={0: everything[0]})
    assert [each.step for each in rest] == list(range(1, len(everything)))
    assert len(slack.payloads) == len(everything) - 1


_TEXTS = st.text(max_size=700) | st.sampled_from(["<&>" * 400, "*_~`" * 300, "x" * 5000, "🔴" * 200, "a b " * 900, " "])
_URLS = st.sampled_from(["https://a.example.com/" + "я" * 300, "https://a.b/" + "x" * 4000, "http://localhost/?a=<&>"])
_SPANS = st.builds(Span, _TEXTS, st.sampled_from(["plain", "bold", "italic", "code"]), st.none() | st.none() | _URLS)
_LINES = st.lists(_SPANS, max_size=4).map(tuple)
_BLOCKS = st.one_of(
    st.builds(Paragraph, st.lists(_LINES, max_size=4).map(tuple)),
    st.builds(Preformatted, _TEXTS),
    st.builds(Details, _TEXTS, st.lists(_LINES, max_size=3).map(tuple)),
    st.lists(st.tuples(_TEXTS, _TEXTS), max_size=4).map(lambda rows: Table(tuple(rows))),
)


@settings(max_examples=60)
@given(
    headline=_LINES.filter(lambda spans: "".join(span.text for span in spans).strip() != ""),
    blocks=st.lists(_BLOCKS, max_size=70),
    footer=_LINES,
    links=st.lists(st.builds(Link, _TEXTS, _URLS), max_size=4),
)
def test_no_text_breaks_a_limit(headline: Any, blocks: Any, footer: Any, links: Any) -> None:
    told = Message("k", "failed_run", "failed", headline, tuple(blocks), footer, tuple(links))
    for post in posts_of(told, 3):
        check_payload(post.payload)
        # A longer text is cut by Slack. A piece that is long by itself, as four labels of nothing but signs that are
        # escaped, is not split.
        assert 1 <= units(post.plain_payload["text"]) <= 40_000
