"""The same tables in pandas: what equal work costs outside of ClickHouse.

It reads the day's events and the snapshot of the day before, and writes every table of the daily load, with the same
rows. As the platform does, it folds events to sets of attributes first. It has no checks, and a reader sees the day
while it is being written.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from benchmarks.notebook import MEASURES
from metrics_platform.time_windows import Day
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.tables import columns_of, daily_tables

if TYPE_CHECKING:
    import pandas as pd
    from clickhouse_connect.driver.client import Client

_ATTRIBUTES = ["os", "gender", "age", "country", "city", "exp_group"]
_PREFIX = "pandas_"
_DIMENSIONS = ("os", "gender", "age")
_EVENTS = (
    "SELECT user_id, time, os, gender, age, country, city, source, exp_group, {} FROM {} "
    "WHERE time >= {{day_start:DateTime('UTC')}} AND time < {{day_end:DateTime('UTC')}}"
)


def create_tables(warehouse: Warehouse) -> None:
    """Empty tables like those of the platform."""
    for table in daily_tables(_DIMENSIONS):
        warehouse.execute(f"CREATE OR REPLACE TABLE {_PREFIX}{table.name} AS {table.name}")


def same_rows(warehouse: Warehouse, date: datetime.date) -> dict[str, bool]:
    """Table → whether it has the same rows of the day as the platform's, however often they were written."""
    rows = (
        "(SELECT count(), sum(cityHash64(toString(tuple(*)))) "
        "FROM (SELECT DISTINCT * FROM {}{} WHERE event_date = {{date:Date}}))"
    )
    return {
        table.name: bool(
            warehouse.value(
                f"SELECT {rows.format(_PREFIX, table.name)} = {rows.format('', table.name)}", {"date": date}
            )
        )
        for table in daily_tables(_DIMENSIONS)
    }


def compute(client: Client, database: str, day: Day) -> None:
    """One day of all tables."""
    import pandas as pd  # noqa: PLC0415  (its import is not part of what is timed)

    feed = _frame(client, _EVENTS.format("action", f"{database}.feed_actions"), day)
    feed = feed.assign(views=feed["action"] == "view", likes=feed["action"] == "like").drop(columns="action")
    in_feed = _latest(feed, {"views": "sum", "likes": "sum"})
    messages = _frame(client, _EVENTS.format("receiver_id", f"{database}.message_actions"), day)
    in_messenger = _messenger(messages)
    known = _frame(client, "SELECT * FROM users WHERE event_date = {previous:Date}", day)
    senders = in_messenger[in_messenger["messages_sent"] > 0]
    users = _users(in_feed, senders, known.drop(columns="event_date"), day.date)
    merged = pd.concat([in_feed[["user_id", "views", "likes"]], in_messenger[["user_id", *MEASURES[2:]]]])
    merged = merged.groupby("user_id", as_index=False)[MEASURES].sum()
    merged["used_feed"] = merged["user_id"].isin(in_feed["user_id"])
    merged["used_messenger"] = merged["user_id"].isin(senders["user_id"])
    merged = merged.merge(users[["user_id", *_ATTRIBUTES, "source"]], on="user_id", how="left")
    labels = ["<18", "18-24", "25-34", "35-44", "45-54", "55+"]
    groups = pd.cut(merged["age"].astype("float64"), [0, 18, 25, 35, 45, 55, 1000], right=False, labels=labels)
    merged["age_group"] = groups.astype(object)
    slices = [_slice(merged, dimension) for dimension in _DIMENSIONS]
    written = {
        "feed_user_daily": in_feed,
        "message_user_daily": in_messenger,
        "users": users,
        "user_daily": merged,
        **{f"{dimension}_slice": frame for dimension, frame in zip(_DIMENSIONS, slices, strict=True)},
        "dimension_metrics": pd.concat(slices),
        "app_daily": pd.DataFrame([_app_row(merged, users, day.date)]),
        "user_cohorts": _cohorts(users, day.date),
    }
    for name, frame in written.items():
        _insert(client, name, frame, day.date)


