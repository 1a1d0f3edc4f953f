"""What the rows of a file are read as, and which are bad: line, reason, and the row as it stood."""

from __future__ import annotations

import datetime
import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metrics_platform_tests.loading.event_files import (
    FEED_HEADER,
    FEED_LINE,
    MESSAGES_HEADER,
    feed_row,
    write_csv,
    write_lines,
)
from metrics_platform_tests.loading.reading import MESSAGES, judge

NOON = datetime.datetime(2026, 1, 5, 12)
NOON_SECONDS = 1767614400
EVENT = {
    "user_id": 1, "post_id": 2, "action": "view", "time": NOON_SECONDS - 7200, "gender": 1, "age": 25,
    "country": "Russia", "city": "Moscow", "os": "iOS", "source": "ads", "exp_group": 3,
}  # fmt: skip
UNKNOWN = {"gender": -1, "age": 0, "country": "", "city": "", "os": "", "source": "", "exp_group": -1}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.csv"


def test_a_row_is_read_as_it_is_written(file: Path) -> None:
    assert judge(write_lines(file, FEED_LINE)).rows == [EVENT]


@pytest.mark.parametrize("empty", ["", "\\N", '""'])
def test_what_a_row_does_not_say_is_not_known(file: Path, empty: str) -> None:
    line = f"1,{empty},like,{NOON_SECONDS}" + f",{empty}" * 7
    expected = {"user_id": 1, "post_id": 0, "action": "like", "time": NOON_SECONDS, **UNKNOWN}
    assert judge(write_lines(file, line)).rows == [expected]


def test_columns_that_are_absent_are_not_known_and_never_female(file: Path) -> None:
    (row,) = judge(write_lines(file, f"1,view,{NOON_SECONDS}", header="user_id,action,time")).rows
    assert row == {"user_id": 1, "action": "view", "time": NOON_SECONDS, "post_id": 0, **UNKNOWN}


@pytest.mark.parametrize(
    "header",
    [
        ' User_ID , ACTION,"Time" ',
        "\ufeffuser_id,action,time",
        "TIME;action;user_id",
        "user_id\ttime\taction",
        "time|user_id|action",
    ],
)
def test_headers_are_recognised_in_any_order_case_and_delimiter(file: Path, header: str) -> None:
    delimiter = next(one for one in ";\t|," if one in header)
    values = {"user_id": "7", "action": "view", "time": str(NOON_SECONDS)}
    line = delimiter.join(values[name.strip(' "\ufeff').lower()] for name in header.split(delimiter))
    (row,) = judge(write_lines(file, line, header=header)).rows
    assert (row["user_id"], row["action"], row["time"]) == (7, "view", NOON_SECONDS)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_of_either_kind_and_blank_lines_make_no_rows(file: Path, ending: str, last: bool) -> None:
    lines = ["", FEED_HEADER, "", FEED_LINE, "   ", "bad", "", FEED_LINE, *([""] * last)]
    file.write_bytes(ending.join(lines).encode())
    judged = judge(file)
    assert judged.rows == [EVENT, EVENT]
    assert judged.numbers == [6]


def test_quotes_hold_delimiters_and_doubled_quotes(file: Path) -> None:
    (row,) = judge(write_csv(file, [feed_row(city='Mos,"co"w', os=" iOS ", country="Côte d'Ivoire")])).rows
    assert (row["city"], row["os"], row["country"]) == ('Mos,"co"w', " iOS ", "Côte d'Ivoire")


def test_the_receiver_is_found_under_either_spelling(file: Path) -> None:
    for name in ("receiver_id", "reciever_id", "Reciever_ID"):
        header = MESSAGES_HEADER.replace("receiver_id", name)
        line = "1,2,2026-01-05 12:00:00,,,,,,,"
        (row,) = judge(write_lines(file, line, header=header), MESSAGES).rows
        assert row["receiver_id"] == 2


