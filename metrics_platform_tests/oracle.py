"""The daily tables computed a second time, from docs/metrics.md alone and without a database.

Tests compare the product with this oracle row by row, so it is written to be obviously right: plain loops
over events, each rule in one place. It shares no code with the product, not even the calendar: a day is
found by asking the time zone database for the local date of one minute after another.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise, zip_longest
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

ATTRIBUTES = ("os", "gender", "age", "country", "city", "exp_group")
USERS_COLUMNS = ("user_id", *ATTRIBUTES, "source", "first_day", "last_active_day")
USER_MEASURES = ("views", "likes", "messages_sent", "users_sent", "messages_received", "users_received")
USER_DAILY_COLUMNS = ("user_id", *USER_MEASURES, "used_feed", "used_messenger", *ATTRIBUTES, "source")
SLICE_MEASURES = ("views", "likes", "messages_received", "messages_sent", "users_received", "users_sent")
SLICE_COLUMNS = ("event_date", "dimension", "dimension_value", *SLICE_MEASURES)
DEFAULT_DIMENSIONS = ("os", "gender", "age")
COHORT_COLUMNS = ("event_date", "first_day", "days_since", "source", "users", "active")
APP_COLUMNS = (
    "event_date", "app_dau", "feed_dau", "messenger_dau", "feed_only", "messenger_only", "both_services",
    "views", "likes", "ctr", "views_per_user", "likes_per_user",
    "messages_sent", "senders", "receivers", "sent_per_sender", "received_per_receiver", "sent_received",
    "new_users", "new_users_ads", "new_users_organic", "new_users_other", "wau", "mau", "stickiness",
    "cohort_d1", "retained_d1", "retention_d1", "cohort_d7", "retained_d7", "retention_d7",
)  # fmt: skip

FEED, MESSENGER = 0, 1  # in this order within the second of a user's first event


class Event(NamedTuple):
    """A feed row or a sent message; attributes that are not known are None."""

    second: int
    service: int
    user_id: int
    action: str | None  # feed only
    receiver_id: int | None  # messenger only
    source: str | None
    attributes: tuple[str | int | None, ...]  # in the order of ATTRIBUTES


class Oracle:
    """What every daily table must hold after each of `days` has been loaded in order.

    `days` ascend without a gap. Events before the first one are in its snapshot, as if those days had been loaded, too.
    `feed` and `messages` have the columns of docs/metrics.md and `time` in UTC.
    """

    def __init__(
        self,
        feed: pd.DataFrame,
        messages: pd.DataFrame,
        timezone: str,
        days: Sequence[date],
        receiver_column: str = "receiver_id",
    ) -> None:
        events = [*feed_events(feed), *message_events(messages, receiver_column)]
        self.days = list(days)
        first, earliest = self.days[0], min((event.second for event in events), default=0)
        while events and day_interval(timezone, first)[0] > earliest:
            first -= timedelta(days=1)
        # Every day from that of the very first event on.
        self._history = [first + timedelta(days=n) for n in range((self.days[0] - first).days)] + self.days
        intervals = [day_interval(timezone, day) for day in self._history]
        self._intervals = dict(zip(self._history, intervals, strict=True))
        if any(earlier[1] != later[0] for earlier, later in pairwise(intervals)):
            raise ValueError(f"the days leave out time or do not ascend: {self.days}")
        self._events: dict[date, list[Event]] = {day: [] for day in self._history}
        starts = [start for start, _ in intervals]
        for event in events:
            position = bisect_right(starts, event.second) - 1
            if event.second < intervals[position][1]:
                self._events[self._history[position]].append(event)
        self._snapshots: dict[date, dict[int, dict[str, Any]]] = {}
        self._build_snapshots()
        self._user_days = {day: self._merge(day) for day in self.days}

    def _build_snapshots(self) -> None:
        memories: dict[int, UserMemory] = {}
        snapshot: dict[int, dict[str, Any]] = {}
        for day in self._history:
            snapshot = dict(snapshot)
            for event in self._events[day]:
                memories.setdefault(event.user_id, UserMemory(day)).observe(event, day)
            for user_id in {event.user_id for event in self._events[day]}:
                snapshot[user_id] = memories[user_id].row(user_id)
            self._snapshots[day] = snapshot

    def users(self, day: date) -> pd.DataFrame:
        """Everybody who made an event up to the end of `day`; columns USERS_COLUMNS."""
        return _frame(self._snapshots[day].values(), USERS_COLUMNS)

    def user_daily(self, day: date) -> pd.DataFrame:
        """One row for each feed user, sender and receiver of `day`; columns USER_DAILY_COLUMNS."""
        return _frame(self._user_days[day], USER_DAILY_COLUMNS)

    def slice(self, day: date, dimension: str) -> pd.DataFrame:
        """The measures of `day` by the values of one dimension; columns SLICE_COLUMNS."""
        return _frame(self._slice_rows(day, dimension), SLICE_COLUMNS)

    def dimension_metrics(self, day: date, dimensions: Sequence[str] = DEFAULT_DIMENSIONS) -> pd.DataFrame:
        """The final table's partition of `day`: the slices one under the other."""
        return _frame([row for name in dimensions for row in self._slice_rows(day, name)], SLICE_COLUMNS)

    def app_daily(self, day: date) -> pd.DataFrame:
        """The one row of the report's facts of `day`, none for a date that the zone skipped; columns APP_COLUMNS."""
        start, end = self._intervals[day]
        return _frame([self._app_row(day)] if start < end else [], APP_COLUMNS)

    def user_cohorts(self, day: date) -> pd.DataFrame:
        """The cohorts of the last year by first day and source; columns COHORT_COLUMNS."""
        active = self._active_users(day, 1)
        cohorts: dict[tuple[date, str], list[int]] = defaultdict(list)
        for user_id, user in self._snapshots[day].items():
            if (day - user["first_day"]).days <= 365:
                cohorts[user["first_day"], user["source"] or "unknown"].append(user_id)
        return _frame(
            [
                {
                    "event_date": day,
                    "first_day": first_day,
                    "days_since": (day - first_day).days,
                    "source": source,
                    "users": len(users),
                    "active": len(active & set(users)),
                }
                for (first_day, source), users in cohorts.items()
            ],
            COHORT_COLUMNS,
        )

    def _app_row(self, day: date) -> dict[str, Any]:
        """Counted from the events themselves: who did what on which day, with sets of users."""
        events = self._events[day]
        in_feed = {event.user_id for event in events if event.service == FEED}
        senders = {event.user_id for event in events if event.service == MESSENGER}
        receivers = {event.receiver_id for event in events if event.service == MESSENGER}
        active = in_feed | senders
        views = sum(event.action == "view" for event in events)
        likes = sum(event.action == "like" for event in events)
        messages = sum(event.service == MESSENGER for event in events)
        new = self._new_users(day)
        sources = Counter(self._snapshots[day][user_id]["source"] for user_id in new)
        wau, mau = self._window(day, 7), self._window(day, 28)
        row: dict[str, Any] = {
            "event_date": day,
            "app_dau": len(active),
            "feed_dau": len(in_feed),
            "messenger_dau": len(senders),
            "feed_only": len(in_feed - senders),
            "messenger_only": len(senders - in_feed),
            "both_services": len(in_feed & senders),
            "views": views,
            "likes": likes,
            "ctr": _divided(likes, views),
            "views_per_user": _divided(views, len(in_feed)),
            "likes_per_user": _divided(likes, len(in_feed)),
            "messages_sent": messages,
            "senders": len(senders),
            "receivers": len(receivers),
            "sent_per_sender": _divided(messages, len(senders)),
            "received_per_receiver": _divided(messages, len(receivers)),
            "sent_received": _divided(len(receivers), len(senders)),
            "new_users": len(new),
            "new_users_ads": sources["ads"],
            "new_users_organic": sources["organic"],
            "new_users_other": len(new) - sources["ads"] - sources["organic"],
            "wau": wau,
            "mau": mau,
            "stickiness": None if mau is None else _divided(len(active), mau),
        }
        for back in (1, 7):
            cohort = self._new_users(day - timedelta(days=back))
            row[f"cohort_d{back}"] = len(cohort)
            row[f"retained_d{back}"] = len(cohort & active)
            row[f"retention_d{back}"] = _divided(len(cohort & active), len(cohort))
        return row

    def _window(self, last: date, days: int) -> int | None:
        """How many users were active in the `days` days that end with `last`; not known if the events begin later."""
        with_events = [day for day in self._history if day <= last and self._events[day]]
        if not with_events or with_events[0] > last - timedelta(days=days - 1):
            return None
        return len(self._active_users(last, days))

    def _active_users(self, last: date, days: int) -> set[int]:
        """Everybody with an event in the `days` days that end with `last`."""
        window = [last - timedelta(days=offset) for offset in range(days)]
        return {event.user_id for day in window for event in self._events.get(day, [])}

    def _new_users(self, day: date) -> set[int]:
        """Everybody with an event on `day` and on no day before it."""
        earlier = {event.user_id for before in self._history if before < day for event in self._events[before]}
        return self._active_users(day, 1) - earlier

    def _slice_rows(self, day: date, dimension: str) -> list[dict[str, Any]]:
        totals: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(SLICE_MEASURES, 0))
        for row in self._user_days[day]:
            value = age_group(row["age"]) if dimension == "age_group" else row[dimension]
            total = totals["unknown" if value is None else str(value)]
            for measure in SLICE_MEASURES:
                total[measure] += row[measure]
        return [
            {"event_date": day, "dimension": dimension, "dimension_value": value, **totals[value]}
            for value in sorted(totals)
        ]

    def _merge(self, day: date) -> list[dict[str, Any]]:
        events = self._events[day]
        seen = [event for event in events if event.service == FEED]
        sent = [(event.user_id, event.receiver_id) for event in events if event.receiver_id is not None]
        views = Counter(event.user_id for event in seen if event.action == "view")
        likes = Counter(event.user_id for event in seen if event.action == "like")
        messages_sent = Counter(sender for sender, _ in sent)
        messages_received = Counter(receiver for _, receiver in sent)
        # the distinct pairs, counted from either end
        users_sent = Counter(sender for sender, _ in set(sent))
        users_received = Counter(receiver for _, receiver in set(sent))
        feed_users = {event.user_id for event in seen}
        never_made_an_event = dict.fromkeys((*ATTRIBUTES, "source"))
        snapshot = self._snapshots[day]
        return [
            {
                **{name: snapshot.get(user_id, never_made_an_event)[name] for name in never_made_an_event},
                "user_id": user_id,
                "views": views[user_id],
                "likes": likes[user_id],
                "messages_sent": messages_sent[user_id],
                "users_sent": users_sent[user_id],
                "messages_received": messages_received[user_id],
                "users_received": users_received[user_id],
                "used_feed": user_id in feed_users,
                "used_messenger": user_id in messages_sent,
            }
            for user_id in sorted(feed_users | set(messages_sent) | set(messages_received))
        ]


