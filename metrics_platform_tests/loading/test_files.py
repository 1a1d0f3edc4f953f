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
from metrics_platform_tests.loading.event_files import (
    FEED_HEADER,
    FEED_LINE,
    MESSAGE_LINE,
    MESSAGES_HEADER,
    write_lines,
)
from metrics_platform_tests.loading.reading import MESSAGES, judge

_TEXT = f"{FEED_HEADER}\n{FEED_LINE}\n".encode()
_ZIPPED = gzip.compress(b"".join([_TEXT, *([FEED_LINE.encode() + b"\n"] * 5000)]))


def _parquet(file: Path) -> bytes:
    pq.write_table(pa.table({"user_id": range(9999), "action": ["view"] * 9999, "time": range(9999)}), file)
    return file.read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("feed.csv", b"", "is empty"),
        ("feed.csv", b"\n \n\n", "only blank lines"),
        ("feed.csv.gz", _TEXT, "not compressed with gzip"),
        ("feed.csv.gz", _ZIPPED[:-20], "is cut off"),
        ("feed.csv.gz", _ZIPPED[:-8] + b"\0" * 8, "is damaged: CRC check failed"),
        ("feed.csv.gz", _ZIPPED[:40] + b"\xff" * 40 + _ZIPPED[80:], "is damaged"),
        ("feed.parquet", _TEXT, "no Parquet file"),
        ("feed.csv", b"PAR1" + _TEXT, "damaged or truncated Parquet"),
        ("feed.csv", b"PK\x03\x04" + _TEXT, "zip archive"),
        ("feed.csv", b"\x28\xb5\x2f\xfd" + _TEXT, "zstd"),
        ("feed.csv", _TEXT.decode().encode("utf-16"), "UTF-16"),
        ("feed.csv", _TEXT.replace(b"\n", b"\r"), "carriage return alone"),
        ("feed.csv", b"x" * (2 << 20), "longer than 1 MiB"),
        ("feed.csv", _TEXT + b"x" * (2 << 20), "longer than 1 MiB"),
        ("feed.csv", FEED_LINE.encode() * 3, "missing among its columns"),
        ("feed.csv", b"x" * 200_000 + b"\n", "missing among its columns"),
        ("feed.csv", b"\x1b[31m\0\n", r"found:    '\\x1b\[31m\\x00'"),
        ("feed.csv", _TEXT.replace(b"post_id", b"User_Id"), "user_id, User_Id both mean user_id"),
    ],
)
def test_a_file_that_is_no_event_file_is_refused(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(LoadError, match=expected) as caught:
        judge(file)
    assert str(file) in str(caught.value)
    assert len(str(caught.value)) < 700


def test_a_file_of_the_other_kind_is_told_its_option(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="these look like feed events: name the file with --feed"):
        judge(write_lines(tmp_path / "messages.csv", FEED_LINE), MESSAGES)
    with pytest.raises(LoadError, match="these look like messages: name the file with --messages"):
        judge(write_lines(tmp_path / "feed.csv", MESSAGE_LINE, header=MESSAGES_HEADER))


def test_the_columns_expected_and_found_are_listed(tmp_path: Path) -> None:
    with pytest.raises(LoadError) as caught:
        judge(write_lines(tmp_path / "feed.csv", FEED_LINE), MESSAGES)
    assert "receiver_id missing among its columns, so these are no messages" in str(caught.value)
    assert "expected: user_id, receiver_id, time, [gender]" in str(caught.value)
    assert f"found:    {FEED_HEADER.replace(',', ', ')}" in str(caught.value)


def _nothing(_file: Path) -> None: ...


@pytest.mark.parametrize(
    ("make", "expected"),
    [(_nothing, "does not exist"), (Path.mkdir, "is a directory"), (os.mkfifo, "no regular file")],
)
def test_what_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None], expected: str) -> None:
    make(tmp_path / "feed.csv")
    with pytest.raises(LoadError, match=expected):
        judge(tmp_path / "feed.csv")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "feed.csv", FEED_LINE)
    file.chmod(0)
    with pytest.raises(LoadError, match="cannot be read: Permission denied"):
        judge(file)


@pytest.mark.parametrize("cut", [lambda content: content[:-100], lambda content: content[:-1]])
def test_a_truncated_parquet_is_refused(tmp_path: Path, cut: Callable[[bytes], bytes]) -> None:
    file = tmp_path / "feed.parquet"
    file.write_bytes(cut(_parquet(file)))
    with pytest.raises(LoadError, match="damaged or truncated Parquet"):
        judge(file)


def test_a_parquet_damaged_inside_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "feed.parquet"
    content = _parquet(file)
    file.write_bytes(content[:10] + b"\xff" * 2000 + content[2010:])
    with pytest.raises(LoadError, match="damaged or truncated Parquet"):
        judge(file)


def test_a_parquet_of_nested_columns_is_refused(tmp_path: Path) -> None:
    table = pa.table({"user_id": [1], "action": [["view"]], "time": [1]})
    pq.write_table(table, tmp_path / "feed.parquet")
    with pytest.raises(LoadError, match="column action is a list"):
        judge(tmp_path / "feed.parquet")