def test_gzip_of_several_members_is_read_to_its_end(file: Path) -> None:
    members = (f"{FEED_HEADER}\n{FEED_LINE}\n{FEED_LINE[:9]}", f"{FEED_LINE[9:]}\n{FEED_LINE}\n")
    file.write_bytes(b"".join(gzip.compress(member.encode()) for member in members))
    assert judge(file).rows == [EVENT] * 3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"user_id": "-1"}, "user_id is '-1'; expected a whole number from 0 to 4294967295"),
        ({"user_id": "4294967296"}, "user_id is '4294967296'"),
        ({"user_id": ""}, "user_id is empty"),
        ({"user_id": "0x1F"}, "user_id is '0x1F'"),
        ({"user_id": "1.5"}, "user_id is '1.5'"),
        ({"user_id": "1e3"}, "user_id is '1e3'"),
        ({"user_id": "٣"}, "user_id is '٣'"),
        ({"post_id": "x"}, "post_id is 'x'"),
        ({"action": "share"}, "action is 'share'; expected view or like"),
        ({"action": "View"}, "action is 'View'"),
        ({"action": ""}, "action is empty"),
        ({"age": "abc"}, "age is 'abc'; expected a whole number from -32768 to 32767"),
        ({"age": "32768"}, "age is '32768'"),
        ({"exp_group": "128"}, "exp_group is '128'"),
        ({"time": ""}, "time is empty"),
        ({"time": "2026-02-30 00:00:00"}, "time is '2026-02-30 00:00:00'"),
        ({"time": "2026-01-05"}, "time is '2026-01-05'"),
        ({"time": "1969-12-31 23:59:59"}, "time is '1969-12-31 23:59:59'"),
        ({"time": "2106-02-07 06:28:16"}, "time is '2106-02-07 06:28:16'"),
        ({"time": "1767614400000"}, "time is '1767614400000'"),
        ({"user_id": "x" * 5_000_00}, "… (500000 characters); expected"),
        ({"user_id": "a", "age": "b"}, "user_id is 'a'; expected a whole number from 0 to 4294967295; age is 'b'"),
    ],
)
def test_a_bad_value_is_named_with_its_column_and_line(file: Path, changes: dict[str, str], reason: str) -> None:
    judged = judge(write_csv(file, [feed_row(), feed_row(**changes), feed_row()]))
    assert judged.rows == [EVENT, EVENT]
    (bad,) = judged.bad
    assert bad.number == 3
    assert reason in bad.reason
    assert len(bad.reason) < 300
    assert bad.text == ",".join(str(value) for value in feed_row(**changes).values())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1,2,view", "it has 3 fields, the header has 11"),
        (FEED_LINE.encode() + b",", "it has 12 fields, the header has 11"),
        (b'1,2,view,2026-01-05 10:00:00,1,25,Russia,"Moscow,iOS,ads,3', "a quote is opened and not closed"),
        (b'1,2,view,2026-01-05 10:00:00,1,25,Russia,Moscow,iOS,ads,"3', "a quote is opened and not closed"),
        (b"1,2,view,2026-01-05 10:00:00,1,25,\xcc\xee\xf1,Moscow,iOS,ads,3", "byte 35 ('\\\\xcc') is not UTF-8"),
        (b"1,2,view,2026-01-05 10:00:00,1,25,Russia,Mos\rcow,iOS,ads,3", "a carriage return inside the line"),
        (b",,,,,,,,,,", "user_id is empty"),
    ],
)
def test_a_line_out_of_shape_harms_no_other(file: Path, line: bytes, reason: str) -> None:
    quoted = FEED_LINE.replace("Moscow", '"Moscow"')
    judged = judge(write_lines(file, quoted, "", line, quoted, line, quoted))
    assert judged.rows == [EVENT] * 3
    assert judged.numbers == [4, 6]
    assert all(reason in bad.reason for bad in judged.bad)
    assert judged.bad[0].text == line.decode("utf-8", "backslashreplace")


def test_a_value_over_two_lines_is_two_bad_lines(file: Path) -> None:
    judged = judge(write_csv(file, [feed_row(), feed_row(city="St.\nPetersburg"), feed_row()]))
    assert judged.rows == [EVENT, EVENT]
    assert judged.numbers == [3, 4]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("25", 25), (" 25 ", 25), ("+25", 25), ("25.0", 25), ("025", 25), ("-1", -1), ("0", 0), ("nan", 0), ("NULL", 0)],
)
def test_ages_in_other_spellings(file: Path, text: str, expected: int) -> None:
    (row,) = judge(write_csv(file, [feed_row(age=text)])).rows
    assert row["age"] == expected


