"""What rows are read as, and which are rejected: line, reason, and the row as it stood."""

from __future__ import annotations

import csv
import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from metrics_platform.loading.files import open_file
from metrics_platform.warehouse.client import Warehouse
from metrics_platform_tests.loading.conftest import Loading
from metrics_platform_tests.loading.event_files import (
    EVENT,
    FEED_HEADER,
    FEED_LINE,
    NOON,
    feed_row,
    write_csv,
    write_lines,
)

NOON_SECONDS = 1767614400
UNKNOWN = {"post_id": 0, "gender": -1, "age": 0, "country": "", "city": "", "os": "", "source": "", "exp_group": -1}
WHOLE_NUMBER = "expected a whole number from 0 to 4294967295"

BAD_VALUES = [
    ({"user_id": "-1"}, f"user_id is '-1'; {WHOLE_NUMBER}"),
    ({"user_id": "4294967296"}, "user_id is '4294967296'"),
    ({"user_id": ""}, "user_id is empty"),
    ({"user_id": "0x1F"}, "user_id is '0x1F'"),
    ({"user_id": "1.5"}, "user_id is '1.5'"),
    ({"user_id": "1e3"}, "user_id is '1e3'"),
    ({"user_id": "٣"}, "user_id is '٣'"),
    ({"user_id": "9" * 60}, "user_id is '999"),
    ({"post_id": "x"}, "post_id is 'x'"),
    ({"action": "share"}, "action is 'share'; expected view or like"),
    ({"action": ""}, "action is empty"),
    ({"age": "abc"}, "age is 'abc'; expected a whole number from -32768 to 32767"),
    ({"age": "32768"}, "age is '32768'"),
    ({"exp_group": "128"}, "exp_group is '128'"),
    ({"time": ""}, "time is empty; expected 2026-01-05 10:00:00"),
    ({"time": "2026-02-30 00:00:00"}, "time is '2026-02-30 00:00:00'; expected 2026-01-05"),
    ({"time": "2026-01-05 24:00:00"}, "time is '2026-01-05 24:00:00'"),
    ({"time": "2026-01-05 10:60"}, "time is '2026-01-05 10:60'"),
    ({"time": "2026-01-05"}, "time is '2026-01-05'; it has no time of day"),
    ({"time": "05/01/2026 10:00"}, "day and month are ambiguous"),
    ({"time": "176761440000"}, "Unix time has 10 digits in seconds, 13 in milliseconds"),
    ({"time": "1969-12-31 23:59:59"}, "expected a time from 1970 to 2106"),
    ({"time": "2106-02-07 06:28:16"}, "expected a time from 1970 to 2106"),
    ({"time": "2099-01-01 00:00:00"}, "it is in the future; --future loads such events"),
    ({"user_id": "x" * 5000}, f"user_id is '{'x' * 60}…'; expected"),
    ({"user_id": "a", "age": "b"}, f"user_id is 'a'; {WHOLE_NUMBER}; age is 'b'; expected"),
]
BAD_LINES: list[tuple[bytes, str]] = [
    (b"1,2,view", "it has 3 fields, the header has 11"),
    (FEED_LINE.encode() + b",", "it has 12 fields, the header has 11"),
    (b'1,2,view,2026-01-05 10:00:00,1,25,Russia,"Moscow,iOS,ads,3', "a quote is opened and not closed"),
    (b"1,2,view,2026-01-05 10:00:00,1,25,\xcc\xee\xf1,Moscow,iOS,ads,3", "it is not UTF-8"),
    (b",,,,,,,,,,", "user_id is empty"),
]


