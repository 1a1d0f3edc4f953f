"""Messages as Telegram's HTML, by Telegram's own parser: accepted, within every limit, and nothing is lost."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_platform.notifications.message import (
    Details,
    Link,
    Message,
    Paragraph,
    Preformatted,
    Span,
    Table,
    bold,
    code,
    line,
    lines_of,
    text_of,
    units,
)
from metrics_platform.notifications.telegram_calls import accepts_link, fits, parts_of
from metrics_platform_tests.notifications.any_message import messages, visible
from metrics_platform_tests.notifications.clock import HEADLINE, message
from metrics_platform_tests.notifications.examples import seen
from metrics_platform_tests.telegram import Parsed
from metrics_platform_tests.telegram.parsing import accepted_url

# Telegram's limits, said here again.
TEXT_UNITS, CAPTION_UNITS = 4096, 1024
# Enough examples for markup and limits to meet; more where the profile asks for more.
_MANY = settings(max_examples=max(30, settings().max_examples))


def only(told: Message) -> Parsed:
    (parsed,) = seen(told)
    return parsed


# --- markup ---------------------------------------------------------------------------------------------------------


def test_a_table_and_an_error_are_preformatted_and_details_are_folded() -> None:
    told = message(
        Paragraph((line(bold("Numbers")),)),
        Table((("Likes", "1"), ("Views", "22")), ("metric", "now")),
        Preformatted("Error: x\n  at model.py\n\n  at shop.id"),
        Details((line(bold("More")), line("one ", code("x.py")), line("two"))),
    )
    parsed = only(told)
    kinds = {
        entity["type"]: parsed.words(entity) for entity in parsed.entities if entity["type"] not in ("bold", "italic")
    }
    assert kinds == {
        "pre": "Error: x\n  at model.py\n\n  at shop.id",
        "expandable_blockquote": "More\none x.py\ntwo",
        "code": "x.py",
    }
    assert "Numbers\nmetric now\nLikes    1\nViews   22\n\nError" in parsed.text


# --- links ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["http://localhost:3000/runs/1", "http://dagster:3000/", "https://x.org:99999/", "javascript:alert(1)"]
)
def test_an_address_that_telegram_drops_is_in_the_text(url: str) -> None:
    parsed = only(message(links=(Link("Run", url),)))
    assert parsed.links == []
    assert f"Run: {url}" in parsed.text


_HOSTS = st.text("ab.-_~:@ %/[]\\é1", min_size=1, max_size=12)
_PATHS = st.text('/?#&="<> \n\u202eж🙂', max_size=8)


@settings(_MANY, max_examples=100)
@given(st.sampled_from(["http", "HTTPS", "ftp"]), _HOSTS, _PATHS)
def test_telegram_accepts_every_address_taken_for_a_link(scheme: str, host: str, path: str) -> None:
    url = f"{scheme}://{host}{path}"
    assert not accepts_link(url) or accepted_url(url)  # which raises what Telegram says against it


# --- limits ---------------------------------------------------------------------------------------------------------


def filled(length: int, character: str) -> Message:
    """A message whose visible text has exactly `length` UTF-16 units, in lines of 50 `character`s."""
    width = units(character)
    told = message(footer=())
    left = length - units(text_of(HEADLINE)) - 2  # the headline, its line end, and the empty line's
    lines = []
    while left > 60 * width:
        lines.append(line(character * 50))
        left -= 50 * width + 1
    lines.append(line(character * (left // width) + "." * (left % width)))
    return Message(told.key, told.kind, told.severity, told.headline, (Paragraph(tuple(lines)),), ())


@pytest.mark.parametrize("character", ["x", "ы", "🙂", "\u0301"])
@pytest.mark.parametrize("limit", [TEXT_UNITS, CAPTION_UNITS])
def test_a_text_of_exactly_the_limit_is_one_part_and_a_unit_more_is_two(character: str, limit: int) -> None:
    (parsed,) = seen(filled(limit, character), limit)
    assert parsed.length == limit
    assert fits(filled(limit, character), limit)
    assert not fits(filled(limit + 1, character), limit)
    assert len(seen(filled(limit + 1, character), limit)) == 2


def test_parts_are_cut_at_line_ends_with_their_tags_reopened() -> None:
    numbers = [f"line {number} of <the> error" for number in range(400)]
    told = message(Preformatted("\n".join(numbers)), Details(tuple(line(code(number)) for number in numbers[:150])))
    parts = parts_of(told)
    assert len(parts) > 3
    shown = [text_line for parsed in seen(told) for text_line in parsed.text.split("\n")]
    assert [text for text in shown if text.startswith("line")] == numbers + numbers[:150]
    for part in parts:
        for tag in ("pre", "blockquote", "code"):
            assert part.html.count(f"<{tag}") == part.html.count(f"</{tag}>")
    assert sum("<pre>" in part.html for part in parts) > 1
    assert sum("<blockquote expandable>" in part.html for part in parts) > 1


@pytest.mark.parametrize(
    "span",
    [code("users"), bold("users"), Span("@users "), Span("/users "), Span("a.py "), Span("#тег "), Span("10.0.0.5 ")],
)
@pytest.mark.parametrize("in_one_line", [True, False])
def test_a_part_has_at_most_a_hundred_entities_with_those_telegram_finds(span: Span, in_one_line: bool) -> None:
    spans = tuple(itertools.chain.from_iterable((span, Span(" ")) for _ in range(250)))
    told = message(Paragraph((spans,) if in_one_line else tuple((span,) for span in spans)))
    assert sum(len(parsed.entities) for parsed in seen(told)) >= 250  # which looks at their number


# --- anything --------------------------------------------------------------------------------------------------------


def first_difference(one: str, other: str) -> tuple[str, str] | None:
    """Where two long texts part (pytest's own way of showing that takes a minute)."""
    at = next((at for at, pair in enumerate(itertools.zip_longest(one, other)) if pair[0] != pair[1]), None)
    return None if at is None else (ascii(one[max(0, at - 20) : at + 20]), ascii(other[max(0, at - 20) : at + 20]))


def lines_told(told: Message) -> Iterator[str]:
    """Every text of a message in the order in which a person reads it."""
    for lines in ((told.headline,), *map(lines_of, told.blocks), (told.footer,)):
        yield from map(text_of, lines)


@_MANY
@given(messages(), st.sampled_from([TEXT_UNITS, CAPTION_UNITS]))
def test_any_message_is_accepted_within_the_limits_and_nothing_is_lost(drawn: Message, limit: int) -> None:
    told = replace(drawn, links=())
    expected = visible(" ".join(lines_told(told)))
    for shown in (
        " ".join(parsed.text for parsed in seen(told, limit)),
        " ".join(part.plain for part in parts_of(told, limit)),
    ):
        assert first_difference(visible(shown), expected) is None
