"""Last week against the four before it, against pandas, and the weekly cohorts against a count of users."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import pandas as pd
import pytest

from metrics_platform.report.facts import week_of
from metrics_platform.report.reading import read_weekly_cohorts
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.tables import USER_COHORTS
from metrics_platform_tests.report.days import Rows, day
from metrics_platform_tests.report.expected import facts_of

SUNDAY = datetime.date(2026, 11, 22)
ONE_DAY = datetime.timedelta(days=1)


def five_weeks() -> Rows:
    return {
        SUNDAY - back * ONE_DAY: day(20_000 + 37 * back, 2_400 + 11 * back, 1_200, likes=4_000 + 3 * back)
        for back in range(35)
    }


def test_the_week_equals_pandas() -> None:
    rows = five_weeks()
    table = facts_of(rows).set_index("event_date").sort_index().astype(float)
    weeks = table.groupby([(SUNDAY - date).days // 7 for date in table.index])
    sums, last = weeks.sum(), weeks.last()
    expected = pd.DataFrame(
        {
            "wau": last["wau"],
            **{name: sums[name] for name in ("views", "likes", "messages_sent", "new_users")},
            "ctr": sums["likes"] / sums["views"],
            "retention_d1": sums["retained_d1"] / sums["cohort_d1"],
            "retention_d7": sums["retained_d7"] / sums["cohort_d7"],
        }
    )

    week = week_of(SUNDAY, rows)

    assert week.first_day == SUNDAY - 6 * ONE_DAY
    assert {row.metric: row.value for row in week.rows} == pytest.approx(expected.loc[0].to_dict())
    assert {row.metric: row.before for row in week.rows} == pytest.approx(expected.loc[1:4].mean().to_dict())


def test_a_week_with_a_missing_day_is_not_compared() -> None:
    rows = five_weeks()
    del rows[SUNDAY - 3 * ONE_DAY]
    week = week_of(SUNDAY, rows)
    assert {row.value for row in week.rows} == {None}
    assert all(row.before is not None for row in week.rows)

    del rows[SUNDAY - 10 * ONE_DAY]
    week = week_of(SUNDAY, rows)
    assert {row.before for row in week.rows} == {None}


def test_only_a_report_of_a_sunday_has_the_week() -> None:
    assert week_of(SUNDAY - ONE_DAY, five_weeks()) is None


def test_a_weekly_cohort_is_shown_once_all_its_days_are_old_enough(make_settings: Callable[..., Settings]) -> None:
    warehouse = Warehouse.from_settings(make_settings())
    create_tables(warehouse, [USER_COHORTS])
    monday = SUNDAY - 20 * ONE_DAY
    rows = []
    for offset in range(21):
        for first in range(offset + 1):
            since = offset - first
            active = 10 if since == 0 else 4 if since == 7 else 1
            date, first_day = monday + offset * ONE_DAY, monday + first * ONE_DAY
            rows += [(date, first_day, since, source, 10, active) for source in ("ads", "organic")]
    # Users who began before the first computed day: their cohort has no size.
    rows += [(SUNDAY, SUNDAY - 49 * ONE_DAY, 49, "ads", 10, 1)]
    names = [column.name for column in USER_COHORTS.columns]
    warehouse.run(lambda client: client.insert("user_cohorts", rows, column_names=names), doing="Test")

    cohorts = read_weekly_cohorts(warehouse, SUNDAY)

    assert [(cohort.first_day, cohort.users) for cohort in cohorts] == [
        (monday, 140), (monday + 7 * ONE_DAY, 140), (monday + 14 * ONE_DAY, 140),
    ]  # fmt: skip
    assert [cohort.retention for cohort in cohorts] == [(0.4, 0.1), (0.4, None), (None, None)]
