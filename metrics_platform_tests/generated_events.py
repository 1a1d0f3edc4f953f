"""Small worlds of events for property tests, drawn so that they hit the traps of the daily tables.

A world draws a handful of moments first, most of them at the borders of local days and at clock changes, and
a handful of profiles (attributes, known or not); its events take their moment and profile from these. So
events meet in one second, on both sides of a midnight and in both services far more often than chance would
have it, and a failing world shrinks to a few rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
from hypothesis import strategies as st
from hypothesis.vendor.pretty import RepresentationPrinter

# a zone and a local date: worlds of the zone lie around it
ZONES_AND_DATES = (
    ("UTC", date(2026, 3, 8)),
    ("Europe/Moscow", date(2026, 3, 8)),
    ("America/New_York", date(2026, 3, 8)),  # 23 hours
    ("America/New_York", date(2026, 11, 1)),  # 25 hours
    ("America/Sao_Paulo", date(2018, 11, 4)),  # begins at 01:00
    ("America/Sao_Paulo", date(2018, 2, 17)),  # 25 hours: 23:00 to 24:00 twice
    ("America/Havana", date(2026, 11, 1)),  # 25 hours: 00:00 to 01:00 twice
    ("America/St_Johns", date(2010, 11, 7)),  # one minute old when the clock goes back into the day before
    ("Asia/Kathmandu", date(2026, 3, 8)),  # +05:45
    ("Pacific/Apia", date(2011, 12, 30)),  # does not exist
    ("Australia/Lord_Howe", date(2026, 4, 5)),  # 24.5 hours
    ("Australia/Lord_Howe", date(2026, 10, 4)),  # 23.5 hours
)

# the simplest first: a failing world shrinks towards it
USER_IDS = (1, 2, 0, 2**32 - 1, None)
RECEIVER_IDS = (1, 2, 0, 2**32 - 1, 3, None)  # 3 never makes an event
SENDERS_AND_RECEIVERS = tuple((sender, receiver) for receiver in RECEIVER_IDS for sender in USER_IDS)
ACTIONS_AND_POSTS = (("view", 1), ("like", 1), ("view", 2), ("share", 1))
OPERATING_SYSTEMS = ("iOS", "Android", "", None)
GENDERS = (1, 0, -1, 2, None)
GENDERS_AS_TEXT = {1: "male", 0: "female", -1: "", 2: "other", None: None}
AGES = (25, 18, 17, 54, 55, 0, -1, None)
COUNTRIES = ("Russia", "Беларусь", "", None)
CITIES = ("Moscow", "Saint Petersburg", "", None)
SOURCES = ("ads", "organic", "", None)
EXPERIMENT_GROUPS = (0, 1, 4, -1, None)
WITHOUT_NULL = {
    "user_id": 0, "receiver_id": 0,
    "os": "", "gender": -1, "age": 0, "country": "", "city": "", "source": "", "exp_group": -1,
}  # fmt: skip

FEED_COLUMNS = (
    "user_id", "post_id", "action", "time", "gender", "age", "country", "city", "os", "source", "exp_group",
)  # fmt: skip
MESSAGE_COLUMNS = (
    "user_id", "receiver_id", "time", "gender", "age", "country", "city", "os", "source", "exp_group",
)  # fmt: skip
TYPES = {
    "user_id": "UInt32", "post_id": "uint32", "receiver_id": "UInt32", "time": "datetime64[s, UTC]",
    "age": "Int16", "exp_group": "Int8",
}  # fmt: skip

MAXIMUM_MOMENTS = 8
MAXIMUM_PROFILES = 4
# positions in the world's moments and profiles, modulo their number
_MOMENT = st.integers(0, MAXIMUM_MOMENTS - 1)
_PROFILE = st.integers(0, MAXIMUM_PROFILES - 1)
# An event is four draws and not more, so that Hypothesis can shrink: it deletes up to five choices at a time,
# and a list's element takes one more than its own.
_FEED_EVENTS = st.lists(
    st.tuples(
        st.sampled_from(USER_IDS),
        st.sampled_from([(*post, copies) for copies in (1, 2, 3) for post in ACTIONS_AND_POSTS]),
        _MOMENT,
        _PROFILE,
    ),
    min_size=1,
    max_size=12,
)
_MESSAGE_EVENTS = st.lists(
    st.tuples(st.sampled_from(SENDERS_AND_RECEIVERS), st.sampled_from((1, 1, 2, 3)), _MOMENT, _PROFILE),
    min_size=1,
    max_size=12,
)
# Services without any event. Few worlds are tried by default, so most have events in both.
_SILENT = st.sampled_from((*[""] * 9, "feed", "messages", "feed and messages"))
# a small number is one of the telling moments, a greater one any second of the world
_MOMENTS = st.lists(st.one_of(st.integers(0, 199), st.integers(200, 9 * 86_400)), min_size=2, max_size=MAXIMUM_MOMENTS)
_PROFILES = st.lists(
    st.tuples(
        st.sampled_from(GENDERS),
        st.sampled_from(AGES),
        st.sampled_from(COUNTRIES),
        st.sampled_from(CITIES),
        st.sampled_from(OPERATING_SYSTEMS),
        st.sampled_from(SOURCES),
        st.sampled_from(EXPERIMENT_GROUPS),
    ),
    min_size=1,
    max_size=MAXIMUM_PROFILES,
)


@dataclass(frozen=True, eq=False)
class World:
    """The events of a few days and the settings they are read with.

    A few events lie before the first day, which are in its snapshot alone, or after the last, which do not exist.
    """

    zone: str
    days: list[date]  # consecutive; one that the zone skipped is among them, and empty
    feed: pd.DataFrame
    messages: pd.DataFrame  # its receivers are in the column named `receiver_column`
    gender_as_text: bool  # 'male', 'female', '' and 'other' in both tables, instead of 1, 0, -1 and 2
    nullable: bool  # users and attributes may be NULL, so the source columns have to be Nullable
    receiver_column: str  # 'receiver_id' or 'reciever_id'

    def __repr__(self) -> str:
        tables = "\n".join(
            f"{name}:\n{table.to_string(index=False) if len(table) else 'no rows'}"
            for name, table in (("feed", self.feed), ("messages", self.messages))
        )
        settings = f"gender_as_text={self.gender_as_text}, nullable={self.nullable}, {self.receiver_column}"
        return f"World({self.zone}, {self.days[0]} to {self.days[-1]}, {settings})\n{tables}\n"

    def _repr_pretty_(self, printer: RepresentationPrinter, _cycle: bool) -> None:
        printer.text(repr(self))  # Hypothesis would print the fields one by one, and frames cut short


@st.composite
def worlds(draw: st.DrawFn, most_days: int = 6) -> World:
    """Worlds of up to 6 days with at most a few dozen rows in each table; empty tables are among them."""
    zone, telling_date = draw(st.sampled_from(ZONES_AND_DATES))
    number_of_days = draw(st.integers(min(3, most_days), most_days))
    # how many days lie before the telling date: none to all but one, the first day included
    first_day = telling_date - timedelta(days=draw(st.integers(0, number_of_days - 1)))
    days = [first_day + timedelta(days=offset) for offset in range(number_of_days)]
    known = telling_instants(zone, tuple(days))
    start, end = min(known), max(known)
    seconds = [
        known[number % len(known)] if number < 200 else start + (number - 200) % (end - start)
        for number in draw(_MOMENTS)
    ]
    profiles = draw(_PROFILES)
    gender_as_text, nullable, silent = draw(st.booleans()), draw(st.booleans()), draw(_SILENT)
    feed = [
        (user_id, post_id, action, seconds[moment % len(seconds)], *profiles[profile % len(profiles)])
        for user_id, (action, post_id, copies), moment, profile in ([] if "feed" in silent else draw(_FEED_EVENTS))
        for _ in range(copies)
    ]
    messages = [
        (sender, receiver, seconds[moment % len(seconds)], *profiles[profile % len(profiles)])
        for (sender, receiver), copies, moment, profile in ([] if "messages" in silent else draw(_MESSAGE_EVENTS))
        for _ in range(copies)
    ]
    receiver_column = draw(st.sampled_from(("receiver_id", "reciever_id")))
    return World(
        zone=zone,
        days=days,
        feed=_table(feed, FEED_COLUMNS, gender_as_text, nullable),
        messages=_table(messages, MESSAGE_COLUMNS, gender_as_text, nullable).rename(
            columns={"receiver_id": receiver_column}
        ),
        gender_as_text=gender_as_text,
        nullable=nullable,
        receiver_column=receiver_column,
    )


@lru_cache(maxsize=1024)
def telling_instants(zone_name: str, days: tuple[date, ...]) -> tuple[int, ...]:
    """Unix seconds at which a wrong rule for days shows, in and just outside `days`; about thirty.

    The noons, the seconds at both sides of every local midnight, and those around each clock change: of the
    change itself and of the hour before and after it, which is the doubled one or borders on the missing one.
    """
    zone = ZoneInfo(zone_name)
    borders = [_instant(zone, day, time(0)) for day in (*days, days[-1] + timedelta(days=1))]
    telling = [_instant(zone, day, time(12)) for day in days]
    for border in borders:
        telling += [border, border - 1, border + 1]
    for change in _clock_changes(zone, borders[0] - 86_400, borders[-1] + 86_400):
        for shift in (0, -3600, 3600, -1800, 1800):
            telling += [change + shift, change + shift - 1]
    return tuple(dict.fromkeys(telling))


def _instant(zone: ZoneInfo, day: date, clock: time) -> int:
    return int(datetime.combine(day, clock, zone).timestamp())


def _clock_changes(zone: ZoneInfo, start: int, end: int) -> list[int]:
    def offset(second: int) -> timedelta | None:
        return datetime.fromtimestamp(second, UTC).astimezone(zone).utcoffset()

    # whole minutes are enough since 1972; a minute is looked for only in an hour whose ends differ
    hours = pairwise(range(start - start % 3600, end + 3600, 3600))
    return [
        after
        for hour, next_hour in hours
        if offset(hour) != offset(next_hour)
        for before, after in pairwise(range(hour, next_hour + 60, 60))
        if offset(before) != offset(after)
    ]


def _table(rows: list[tuple[Any, ...]], columns: tuple[str, ...], gender_as_text: bool, nullable: bool) -> pd.DataFrame:
    values: dict[str, Any] = {
        name: list(cells) for name, cells in zip(columns, zip(*rows, strict=True), strict=True)
    } if rows else {name: [] for name in columns}  # fmt: skip
    if not nullable:
        for name, unknown in WITHOUT_NULL.items():
            values[name] = [unknown if value is None else value for value in values.get(name, ())]
    if gender_as_text:
        values["gender"] = [GENDERS_AS_TEXT[value] for value in values["gender"]]
    values["time"] = pd.to_datetime(values["time"], unit="s", utc=True)
    types = TYPES if gender_as_text else TYPES | {"gender": "Int8"}
    return pd.DataFrame({name: pd.Series(values[name], dtype=types.get(name, "object")) for name in columns})
