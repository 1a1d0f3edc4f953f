"""What people get: the report's text as Telegram shows it, every cell against the numbers, and its pictures."""

from __future__ import annotations

import datetime
import re
import sys
import warnings
from collections.abc import Iterator

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_platform.formats import LANGUAGES, Language
from metrics_platform.notifications.kinds import DailyReport
from metrics_platform.notifications.message import Message, Table, table_lines
from metrics_platform.notifications.slack_blocks import posts_of
from metrics_platform.notifications.telegram.html import TEXT_UNITS, parts_of
from metrics_platform.notifications.templates import render
from metrics_platform_tests.charts.pictures import drawn, outside, overlaps
from metrics_platform_tests.notifications.examples import writer
from metrics_platform_tests.notifications.slack_webhook import check_payload
from metrics_platform_tests.report.days import CASES, DATE, Rows, histories, report, two_weeks
from metrics_platform_tests.report.expected import APPLICATION, FEED, RATES, calendar_of, facts_of
from metrics_platform_tests.telegram.parsing import parse_html

EACH = [(language, case) for language in LANGUAGES for case in CASES]
_SIZES = {"": 1, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12, "Q": 1e15, "тыс": 1e3, "млн": 1e6, "млрд": 1e9, "трлн": 1e12}
_CELL = re.compile(r"([+\u2212×]?)([\d,.\s\u00a0\u202f]+)\s*(K|M|B|T|Q|тыс|млн|млрд|трлн)?\.?(%|pp|пп)?")


def told(made: DailyReport, language: Language) -> Message:
    return render(made, writer(language, made.occurred_at))


def texts(message: Message) -> list[str]:
    """The parts of the message as Telegram shows them; each is accepted, and within its limits."""
    parsed = [parse_html(part.html) for part in parts_of(message)]
    assert all(0 < each.length <= TEXT_UNITS and each.accidental == [] for each in parsed)
    return [each.text for each in parsed]


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
    """Every cell of the report of DATE says the number that pandas has for it."""
    facts = calendar_of(facts_of(rows), DATE)
    for names, cells in zip((FEED, APPLICATION), tables(message), strict=True):
        shown = [name for name in names if name != "new_users_other" or len(cells) == len(names)]
        for metric, (_, value, day, week) in zip(shown, cells, strict=True):
            now, day_before, week_before = facts[metric].iloc[[-1, -2, -8]]
            assert_says(value, now, language)
            assert value.endswith("%") == (metric in RATES and not pd.isna(now))
            assert_change_says(day, now, day_before, metric, language)
            assert_change_says(week, now, week_before, metric, language)


@settings(max_examples=40)
@given(rows=histories(), language=st.sampled_from(LANGUAGES))
def test_every_cell_says_its_number(rows: Rows, language: Language) -> None:
    message = told(report(rows), language)
    texts(message)
    if DATE in rows:
        assert_message_says(message, rows, language)


@pytest.mark.parametrize(("language", "case"), EACH)
def test_telegram_takes_it_as_one_text_in_which_every_number_is_right(language: Language, case: str) -> None:
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


@pytest.mark.parametrize(("language", "case"), EACH)
def test_slack_takes_it_as_one_message(language: Language, case: str) -> None:
    message = told(report(CASES[case]), language)
    (post,) = posts_of(message, len(message.charts))
    check_payload(post.payload)
    assert post.payload["text"].startswith(("📊 ", "⚠️ "))


# Where days are missing or values differ most; in Russian, what is longer there.
DRAWN = [("en", "missing days"), ("en", "all zero"), ("ru", "one day of history"), ("ru", "a billion")]
DRAWN += [("ru", "ten times as much")]


@pytest.mark.parametrize(("language", "case"), DRAWN)
def test_the_pictures_are_drawn_whole_and_telegram_takes_them(language: Language, case: str) -> None:
    charts = [make() for make in told(report(CASES[case]), language).charts]
    assert [chart.name for chart in charts] == (
        [f"report-feed-{DATE}", f"report-application-{DATE}"] if DATE in CASES[case] else []
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


def test_every_panel_shows_one_metric_and_the_feed_and_the_messenger_have_panels_of_their_own() -> None:
    feed, application = [make() for make in told(report(two_weeks()), "en").charts]
    assert [panel.title for panel in feed.panels] == ["Feed DAU", "Views", "Likes", "CTR"]
    titles = [panel.title for panel in application.panels]
    assert len(titles) == len(set(titles)) == 12
    assert titles[2:4] == ["Feed DAU", "Messenger DAU"]


@pytest.mark.parametrize(
    ("language", "first"),
    [("en", "⚠️ Daily report · Sat 21 Nov 2026 · NO DATA"), ("ru", "⚠️ Отчёт за день · сб 21 нояб. 2026 · НЕТ ДАННЫХ")],
)
def test_a_missing_day_is_said_in_the_first_line_and_is_no_row_of_zeros(language: Language, first: str) -> None:
    (text,) = texts(told(report(CASES["the day is missing"]), language))
    assert text.splitlines()[0] == first
    assert "daily_etl" in text
    assert "DAU" not in text


def test_a_corrected_report_says_that_it_is_one_and_why() -> None:
    made = report(two_weeks())
    again = made.model_copy(update={"key": f"{made.key}-1a2b3c4d", "correction": True, "thread": made.key})
    (text,) = texts(told(again, "en"))
    assert text.splitlines()[0] == "📊 Daily report · Sat 21 Nov 2026 · CORRECTED"
    assert "have changed since they were sent" in text


def test_a_report_that_leaves_hours_late_says_so() -> None:
    made = report(two_weeks())
    message = render(made, writer("en", made.occurred_at + datetime.timedelta(hours=3)))
    assert "⏰ Delayed by 3\N{NO-BREAK SPACE}h" in texts(message)[0]
