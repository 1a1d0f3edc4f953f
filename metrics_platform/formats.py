"""Formats of numbers, changes, dates and durations in each language, for messages and charts alike.

The languages' rules come from CLDR through Babel. The platform adds three: the minus is U+2212, a missing value is
"n/a", and a change of zero has no sign. Nothing here knows what a value means.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, TypeGuard, get_args

Language = Literal["en", "ru"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

_MINUS = "\u2212"
_NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
_NOT_AVAILABLE: Mapping[Language, str] = {"en": "n/a", "ru": "н/д"}
_POINTS: Mapping[Language, str] = {"en": "pp", "ru": f"{_NO_BREAK_SPACE}п.п."}
_DURATION_UNITS: Mapping[Language, tuple[tuple[int, str], ...]] = {
    "en": ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")),
    "ru": ((86_400, "д"), (3600, "ч"), (60, "мин"), (1, "с")),
}

# From here on, a number is an error in its source. Written as 3.99E29, it is visible and does not break tables.
_HUGE = 1e18


class Formats:
    """Numbers, changes, dates and durations in one language.

    Values are plain numbers (shares as 0…1, changes as a share of the base). None, NaN and infinities are written as
    "n/a". Times are written in their own `tzinfo`: convert them to the product's zone first.
    """

    def __init__(self, language: Language) -> None:
        self.language = language
        self.not_available = _NOT_AVAILABLE[language]

    def number(self, value: float | None, digits: int | None = None) -> str:
        """22,104, 1.86 or 0.0041: grouped. By default no decimals if whole or from 100 on, else two or more."""
        if not _finite(value):
            return self.not_available
        if digits is None:
            digits = 0 if value == int(value) or abs(value) >= 100 else decimals_of(value, 2)
        return self._decimal(value, digits)

    def compact(self, value: float | None, digits: int | None = None) -> str:
        """12.4K, 1.2M, «12,4 тыс.»: for axes and labels. At most three digits up to 1e15, or `digits` decimals."""
        from babel.numbers import format_compact_decimal  # noqa: PLC0415  (a tenth of a second, on use only)

        if not _finite(value):
            return self.not_available
        if abs(value) < 999.5:
            whole = value == int(value)
            return self.number(value, None if whole or abs(value) < 10 else 1 if abs(value) < 99.95 else 0)
        if abs(value) >= _HUGE:
            return self.number(value)
        power = int(math.log10(abs(value)) // 3)
        if digits is None:
            digits = 1 if abs(value) / 1000**power < 99.95 else 0
        if round(abs(value) / 1000**power, digits) >= 1000:  # 999,960 is a million, not "1000K"
            value, digits = math.copysign(1000.0 ** (power + 1), value), 1
        return _signed(format_compact_decimal(value, locale=self.language, fraction_digits=digits))

    def percent(self, share: float | None, digits: int | None = None) -> str:
        """20.2% for the share 0.2016, 0.041% for 0.00041."""
        if not _finite(share):
            return self.not_available
        return f"{self._decimal(share * 100, decimals_of(share * 100, 1) if digits is None else digits)}%"

    def change(self, share: float | None) -> str:
        """+3%, −41%, 0%, ×12: a change, given as a share of its base. One decimal below 1%, a factor from +1,000%.

        A factor from ten million on is abbreviated: ×12M.
        """
        if not _finite(share):
            return self.not_available
        if share >= 10:
            return f"×{self._decimal(share + 1, 0) if share < 9_999_999 else self.compact(share + 1)}"
        percent = share * 100
        digits = 1 if 0 < abs(percent) < 0.95 else 0
        return self._with_sign(percent, digits, "%")

    def points(self, difference: float | None, digits: int = 1, *, narrow: bool = False) -> str:
        """+0.1pp: the difference of two shares, in percentage points; `narrow` for tables."""
        if not _finite(difference):
            return self.not_available
        unit = _POINTS[self.language]
        return self._with_sign(difference * 100, digits, re.sub(r"[\W_]", "", unit) if narrow else unit)

    def rough(self, value: float | None) -> str:
        """7,600 for 7,572 and 131,000 for 131,212: two digits, or three after a leading 1, for estimates.

        Numbers below 100 are not rounded. Two digits alone would change 115 by 4%.
        """
        if not _finite(value) or not 100 <= abs(value) < _HUGE:
            return self.number(value)
        power = int(math.log10(abs(value)))
        figures = 3 if abs(value) < 2 * 10**power else 2
        return self.number(round(value, figures - 1 - power))

    def interval(self, lower: str, upper: str) -> str:
        """7,600–8,900 for two formatted values; only one of them if they are the same."""
        return lower if lower == upper else f"{lower}–{upper}"

    def duration(self, span: datetime.timedelta) -> str:
        """1 h 15 min: the two largest units; seconds only below ten minutes."""
        remaining = max(0, round(span.total_seconds()))
        if remaining >= 600:
            remaining = round(remaining / 60) * 60
        written: list[str] = []
        for size, unit in _DURATION_UNITS[self.language]:
            count, remaining = divmod(remaining, size)
            if count:
                written.append(f"{count}{_NO_BREAK_SPACE}{unit}")
            elif written:
                break
            if len(written) == 2:
                break
        return " ".join(written) or f"0{_NO_BREAK_SPACE}{_DURATION_UNITS[self.language][-1][1]}"

    def day(self, date: datetime.date) -> str:
        """Sat 21 Nov 2026, «сб 21 нояб. 2026»."""
        return self._date(date, "EEE d MMM y")

    def day_short(self, date: datetime.date) -> str:
        """21 Nov, «21 нояб.»."""
        return self._date(date, "d MMM")

    def weekday(self, date: datetime.date, offset: int = 0, *, narrow: bool = False) -> str:
        """Sat, «сб», of the day `offset` days after `date`; `narrow` is Sa, for small charts."""
        return self._date(date + datetime.timedelta(days=offset), "EEEEEE" if narrow else "EEE")

    def weekday_and_day(self, date: datetime.date) -> str:
        """Sat 21 Nov."""
        return self._date(date, "EEE d MMM")

    def day_name(self, date: datetime.date) -> str:
        """Saturday, «суббота»."""
        return self._date(date, "EEEE")

    def time(self, moment: datetime.datetime) -> str:
        """10:45."""
        return f"{moment:%H:%M}"

    def moment(self, moment: datetime.datetime) -> str:
        """21 Nov 10:45."""
        return f"{self.day_short(moment.date())} {self.time(moment)}"

    def times(self, start: datetime.datetime, end: datetime.datetime) -> str:
        """10:45–11:00; on different days, 20 Nov 23:45–21 Nov 00:15, but 23:45–24:00 up to midnight."""
        if start.date() == end.date():
            return f"{self.time(start)}–{self.time(end)}"
        if end.time() == datetime.time.min and end.date() - start.date() == datetime.timedelta(days=1):
            return f"{self.time(start)}–24:00"
        return f"{self.moment(start)}–{self.moment(end)}"

    def _with_sign(self, value: float, digits: int, unit: str) -> str:
        rounded = round(value, digits)
        sign = "+" if rounded > 0 else ""
        return f"{sign}{self._decimal(rounded, digits if rounded else 0)}{unit}"

    def _decimal(self, value: float, digits: int) -> str:
        from babel.numbers import format_decimal, format_scientific  # noqa: PLC0415

        if abs(value) >= _HUGE:
            return _signed(format_scientific(value, "0.##E0", locale=self.language))
        pattern = "#,##0" + ("." + "0" * digits if digits else "")
        return _signed(format_decimal(round(value, digits), pattern, locale=self.language))

    def _date(self, date: datetime.date, pattern: str) -> str:
        from babel.dates import format_date  # noqa: PLC0415

        return format_date(date, pattern, locale=self.language)


@lru_cache
def formats_for(language: Language) -> Formats:
    """The formats of a language."""
    return Formats(language)


def decimals_of(value: float, least: int) -> int:
    """The decimals that show two figures of a value below 1, at least `least`: 3 for 0.05.

    Below a millionth, which is a rounding error more often than a value, they are `least`.
    """
    return max(least, 1 - math.floor(math.log10(abs(value)))) if 1e-6 <= abs(value) < 1 else least


def _finite(value: float | None) -> TypeGuard[float]:
    return isinstance(value, int) or (value is not None and math.isfinite(value))


def _signed(text: str) -> str:
    """Replace Babel's hyphen by the minus sign, and drop it from a negative zero."""
    text = text.replace("-", _MINUS)
    return text.lstrip(_MINUS) if not any(figure in text for figure in "123456789") else text
