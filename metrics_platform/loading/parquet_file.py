"""Parquet files: columns as they are typed, a bounded number of rows at a time; rows are counted, not lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from metrics_platform.loading.batches import Batch, value_of
from metrics_platform.loading.files import Advance
from metrics_platform.loading.problems import LoadError

_BATCH_ROWS = 100_000
# Columns are read in pieces: else a whole row group, often a million rows, is held at once.
_BUFFER_BYTES = 1 << 20


class ParquetReader:
    """A Parquet file.

    Raises:
        LoadError: it is damaged.
    """

    row_word = "row"

    def __init__(self, file: Path) -> None:
        self._file = file
        with _opened(file) as parquet:
            self._schema = parquet.schema_arrow
            self._rows = parquet.metadata.num_rows
        self.names = list(self._schema.names)

    def batches(self, places: Sequence[int], advance: Advance) -> Iterator[Batch]:
        """Stream the columns at these places; `advance` is told of the share of the bytes that rows stand for."""
        self._refuse_nested(places)
        names = [self.names[place] for place in places]
        size, first, told = self._file.stat().st_size, 1, 0
        with _opened(self._file) as parquet:
            batches = parquet.iter_batches(batch_size=_BATCH_ROWS, columns=names, use_threads=False)
            while (batch := self._next(batches)) is not None:
                columns = {place: _plain(batch.column(name)) for place, name in zip(places, names, strict=True)}
                numbers = np.arange(first, first + batch.num_rows)
                yield Batch(columns, numbers, partial(_texts, columns))
                first += batch.num_rows
                reached = size * (first - 1) // max(self._rows, 1)
                advance(reached - told)
                told = reached

    def _next(self, batches: Iterator[Any]) -> Any | None:
        try:
            return next(batches, None)
        except (pa.ArrowException, OSError) as error:
            raise _damaged(self._file, error) from None

    def _refuse_nested(self, places: Sequence[int]) -> None:
        for place in places:
            field = self._schema.field(place)
            if pa.types.is_nested(field.type):
                raise LoadError(
                    f"{self._file}: column {field.name} is a {field.type}; it must be a number, a text or a timestamp. "
                    "Write the file with plain columns."
                )


def _opened(file: Path) -> Any:
    try:
        return pq.ParquetFile(file, pre_buffer=False, memory_map=False, buffer_size=_BUFFER_BYTES)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(file, error) from None


def _damaged(file: Path, error: BaseException) -> LoadError:
    reason = " ".join(str(error).split())[:200].rstrip(".")
    return LoadError(f"{file} is a damaged or truncated Parquet file: {reason}. Copy or write it again.")


def _plain(column: Any) -> Any:
    """Without dictionaries and in 32-bit offsets, so that every rule meets the same few types."""
    type_ = column.type
    if pa.types.is_dictionary(type_):
        return _plain(column.dictionary_decode())
    if pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return column.cast(pa.string())
    return column


def _texts(columns: dict[int, Any], rows: Sequence[int]) -> list[str]:
    """Rows as CSV, of the columns that were read."""
    return [_as_csv([value_of(column, row) for column in columns.values()]) for row in rows]


def _as_csv(values: list[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()
