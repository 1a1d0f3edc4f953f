"""How numbers, changes, durations and dates are written in each language, and what is never written."""

from __future__ import annotations

import datetime
import math
import re
import zoneinfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_platform.formats import LANGUAGES, Formats, Language, formats_for

MINUS, NO_BREAK = "\u2212", "\N{NO-BREAK SPACE}"
EN, RU = formats_for("en"), formats_for("ru")
ANY = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-(10**15), 10**15) | st.none()
LANGUAGE = st.sampled_from(LANGUAGES)


def every_text(formats: Formats, value: float | None) -> list[str]:
    return [
        formats.number(value),
        formats.number(value, 1),
        formats.compact(value),
        formats.percent(value),
        formats.change(value),
        formats.points(value),
        formats.points(value, narrow=True),
        formats.rough(value),
    ]


@pytest.mark.parametrize(
    ("value", "digits", "english", "russian"),
    [
        (22104, None, "22,104", "22 104"),
        (5.3, None, "5.30", "5,30"),
        (123.456, None, "123", "123"),
        (123.456, 1, "123.5", "123,5"),
        (-1234.5, 1, "−1,234.5", "−1 234,5"),
        (-0.0012, None, "−0.0012", "−0,0012"),
        (0.034, None, "0.034", "0,034"),
        (-1e-9, None, "0.00", "0,00"),
        (10**15, None, "1,000,000,000,000,000", "1 000 000 000 000 000"),
        (-3.99e29, None, "−3.99E29", "−3,99E29"),
        (10**400, None, "1E400", "1E400"),
    ],
)
def test_a_number_is_grouped_as_the_language_groups(
    value: float, digits: int | None, english: str, russian: str
) -> None:
    assert EN.number(value, digits) == english
    assert RU.number(value, digits) == russian.replace(" ", NO_BREAK)


@pytest.mark.parametrize(
    ("share", "english", "russian"),
    [
        (-0.41, "−41%", "−41%"),
        (0.03, "+3%", "+3%"),
        (0.004, "+0.4%", "+0,4%"),
        (-0.004, "−0.4%", "−0,4%"),
        (0.0004, "0%", "0%"),
        (0, "0%", "0%"),
        (11, "×12", "×12"),
        (1_233_999, "×1,234,000", "×1 234 000"),
        (12_345_677, "×12.3M", "×12,3 млн"),
        (None, "n/a", "н/д"),
        (math.nan, "n/a", "н/д"),
        (math.inf, "n/a", "н/д"),
    ],
)
def test_a_change_has_a_sign_and_becomes_a_factor_from_ten_fold_on(
    share: float | None, english: str, russian: str
) -> None:
    assert EN.change(share) == english
    assert RU.change(share) == russian.replace(" ", NO_BREAK)


@pytest.mark.parametrize(
    ("difference", "english", "russian", "narrow"),
    [
        (0.001, "+0.1pp", "+0,1 п.п.", "+0,1пп"),
        (-0.002, "−0.2pp", "−0,2 п.п.", "−0,2пп"),
        (0.0001, "0pp", "0 п.п.", "0пп"),
        (-1, "−100.0pp", "−100,0 п.п.", "−100,0пп"),
    ],
)
def test_points_name_their_unit(difference: float, english: str, russian: str, narrow: str) -> None:
    assert EN.points(difference) == EN.points(difference, narrow=True) == english
    assert RU.points(difference) == russian.replace(" ", NO_BREAK)
    assert RU.points(difference, narrow=True) == narrow


@pytest.mark.parametrize(
    ("share", "digits", "written"),
    [
        (0.2016, None, "20.2%"),
        (0.0041, None, "0.41%"),
        (0.00041, None, "0.041%"),
        (0, None, "0.0%"),
        (0.0041, 1, "0.4%"),
    ],
)
def test_a_share_below_one_per_cent_has_two_figures(share: float, digits: int | None, written: str) -> None:
    assert EN.percent(share, digits) == written