def _frame(client: Client, query: str, day: Day) -> pd.DataFrame:
    parameters = {
        "day_start": f"{day.start:%Y-%m-%d %H:%M:%S}",
        "day_end": f"{day.end:%Y-%m-%d %H:%M:%S}",
        "previous": day.date - datetime.timedelta(days=1),
    }
    import pandas as pd  # noqa: PLC0415

    table = client.query_arrow(query, parameters=parameters, use_strings=True)
    frame: pd.DataFrame = table.to_pandas(date_as_object=False, strings_to_categorical=True)
    if "time" in frame:  # in Arrow, ClickHouse's times are numbers of seconds
        frame["time"] = pd.to_datetime(frame["time"], unit="s")
    return frame


def _latest(events: pd.DataFrame, counts: dict[str, str]) -> pd.DataFrame:
    """One row per user: sums, and of each attribute the latest known value with its time."""
    keys = ["user_id", *_ATTRIBUTES, "source"]
    grouped = events.groupby(keys, observed=True, sort=False, dropna=False)
    sets = grouped.agg(
        first=("time", "min"), last=("time", "max"), **{name: (name, how) for name, how in counts.items()}
    )
    sets = sets.reset_index()
    sets["gender"] = sets["gender"].map({1: "male", 0: "female"})
    for name in ("os", "country", "city", "source"):
        sets[name] = sets[name].astype(object).where(lambda text: text != "", None)
    sets["age"] = sets["age"].where(sets["age"] > 0).astype("Int32")
    sets["exp_group"] = sets["exp_group"].where(sets["exp_group"] >= 0).astype("Int32")
    users = sets.groupby("user_id", as_index=False)[list(counts)].sum()
    for name in _ATTRIBUTES:
        seen = sets.loc[sets[name].notna(), ["user_id", "last", name]].sort_values(["last", name])
        seen = seen.drop_duplicates("user_id", keep="last").rename(columns={"last": f"{name}_seen_at"})
        users = users.merge(seen, on="user_id", how="left")
    begun = sets[["user_id", "first", "source"]].sort_values(["first", "source"], ascending=[True, False])
    begun = begun.drop_duplicates("user_id").rename(columns={"first": "first_seen_at"})
    return users.merge(begun, on="user_id", how="left")


def _messenger(messages: pd.DataFrame) -> pd.DataFrame:
    """Who sent and who received, with the senders' attributes."""
    senders = _latest(messages.assign(messages_sent=1), {"messages_sent": "sum"})
    pairs = messages[["user_id", "receiver_id"]].drop_duplicates()
    received = messages.groupby("receiver_id").size().rename("messages_received")
    frame = senders.merge(received, left_on="user_id", right_index=True, how="outer")
    frame["users_sent"] = frame["user_id"].map(pairs.groupby("user_id").size())
    frame["users_received"] = frame["user_id"].map(pairs.groupby("receiver_id").size())
    return frame.fillna(dict.fromkeys(MEASURES[2:], 0)).astype(dict.fromkeys(MEASURES[2:], "int64"))


def _users(feed: pd.DataFrame, senders: pd.DataFrame, known: pd.DataFrame, date: datetime.date) -> pd.DataFrame:
    """The snapshot of the day before, continued by the day."""
    import pandas as pd  # noqa: PLC0415

    day = feed.merge(senders, on="user_id", how="outer", suffixes=("", "_sent"))
    for name in _ATTRIBUTES:
        other, seen, seen_other = day[f"{name}_sent"], day[f"{name}_seen_at"], day[f"{name}_seen_at_sent"]
        greater = (seen == seen_other) & (other > day[name]).fillna(value=False)
        later = other.notna() & (day[name].isna() | (seen_other > seen) | greater)
        day[name] = day[name].mask(later, other)
    in_feed_first = day["first_seen_at"].notna() & ~(day["first_seen_at_sent"] < day["first_seen_at"])
    day["source"] = day["source"].where(in_feed_first, day["source_sent"])
    day = day[["user_id", *_ATTRIBUTES, "source"]].assign(is_active=True)
    users = known.merge(day, on="user_id", how="outer", suffixes=("_before", ""))
    is_new, is_active = users["first_day"].isna(), users["is_active"].notna()
    for name in _ATTRIBUTES:
        users[name] = users[name].where(users[name].notna(), users[f"{name}_before"])
    users["source"] = users["source"].where(is_new, users["source_before"])
    users["first_day"] = users["first_day"].mask(is_new, pd.Timestamp(date))
    users["last_active_day"] = users["last_active_day"].mask(is_active, pd.Timestamp(date))
    return users


