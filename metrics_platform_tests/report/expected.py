"""What a report must say, by pandas alone: the facts of the days over a complete calendar, shifted by a day and a week.

It shares nothing with the product but the names of the metrics.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import pandas as pd

from metrics_platform.notifications.kinds import DailyReport, ReportSeries

PARTS = {
    "headline": ["app_dau", "views", "likes", "ctr", "messages_sent", "new_users", "retention_d1"],
    "audience": [
        "app_dau", "feed_dau", "messenger_dau", "feed_only", "messenger_only", "both_services", "wau", "mau",
        "stickiness",
    ],
    "activity": ["views", "likes", "ctr", "views_per_user", "likes_per_user"],
    "messenger": [
        "messages_sent", "senders", "receivers", "sent_per_sender", "received_per_receiver", "sent_received",
    ],
    "growth": ["new_users", "new_users_ads", "new_users_organic", "new_users_other"],
    "retention": ["retention_d1", "retention_d7"],
}  # fmt: skip
RATES = {"ctr", "stickiness", "retention_d1", "retention_d7"}


def calendar_of(facts: pd.DataFrame, date: datetime.date) -> pd.DataFrame:
    """The facts (a row per computed day, the day as `event_date`) of the 14 days that end with `date`, oldest first.

    A day that was not computed is a row of missing values.
    """
    indexed = facts.set_index(pd.to_datetime(facts["event_date"])).drop(columns="event_date").astype(float)
    return indexed.reindex(pd.date_range(end=pd.Timestamp(date), periods=14, freq="D"))


def assert_report_equals(report: DailyReport, facts: pd.DataFrame) -> None:
    """Every number of the report: values, bases of the changes, and the points of the pictures."""
    table = calendar_of(facts, report.date)
    if not (facts["event_date"] == report.date).any():
        assert report.parts == ()
        assert report.problem == "missing"
        return
    left_out = set() if table["new_users_other"].iloc[[-1, -2, -8]].any(skipna=True) else {"new_users_other"}
    shown = {part.name: [row.metric for row in part.rows] for part in report.parts}
    assert shown == {name: [metric for metric in metrics if metric not in left_out] for name, metrics in PARTS.items()}
    for row in (row for part in report.parts for row in part.rows):
        column = table[row.metric]
        assert (row.unit == "share") == (row.metric in RATES), row.metric
        assert row.value == _known(column.iloc[-1]), row.metric
        assert row.day_before == _known(column.shift(1).iloc[-1]), row.metric
        assert row.week_before == _known(column.shift(7).iloc[-1]), row.metric
    for part in report.parts:
        for series in part.series:
            _assert_series_equals(series, table)


def _assert_series_equals(series: ReportSeries, table: pd.DataFrame) -> None:
    column = table[series.metric]
    assert list(series.values) == [_known(value) for value in column.iloc[-7:]], series.metric
    assert list(series.values_before) == [_known(value) for value in column.shift(7).iloc[-7:]], series.metric


def _known(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def facts_of(rows: Mapping[datetime.date, Mapping[str, float | None]]) -> pd.DataFrame:
    """Rows by their dates as a frame of facts."""
    columns = ["event_date", *dict.fromkeys(name for row in rows.values() for name in row)]
    cells = [[date, *(row[name] for name in columns[1:])] for date, row in rows.items()]
    return pd.DataFrame(cells, columns=columns or None, dtype=object)
