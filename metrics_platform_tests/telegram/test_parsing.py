"""The HTML parser: Telegram's own words, lengths and surviving links."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics_platform_tests.telegram.errors import ParseError
from metrics_platform_tests.telegram.parsing import accepted_url, parse_html, visible_length


@pytest.mark.parametrize(
    ("markup", "words"),
    [
        ("a < b", 'Can\'t parse entities: Unsupported start tag "" at byte offset 2'),
        ("<p>x</p>", 'Can\'t parse entities: Unsupported start tag "p" at byte offset 0'),
        ("x<br>y", 'Can\'t parse entities: Unsupported start tag "br" at byte offset 1'),
        ("<b>x", "Can't parse entities: Can't find end tag corresponding to start tag \"b\""),
    ],
)
def test_wrong_markup_is_refused_in_telegrams_words(markup: str, words: str) -> None:
    with pytest.raises(ParseError) as refused:
        parse_html(markup)
    assert str(refused.value) == words


def test_lengths_and_offsets_are_utf16_units() -> None:
    parsed = parse_html("📊 <b>Views</b> &lt;1 &amp; 2&gt;")
    assert parsed.text == "📊 Views <1 & 2>"
    assert parsed.length == visible_length(parsed.text) == len(parsed.text) + 1
    assert parsed.entities == [{"type": "bold", "offset": 3, "length": 5}]


def test_only_links_with_a_dot_in_the_host_survive() -> None:
    parsed = parse_html(
        '<a href="http://localhost:3000/runs/1">run</a> <a href="https://dagster:3000/">ui</a> '
        '<a href="https://example.org/a?b=1&amp;c=2">dashboard</a>'
    )
    assert parsed.text == "run ui dashboard"
    assert parsed.links == [("dashboard", "https://example.org/a?b=1&c=2")]


def test_identifiers_become_links_unless_they_are_code() -> None:
    loose = parse_html("model.py /orders @metrics_bot shop.id")
    assert loose.accidental == [
        ("url", "model.py"),
        ("bot_command", "/orders"),
        ("mention", "@metrics_bot"),
        ("url", "shop.id"),
    ]
    assert parse_html("<code>model.py /orders @metrics_bot</code> <pre>shop.id</pre>").accidental == []


def test_spaces_around_a_text_go_and_those_that_open_a_table_stay() -> None:
    assert parse_html("\n  <b>x</b> \n ").text == "x"
    assert parse_html("\n  <b>x</b> \n ").entities == [{"type": "bold", "offset": 0, "length": 1}]
    assert parse_html("<pre>  1\n 20</pre>\n").text == "  1\n 20"
    assert parse_html("a <b> </b> b").entities == []


@pytest.mark.parametrize(
    ("url", "accepted"),
    [
        ("https://example.org", "https://example.org/"),
        ("http://10.0.0.5/x", "http://10.0.0.5/x"),
        ("http://localhost:3000/", "Wrong HTTP URL"),
        ("https://dagster/", "Wrong HTTP URL"),
        ("ftp://example.org/x", "Unsupported URL protocol"),
    ],
)
def test_urls_of_buttons_are_judged_as_links_are(url: str, accepted: str) -> None:
    try:
        assert accepted_url(url) == accepted
    except ParseError as refused:
        assert str(refused) == accepted


def test_tabs_become_one_space_and_carriage_returns_go() -> None:
    parsed = parse_html("a\tb\r\n\u202e<b>c\r\nd</b>")
    assert parsed.text == "a b\nc\nd"
    assert parsed.entities == [{"type": "bold", "offset": 4, "length": 3}]


_SHOWN = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=[chr(n) for n in range(0x2028, 0x202F)])
)


@given(_SHOWN)
def test_any_escaped_text_is_accepted_and_reads_the_same(text: str) -> None:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert parse_html(f"<b>|</b>{escaped}|").text == f"|{text}|"