def _slice(merged: pd.DataFrame, dimension: str) -> pd.DataFrame:
    names = merged[dimension].astype(object).where(merged[dimension].notna(), "unknown").astype(str)
    frame = merged[MEASURES].groupby(names.rename("dimension_value")).sum().reset_index()
    return frame.assign(dimension=dimension)


def _cohorts(users: pd.DataFrame, date: datetime.date) -> pd.DataFrame:
    """Of the users of the last year by their first day and source: how many there are, and how many were active."""
    import pandas as pd  # noqa: PLC0415

    days_since = _days(users["first_day"], date)
    source = users["source"].astype(object).where(users["source"].notna(), "unknown")
    frame = users[["first_day"]].assign(
        days_since=days_since, source=source, active=users["last_active_day"] == pd.Timestamp(date)
    )
    grouped = frame[days_since < 366].groupby(["first_day", "days_since", "source"], as_index=False)["active"]
    return grouped.agg(["size", "sum"]).rename(columns={"size": "users", "sum": "active"})


def _app_row(merged: pd.DataFrame, users: pd.DataFrame, date: datetime.date) -> dict[str, Any]:
    """The report's facts."""
    feed, messenger = merged["used_feed"], merged["used_messenger"]
    views, likes, sent = (int(merged[name].sum()) for name in ("views", "likes", "messages_sent"))
    app, in_feed, senders = int((feed | messenger).sum()), int(feed.sum()), int(messenger.sum())
    receivers = int((merged["messages_received"] > 0).sum())
    last, first = (_days(users[name], date) for name in ("last_active_day", "first_day"))
    active, history = last == 0, int(first.max()) + 1
    new = users.loc[first == 0, "source"].value_counts()
    new_users, ads, organic = int((first == 0).sum()), int(new.get("ads", 0)), int(new.get("organic", 0))
    wau, mau = (int((last < days).sum()) if history >= days else None for days in (7, 28))
    row: dict[str, Any] = {
        "app_dau": app, "feed_dau": in_feed, "messenger_dau": senders,
        "feed_only": int((feed & ~messenger).sum()), "messenger_only": int((messenger & ~feed).sum()),
        "both_services": int((feed & messenger).sum()), "views": views, "likes": likes,
        "ctr": _ratio(likes, views), "views_per_user": _ratio(views, in_feed), "likes_per_user": _ratio(likes, in_feed),
        "messages_sent": sent, "senders": senders, "receivers": receivers, "sent_per_sender": _ratio(sent, senders),
        "received_per_receiver": _ratio(sent, receivers), "sent_received": _ratio(receivers, senders),
        "new_users": new_users, "new_users_ads": ads, "new_users_organic": organic,
        "new_users_other": new_users - ads - organic,
        "wau": wau, "mau": mau, "stickiness": _ratio(app, mau),
    }  # fmt: skip
    for back in (1, 7):
        cohort, retained = int((first == back).sum()), int(((first == back) & active).sum())
        row |= {
            f"cohort_d{back}": cohort,
            f"retained_d{back}": retained,
            f"retention_d{back}": _ratio(retained, cohort),
        }
    return row


def _days(dates: pd.Series[Any], date: datetime.date) -> pd.Series[Any]:
    """How many days before `date`."""
    import pandas as pd  # noqa: PLC0415

    days: pd.Series[Any] = (pd.Timestamp(date) - dates).dt.days
    return days


def _ratio(part: int, whole: int | None) -> float | None:
    return part / whole if whole else None


def _insert(client: Client, name: str, frame: pd.DataFrame, date: datetime.date) -> None:
    columns = [column.name for column in columns_of("slice" if name.endswith("_slice") else name)]
    client.insert_df(f"{_PREFIX}{name}", frame.assign(event_date=date)[columns])
