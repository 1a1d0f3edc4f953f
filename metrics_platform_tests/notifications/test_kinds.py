"""The facts: what is stored reads back the same, and what is wrong is refused by its name."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from metrics_platform.alerts.anomalies import Series, Verdict
from metrics_platform.notifications import kinds
from metrics_platform.notifications.history import ENTRIES
from metrics_platform.notifications.message import (
    Details,
    Message,
    Paragraph,
    Preformatted,
    Span,
    Table,
    bold,
    clean,
    code,
    line,
    parse_blocks,
    table_lines,
    text_of,
)
from metrics_platform_tests.notifications.examples import EXAMPLES, NOON, anomaly, history, writer


def stored(event: kinds.Event) -> Any:
    """As Dagster's event log gives it back."""
    return json.loads(json.dumps(event.model_dump(mode="json"), allow_nan=False))


def read_notification(facts: Any) -> kinds.Event:
    """As the journal reads it."""
    return ENTRIES.validate_python({"entry": "asked", "notification": facts}).notification


def test_every_kind_reads_back_as_it_was_stored() -> None:
    for event in EXAMPLES.values():
        read = read_notification(stored(event))
        assert read == event
        assert type(read) is type(event)
        assert stored(read) == stored(event)


@pytest.mark.parametrize(("value", "expected", "text"), [(-200, -100, "−100%"), (-50, -100, "+50%"), (50, 100, "−50%")])
def test_a_fall_of_a_negative_metric_has_a_minus(value: float, expected: float, text: str) -> None:
    fell = anomaly(value=value, expected=expected)
    verdict = Verdict(Series("views"), "anomalous", value=value, expected=expected)
    assert (fell.change, fell.rose) == (verdict.change, verdict.direction == "up")
    assert writer().deviation(fell) == writer().change(value, expected, "ratio") == text


def test_a_tiny_share_and_its_change_are_not_written_as_zero() -> None:
    crashes = anomaly("crash_rate", unit="share", value=0.0008, expected=0.0005, lower=0.0004, upper=0.0006)
    english = writer()
    assert (english.of(0.0008, crashes), english.band(crashes)) == ("0.080%", "0.040%–0.060%")
    assert english.change(0.0008, 0.0005, "share") == "+0.03pp"
    assert english.change(0.1992, 0.1995, "share") == "0pp"


def test_what_earlier_versions_stored_is_still_read() -> None:
    facts = stored(EXAMPLES["report-2026-11-20"])
    earlier = {"critical": 1, "warning": 0, "normal": 7, "incidents": [stored(anomaly())]}
    assert read_notification({**facts, **earlier}) == EXAMPLES["report-2026-11-20"]
    failed = {"entry": "failed", "channel": "telegram", "reason": "unreachable", "text": "no", "retry_after": None}
    read = ENTRIES.validate_python
    assert read({**failed, "at": "2026-11-21T08:00:00Z", "number": 4}) == read(failed)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "NaN"])
def test_what_is_no_number_is_refused_everywhere(value: Any) -> None:
    facts = anomaly().model_dump()
    for name in ("value", "expected", "lower", "upper", "day_before", "score"):
        with pytest.raises(ValidationError, match=rf"{name}\n +Input should be a finite number"):
            kinds.Anomaly(**{**facts, name: value})
    with pytest.raises(ValidationError, match="finite"):
        kinds.ReportRow(metric="views", unit="count", value=value)
    with pytest.raises(ValidationError, match="finite"):
        kinds.History(times=(NOON,), values=(value,))


@pytest.mark.parametrize(
    "key", ["", " ", "a b", "a/b", "../a", ".a", "-a", "a\n", "a\x00", "ключ", "a" * 152, "a...b/..."]
)
def test_a_key_that_is_no_file_name_is_refused(key: str) -> None:
    with pytest.raises(ValidationError, match="key\n"):
        kinds.TestMessage(key=key, occurred_at=NOON)


