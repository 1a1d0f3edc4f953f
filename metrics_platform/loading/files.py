"""Event files as rows of text, a few megabytes at a time: ClickHouse splits and converts them."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

Progress = Callable[[BinaryIO], AbstractContextManager[BinaryIO]]

_CHUNK = 8 << 20
_LONGEST_LINE = 1 << 20
# If a quoted value spans more lines than this, its quote was never closed.
_MAX_LINES = 100
_DELIMITERS = ",;\t|"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PARQUET_ROWS = 100_000
# Other formats, and text in UTF-16, have such bytes in the first line.
_NO_TEXT = re.compile(rb"[\0-\x08]")
_FIRST_BYTES = 1024


class LoadError(RuntimeError):
    """Nothing was loaded; the text names the file, the column, the value or line where there is one, and the remedy."""


def open_file(path: Path, known: frozenset[str]) -> EventFile:
    """Recognise a file by its first bytes; `known` column names (lower case) tell a CSV file's delimiter.

    Raises:
        LoadError: it is missing, empty, unreadable, or neither CSV, gzipped CSV nor Parquet.
    """
    if not path.exists():
        raise LoadError(f"{path} does not exist (looked in {Path.cwd()}). Correct the path.")
    if not path.is_file():
        raise LoadError(f"{path} is not a regular file. Name one; load several one after the other.")
    with _readable(path), path.open("rb") as stream:
        start = stream.read(_FIRST_BYTES)
    if not start:
        raise LoadError(f"{path} is empty: it has no header line. Was it written completely?")
    if start.startswith(b"PAR1"):
        return ParquetFile(path)
    if path.suffix.lower() in {".parquet", ".pq"}:
        raise LoadError(f"{path} is not a Parquet file, despite its name: it does not begin with PAR1.")
    is_gzip = start.startswith(b"\x1f\x8b")
    if _NO_TEXT.search(start.partition(b"\n")[0]) and not is_gzip:
        raise LoadError(
            f"{path} is neither CSV, gzipped CSV nor Parquet. Unpack an archive (zip, bzip2, xz, zstd); save UTF-16 as "
            "UTF-8."
        )
    return CsvFile(path, known, is_gzip=is_gzip)


class CsvFile:
    """A CSV file with a header line, plain or gzipped; the line `sep=;` before the header names its delimiter.

    Attributes:
        path, names: where it is, and its columns.
        row_word: what its rows are numbered by.
        delimiter: what separates the fields of a row's text.
    """

    row_word = "line"

    def __init__(self, path: Path, known: frozenset[str], *, is_gzip: bool) -> None:
        self.path = path
        self._is_gzip = is_gzip
        header, self._lines_before = self._read_header()
        delimiters = _DELIMITERS
        if (named := header.strip().strip('"').lower()).startswith("sep=") and named[4:] in {*_DELIMITERS, ""}:
            delimiters = named[4:] or "\t"  # a tab was stripped
            header, self._lines_before = self._read_header(skip=self._lines_before)
        split = {delimiter: _split(header, delimiter) for delimiter in delimiters}
        self.delimiter = max(split, key=lambda delimiter: sum(name.lower() in known for name in split[delimiter]))
        self.names = split[self.delimiter]

    def batches(self, places: Sequence[int], progress: Progress = nullcontext) -> Iterator[Any]:
        """Read tables of (line, text, problem). Bytes pass through `progress`. Blank lines are rows, too.

        Raises:
            LoadError: the file cannot be read to its end.
        """
        number, rest = self._lines_before + 1, b""
        with _readable(self.path), self._opened(progress) as stream:
            for _ in range(self._lines_before):
                stream.readline()
            while True:
                piece = stream.read(_CHUNK)
                has_quotes = b'"' in rest or b'"' in piece
                *lines, rest = (rest + piece).split(b"\n")
                if len(rest) > _LONGEST_LINE:
                    raise LoadError(
                        f"{self.path}: a line is longer than {_LONGEST_LINE >> 20} MiB, so this is not a CSV file of "
                        "events. Do its lines end with line feeds (LF or CR LF)?"
                    )
                if not piece:
                    lines, rest = ([*lines, rest] if rest else lines), b""
                texts, unusual, unfinished = self._rows(lines, is_end=not piece) if has_quotes else (lines, {}, [])
                yield _batch(number, texts, unusual)
                number += len(lines) - len(unfinished)
                rest = b"\n".join([*unfinished, rest])
                if not piece:
                    return

    def fields(self, places: Sequence[int]) -> dict[int, int]:
        """Column → its number among the fields of a row, from 1. A row has all columns of the file."""
        return {place: place + 1 for place in range(len(self.names))}

    def _rows(self, lines: list[bytes], *, is_end: bool) -> tuple[list[bytes], dict[int, _Unusual], list[bytes]]:
        """The rows of these lines, the unusual ones by position, and the lines of an unfinished value."""
        # A line with an odd number of quotes opens a value that ends on a later line, or its quote is never closed.
        unbalanced = [index for index, line in enumerate(lines) if b'"' in line and line.count(b'"') % 2]
        texts: list[bytes] = []
        unusual: dict[int, _Unusual] = {}
        end = 0  # of the lines that are in `texts`
        for place, opened in enumerate(unbalanced):
            if opened < end or self._is_row(lines[opened]):  # closes a value, or is a quote inside an unquoted one
                continue
            texts += lines[end:opened]
            closed = unbalanced[place + 1] if place + 1 < len(unbalanced) else None
            if closed is None and not is_end and len(lines) - opened < _MAX_LINES:
                return texts, unusual, lines[opened:]
            text = b"\n".join(lines[opened : (closed or opened) + 1])
            if closed is not None and closed - opened < _MAX_LINES and self._is_row(text):
                unusual[len(texts)] = _Unusual(closed + 1 - opened, "")
                texts.append(text)
                end = closed + 1
            else:
                unusual[len(texts)] = _Unusual(1, "a quote is opened and not closed")
                texts.append(lines[opened])
                end = opened + 1
        return texts + lines[end:], unusual, []

    def _is_row(self, text: bytes) -> bool:
        # Blanks after a closing quote are allowed, but not by `csv`.
        plain = re.sub(rf'" +(?=[{self.delimiter}]|$)', '"', text.decode("utf-8", "replace").rstrip("\r"))
        reader = csv.reader([plain], delimiter=self.delimiter, strict=True, skipinitialspace=True)
        try:
            return [len(row) for row in reader] == [len(self.names)]
        except csv.Error:
            return False

    def _read_header(self, skip: int = 0) -> tuple[str, int]:
        """The first line after `skip` lines that is not blank, and its number."""
        with _readable(self.path), self._opened(nullcontext) as stream:
            for number, line in enumerate(iter(lambda: stream.readline(_LONGEST_LINE), b""), start=1):
                text = line.removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "replace")
                if "\r" in text.rstrip("\r\n") or text.endswith("\r"):
                    raise LoadError(
                        f"{self.path}: lines end with a carriage return alone (old Mac). Save it with line feeds."
                    )
                if text.strip() and number > skip:
                    return text, number
        raise LoadError(f"{self.path} has only blank lines and no header line. Was it written completely?")

    @contextmanager
    def _opened(self, progress: Progress) -> Iterator[BinaryIO]:
        with self.path.open("rb") as raw, progress(raw) as counted:
            if not self._is_gzip:
                yield counted
                return
            with gzip.GzipFile(fileobj=counted) as unpacked:
                yield cast("BinaryIO", unpacked)


class ParquetFile:
    """A Parquet file; see `CsvFile` for the attributes."""

    row_word = "row"
    delimiter = "\x1f"  # no text of an event has it

    def __init__(self, path: Path) -> None:
        self.path = path
        with _readable(path), path.open("rb") as stream:
            self._schema = pq.ParquetFile(stream).schema_arrow
        self.names = list(self._schema.names)

    def batches(self, places: Sequence[int], progress: Progress = nullcontext) -> Iterator[Any]:
        """Read the columns at `places`, as `CsvFile.batches` does; values are separated by `delimiter`, unquoted."""
        for place in places:
            if pa.types.is_nested(type_ := self._schema.field(place).type):
                raise LoadError(
                    f"{self.path}: column {self.names[place]} is a {type_}; it must be a number, a text or a "
                    "timestamp. Write the file with plain columns."
                )
        names, first = [self.names[place] for place in places], 1
        with _readable(self.path), self.path.open("rb") as raw, progress(raw) as stream:
            # Read in pieces: otherwise a whole row group, often a million rows, is held at once.
            parquet = pq.ParquetFile(stream, pre_buffer=False, buffer_size=1 << 20)
            for batch in parquet.iter_batches(batch_size=_PARQUET_ROWS, columns=names, use_threads=False):
                texts = [_as_text(batch.column(name)) for name in names]
                options = {"null_handling": "replace", "null_replacement": ""}
                text = pc.binary_join_element_wise(*texts, self.delimiter.encode(), **options)
                yield _batch(first, text, {})
                first += batch.num_rows

    def fields(self, places: Sequence[int]) -> dict[int, int]:
        """Column → its number among the fields of a row, from 1; a row has the columns at `places` only."""
        return {place: number for number, place in enumerate(places, start=1)}


class _Unusual(NamedTuple):
    """A row that spans several lines, or has a problem."""

    lines: int
    problem: str


def _batch(first: int, texts: Any, unusual: Mapping[int, _Unusual]) -> Any:
    """The rows with their line numbers, from `first` on."""
    steps = np.ones(len(texts) + 1, dtype=np.uint64)
    steps[0] = first
    problems = [""] * len(texts)
    for place, (lines, problem) in unusual.items():
        steps[place + 1] = lines
        problems[place] = problem
    numbers = steps.cumsum()[:-1]
    return pa.table({"line": pa.array(numbers), "text": pa.array(texts, pa.binary()), "problem": pa.array(problems)})


def _as_text(column: Any) -> Any:
    type_ = column.type
    if pa.types.is_dictionary(type_):
        return _as_text(column.dictionary_decode())
    if pa.types.is_floating(type_):  # pandas converts integer columns with missing values to floats
        column = pc.if_else(pc.is_finite(column), column, None).cast(pa.decimal128(38, 6))
    if not (pa.types.is_binary(type_) or pa.types.is_large_binary(type_) or pa.types.is_binary_view(type_)):
        column = column.cast(pa.string())
    return column.cast(pa.binary())


def _split(header: str, delimiter: str) -> list[str]:
    try:
        row = next(csv.reader([header.rstrip("\r\n")], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:  # a name of more than 128 KiB is not an event's
        row = [header]
    return [name.strip() for name in row]


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn errors of reading a file into a `LoadError`."""
    try:
        yield
    except EOFError:
        raise LoadError(f"{path} is cut off: the gzip stream has no end. Copy or download it again.") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise LoadError(f"{path} is damaged: {error}. Copy or download it again.") from None
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise LoadError(f"{path} cannot be read: {error.strerror}.") from None
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise LoadError(f"{path} is a damaged or truncated Parquet file: {reason}. Write it again.") from None


def listed(names: Sequence[str], longest: int = 60) -> str:
    """Up to 20 names as text. Long ones are cut."""
    cut = [name if len(name) <= longest else f"{name[:longest]}…" for name in names[:20]]
    cut = [name if name.isprintable() else repr(name) for name in cut]
    return ", ".join(cut) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


EventFile = CsvFile | ParquetFile