@pytest.mark.parametrize("type_", ["UInt8", "Nullable(UInt8)", "LowCardinality(UInt8)"])
def test_the_range_is_that_of_the_tables_type(file: Path, type_: str) -> None:
    judged = judge(write_csv(file, [feed_row(age=age) for age in ("255", "256", "-1")]), types={"age": type_})
    assert [row["age"] for row in judged.rows] == [255]
    assert judged.numbers == [3, 4]


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ("Int8", [1, 0, -1, -1, -1]),
        ("Nullable(Int8)", [1, 0, None, None, None]),
        ("UInt8", [1, 0, 255, 255, 255]),
        ("String", ["male", "female", "other", "", ""]),
        ("LowCardinality(Nullable(String))", ["male", "female", "other", None, None]),
    ],
)
def test_gender_is_written_as_the_table_holds_it(file: Path, type_: str, expected: list[Any]) -> None:
    rows = [feed_row(gender=gender) for gender in ("Male", "0", "other", "-1", "")]
    judged = judge(write_csv(file, rows), types={"gender": type_})
    assert [row["gender"] for row in judged.rows] == expected
    assert any("in 1 rows" in note for note in judged.notes) == (expected[2] != "other")


def test_an_empty_value_that_the_table_cannot_hold_is_bad(file: Path) -> None:
    judged = judge(write_csv(file, [feed_row(exp_group=""), feed_row()]), types={"exp_group": "UInt8"})
    assert len(judged.rows) == 1
    assert "cannot hold «not known»" in judged.bad[0].reason


def test_parquet_is_read_whatever_its_types(file: Path) -> None:
    table = pa.table(
        {
            "User_Id": pa.array([1, 1], pa.int64()),
            "post_id": pa.array([2.0, None], pa.float64()),
            "action": pa.array(["view", "like"]).dictionary_encode(),
            "time": pa.array([NOON, NOON], pa.timestamp("ns", "Europe/Moscow")),
            "gender": pa.array(["male", None]),
            "age": pa.array([25.0, float("nan")]),
            "country": pa.array(["Russia", None], pa.large_string()),
            "city": pa.array([b"Moscow", None], pa.binary()),
            "os": pa.array(["iOS", ""], pa.string_view()),
            "exp_group": pa.array([3, -1], pa.int8()),
            "source": pa.array(["ads", None]),
            "ignored": pa.array([[1], [2]]),
        }
    )
    pq.write_table(table, file)
    known, unknown = judge(file).rows
    assert known == {**EVENT, "time": NOON_SECONDS}
    assert unknown == {"user_id": 1, "post_id": 0, "action": "like", "time": NOON_SECONDS, **UNKNOWN}


def test_bad_rows_of_parquet_are_named_by_row(file: Path) -> None:
    table = pa.table(
        {
            "user_id": pa.array([1, -1, 2**32, None, 5, 6], pa.int64()),
            "action": ["view", "view", "view", "view", "share", "like"],
            "time": pa.array([NOON, NOON, NOON, NOON, NOON, datetime.datetime(1969, 1, 1)], pa.timestamp("us")),
            "city": pa.array([b"ok", b"ok", b"ok", b"ok", b"ok", b"\xff"], pa.binary()),
        }
    )
    pq.write_table(table, file, row_group_size=2)
    judged = judge(file)
    assert [row["user_id"] for row in judged.rows] == [1]
    assert judged.numbers == [2, 3, 4, 5, 6]
    assert judged.bad[1].reason.startswith("user_id is '4294967296'")
    assert "time is '1969-01-01 00:00:00'" in judged.bad[4].reason
    assert "city is '\\\\xff'; expected text in UTF-8" in judged.bad[4].reason
    assert judged.bad[3].text == "5,share,2026-01-05 12:00:00,ok"