class UserMemory:
    """What is remembered of one user; the order in which events of a day are observed does not matter."""

    def __init__(self, first_day: date) -> None:
        self.first_day = first_day
        self.last_active_day = first_day
        self.latest: dict[str, tuple[int, Any]] = {}  # attribute → (second, known value)
        self.first_event: tuple[int, int] | None = None  # (second, service)
        self.source: str | None = None

    def observe(self, event: Event, day: date) -> None:
        self.last_active_day = day
        for name, value in zip(ATTRIBUTES, event.attributes, strict=True):
            if value is not None:
                # the later second wins; in one second the greater value, and 'male' > 'female'
                self.latest[name] = max(self.latest.get(name, (event.second, value)), (event.second, value))
        moment = (event.second, event.service)
        if self.first_event is None or moment < self.first_event:
            self.first_event, self.source = moment, event.source
        elif moment == self.first_event and event.source is not None:
            self.source = max(self.source or event.source, event.source)

    def row(self, user_id: int) -> dict[str, Any]:
        return {
            "user_id": user_id,
            **{name: self.latest[name][1] if name in self.latest else None for name in ATTRIBUTES},
            "source": self.source,
            "first_day": self.first_day,
            "last_active_day": self.last_active_day,
        }


def _divided(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def feed_events(feed: pd.DataFrame) -> Iterable[Event]:
    return _events(feed, FEED, actions=_values(feed["action"]), receivers=[None] * len(feed))


def message_events(messages: pd.DataFrame, receiver_column: str = "receiver_id") -> Iterable[Event]:
    known = messages[messages[receiver_column].notna()]
    receivers = [int(receiver) for receiver in _values(known[receiver_column])]
    return _events(known, MESSENGER, actions=[None] * len(known), receivers=receivers)


def _events(rows: pd.DataFrame, service: int, actions: list[Any], receivers: list[Any]) -> Iterable[Event]:
    seconds = pd.to_datetime(rows["time"], utc=True).dt.as_unit("s").astype("int64").tolist()
    attributes = zip(
        map(known_text, _values(rows["os"])),
        map(known_gender, _values(rows["gender"])),
        map(known_age, _values(rows["age"])),
        map(known_text, _values(rows["country"])),
        map(known_text, _values(rows["city"])),
        map(known_experiment_group, _values(rows["exp_group"])),
        strict=True,
    )
    sources = map(known_text, _values(rows["source"]))
    user_ids = _values(rows["user_id"])
    columns = (seconds, [service] * len(rows), user_ids, actions, receivers, sources, attributes)
    events = (Event(*values) for values in zip(*columns, strict=True))
    return [event for event in events if event.user_id is not None]  # an event without a user


def known_text(value: Any) -> str | None:
    return value or None


def known_gender(value: Any) -> str | None:
    return {1: "male", 0: "female", "male": "male", "female": "female"}.get(value)


def known_age(value: Any) -> int | None:
    return int(value) if value is not None and value > 0 else None


def known_experiment_group(value: Any) -> int | None:
    return int(value) if value is not None and value >= 0 else None


def age_group(age: int | None) -> str | None:
    if age is None:
        return None
    for first_age, name in ((55, "55+"), (45, "45-54"), (35, "35-44"), (25, "25-34"), (18, "18-24")):
        if age >= first_age:
            return name
    return "<18"


@lru_cache(maxsize=4096)
def day_interval(timezone: str, day: date) -> tuple[int, int]:
    """The day's half-open interval in Unix seconds: from its first instant to the next day's."""
    return _first_instant(timezone, day), _first_instant(timezone, day + timedelta(days=1))


@lru_cache(maxsize=4096)
def _first_instant(timezone: str, day: date) -> int:
    """The first minute whose local date is `day`, or a later one where the zone skipped the whole day."""
    # offsets lie within a day of UTC, and since 1972 they are whole minutes
    noon, reach = pd.Timestamp(day, tz="UTC") + pd.Timedelta(hours=12), pd.Timedelta(hours=40)
    minutes = pd.date_range(noon - reach, noon + reach, freq="min", unit="s")
    local_midnights = minutes.tz_convert(timezone).tz_localize(None).normalize()
    return int(minutes[local_midnights >= pd.Timestamp(day)][0].timestamp())


def _values(column: pd.Series[Any]) -> list[Any]:
    """The column as Python values, with None for every kind of missing value."""
    cells = column.to_numpy(dtype=object)
    return [
        None if is_missing else value.item() if isinstance(value, np.generic) else value
        for value, is_missing in zip(cells.tolist(), pd.isna(cells).tolist(), strict=True)
    ]


def _frame(rows: Iterable[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    cells = [[row[name] for name in columns] for row in rows]
    return pd.DataFrame(cells, columns=list(columns), dtype=object)  # keeps None and integers


def assert_same_rows(actual: pd.DataFrame, expected: pd.DataFrame, key: str | Sequence[str]) -> None:
    """Compare every cell of two tables whose rows are identified by `key`, in whatever order rows come.

    NaN, None and NaT are one value; 1, 1.0 and True are one value; a timestamp at midnight is its date.
    """
    keys = [key] if isinstance(key, str) else list(key)
    assert set(actual.columns) == set(expected.columns)
    pairs = zip_longest(_rows_by_key(actual, keys), _rows_by_key(expected, keys))
    assert [f"is {row}, expected {wanted}" for row, wanted in pairs if row != wanted][:30] == []


def _rows_by_key(table: pd.DataFrame, keys: list[str]) -> list[dict[str, Any]]:
    values = {name: [_comparable(value) for value in _values(table[name])] for name in table.columns}
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    return sorted(rows, key=lambda row: [row[name] for name in keys])


def _comparable(value: Any) -> Any:
    is_midnight = isinstance(value, datetime) and value.time() == datetime.min.time()
    return value.date() if is_midnight else value
