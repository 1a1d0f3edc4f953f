"""The longest, strangest and emptiest facts: Telegram accepts every message, and no data becomes markup or a link."""

from __future__ import annotations

import datetime
import re
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime

from metrics_platform.formats import LANGUAGES, Language
from metrics_platform.notifications import kinds
from metrics_platform.notifications.composer import render
from metrics_platform.notifications.message import Message, Preformatted, Table, table_lines, text_of
from metrics_platform.notifications.telegram_calls import CAPTION_UNITS
from metrics_platform_tests.notifications.examples import (
    DAY,
    EXAMPLES,
    NOON,
    anomaly,
    history,
    seen,
    shown,
    writer,
)

LONG_TEXTS = {
    "words": "The server is not there. " * 400,
    "one word": "x" * 10_000,
    "Cyrillic": "Сервер не отвечает, " * 500,
    "emoji": "🔴👨‍👩‍👧‍👦" * 1250,
    "markup": '<b>&amp;</pre><a href="http://x.y">"\\`' * 256,
    "line ends": "a\r\n\n\tb\n" * 1400,
    "control characters": "\x00\x1b[31m\u2028\u202e\ufffe" * 1250,
}
LONG_NAME = "analytics__dimension_metrics_by_age_group_and_city_" * 200
ODD_NAMES = [
    "shop.id", "model.py", "@anna_x", "/orders", "#tag", "$AAPL", "a@shop.id", "https://shop.id/x", "+79161234567",
]  # fmt: skip
HUGE = 1e15


def told(event: kinds.Event, language: Language, parts: tuple[kinds.Event, ...] = ()) -> Message:
    return render(event, writer(language, event.occurred_at), parts)


# The fields that are names, or texts, of something of the user's.
_NAMED = {
    *("metric", "dimension", "dimension_value", "detector", "incident", "moved_with", "name", "table"),
    *("job", "steps", "partition", "cause", "impact", "subjects", "causes", "asset", "check", "description", "numbers"),
}


def _renamed(facts: Any, name: str, *, is_named: bool = False) -> Any:
    """Facts in which whatever has a name is called `name`."""
    if isinstance(facts, dict):
        return {
            key: name[:40] if key == "incident" else _renamed(value, name, is_named=key in _NAMED or key == "value")
            for key, value in facts.items()
        }
    if isinstance(facts, list | tuple):
        return [_renamed(value, name, is_named=is_named) for value in facts]
    return name if is_named and isinstance(facts, str) else facts


def with_name(name: str) -> list[kinds.Event]:
    """Every kind of notification about things that are called `name`."""
    found = [event for event in EXAMPLES.values() if not isinstance(event, kinds.Digest)]
    return [type(event).model_validate(_renamed(event.model_dump(), name)) for event in found]


@pytest.mark.parametrize("name", ["Food & drinks", "iOS / Android", "Food, drinks + more", "R&D", "a.b & c", "& more"])
def test_words_with_signs_between_them_stay_plain_and_are_no_links(name: str) -> None:
    assert ("<code>" not in writer().named(name)) == (name not in {"R&D", "a.b & c", "& more"})
    for event in with_name(name):
        for parsed in seen(told(event, "en")):
            assert parsed.accidental == [], event.kind  # type: ignore[attr-defined]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ODD_NAMES)
def test_no_name_becomes_a_link(name: str, language: Language) -> None:
    for event in with_name(name):
        for parsed in seen(told(event, language)):
            assert parsed.accidental == [], event.kind  # type: ignore[attr-defined]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_name_of_ten_thousand_letters_keeps_its_ends_in_one_text(language: Language) -> None:
    for event in with_name(LONG_NAME):
        (text,) = (message.text for message in seen(told(event, language)))
        assert "…" in text or LONG_NAME not in str(event)
        headline = text.split("\n")[0]
        assert len(headline) <= 250
        if isinstance(event, kinds.AnomalyOpened) and len(event.anomalies) == 1 and event.anomalies[0].value:
            assert "−41%" in headline