def test_each_bad_value_is_rejected_with_its_line_column_and_reason(loading: Loading, tmp_path: Path) -> None:
    rows = [feed_row(), *(feed_row(**changes) for changes, _ in BAD_VALUES), feed_row()]
    loaded = loading.feed(write_csv(tmp_path / "feed.csv", rows))
    assert loading.feed_rows == [EVENT, EVENT]
    with loaded.rejects_file.open(encoding="utf-8", newline="") as stream:
        rejected = list(csv.DictReader(stream))
    assert [int(row["line"]) for row in rejected] == list(range(3, 3 + len(BAD_VALUES)))
    for row, (changes, reason) in zip(rejected, BAD_VALUES, strict=True):
        assert reason in row["reason"]
        assert row["row"] == ",".join(str(value) for value in feed_row(**changes).values())


def test_a_broken_line_does_not_affect_others(loading: Loading, tmp_path: Path) -> None:
    bad = [line for line, _ in BAD_LINES]
    lines = [line for one in bad for line in (one, FEED_LINE, b"")]
    loaded = loading.feed(write_lines(tmp_path / "feed.csv", *lines))
    assert loading.feed_rows == [EVENT] * len(bad)
    rejected = list(csv.reader(loaded.rejects_file.read_text("utf-8", "surrogateescape").splitlines()))[1:]
    assert [int(row[1]) for row in rejected] == list(range(2, 2 + 3 * len(bad), 3))
    for row, (line, reason) in zip(rejected, BAD_LINES, strict=True):
        assert reason in row[2]
        assert row[3].encode("utf-8", "surrogateescape") == line


def test_blanks_line_breaks_and_quotes_are_understood(loading: Loading, tmp_path: Path) -> None:
    lines = [
        "1, 2 , view, 2026-01-05 10:00:00, 1, 25, Russia, Moscow, iOS, ads, 3 \r",
        '1,2,view,2026-01-05 10:00:00,1,25,"Russia","Mos\ncow","a ""b""",  "x,y"  ,3',
        '1,2,view,2026-01-05 10:00:00,1,25,"Russia"," Moscow ",5" phone,ads,3',
        "   ",
    ]
    loaded = loading.feed(write_lines(tmp_path / "feed.csv", *lines))
    assert (loaded.rows, loaded.rejected) == (3, 0)
    texts = {tuple(row[name] for name in ("country", "city", "os", "source")) for row in loading.feed_rows}
    assert texts == {
        ("Russia", "Moscow", "iOS", "ads"),
        ("Russia", "Mos\ncow", 'a "b"', "x,y"),
        ("Russia", "Moscow", '5" phone', "ads"),
    }


def test_empty_values_beside_quoted_ones_are_kept_in_a_file_with_tabs(loading: Loading, tmp_path: Path) -> None:
    lines = ['1\t\t\t"Mos\ncow"\t\t\tview\t1767614400', '1\t\t\t"Mos ""cow"""\t\t\tview\t1767614400']
    file = write_lines(tmp_path / "feed.csv", *lines, header="user_id\tage\tcountry\tcity\tos\tsource\taction\ttime")
    assert loading.feed(file).rows == 2
    assert {row["city"] for row in loading.feed_rows} == {"Mos\ncow", 'Mos "cow"'}
    assert {row["os"] for row in loading.feed_rows} == {""}


def test_an_empty_value_and_an_absent_column_are_unknown(loading: Loading, tmp_path: Path) -> None:
    lines = [f"1,{empty},like,{NOON_SECONDS}" + f",{empty}" * 7 for empty in ("", "\\N", '""')]
    loading.feed(write_lines(tmp_path / "feed.csv", *lines))
    loading.feed(write_lines(tmp_path / "short.csv", f"1,like,{NOON_SECONDS}", header="user_id,action,time"))
    assert loading.feed_rows == [{"user_id": 1, "action": "like", "time": NOON, **UNKNOWN}] * 4


