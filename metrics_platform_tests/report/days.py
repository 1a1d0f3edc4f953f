"""Days of `app_daily` made up for tests: consistent ones of any size, written out or drawn by hypothesis."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from metrics_platform.notifications.kinds import DailyReport
from metrics_platform.report.facts import LoadState, Metrics, ReportData, report_of
from metrics_platform.report.highlights import LOOKBACK
from metrics_platform.settings import Settings, load_settings
from metrics_platform.time_windows import day_of
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import create_database, create_tables
from metrics_platform.warehouse.tables import APP_DAILY

DATE = datetime.date(2026, 11, 21)
ZONE = load_settings(None, timezone="Europe/Moscow").zone
HEADLINE = load_settings(None).report_metrics
Rows = dict[datetime.date, Metrics]


def day(feed: int, messenger: int, both: int = 0, *, size: int = 1, **counts: int) -> dict[str, float | None]:
    """The row of a day on which `feed` users used the feed, `messenger` sent, and `both` did both, times `size`."""
    given: dict[str, int] = {
        "views": feed * 29, "likes": feed * 6, "messages_sent": messenger * 5, "receivers": messenger + messenger // 3,
        "new_users_ads": feed // 20, "new_users_organic": feed // 30, "new_users_other": 0,
        "wau": (feed + messenger) * 3, "mau": (feed + messenger) * 6,
        "cohort_d1": feed // 12, "retained_d1": feed // 40, "cohort_d7": feed // 12, "retained_d7": feed // 90,
        **counts,
    }  # fmt: skip
    count: dict[str, Any] = {name: value * size for name, value in given.items()}
    users = {"feed_dau": feed, "messenger_dau": messenger, "both_services": both, "app_dau": feed + messenger - both,
             "feed_only": feed - both, "messenger_only": messenger - both, "senders": messenger}  # fmt: skip
    count |= {name: value * size for name, value in users.items()}
    count["new_users"] = count["new_users_ads"] + count["new_users_organic"] + count["new_users_other"]
    return count | {
        "ctr": _divided(count["likes"], count["views"]),
        "views_per_user": _divided(count["views"], count["feed_dau"]),
        "likes_per_user": _divided(count["likes"], count["feed_dau"]),
        "sent_per_sender": _divided(count["messages_sent"], count["senders"]),
        "received_per_receiver": _divided(count["messages_sent"], count["receivers"]),
        "sent_received": _divided(count["receivers"], count["senders"]),
        "stickiness": _divided(count["app_dau"], count["mau"]),
        "retention_d1": _divided(count["retained_d1"], count["cohort_d1"]),
        "retention_d7": _divided(count["retained_d7"], count["cohort_d7"]),
    }


def _divided(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def two_weeks(last: datetime.date = DATE, *, size: int = 1, growth: float = 0.01) -> Rows:
    """Fourteen whole days up to `last`, with a weekly rhythm and `growth` by the day."""
    rows: Rows = {}
    for back in reversed(range(14)):
        date = last - datetime.timedelta(days=back)
        level = (1 + growth) ** -back * (1.2 if date.weekday() >= 5 else 1 + 0.02 * date.weekday())
        rows[date] = day(round(20_000 * level), round(2_400 * level), round(1_200 * level), size=size)
    return rows


def without(rows: Rows, *back: int) -> Rows:
    """The rows without the days that are `back` days before the last."""
    gone = {max(rows) - datetime.timedelta(days=days) for days in back}
    return {date: row for date, row in rows.items() if date not in gone}


NOTHING = day(0, 0)
# What happens to reports, by the name of what is special about it: the rows that are there for the report of DATE.
CASES: dict[str, Rows] = {
    "usual": two_weeks(),
    "missing days": without(two_weeks(), 1, 3, 7, 9, 10),
    "all zero": dict.fromkeys(two_weeks(), NOTHING),
    "zero after usual days": two_weeks() | {DATE: NOTHING},
    "usual after zero days": dict.fromkeys(two_weeks(), NOTHING) | {DATE: day(20_000, 2_400, 1_200)},
    "one day of history": {DATE: day(20_000, 2_400, 1_200)},
    "no views": two_weeks() | {DATE: day(20_000, 2_400, 1_200, views=0, likes=0)},
    "no messages": two_weeks() | {DATE: day(20_000, 0)},
    "a billion": two_weeks(size=100_000),
    "falling by a fifth a day": two_weeks(growth=-0.2),
    "ten times as much": two_weeks() | {DATE: day(200_000, 24_000, 12_000)},
    "a handful of users": {date: day(3, 2, 1, mau=9, wau=5) for date in two_weeks()},
    "users of no known source": two_weeks() | {DATE: day(20_000, 2_400, new_users_other=17)},
    "the day is missing": without(two_weeks(), 0),
    "nothing was ever computed": {},
}

_COUNTS = st.integers(0, 50) | st.integers(0, 10**9)
_DAYS = st.builds(
    lambda users, both, counts: day(*users, min(*users, both), **counts),
    st.tuples(_COUNTS, _COUNTS),
    _COUNTS,
    st.fixed_dictionaries(
        dict.fromkeys(("views", "likes", "messages_sent", "receivers", "new_users_ads"), _COUNTS),
        optional=dict.fromkeys(("new_users_other", "wau", "mau", "cohort_d1", "retained_d1"), _COUNTS),
    ),
)


@st.composite
def histories(draw: st.DrawFn) -> Rows:
    """Rows of some of the 20 days that end with DATE, in any order."""
    dates = [DATE - datetime.timedelta(days=back) for back in range(20)]
    chosen = draw(st.lists(st.sampled_from(dates), unique=True))
    return {date: draw(_DAYS) for date in chosen}


def put_days(settings: Settings, rows: Mapping[datetime.date, Mapping[str, float | None]]) -> None:
    """Store days of `app_daily` as if they had been computed, in place of those that are there."""
    warehouse = Warehouse.from_settings(settings)
    create_database(warehouse, warehouse.database)
    create_tables(warehouse, [APP_DAILY])
    names = [column.name for column in APP_DAILY.columns]
    values = [[date, *(row[name] for name in names[1:])] for date, row in rows.items()]
    dropped = ", ".join(f"DROP PARTITION '{date}'" for date in rows)
    warehouse.execute(f"ALTER TABLE app_daily {dropped}")
    warehouse.run(lambda client: client.insert("app_daily", values, column_names=names), operation="Test")


def report(rows: Rows, date: datetime.date = DATE, load: LoadState | None = None) -> DailyReport:
    """The report of `date` from the rows that are read for it, as of 11:00 of the next morning."""
    this = day_of(date, ZONE)
    state = load or LoadState(this.end + datetime.timedelta(minutes=7), 11, 11)
    needed = {day: row for day, row in rows.items() if date - LOOKBACK <= day <= date}
    return report_of(
        this, ReportData(needed, headline=HEADLINE), state, occurred_at=this.end + datetime.timedelta(hours=11)
    )
