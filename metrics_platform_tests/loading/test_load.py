"""Whole loads into a real ClickHouse: what comes in, where to, and what is said of it."""

from __future__ import annotations

import csv
import datetime
from collections.abc import Callable
from pathlib import Path

import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from metrics_platform.loading import LoadError, Options, load
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform_tests.loading.conftest import Loading
from metrics_platform_tests.loading.event_files import (
    EVENT,
    FEED_LINE,
    MESSAGE_LINE,
    MESSAGES_HEADER,
    NOON,
    feed_row,
    users_in,
    write_csv,
    write_feed,
    write_lines,
    write_messages,
)


def test_both_files_are_loaded_into_tables_that_are_made_for_them(loading: Loading, tmp_path: Path) -> None:
    files = {"feed": write_feed(tmp_path / "feed.csv", 3), "messages": write_messages(tmp_path / "messages.csv", 2)}
    feed, messages = loading(**files)
    assert (feed.rows, feed.rejected) == (9, 0)
    into = loading.settings.feed_table
    assert str(feed) == f"feed: 9 rows of {files['feed']} into {into}, 2026-01-01 to 2026-01-03"
    assert str(messages).startswith("messages: 4 rows of ")
    assert users_in(loading.warehouse, loading.settings.feed_table) == list(range(9))
    assert users_in(loading.warehouse, loading.settings.messages_table) == list(range(4))
    assert loading.staging_tables == []


def test_a_table_with_a_quoted_name_is_made_and_loaded(loading_as: Callable[..., Loading], tmp_path: Path) -> None:
    loading = loading_as(feed_table="`лента-2`.`события.ленты`")
    loaded = loading.feed(write_lines(tmp_path / "feed.csv", FEED_LINE))
    assert " into лента-2.`события.ленты`, " in str(loaded)
    assert loading.feed_rows == [EVENT]


def test_the_receiver_is_found_under_either_spelling(loading_as: Callable[..., Loading], tmp_path: Path) -> None:
    loading = loading_as(receiver_column="reciever_id")
    for user, name in enumerate(("receiver_id", "reciever_id")):
        header = MESSAGES_HEADER.replace("receiver_id", name)
        loading.messages(write_lines(tmp_path / f"{name}.csv", f"{user},2,{NOON},,,,,,,", header=header))
    assert [row["reciever_id"] for row in loading.message_rows] == [2, 2]


def test_days_are_those_of_the_products_zone(loading_as: Callable[..., Loading], tmp_path: Path) -> None:
    loading = loading_as(timezone="Asia/Tokyo", start_date=datetime.date(2026, 1, 1))
    loaded = loading.feed(write_csv(tmp_path / "feed.csv", [feed_row(time="2026-01-05 20:00:00")]))
    assert loaded.days == (datetime.date(2026, 1, 6), datetime.date(2026, 1, 6))


def test_events_before_the_start_date_are_loaded_with_a_hint(loading: Loading, tmp_path: Path) -> None:
    loading.feed(write_csv(tmp_path / "feed.csv", [feed_row(time="2024-02-29 20:00:00")]))
    assert "METRICS_START_DATE=2024-02-29" in loading.said[-1]


def test_the_same_rows_are_refused_in_any_file_unless_again_is_asked_for(loading: Loading, tmp_path: Path) -> None:
    file = write_feed(tmp_path / "feed.csv", 2)
    loading.feed(file)
    table, copy, moved = pacsv.read_csv(file), tmp_path / "copy.csv", tmp_path / "moved.csv"
    copy.write_bytes(file.read_bytes())
    header, *lines = file.read_text().splitlines()
    moved.write_text("\n".join([header, *reversed(lines)]))
    pq.write_table(table, tmp_path / "feed.parquet")
    for other in (copy, moved, tmp_path / "feed.parquet"):
        with pytest.raises(LoadError, match=r"before: .*feed\.csv has the same rows .* Nothing was loaded\. .*--again"):
            loading.feed(other)
    assert users_in(loading.warehouse, loading.settings.feed_table) == list(range(6))
    assert loading.staging_tables == []
    loading.feed(moved, again=True)
    assert any("its events will exist twice" in line for line in loading.said)
    assert users_in(loading.warehouse, loading.settings.feed_table) == sorted([*range(6)] * 2)


