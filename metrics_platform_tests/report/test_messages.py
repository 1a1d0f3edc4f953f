"""What people get: the report's text as Telegram shows it, every cell against the numbers, and its pictures."""

from __future__ import annotations

import datetime
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_platform.catalog import builtin_catalog
from metrics_platform.charts.model import Chart
from metrics_platform.formats import LANGUAGES, Language
from metrics_platform.notifications.composer import render
from metrics_platform.notifications.kinds import DailyReport, ReportWeek, WeekRow
from metrics_platform.notifications.message import Details, Message, Table, table_lines, text_of
from metrics_platform.notifications.slack import posts_of
from metrics_platform_tests.charts.pictures import drawn, outside, overlaps
from metrics_platform_tests.notifications.examples import seen, writer
from metrics_platform_tests.notifications.slack_webhook import check_payload
from metrics_platform_tests.report.days import CASES, DATE, HEADLINE, Rows, day, histories, report, two_weeks
from metrics_platform_tests.report.expected import PARTS, RATES, calendar_of, facts_of
from metrics_platform_tests.report.products import Planted, product

LAST = datetime.date(2026, 11, 28)
SLOT = datetime.timedelta(minutes=15)
EACH = [(language, case) for language in LANGUAGES for case in CASES]
_SIZES = {"": 1, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12, "Q": 1e15, "тыс": 1e3, "млн": 1e6, "млрд": 1e9, "трлн": 1e12}
_CELL = re.compile(r"([+\u2212×]?)([\d,.\s\u00a0\u202f]+)\s*(K|M|B|T|Q|тыс|млн|млрд|трлн)?\.?(%|pp|пп)?")


def told(made: DailyReport, language: Language) -> Message:
    return render(made, writer(language, made.occurred_at))


def texts(message: Message) -> list[str]:
    """The parts of the message as Telegram shows them; nothing in them has become a link."""
    assert all(message.accidental == [] for message in seen(message))
    return [message.text for message in seen(message)]


def tables(message: Message) -> Iterator[list[tuple[str, ...]]]:
    """The rows of each table, without the header and the rows that set groups apart."""
    for block in message.blocks:
        if isinstance(block, Table):
            yield [row for row in block.rows if any(row)]


def read(cell: str, language: Language) -> tuple[float, float]:
    """A cell as the number it says and how far the true one may be from it: half of its last figure."""
    found = _CELL.fullmatch(cell)
    assert found, cell
    sign, figures, size, unit = found.groups()
    figures = re.sub(r"\s", "", figures)
    figures = figures.replace(",", ".") if language == "ru" else figures.replace(",", "")
    decimals = len(figures.partition(".")[2])
    scale = _SIZES[size or ""] / (100 if unit else 1)
    number = float(figures) * scale * (-1 if sign == "\u2212" else 1)
    return number, 0.5000001 * scale / 10**decimals


def assert_says(cell: str, number: float | None, language: Language) -> None:
    if number is None or pd.isna(number):
        assert cell == {"en": "n/a", "ru": "н/д"}[language]
        return
    said, off = read(cell, language)
    assert abs(said - number) <= off + abs(number) * 1e-12, (cell, number)


def assert_change_says(cell: str, value: float, base: float, metric: str, language: Language) -> None:
    if pd.isna(value) or pd.isna(base) or (metric not in RATES and base == 0):
        assert_says(cell, None, language)
    elif metric in RATES:
        assert cell.endswith({"en": "pp", "ru": "пп"}[language])
        assert_says(cell, value - base, language)
    elif cell.startswith("×"):
        assert value >= 11 * base * (1 - 1e-9)
        assert_says(cell, value / base, language)
    else:
        assert cell.endswith("%")
        assert_says(cell, (value - base) / base, language)
        if (value > base) != (value < base) and read(cell, language)[0]:
            assert cell[0] == ("+" if value > base else "\u2212")


def assert_message_says(message: Message, rows: Rows, language: Language) -> None:
    """Every number of the report of DATE, in the table and below it, is the one that pandas has."""
    facts = calendar_of(facts_of(rows), DATE)
    (cells,) = tables(message)
    for metric, (_, *said) in zip(HEADLINE, cells, strict=True):
        assert_row_says(metric, said, facts, language)
    names = [name for part in PARTS if part != "headline" for name in PARTS[part]]
    folded = [text_of(line) for line in details(message).lines if text_of(line).count(" · ") == 2]
    folded = [text for text in folded if "id " not in text and not re.search(r"metrics|метрики", text)]
    shown = [name for name in names if name != "new_users_other" or len(folded) == len(names)]
    for metric, text in zip(shown, folded, strict=True):
        title = builtin_catalog().title(metric, language)
        assert text.startswith(f"{title} ")
        assert_row_says(metric, text.removeprefix(f"{title} ").split(" · "), facts, language)


def assert_row_says(metric: str, said: list[str], facts: pd.DataFrame, language: Language) -> None:
    now, day_before, week_before = facts[metric].iloc[[-1, -2, -8]]
    value, day, week = said
    assert_says(value, now, language)
    assert value.endswith("%") == (metric in RATES and not pd.isna(now))
    assert_change_says(day, now, day_before, metric, language)
    assert_change_says(week, now, week_before, metric, language)


