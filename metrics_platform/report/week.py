"""Last week against the four weeks before it. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from statistics import mean

from metrics_platform.notifications.kinds import ReportWeek, WeeklyCohort, WeekRow
from metrics_platform.report.metrics import DAILY_METRICS

Rows = Mapping[datetime.date, Mapping[str, float | None]]
Week = Sequence[Mapping[str, float | None]]

WEEKS_BEFORE = 4
_DAY = datetime.timedelta(days=1)
# How a value of the week follows from its days: distinct users as of the last day, counts added up, shares as the sums
# divided.
_WEEKLY: Mapping[str, Callable[[Week], float | None]] = {
    "wau": lambda days: days[-1].get("wau"),
    "views": lambda days: _total(days, "views"),
    "likes": lambda days: _total(days, "likes"),
    "ctr": lambda days: _ratio(days, "likes", "views"),
    "messages_sent": lambda days: _total(days, "messages_sent"),
    "new_users": lambda days: _total(days, "new_users"),
    "retention_d1": lambda days: _ratio(days, "retained_d1", "cohort_d1"),
    "retention_d7": lambda days: _ratio(days, "retained_d7", "cohort_d7"),
}


def week_of(date: datetime.date, rows: Rows, cohorts: Sequence[WeeklyCohort] = ()) -> ReportWeek | None:
    """The week that ends with `date`; None where that is no Sunday."""
    if date.isoweekday() != 7:
        return None
    weeks = [_days(date - number * 7 * _DAY, rows) for number in range(WEEKS_BEFORE + 1)]
    return ReportWeek(
        first_day=date - 6 * _DAY,
        rows=tuple(
            WeekRow(
                metric=name,
                unit=DAILY_METRICS[name],
                value=weekly(weeks[0]) if weeks[0] else None,
                before=_mean([weekly(week) if week else None for week in weeks[1:]]),
            )
            for name, weekly in _WEEKLY.items()
        ),
        cohorts=tuple(cohorts),
    )


def _days(last: datetime.date, rows: Rows) -> Week:
    """The seven days that end with `last`; none where one is missing, since less of a week is not comparable."""
    days = [last - back * _DAY for back in reversed(range(7))]
    return [rows[day] for day in days] if all(day in rows for day in days) else []


def _total(days: Week, name: str) -> float | None:
    values = [day.get(name) for day in days]
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _ratio(days: Week, numerator: str, denominator: str) -> float | None:
    above, below = _total(days, numerator), _total(days, denominator)
    return above / below if above is not None and below else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if len(known) == len(values) else None