def test_values_are_understood_in_their_usual_spellings(loading: Loading, tmp_path: Path) -> None:
    ages = {"25": 25, "+25": 25, "25.0": 25, "025": 25, "-1": -1, "0": 0, "nan": 0, "NULL": 0}
    genders = {"Male": 1, "m": 1, "true": 1, "1.0": 1, "0": 0, "FEMALE": 0, "f": 0, "-1": -1, "": -1, "other": -1}
    rows = [feed_row(user_id=number, age=age) for number, age in enumerate(ages)]
    rows += [feed_row(user_id=100 + number, gender=gender, action="Like") for number, gender in enumerate(genders)]
    loading.feed(write_csv(tmp_path / "feed.csv", rows))
    loaded = {row["user_id"]: row for row in loading.feed_rows}
    assert [loaded[number]["age"] for number in range(len(ages))] == list(ages.values())
    assert [loaded[100 + number]["gender"] for number in range(len(genders))] == list(genders.values())
    assert {loaded[100 + number]["action"] for number in range(len(genders))} == {"like"}
    assert any("1 row has a gender that is not recognised, such as 'other'" in line for line in loading.said)


_MOMENTS = st.one_of(
    st.datetimes(datetime.datetime(1970, 1, 2), datetime.datetime(2106, 2, 5)),
    st.sampled_from(
        [
            datetime.datetime(2024, 2, 29, 23, 59, 59),
            datetime.datetime(2026, 3, 29, 2, 30),  # skipped in Berlin
            datetime.datetime(2026, 10, 25, 2, 30),  # twice in Berlin
        ]
    ),
)
_FORMS = ["%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S.%f9"]
_OFFSETS = ["", "Z", " UTC", " GMT", "+00:00", "+03:00", "-1130", "+14", " +0530"]
_TIMES = st.tuples(_MOMENTS, st.sampled_from(_FORMS), st.sampled_from(_OFFSETS))


def _instant(moment: datetime.datetime, form: str, offset: str, zone: ZoneInfo) -> datetime.datetime | None:
    """The instant that is meant, to the second; None where clocks in the zone skip it."""
    moment = moment.replace(microsecond=0, **({} if "%S" in form else {"second": 0}))
    sign = offset.strip().replace("Z", "+00").replace("UTC", "+00").replace("GMT", "+00")
    if sign:
        return datetime.datetime.fromisoformat(f"{moment:%Y-%m-%dT%H:%M:%S}{sign}").astimezone(datetime.UTC)
    instant = moment.replace(tzinfo=zone).astimezone(datetime.UTC)
    return instant if instant.astimezone(zone).replace(tzinfo=None) == moment else None