@pytest.mark.parametrize("name", [LONG_NAME, "🔴", "../../x", "Просмотры", *ODD_NAMES])
def test_any_name_makes_one_chart_with_a_file_name(name: str) -> None:
    odd = anomaly(name, dimension=name, dimension_value=name, history=history())
    message = told(kinds.AnomalyOpened(key="k", occurred_at=NOON, anomalies=(odd,) * 7), "ru")
    (chart,) = [make() for make in message.charts]
    assert re.fullmatch("[a-z0-9-]{1,80}", chart.name)
    assert len(chart.panels) == 6
    assert len(chart.title) <= 150


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("cause", LONG_TEXTS)
def test_a_cause_of_ten_thousand_characters_keeps_its_ends_in_one_text(cause: str, language: Language) -> None:
    text = LONG_TEXTS[cause]
    base: dict[str, Any] = {"key": "k", "occurred_at": NOON}
    for event in (
        kinds.FailedRun(**base, job="j", cause=text),
        kinds.FailedCheck(**base, asset="a", check="c", description=text),
        kinds.ReportNotDelivered(**base, date=DAY, due_at=NOON, reason=text),
    ):
        message = told(event, language)
        (block,) = (block for block in message.blocks if isinstance(block, Preformatted))
        assert len(block.text) <= 1200
        assert "…" in block.text
        assert len(seen(message)) == 1


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("value", [HUGE, -HUGE, 1e300, -1e300, 5e-324, 0, -0.0, None])
@pytest.mark.parametrize("unit", ["count", "share", "ratio"])
def test_any_number_is_written(language: Language, value: float | None, unit: Any) -> None:
    expected = value
    odd = anomaly(value=value, unit=unit).model_copy(
        update={"expected": expected, "lower": value, "upper": value, "day_before": value, "score": value}
    )
    over = kinds.ResolvedAnomaly(
        incident="A", metric="ctr", unit=unit, opened_at=NOON, resolved_at=NOON, value=value, worst_change=value,
        worst_at=NOON,
    )  # fmt: skip
    row = kinds.ReportRow(metric="views", unit=unit, value=value, day_before=value, week_before=-(value or 1))
    report = EXAMPLES["report-2026-11-21"].model_copy(
        update={"parts": (kinds.ReportPart(name="headline", rows=(row,)),) * 2, "highlights": None}
    )
    for event in (
        report,
        kinds.AnomalyOpened(key="k", occurred_at=NOON, anomalies=(odd,)),
        kinds.AnomalyOpened(key="k", occurred_at=NOON, anomalies=(odd, odd)),
        kinds.AnomalyResolved(key="k", occurred_at=NOON, resolved=(over,)),
    ):
        text = shown(told(event, language))
        assert not re.search(r"\bnan\b|\binf\b|none|[+−]0[.,]?0*%|-\d", text.replace("2026-11-21", ""), re.IGNORECASE)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("scale", [1, 10, 1000, 10_000])
def test_tables_fit_34_columns_up_to_ten_thousand_times_the_product(language: Language, scale: int) -> None:
    report = EXAMPLES["report-2026-11-21"]
    for part in report.parts:
        rows = [
            row.model_copy(update={name: (getattr(row, name) or 0) * scale for name in ("value", "week_before")})
            if row.unit == "count"
            else row
            for row in part.rows
        ]
        rows = [row.model_copy(update={"day_before": row.value * 1.38}) if row.value else row for row in rows]
        event = report.model_copy(update={"parts": (part.model_copy(update={"rows": tuple(rows)}),)})
        for table in (block for block in told(event, language).blocks if isinstance(block, Table)):
            assert max(map(len, table_lines(table))) <= 34
            names = [line[:9] for line in table_lines(table)]
            assert len(set(names)) == len(names)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_digest_of_500_lists_the_loudest_forty(language: Language) -> None:
    check = EXAMPLES["check-dimension_metrics-2026-11-21"]
    quiet = EXAMPLES["fresh-feed_actions"]
    parts = (*[quiet] * 470, *[check] * 30)
    event = kinds.Digest(key="k", occurred_at=NOON, notifications=("k",) * 500)
    (text,) = (message.text for message in seen(told(event, language, parts)))
    assert ("and 460 more" if language == "en" else "и ещё 460") in text
    assert text.count("🔴") == 30
    assert text.count("✅") == 10