def test_other_rows_are_not_refused(loading: Loading, tmp_path: Path) -> None:
    for number, users in enumerate(((1, 1), (2, 2), (1, 2), (1, 1, 1))):
        loading.feed(write_csv(tmp_path / f"{number}.csv", [feed_row(user_id=user) for user in users]))
    assert len(loading.feed_rows) == 9


def test_bad_rows_are_named_and_written_to_a_rejects_file(loading: Loading, tmp_path: Path) -> None:
    lines = [FEED_LINE, "x,1", FEED_LINE.replace("25", "old"), FEED_LINE, *[FEED_LINE.replace("view", "share")] * 3]
    file = write_lines(tmp_path / "feed.csv", *lines)
    loaded = loading.feed(file)
    assert (loaded.rows, loaded.rejected, loaded.rejects_file) == (2, 5, loading.rejects / "feed.csv.rejected.csv")
    assert loading.feed_rows == [EVENT, EVENT]
    (said,) = (line for line in loading.said if "5 of 7 rows were rejected" in line)
    assert f"{file}, line 4: age is 'old'; expected a whole number" in said
    assert said.endswith("… and 2 more")
    with loaded.rejects_file.open(newline="") as stream:
        rejected = list(csv.DictReader(stream))
    assert [row["line"] for row in rejected] == ["3", "4", "6", "7", "8"]
    assert {row["file"] for row in rejected} == {str(file)}
    assert rejected[0] == {"file": str(file), "line": "3", "reason": "it has 2 fields, the header has 11", "row": "x,1"}
    assert rejected[1]["row"] == lines[2]


def test_a_file_without_one_good_row_loads_nothing_of_the_other_either(loading: Loading, tmp_path: Path) -> None:
    feed = write_feed(tmp_path / "feed.csv", 2)
    bad = write_lines(tmp_path / "messages.csv", "1,2,yesterday,,,,,,,", header=MESSAGES_HEADER)
    for strict in (True, False):
        with pytest.raises(LoadError, match=r"line 2: time is 'yesterday'; expected (.*\n)+Nothing was loaded"):
            loading(feed=feed, messages=bad, strict=strict)
        assert (loading.feed_rows, loading.message_rows, loading.staging_tables) == ([], [], [])
        assert (loading.rejects / "messages.csv.rejected.csv").exists() == (not strict)


def test_files_of_the_same_name_have_rejects_files_of_their_own(loading: Loading, tmp_path: Path) -> None:
    for name in ("feed", "messages"):
        (tmp_path / name).mkdir()
    feed = write_lines(tmp_path / "feed" / "events.csv", FEED_LINE, "x")
    messages = write_lines(tmp_path / "messages" / "events.csv", "y", MESSAGE_LINE, header=MESSAGES_HEADER)
    rejects = [job.rejects_file.name for job in loading(feed=feed, messages=messages)]
    assert rejects == ["events.csv.feed.rejected.csv", "events.csv.messages.rejected.csv"]


def test_an_unusable_rejects_directory_is_refused_first(loading: Loading, tmp_path: Path) -> None:
    loading.rejects = write_feed(tmp_path / "feed.csv", 1)
    with pytest.raises(LoadError, match=r"rejects directory .* cannot be written to"):
        loading(feed=loading.rejects)


def test_no_file_and_an_unknown_zone_are_refused(loading: Loading, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="nothing to load"):
        loading()
    with pytest.raises(LoadError, match="'Mars/Olympus' is not a time zone"):
        loading(feed=write_feed(tmp_path / "feed.csv", 1), time_zone="Mars/Olympus")


def test_an_empty_file_does_not_stop_the_other(loading: Loading, tmp_path: Path) -> None:
    empty = write_lines(tmp_path / "messages.csv", header=MESSAGES_HEADER)
    files = loading(feed=write_feed(tmp_path / "feed.csv", 1), messages=empty)
    assert [file.rows for file in files] == [3, 0]
    assert loading.staging_tables == []