@pytest.mark.parametrize(
    ("value", "english", "russian"),
    [
        (999, "999", "999"),
        (999.6, "1K", "1 тыс."),
        (12_400, "12.4K", "12,4 тыс."),
        (999_960, "1M", "1 млн"),
        (1_234_567, "1.2M", "1,2 млн"),
        (-5_000_000_000, "−5B", "−5 млрд"),
    ],
)
def test_a_compact_number_has_at_most_three_figures(value: float, english: str, russian: str) -> None:
    assert EN.compact(value) == english
    assert RU.compact(value) == russian.replace(" ", NO_BREAK)


@pytest.mark.parametrize(
    ("value", "written"),
    [(7572, "7,600"), (8894, "8,900"), (115, "115"), (131_212, "131,000"), (99.5, "99.50"), (-131_212, "−131,000")],
)
def test_an_estimate_has_two_figures_or_three_after_a_leading_1(value: float, written: str) -> None:
    assert EN.rough(value) == written


@pytest.mark.parametrize(
    ("seconds", "english", "russian"),
    [
        (0, "0 s", "0 с"),
        (-5, "0 s", "0 с"),
        (0.4, "0 s", "0 с"),
        (192, "3 min 12 s", "3 мин 12 с"),
        (599.7, "10 min", "10 мин"),
        (660, "11 min", "11 мин"),
        (4500, "1 h 15 min", "1 ч 15 мин"),
        (3600, "1 h", "1 ч"),
        (3599, "1 h", "1 ч"),
        (86_399, "1 d", "1 д"),
        (86_400 + 1800, "1 d", "1 д"),
        (90_000, "1 d 1 h", "1 д 1 ч"),
        (400 * 86_400, "400 d", "400 д"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, english: str, russian: str) -> None:
    span = datetime.timedelta(seconds=seconds)
    assert EN.duration(span).replace(NO_BREAK, " ") == english
    assert RU.duration(span).replace(NO_BREAK, " ") == russian


MOSCOW = zoneinfo.ZoneInfo("Europe/Moscow")


def moscow(day: int, hour: int, minute: int = 0) -> datetime.datetime:
    return datetime.datetime(2026, 11, day, hour, minute, tzinfo=MOSCOW)


def test_dates_and_times_are_written_as_the_language_writes_them() -> None:
    assert (EN.day(moscow(21, 0).date()), RU.day(moscow(21, 0).date())) == ("Sat 21 Nov 2026", "сб 21 нояб. 2026")
    assert (EN.moment(moscow(21, 9, 5)), RU.moment(moscow(21, 9, 5))) == ("21 Nov 09:05", "21 нояб. 09:05")
    may = datetime.date(2026, 5, 9)
    assert (EN.day_short(may), RU.day_short(may)) == ("9 May", "9 мая")


@pytest.mark.parametrize(
    ("start", "end", "written"),
    [
        (moscow(21, 10, 45), moscow(21, 11), "10:45–11:00"),
        (moscow(20, 23, 45), moscow(21, 0), "23:45–24:00"),
        (moscow(20, 0), moscow(21, 0), "00:00–24:00"),
        (moscow(20, 23, 45), moscow(21, 0, 15), "20 Nov 23:45–21 Nov 00:15"),
        (moscow(19, 23), moscow(21, 0), "19 Nov 23:00–21 Nov 00:00"),
    ],
)
def test_an_interval_of_times_names_days_only_where_it_spans_them(
    start: datetime.datetime, end: datetime.datetime, written: str
) -> None:
    assert EN.times(start, end) == written


@settings(max_examples=200)
@given(LANGUAGE, ANY)
def test_no_text_shows_nan_infinity_two_signs_or_a_negative_zero(language: Language, value: float | None) -> None:
    for text in every_text(Formats(language), value):
        assert not re.search("nan|inf|none|-", text, re.IGNORECASE)
        assert len(re.findall(f"[+{MINUS}]", text)) <= 1
        assert not re.match(rf"[+{MINUS}][0.,%\s]*(pp|пп|п\.п\.)?$", text), text
        assert " " not in text.replace(NO_BREAK, "")
