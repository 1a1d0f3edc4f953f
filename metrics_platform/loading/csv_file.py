"""CSV files: lines in blocks, so that every row keeps its line number and a broken line harms no other.

A row is a line; a value in quotes must end on its line. pyarrow parses a block of some megabytes at once,
which is exact as long as it finds as many rows as there are lines. Where it does not (a quote that is not
closed swallows the lines after it; bytes that are not UTF-8 stop it), the lines of that block are looked at
one by one, and it parses those that can stand alone.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from metrics_platform.loading.batches import Batch, Numbers
from metrics_platform.loading.files import Advance, Format, text_pieces
from metrics_platform.loading.problems import BadRow, LoadError, shown

_LONGEST_LINE = 1 << 20
_DELIMITERS = ",;\t|"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# What an empty value looks like: nothing, or ClickHouse's and PostgreSQL's NULL.
_EMPTY = ["", "\\N"]
# A field that ends on its line, D being the delimiter: in quotes (and then whatever follows them), or not.
_FIELD = rb'(?:"(?:[^"]|"")*+"[^D]*|[^"D][^D]*|)'


class CsvReader:
    """A CSV file with a header line, plain or gzipped.

    Args:
        known: column names (lower case) that tell the delimiter: the one under which most of them appear.
        block_bytes: how much text is parsed at once.

    Raises:
        LoadError: the file has no header line.
    """

    row_word = "line"

    def __init__(self, file: Path, format_: Format, known: frozenset[str], block_bytes: int = 4 << 20) -> None:
        self._file = file
        self._format = format_
        self._block_bytes = block_bytes
        header, self._header_line = self._read_header()
        self._delimiter, self.names = _split(header, known)

    def batches(self, places: Sequence[int], advance: Advance) -> Iterator[Batch]:
        """Stream the columns at these places, a block of lines at a time."""
        parser = _Parser(self._file, self._delimiter, len(self.names), list(places))
        line = 1
        for block in self._blocks(advance, self._block_bytes):
            count = block.count(b"\n")
            lines, skipped = block, min(max(self._header_line + 1 - line, 0), count)
            for _ in range(skipped):
                lines = lines[lines.index(b"\n") + 1 :]
            if lines:
                yield parser.parse(lines, line + skipped, count - skipped)
            line += count

    def _blocks(self, advance: Advance, size: int) -> Iterator[bytes]:
        """Whole lines, each with its line end, about `size` bytes at a time."""
        rest = b""
        pieces = text_pieces(self._file, self._format, size, advance)
        for piece in _without_mark(pieces):
            block, end, rest = (rest + piece).rpartition(b"\n")
            if len(rest) > _LONGEST_LINE:
                raise LoadError(
                    f"{self._file}: a line is longer than {_LONGEST_LINE >> 20} MiB, so this is no CSV file of events. "
                    "Are its lines ended by line feeds (LF or CR LF)?"
                )
            if end:
                yield block + end
        if rest:
            yield rest + b"\n"

    def _read_header(self) -> tuple[str, int]:
        """The first line that is not blank, and its number."""
        lines = itertools.chain.from_iterable(
            block.splitlines(keepends=True) for block in self._blocks(lambda _: None, 1 << 16)
        )
        for number, line in enumerate(lines, start=1):
            text = line.decode("utf-8", "replace").strip("\r\n")
            if line.endswith(b"\r"):
                break
            if text.strip():
                return text, number
        else:
            raise LoadError(f"{self._file} has only blank lines: not even a header line. Was it written to the end?")
        raise LoadError(f"{self._file}: lines end with a carriage return alone (old Mac). Save it with line feeds.")


class _Parser:
    """Parses blocks of lines of one file."""

    def __init__(self, file: Path, delimiter: str, width: int, places: list[int]) -> None:
        self._file = file
        self._delimiter = delimiter
        self._names = [str(place) for place in range(width)]
        self._converting = pacsv.ConvertOptions(
            include_columns=[str(place) for place in places],
            column_types={name: pa.string() for name in self._names},
            strings_can_be_null=True,
            null_values=_EMPTY,
        )
        self._places = places
        sort = _FIELD.replace(b"D", re.escape(delimiter.encode()))
        self._stands_alone = re.compile(sort + b"(?:" + re.escape(delimiter.encode()) + sort + b")*", re.DOTALL)

    def parse(self, lines: bytes, first: int, count: int) -> Batch:
        """The rows of `count` lines, of which `first` is the number of the first one."""
        numbers = np.arange(first, first + count)
        bad: list[BadRow] = []
        read = self._read(lines, count)
        if read is None:
            sound, bad = self._look_at_each(lines, first)
            numbers = np.array([number for number, _ in sound], np.int64)
            read = self._read(b"".join(line for _, line in sound), len(sound))
        if read is None:
            raise LoadError(f"{self._file}: lines {first} to {first + count - 1} cannot be read as CSV. Is it damaged?")
        table, misshapen = read
        bad += [_misshapen(row, int(numbers[row.number - 1])) for row in misshapen if row.text.strip()]
        numbers = np.delete(numbers, [row.number - 1 for row in misshapen])

        def texts(rows: Sequence[int]) -> list[str]:
            ends = np.flatnonzero(np.frombuffer(lines, np.uint8) == ord("\n"))
            return [_line(lines, ends, int(numbers[row]) - first) for row in rows]

        columns = {place: _one_array(table.column(str(place))) for place in self._places}
        return _without_blank_lines(Batch(columns, numbers, texts, tuple(bad)))

    def _read(self, lines: bytes, count: int) -> tuple[Any, list[Any]] | None:
        """The rows, and those with the wrong number of fields; None unless each of the lines is one of them."""
        misshapen: list[Any] = []

        def reject(row: Any) -> str:
            misshapen.append(row)
            return "skip"

        if not lines:
            return pa.table({name: pa.array([], pa.string()) for name in self._names}), []
        if _breaks_inside(lines):
            return None
        try:
            table = pacsv.read_csv(
                pa.BufferReader(lines),
                # One pyarrow block for all of it: the numbers of rejected rows are then exact.
                read_options=pacsv.ReadOptions(use_threads=False, column_names=self._names, block_size=len(lines) + 1),
                parse_options=pacsv.ParseOptions(
                    delimiter=self._delimiter, ignore_empty_lines=False, invalid_row_handler=reject
                ),
                convert_options=self._converting,
            )
        except (pa.ArrowInvalid, UnicodeDecodeError):
            return None
        exact = table.num_rows + len(misshapen) == count and not _runs_on(table)
        return (table, misshapen) if exact else None

    def _look_at_each(self, lines: bytes, first: int) -> tuple[list[tuple[int, bytes]], list[BadRow]]:
        """Each line that can be read without the others, with its number, and those that cannot."""
        sound, bad = [], []
        for number, line in enumerate(lines.split(b"\n")[:-1], start=first):
            if not line.strip():
                continue
            reason = self._why_unreadable(line.removesuffix(b"\r"))
            if reason is None:
                sound.append((number, line + b"\n"))
            else:
                bad.append(BadRow(number, reason, _text(line)))
        return sound, bad

    def _why_unreadable(self, line: bytes) -> str | None:
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            byte = line[error.start : error.start + 1]
            return f"byte {error.start + 1} ({shown(byte)}) is not UTF-8 (convert the file, e.g. with `iconv -t utf-8`)"
        if b"\r" in line:
            return "there is a carriage return inside the line"
        return None if self._stands_alone.fullmatch(line) else "a quote is opened and not closed on the line"


def _misshapen(row: Any, number: int) -> BadRow:
    reason = f"it has {row.actual_columns} fields, the header has {row.expected_columns}"
    return BadRow(number, reason, row.text.rstrip("\r\n"))


def _split(header: str, known: frozenset[str]) -> tuple[str, list[str]]:
    """The delimiter under which most known names appear in the header, and the names."""

    def names(delimiter: str) -> list[str]:
        try:
            return [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
        except csv.Error:  # a name of more than 128 KiB: it will not be one of ours
            return [header]

    delimiter = max(_DELIMITERS, key=lambda one: sum(name.lower() in known for name in names(one)))
    return delimiter, names(delimiter)


def _without_mark(pieces: Iterator[bytes]) -> Iterator[bytes]:
    for first in itertools.islice(pieces, 1):
        yield first.removeprefix(_BYTE_ORDER_MARK)
    yield from pieces


def _breaks_inside(lines: bytes) -> bool:
    """Whether there is a carriage return that ends no line; pyarrow would begin a new row there."""
    return b"\r" in lines and lines.count(b"\r") != lines.count(b"\r\n")


def _runs_on(table: Any) -> bool:
    """Whether the last row swallowed its line end: a quote was opened and not closed."""
    return table.num_rows > 0 and any("\n" in (column[-1].as_py() or "") for column in table.columns)


def _without_blank_lines(batch: Batch) -> Batch:
    """Drop the rows that blank lines were read as: all columns empty, nothing in the line."""
    if not len(batch.numbers):
        return batch
    empty = np.ones(len(batch.numbers), bool)
    for column in batch.columns.values():
        if column.null_count == 0:
            return batch
        empty &= column.is_null().to_numpy(zero_copy_only=False)
    rows = [int(row) for row in np.flatnonzero(empty)]
    blank = [row for row, text in zip(rows, batch.texts(rows), strict=True) if not text.strip()]
    if not blank:
        return batch
    kept = np.delete(np.arange(len(batch.numbers)), blank)
    columns = {place: column.take(pa.array(kept)) for place, column in batch.columns.items()}
    return Batch(columns, batch.numbers[kept], lambda some: batch.texts([int(kept[row]) for row in some]), batch.bad)


def _one_array(column: Any) -> Any:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _line(lines: bytes, ends: Numbers, index: int) -> str:
    start = int(ends[index - 1]) + 1 if index else 0
    return _text(lines[start : int(ends[index])])


def _text(line: bytes) -> str:
    return line.rstrip(b"\r\n").decode("utf-8", "backslashreplace")