@with_settings(max_examples=4)
@given(st.lists(_TIMES, min_size=1, max_size=80), st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns"]))
def test_times_in_any_form_are_read_as_instants(
    loading: Loading,
    admin: Warehouse,
    tmp_path: Path,
    times: list[tuple[datetime.datetime, str, str]],
    zone: str,
) -> None:
    table = loading.settings.feed_table
    admin.execute(f"DROP TABLE IF EXISTS {table}")
    lines = [f"{user},view,{moment.strftime(form)}{offset}" for user, (moment, form, offset) in enumerate(times)]
    file = write_lines(tmp_path / "feed.csv", "999,view,1767614400", *lines, header="user_id,action,time")
    loading.feed(file, time_zone=zone, future=True, again=True)
    expected = {user: _instant(*time, ZoneInfo(zone)) for user, time in enumerate(times)}
    loaded = admin.query(f"SELECT user_id, toUnixTimestamp(time) AS seconds FROM {table} WHERE user_id != 999").rows
    assert {row["user_id"]: row["seconds"] for row in loaded} == {
        user: int(instant.timestamp()) for user, instant in expected.items() if instant
    }


def test_unix_time_is_read_in_seconds_and_their_parts(loading: Loading, tmp_path: Path) -> None:
    forms = ["1767614400", "1767614400.75", "1767614400123", "1767614400123456", "1767614400123456789"]
    loading.feed(
        write_lines(tmp_path / "feed.csv", *(f"1,view,{form}" for form in forms), header="user_id,action,time")
    )
    assert [row["time"] for row in loading.feed_rows] == [NOON] * len(forms)
    assert not any("without an offset" in line for line in loading.said)


def test_times_without_an_offset_are_in_the_zone_that_the_summary_names(loading: Loading, tmp_path: Path) -> None:
    lines = [
        "1,view,2026-01-05 15:00:00",
        "2,view,2026-01-05T12:00Z",
        "3,view,2026-10-25 02:30",
        "4,view,2026-03-29 02:30",
    ]
    file = write_lines(tmp_path / "feed.csv", *lines[:2], header="user_id,action,time")
    loading.feed(file, time_zone="Europe/Moscow")
    assert {row["time"] for row in loading.feed_rows} == {NOON}
    assert f"{file}: times without an offset are in Europe/Moscow (--time-zone names another zone)." in loading.said
    file = write_lines(tmp_path / "clocks.csv", *lines[2:], header="user_id,action,time")
    assert loading.feed(file, time_zone="Europe/Berlin").rows == 1
    assert datetime.datetime(2026, 10, 25, 0, 30) in {row["time"] for row in loading.feed_rows}
    assert any("clocks in Europe/Berlin skip this time" in line for line in loading.said)


def test_events_in_the_future_are_loaded_only_with_the_option(loading: Loading, tmp_path: Path) -> None:
    year = datetime.date.today().year + 5
    file = write_csv(tmp_path / "feed.csv", [feed_row(), feed_row(time=f"{year}-02-01 20:00:00")])
    assert loading.feed(file, future=True).rows == 2
    assert any(f"the last event is of {year}-02-01, in the future" in line for line in loading.said)


def test_parquet_is_read_whatever_its_types(loading: Loading, tmp_path: Path) -> None:
    table = pa.table(
        {
            "User_Id": pa.array([1, 1, 1], pa.int64()),
            "post_id": pa.array([2.0, None, float("nan")], pa.float64()),
            "action": pa.array(["view", "like", "like"]).dictionary_encode(),
            "time": pa.array([NOON, NOON, NOON], pa.timestamp("ns", "Europe/Moscow")),
            "gender": pa.array(["male", None, None]),
            "age": pa.array([25.0, float("nan"), None], pa.float32()),
            "country": pa.array(["Russia", None, '"'], pa.large_string()),
            "city": pa.array([b"Moscow", None, b"a,b"], pa.binary()),
            "os": pa.array(["iOS", "", "x\ny"], pa.string_view()),
            "exp_group": pa.array([3, -1, None], pa.int8()),
            "source": pa.array([" ads ", None, None]),
            "ignored": pa.array([[1], [2], [3]]),
        }
    )
    pq.write_table(table, tmp_path / "feed.parquet")
    assert loading.feed(tmp_path / "feed.parquet").rows == 3
    rows = sorted(loading.feed_rows, key=lambda row: (row["action"] == "like", row["city"]))
    assert rows[0] == {**EVENT, "time": NOON}
    assert rows[1] == {**rows[1], "user_id": 1, "action": "like", "time": NOON, **UNKNOWN}
    assert rows[2] == {**rows[1], "country": '"', "city": "a,b", "os": "x\ny"}
    assert any("ignored" in line for line in loading.said)


def test_times_of_parquet_are_read_in_any_type(tmp_path: Path) -> None:
    types = {
        "1767614400": (pa.int64(), NOON_SECONDS),
        "1767614400.000000": (pa.float64(), float(NOON_SECONDS)),
        "2026-01-05 12:00:00.000": (pa.timestamp("ms"), NOON),
        "2026-01-05 12:00:00.000Z": (pa.timestamp("ms", "UTC"), NOON),
        "2026-01-05 15:00:00.000000+0300": (pa.timestamp("us", "Europe/Moscow"), NOON),
        "2026-01-05 12:00": (pa.string(), "2026-01-05 12:00"),
    }
    for text, (type_, value) in types.items():
        pq.write_table(pa.table({"time": pa.array([value], type_)}), tmp_path / "feed.parquet")
        (batch,) = open_file(tmp_path / "feed.parquet", frozenset()).batches([0])
        assert batch["text"].to_pylist() == [text.encode()]


def test_bad_rows_of_parquet_are_named_by_row(loading: Loading, tmp_path: Path) -> None:
    table = pa.table(
        {
            "user_id": pa.array([1, -1, 2**32, None, 5, 6], pa.int64()),
            "action": ["view", "view", "view", "view", "share", "like"],
            "time": pa.array([NOON, NOON, NOON, NOON, NOON, datetime.datetime(1969, 1, 1)], pa.timestamp("us")),
            "city": pa.array([b"ok", b"\xff", b"ok", b"ok", b"ok", b"ok"], pa.binary()),
        }
    )
    pq.write_table(table, tmp_path / "feed.parquet", row_group_size=2)
    loaded = loading.feed(tmp_path / "feed.parquet")
    assert [row["user_id"] for row in loading.feed_rows] == [1]
    rejected = list(csv.DictReader(loaded.rejects_file.read_text("utf-8", "replace").splitlines()))
    assert [row["line"] for row in rejected] == ["2", "3", "4", "5", "6"]
    assert rejected[0]["reason"].startswith("it is not UTF-8")
    assert rejected[1]["reason"].startswith("user_id is '4294967296'")
    assert "time is '1969-01-01 00:00:00" in rejected[4]["reason"]
    assert rejected[3]["row"] == "5,share,2026-01-05 12:00:00.000000,ok"
    assert any("feed.parquet, row 2: it is not UTF-8" in line for line in loading.said)


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ("Nullable(Int8)", [1, 0, None, None, None]),
        ("UInt8", [1, 0, 255, 255, 255]),
        ("LowCardinality(Nullable(String))", ["male", "female", "other", None, None]),
    ],
)
def test_gender_is_written_as_in_the_table(loading: Loading, tmp_path: Path, type_: str, expected: list[Any]) -> None:
    loading.create(f"user_id UInt32, action String, time DateTime, gender {type_}")
    genders = ("Male", "0", "other", "-1", "")
    loading.feed(
        write_csv(tmp_path / "feed.csv", [feed_row(user_id=user, gender=value) for user, value in enumerate(genders)])
    )
    assert [row["gender"] for row in loading.feed_rows] == expected