def details(message: Message) -> Details:
    (found,) = (block for block in message.blocks if isinstance(block, Details))
    return found


@settings(max_examples=max(10, settings().max_examples))
@given(rows=histories(), language=st.sampled_from(LANGUAGES))
def test_every_cell_says_its_number(rows: Rows, language: Language) -> None:
    message = told(report(rows), language)
    texts(message)
    if DATE in rows:
        assert_message_says(message, rows, language)


@pytest.mark.parametrize(("language", "case"), EACH)
def test_it_is_one_message_in_which_every_number_is_right(language: Language, case: str) -> None:
    rows = CASES[case]
    message = told(report(rows), language)
    (text,) = texts(message)
    assert not re.search(r"\b(nan|inf|None)\b|(?<!\w)-\d", text)
    if DATE in rows:
        assert_message_says(message, rows, language)
    for block in message.blocks:
        if isinstance(block, Table):
            lines = table_lines(block)
            assert all(len(line) <= 34 and "…" not in line for line in lines), "\n".join(lines)
    (post,) = posts_of(message)  # Slack, too
    check_payload(post.payload)
    assert post.payload["text"].startswith(("📊 ", "⚠️ "))


# Where days are missing or values differ most; in Russian, what is longer there.
DRAWN = [("en", "missing days"), ("ru", "one day of history"), ("ru", "a billion")]


@pytest.mark.parametrize(("language", "case"), DRAWN)
def test_the_pictures_are_drawn_whole_and_telegram_takes_them(language: Language, case: str) -> None:
    charts = [make() for make in told(report(CASES[case]), language).charts]
    assert [chart.name for chart in charts] == (
        [f"report-headline-{DATE}", f"report-others-{DATE}"] if DATE in CASES[case] else []
    )
    for chart in charts:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            figure = drawn(chart)
        assert outside(figure) == []
        assert overlaps(figure) == []
        width, height = figure.bbox.size
        assert width + height <= 10_000
        assert height <= 20 * width
        for panel in chart.panels:
            assert len(panel.values) == 7
            assert len(panel.previous) in {0, 7}
            assert panel.times[-1] == DATE
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_the_second_picture_shows_what_the_first_does_not() -> None:
    headline, others = [make() for make in told(report(two_weeks()), "en").charts]
    assert len(headline.panels) == len(HEADLINE)
    titles = [panel.title for panel in (*headline.panels, *others.panels)]
    assert len(titles) == len(set(titles))
    assert {"Feed DAU", "WAU", "D7 retention"} <= set(titles)


@pytest.mark.parametrize(
    ("language", "planted", "expected"),
    [
        ("en", None, r"📊 Sat 28 Nov · a usual day"),
        ("ru", None, r"📊 сб 28 нояб\. · обычный день"),
        ("en", "ctr_drop", r"📊 Sat 28 Nov · .*CTR −\d.*"),
        ("ru", "drop", r"📊 сб 28 нояб\. · .* −\d+%.*"),
        ("en", "launch", r"📊 Sat 28 Nov · .* \+\d+%.*"),
    ],
)
def test_the_first_line_says_if_the_day_was_usual(language: Language, planted: Planted | None, expected: str) -> None:
    made = long_report(planted)
    (text,) = texts(told(made, language))
    assert re.fullmatch(expected, text.splitlines()[0])
    assert ("Stands out" in text or "Что выделяется" in text) == (planted is not None)


def test_what_stands_out_says_what_is_usual_and_the_value_is_outside_of_it() -> None:
    made = long_report("ctr_drop")
    (text,) = texts(told(made, "en"))
    value, lower, upper = re.findall(r"▼ CTR ([\d.]+)%, usual ([\d.]+)–([\d.]+)%", text)[0]
    assert float(value) < float(lower) < float(upper)
    charts = [make() for make in told(made, "en").charts]
    marked = [panel.title for chart in charts if isinstance(chart, Chart) for panel in chart.panels if panel.marked]
    assert "CTR" in marked
    assert made.highlights is not None
    assert len(marked) == len(made.highlights)


@pytest.mark.parametrize("planted", ["drop", "launch"])
def test_a_usual_report_is_short(planted: Planted) -> None:
    for language in LANGUAGES:
        message = told(long_report(planted), language)
        shown = [block for block in message.blocks if not isinstance(block, Details)]
        lines = texts(replace(message, blocks=tuple(shown)))[0].splitlines()
        assert len(lines) <= 26


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_week_without_weeks_before_it_is_not_compared(language: Language) -> None:
    rows = (WeekRow(metric="views", unit="count", value=1000, before=None),)
    week = ReportWeek(first_day=datetime.date(2026, 11, 22), rows=rows)
    message = told(long_report(None).model_copy(update={"week": week}), language)
    *_, weekly = tables(message)
    assert weekly == [({"en": "Views", "ru": "Просмотры"}[language], {"en": "1,000", "ru": "1\u00a0000"}[language])]
    (text,) = texts(message)
    assert {"en": "the four before", "ru": "четырём"}[language] not in text


def long_report(planted: Planted | None) -> DailyReport:
    """The report of the last day of a product with 120 days of history."""
    rows = product(2, 120, planted)
    shift = LAST - max(rows)
    full = {date + shift: {**day(1000, 100, 50), **row} for date, row in rows.items()}
    return report(full, LAST)