def test_a_table_of_another_layout_is_respected(loading: Loading, tmp_path: Path) -> None:
    loading.create(
        "user_id UInt64, action Enum8('view' = 1, 'like' = 2), time DateTime64(3, 'Europe/Moscow'), gender String, "
        "age Nullable(UInt8), country LowCardinality(Nullable(String)), os FixedString(8), exp_group Nullable(Int32), "
        "city String DEFAULT 'somewhere', next UInt64 MATERIALIZED user_id + 1, event_id UInt32 DEFAULT 7",
        "MergeTree PARTITION BY toYYYYMM(time) ORDER BY tuple() TTL toDateTime(time) + INTERVAL 100 YEAR",
    )
    header = "user_id,post_id,action,time,gender,age,country,os,exp_group"
    lines = (f"{2**64 - 1},5,view,2026-01-05 12:00:00.123,1,,,iOS,400", "1,5,like,2026-02-05 12:00:00,0,255,Russia,,")
    loaded = loading.feed(
        write_lines(tmp_path / "feed.csv", *lines, "1,5,like,2026-02-05 12:00:00,0,256,,,", header=header)
    )
    assert (loaded.rows, loaded.rejected) == (2, 1)
    assert any("post_id" in line and "not loaded" in line for line in loading.said)
    female, male = loading.feed_rows
    assert (female["gender"], female["age"], female["country"], female["exp_group"]) == ("female", 255, "Russia", None)
    assert (male["user_id"], male["gender"], male["age"], male["country"]) == (2**64 - 1, "male", None, None)
    assert (male["exp_group"], male["city"], male["event_id"]) == (400, "somewhere", 7)
    assert male["time"].microsecond == 123_000


def test_all_rows_arrive_in_a_replacing_table(loading: Loading, tmp_path: Path) -> None:
    table = loading.create("user_id UInt32, action String, time DateTime", "ReplacingMergeTree ORDER BY action")
    assert loading.feed(write_feed(tmp_path / "feed.csv", 2)).rows == 6
    assert users_in(loading.warehouse, table) == list(range(6))


def test_a_value_the_tables_type_cannot_hold_loads_nothing(loading: Loading, tmp_path: Path) -> None:
    table = loading.create("user_id UInt32, action String, time DateTime, os Enum8('iOS' = 1, 'Android' = 2)")
    with pytest.raises(WarehouseError, match="Symbian"):
        loading.feed(write_csv(tmp_path / "feed.csv", [feed_row(), feed_row(os="Symbian")]))
    assert users_in(loading.warehouse, table) == []


@pytest.mark.parametrize(
    ("columns", "engine", "expected"),
    [
        ("user_id UInt32, action String, time DateTime", "Memory", "engine Memory"),
        ("user_id UInt32, time DateTime", "MergeTree ORDER BY user_id", "no column action"),
        ("user_id UInt32, action String, time String", "MergeTree ORDER BY user_id", "must be DateTime"),
    ],
)
def test_an_unfit_table_is_refused(loading: Loading, tmp_path: Path, columns: str, engine: str, expected: str) -> None:
    loading.create(columns, engine)
    with pytest.raises(LoadError, match=expected):
        loading.feed(write_feed(tmp_path / "feed.csv", 1))


def test_the_other_spelling_in_the_table_names_the_setting(loading: Loading, tmp_path: Path) -> None:
    loading.create("user_id UInt32, reciever_id UInt32, time DateTime", table=loading.settings.messages_table)
    with pytest.raises(LoadError, match="METRICS_RECEIVER_COLUMN=reciever_id"):
        loading.messages(write_messages(tmp_path / "messages.csv", 1))


def test_views_that_will_not_see_the_rows_are_named(loading: Loading, tmp_path: Path) -> None:
    table = loading.create("user_id UInt32, action String, time DateTime")
    loading.warehouse.execute(
        f"CREATE MATERIALIZED VIEW {table}_view ENGINE = MergeTree ORDER BY user_id AS SELECT user_id FROM {table}"
    )
    loading.feed(write_feed(tmp_path / "feed.csv", 1))
    assert any(f"{table}_view" in line for line in loading.said)


def test_lines_have_no_control_characters(loading: Loading, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_csv(tmp_path / "feed.csv", [feed_row(extra="[red]x"), feed_row(age="\x1b[31m", extra="")])
    load(loading.settings, loading.warehouse, feed=file, options=Options(rejects=tmp_path))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines()[0].startswith("Table ")
    assert "age is '\\x1b[31m'" in shown.err


def test_unknown_fields_and_columns_of_the_option_are_refused(loading: Loading, tmp_path: Path) -> None:
    file = write_feed(tmp_path / "feed.csv", 1)
    with pytest.raises(LoadError, match="Unknown field 'when' in --column"):
        loading.feed(file, columns={"when": "time"})
    with pytest.raises(LoadError, match="No file has the column 'event_time' that --column names"):
        loading.feed(file, columns={"time": "event_time"})
