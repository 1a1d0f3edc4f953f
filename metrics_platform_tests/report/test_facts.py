"""Which numbers are in a report, whatever days there are: by their dates, against pandas."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import pandas as pd
import pytest
from hypothesis import given, settings

from metrics_platform.catalog import builtin_catalog
from metrics_platform.formats import LANGUAGES
from metrics_platform.report.facts import LoadState, ReportData, content_of, report_of, week_of
from metrics_platform.report.highlights import DAILY_METRICS
from metrics_platform.report.reading import read_weekly_cohorts
from metrics_platform.settings import Settings
from metrics_platform.time_windows import day_of
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.tables import USER_COHORTS, columns_of
from metrics_platform_tests.report.days import (
    CASES,
    DATE,
    HEADLINE,
    NOTHING,
    ZONE,
    Rows,
    day,
    histories,
    report,
    two_weeks,
    without,
)
from metrics_platform_tests.report.expected import assert_report_equals, facts_of

ONE_DAY = datetime.timedelta(days=1)
DAY = day_of(DATE, ZONE)


@settings(max_examples=max(20, settings().max_examples))
@given(rows=histories())
def test_every_number_is_looked_up_by_its_date(rows: Rows) -> None:
    facts = facts_of(rows) if rows else facts_of({DATE: NOTHING}).iloc[:0]
    for date in (DATE, DATE - 5 * ONE_DAY, DATE + ONE_DAY):
        assert_report_equals(report(rows, date), facts)


def test_a_metric_is_a_column_of_app_daily_and_has_a_name_in_every_language() -> None:
    names = list(DAILY_METRICS)
    cohorts = {"event_date", "cohort_d1", "retained_d1", "cohort_d7", "retained_d7"}
    assert sorted(names) == sorted({column.name for column in columns_of("app_daily")} - cohorts)
    assert set(builtin_catalog().daily) <= set(names)
    for language in LANGUAGES:
        assert all(builtin_catalog().title(name, language) for name in names)


def test_a_section_with_the_name_of_a_built_in_part_adds_to_it() -> None:
    metrics = builtin_catalog().metrics
    sections = {"growth": [metrics["senders"]], "headline": [metrics["views"]], "Own": [metrics["messages"]]}
    rows = two_weeks()
    values = {date: {"messages": 1.0} for date in rows}
    data = ReportData(rows, values, sections, headline=HEADLINE)
    parts = {part.name: part for part in report_of(DAY, data, LoadState(), occurred_at=DAY.end).parts}
    usual = {part.name: part for part in report(rows).parts}
    assert [row.metric for row in parts["growth"].rows] == [*(row.metric for row in usual["growth"].rows), "senders"]
    assert parts["headline"] == usual["headline"]  # which has the views already
    assert [row.metric for row in parts["Own"].rows] == ["messages"]


def test_other_sources_have_a_row_where_somebody_came_from_one() -> None:
    def rows_of(case: str) -> list[str]:
        return [row.metric for part in report(CASES[case]).parts for row in part.rows]

    assert "new_users_other" not in rows_of("usual")
    assert "new_users_other" in rows_of("users of no known source")
    a_week_ago = two_weeks() | {DATE - 7 * ONE_DAY: day(10, 10, new_users_other=1)}
    assert "new_users_other" in [row.metric for part in report(a_week_ago).parts for row in part.rows]


@pytest.mark.parametrize(
    ("rows", "load", "problem"),
    [
        (two_weeks(), LoadState(DAY.end + ONE_DAY, 11, 11), None),
        (two_weeks(), LoadState(DAY.end, 11, 11), None),  # computed in the very second the day was over
        (two_weeks(), LoadState(), None),  # computed, though not through Dagster
        (two_weeks(), LoadState(DAY.end - datetime.timedelta(seconds=1), 11, 11), "incomplete"),
        (two_weeks(), LoadState(DAY.end + ONE_DAY, 10, 11, ("users: one_row",)), "failed_checks"),
        (two_weeks(), LoadState(DAY.end - ONE_DAY, 10, 11, ("users: one_row",)), "failed_checks"),
        (two_weeks(), LoadState(DAY.end + ONE_DAY, 10, 11, ("users: one_row",), ("users",)), "partial"),
        (without(two_weeks(), 0), LoadState(DAY.end - ONE_DAY, 10, 11, ("users: one_row",)), "missing"),
        (two_weeks(), LoadState(DAY.end + ONE_DAY, 10, 11), None),  # one warns, which is no failure
        (without(two_weeks(), 1, 7), LoadState(DAY.end, 11, 11), None),  # other days are missing
    ],
)
def test_the_worst_that_is_wrong_with_the_data_is_told(rows: Rows, load: LoadState, problem: str | None) -> None:
    made = report(rows, load=load)
    assert made.problem == problem
    assert made.fresh_at == load.fresh_at
    assert (made.checks_passed, made.checks_total) == ((load.checks_passed, 11) if load.checks_total else (None, None))


def test_the_content_depends_on_numbers_and_problem_and_not_on_the_time() -> None:
    told = report(two_weeks())
    later = report(two_weeks(), load=LoadState(DAY.end + 9 * ONE_DAY, 11, 11)).model_copy(update={"run_id": "other"})
    assert content_of(later) == content_of(told)
    changed = two_weeks() | {DATE: day(20_000, 2_401, 1_200)}
    assert content_of(report(changed)) != content_of(told)
    before = two_weeks() | {DATE - ONE_DAY: NOTHING}
    assert content_of(report(before)) != content_of(told)
    assert content_of(report(two_weeks(), load=LoadState(DAY.end - ONE_DAY, 11, 11))) != content_of(told)
    assert content_of(type(told).model_validate_json(told.model_dump_json())) == content_of(told)


SUNDAY = datetime.date(2026, 11, 22)


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
    # Users who began before the first computed day: their cohort has no size. Such a day in a week that has one is left
    # out of its shares, too.
    rows += [(SUNDAY, SUNDAY - 49 * ONE_DAY, 49, "ads", 10, 1)]
    began_before = monday + 2 * ONE_DAY
    rows = [row for row in rows if row[1] != began_before or row[2] > 0]
    rows = [(*row[:5], 10) if row[1] == began_before else row for row in rows]
    names = [column.name for column in USER_COHORTS.columns]
    warehouse.run(lambda client: client.insert("user_cohorts", rows, column_names=names), operation="Test")

    cohorts = read_weekly_cohorts(warehouse, SUNDAY)

    assert [(cohort.first_day, cohort.users) for cohort in cohorts] == [
        (monday, 120), (monday + 7 * ONE_DAY, 140), (monday + 14 * ONE_DAY, 140),
    ]  # fmt: skip
    assert [cohort.retention for cohort in cohorts] == [(0.4, 0.1), (0.4, None), (None, None)]