# --- anything -------------------------------------------------------------------------------------------------------

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(
    ["", *ODD_NAMES, *LONG_TEXTS.values()]
)
_NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**15), 10**15).map(float)
_MOMENTS = st.datetimes(datetime.datetime(1990, 1, 1), datetime.datetime(2100, 1, 1), timezones=st.just(datetime.UTC))
_SPANS = st.timedeltas(datetime.timedelta(0), datetime.timedelta(days=10_000))
_VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str: _TEXTS,
    int: st.integers(1, 10**12),
    float: _NUMBERS,
    bool: st.booleans(),
    type(None): st.none(),
    datetime.date: st.dates(),
    datetime.timedelta: _SPANS,
    AwareDatetime: _MOMENTS,
    kinds.History: st.nothing(),
}
# Fields that do not take any value of their type.
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "key": st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9:._+=-]{0,150}\Z"),
    "run_id": st.none() | st.uuids().map(str),
    **dict.fromkeys(("thread", "highlights", "week"), st.none()),
    **dict.fromkeys(("series", "day_incidents"), st.just(())),
}


def _lists(items: st.SearchStrategy[Any], least: int = 0) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, min_size=least, max_size=7).map(tuple)


def _any(annotation: Any, least: int = 0) -> st.SearchStrategy[Any]:
    """Any value that a field with this annotation may have."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _VALUES:
        return _VALUES[annotation].filter(bool) if least else _VALUES[annotation]
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is Annotated:
        return _any(arguments[0])
    if origin in (Union, UnionType):
        return st.one_of(*map(_any, arguments))
    if origin is tuple:
        return _lists(_any(arguments[0]), least) if arguments[-1] is Ellipsis else st.tuples(*map(_any, arguments))
    return _facts(annotation)


def _facts(model: Any) -> st.SearchStrategy[Any]:
    fields = {
        name: _FIELDS[name] if name in _FIELDS else _any(field.annotation, any(map(_is_required, field.metadata)))
        for name, field in model.model_fields.items()
    }
    return st.builds(model, **fields)


def _is_required(metadata: Any) -> bool:
    return bool(getattr(metadata, "min_length", 0))


EVENTS = st.one_of(*(_facts(kind) for kind in get_args(get_args(kinds.Notification)[0]) if kind is not kinds.Digest))


@settings(max_examples=25)
@given(EVENTS, st.sampled_from(LANGUAGES), _SPANS)
def test_telegram_accepts_any_event(event: kinds.Event, language: Language, delay: datetime.timedelta) -> None:
    message = render(event, writer(language, event.occurred_at + delay))
    assert 1 <= len(message.links) <= 3
    assert len(text_of(message.headline)) <= 400
    parsed = seen(message)
    assert len(parsed) <= 3
    for part in parsed:
        assert part.accidental == []
    seen(message, CAPTION_UNITS)


@settings(max_examples=8)
@given(_lists(EVENTS), st.sampled_from(LANGUAGES))
def test_telegram_accepts_a_digest_of_any_events(events: tuple[kinds.Event, ...], language: Language) -> None:
    digest = kinds.Digest(key="k", occurred_at=NOON, notifications=tuple(event.key for event in events) or ("gone",))
    for message in seen(told(digest, language, events)):
        assert message.accidental == []