def test_ranges_and_unknown_values_are_those_of_the_tables_types(loading: Loading, tmp_path: Path) -> None:
    loading.create("user_id UInt32, action String, time DateTime, age Nullable(UInt8), exp_group UInt8")
    ages = [("255", "1"), ("256", "1"), ("-1", "1"), ("", "1"), ("1", "")]
    rows = [feed_row(user_id=user, age=age, exp_group=group) for user, (age, group) in enumerate(ages)]
    loading.feed(write_csv(tmp_path / "feed.csv", rows))
    assert {row["user_id"]: row["age"] for row in loading.feed_rows} == {0: 255, 3: None}
    assert any(
        "exp_group is empty; the table's column UInt8 cannot hold an unknown value" in one for one in _rejects(loading)
    )


def _rejects(loading: Loading) -> list[str]:
    (file,) = loading.rejects.iterdir()
    return [row["reason"] for row in csv.DictReader(file.read_text("utf-8").splitlines())]


def test_columns_may_have_other_names(loading: Loading, tmp_path: Path) -> None:
    header = FEED_HEADER.replace("time", "Event_Time").replace("user_id", "uid")
    file = write_lines(tmp_path / "feed.csv", FEED_LINE, header=header)
    loading.feed(file, columns={"time": "event_time", "user_id": "uid"})
    assert loading.feed_rows == [EVENT]
