"""Files that cannot be loaded: each is refused with what is wrong and what to do."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metrics_platform.loading import LoadError
from metrics_platform.loading.events import FEED, Source, messages_source
from metrics_platform.loading.files import EventFile, open_file
from metrics_platform_tests.loading.event_files import (
    FEED_HEADER,
    FEED_LINE,
    MESSAGE_LINE,
    MESSAGES_HEADER,
    write_lines,
)

_TEXT = f"{FEED_HEADER}\n{FEED_LINE}\n".encode()
_ZIPPED = gzip.compress(b"".join([_TEXT, *([FEED_LINE.encode() + b"\n"] * 5000)]))
MESSAGES = messages_source("receiver_id")


def _read(path: Path, source: Source = FEED) -> EventFile:
    file = open_file(path, frozenset(field.name for field in source.fields))
    places = source.find(file.names, path, {})
    for _ in file.batches(sorted(places.values())):
        pass
    return file


def _parquet(file: Path) -> bytes:
    pq.write_table(pa.table({"user_id": range(9999), "action": ["view"] * 9999, "time": range(9999)}), file)
    return file.read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("feed.csv", b"", "is empty"),
        ("feed.csv", b"\n \n\n", "only blank lines"),
        ("feed.csv.gz", _ZIPPED[:-20], "is cut off"),
        ("feed.csv.gz", _ZIPPED[:-8] + b"\0" * 8, "is damaged: CRC check failed"),
        ("feed.csv.gz", _ZIPPED[:40] + b"\xff" * 40 + _ZIPPED[80:], "is damaged"),
        ("feed.parquet", _TEXT, "not a Parquet file"),
        ("feed.csv", b"PAR1" + _TEXT, "damaged or truncated Parquet"),
        ("feed.csv", b"PK\x03\x04" + _TEXT, "neither CSV, gzipped CSV nor Parquet"),
        ("feed.csv", _TEXT.decode().encode("utf-16"), "UTF-16"),
        ("feed.csv", _TEXT.replace(b"\n", b"\r"), "carriage return alone"),
        ("feed.csv", _TEXT + b"x" * (2 << 20), "longer than 1 MiB"),
        ("feed.csv", FEED_LINE.encode() * 3, "missing among its columns"),
        ("feed.csv", b"x" * 200_000 + b"\n", "missing among its columns"),
        ("feed.csv", b"\x1b[31m\n", r"found:    '\\x1b\[31m'"),
        ("feed.csv", _TEXT.replace(b"post_id", b"User_Id"), "user_id and User_Id both mean user_id"),
    ],
)
def test_a_file_that_is_not_an_event_file_is_refused(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(LoadError, match=expected) as caught:
        _read(file)
    assert str(file) in str(caught.value)
    assert len(str(caught.value)) < 750


def test_a_file_of_the_other_kind_is_refused_with_its_option(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="these look like feed events: name the file with --feed"):
        _read(write_lines(tmp_path / "messages.csv", FEED_LINE), MESSAGES)
    with pytest.raises(LoadError, match="these look like messages: name the file with --messages"):
        _read(write_lines(tmp_path / "feed.csv", MESSAGE_LINE, header=MESSAGES_HEADER))


def test_the_columns_expected_and_found_are_listed_with_the_option_that_renames(tmp_path: Path) -> None:
    with pytest.raises(LoadError) as caught:
        _read(write_lines(tmp_path / "feed.csv", header=FEED_HEADER.replace("time", "timestamp")))
    assert "time missing among its columns, so these are not feed events" in str(caught.value)
    assert "expected: user_id, [post_id], action, time, [gender]" in str(caught.value)
    assert "found:    user_id, post_id, action, timestamp, gender" in str(caught.value)
    assert "--column time=event_time" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "expected"),
    [(lambda _: None, "does not exist"), (Path.mkdir, "not a regular file"), (os.mkfifo, "not a regular file")],
)
def test_a_path_that_is_not_a_file_is_refused(tmp_path: Path, make: Callable[[Path], None], expected: str) -> None:
    make(tmp_path / "feed.csv")
    with pytest.raises(LoadError, match=expected):
        _read(tmp_path / "feed.csv")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_read_permission_is_refused(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "feed.csv", FEED_LINE)
    file.chmod(0)
    with pytest.raises(LoadError, match="cannot be read: Permission denied"):
        _read(file)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-100],
        lambda content: content[:-1],
        lambda content: content[:10] + b"\xff" * 2000 + content[2010:],
    ],
)
def test_a_damaged_parquet_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    file = tmp_path / "feed.parquet"
    file.write_bytes(damage(_parquet(file)))
    with pytest.raises(LoadError, match="damaged or truncated Parquet"):
        _read(file)


def test_a_parquet_of_nested_columns_is_refused(tmp_path: Path) -> None:
    table = pa.table({"user_id": [1], "action": [["view"]], "time": [1]})
    pq.write_table(table, tmp_path / "feed.parquet")
    with pytest.raises(LoadError, match="column action is a list"):
        _read(tmp_path / "feed.parquet")


@pytest.mark.parametrize(
    "header",
    [
        ' User_ID , ACTION,"Time" ',
        "\ufeffuser_id,action,time",
        "TIME;action;user_id",
        "user_id\ttime\taction",
        "time|user_id|action",
        "sep=;\nuser_id;action;time",
        "\n\ufeff\nsep=\t\nuser_id\taction\ttime",
    ],
)
def test_headers_are_recognised_in_any_order_case_and_delimiter(tmp_path: Path, header: str) -> None:
    file = _read(write_lines(tmp_path / "feed.csv", header=header))
    assert sorted(name.lower() for name in file.names) == ["action", "time", "user_id"]