def test_anomalies_are_as_severe_as_the_worst_of_them() -> None:
    mild, bad = anomaly(severity="warning"), anomaly()
    for anomalies, severity in (((mild,), "warning"), ((mild, bad), "critical"), ((bad,), "critical")):
        event = kinds.AnomalyOpened(key="a", occurred_at=NOON, severity="info", anomalies=anomalies)
        assert event.severity == severity
        assert read_notification(stored(event)).severity == severity


def test_series_as_long_as_their_times_are_required() -> None:
    facts = history().model_dump()
    with pytest.raises(ValidationError, match="lower has 1 values for 96 times"):
        kinds.History(**{**facts, "lower": (1.0,)})


# --- the message ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\r\nb\rc\nd", "a\nb\nc\nd"),
        ("a\tb", "a    b"),
        ("a\x00\x1b[31mb\x7f\x85", "a\ufffd\ufffd[31mb\ufffd\ufffd"),
        ("half \ud83d of a pair", "half \ufffd of a pair"),
        ("whole 😀 pair", "whole 😀 pair"),
        ("\u2028\u2029\ufffe\uffff", "\ufffd" * 4),
        ("iOS\u202egpj.exe\u202c \u2067x\u2069 \u200ey\u200f\u061c", "iOSgpj.exe x y"),
    ],
)
def test_characters_that_no_channel_can_carry_are_replaced(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned
    assert Preformatted(text).text == cleaned


@given(st.text(st.characters()))
def test_a_span_is_one_line_that_can_be_encoded(text: str) -> None:
    span = Span(text)
    assert "\n" not in span.text
    span.text.encode()


def test_a_message_without_a_headline_is_refused_by_its_key() -> None:
    for headline in ((), line(" "), line("")):
        with pytest.raises(ValueError, match="the message key-1 has no headline"):
            Message("key-1", "kind", "info", headline, (), ())


def test_a_template_is_read_as_blocks() -> None:
    headline, blocks = parse_blocks("""
❌ <b>FAILED</b> · job <code>a &lt;b&gt;</code>

one
<b>two</b>  &amp;amp;
<pre>  error
  line </pre>
three

<table><tr><th>metric<th>value
<tr><td>a &lt;td&gt; b<td><code>1</code></table>
<blockquote>
why

because</blockquote>
""")
    assert headline == line("❌ ", bold("FAILED"), " · job ", code("a <b>"))
    assert blocks == (
        Paragraph((line("one"), line(bold("two"), "  &amp;"))),
        Preformatted("  error\n  line "),
        Paragraph((line("three"),)),
        Table((("a <td> b", "1"),), ("metric", "value")),
        Details((line("why"), line("because"))),
    )


@given(st.text(), st.text())
def test_no_value_is_read_as_a_tag(first: str, second: str) -> None:
    here = writer()
    text = f"x {here.printed(first)} <b>y{here.printed(second)}</b>\n\n<pre>{here.error_excerpt(first)}</pre>"
    headline, _ = parse_blocks(text)
    assert text_of(headline) == text_of((Span(f"x {first} y{second}"),))


def test_a_long_name_is_shortened_and_a_long_number_is_not() -> None:
    rows = table_lines(Table((("A name that is very long indeed", "1,234,567", "+3%"),)), 24)
    assert rows == ["A name th… 1,234,567 +3%"]
    rows = table_lines(Table((("A name that is long", "1" * 40),)), 34)
    assert rows == [f"A name … {'1' * 40}"]
    rows = table_lines(Table((("Revenues", "1" * 20), ("└ a town with a long name", ""))), 28)
    assert rows == [f"Revenues {'1' * 20}", "└ a town with a long name"]


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=8)), min_size=1, max_size=6))
def test_every_row_of_a_table_is_one_line_within_its_width(rows: list[tuple[str, str]]) -> None:
    lines = table_lines(Table(tuple(rows)))
    assert len(lines) == len(rows)
    widest = max(len(clean(number)) for _, number in rows)
    assert all("\n" not in text_line and len(text_line) <= max(34, 9 + widest) for text_line in lines)
