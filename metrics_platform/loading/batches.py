"""What a reader hands on: some rows of a file as columns, with the number of each row and those already known bad."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metrics_platform.loading.problems import BadRow

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Some rows of a file.

    Attributes:
        columns: place in the file → values, a `pyarrow.Array` as the file has them; null: empty.
        numbers: the line (or row) number of each row.
        texts: the rows at the given positions of this batch, as they stood in the file.
        bad: rows that have no columns, since they do not even have the file's shape.
    """

    columns: Mapping[int, Any]
    numbers: Numbers
    texts: Callable[[Sequence[int]], list[str]]
    bad: tuple[BadRow, ...] = ()


class Reader(Protocol):
    """A file that was recognised and whose column names are known."""

    names: list[str]
    row_word: str

    def batches(self, places: Sequence[int], advance: Callable[[int], None]) -> Iterator[Batch]:
        """Stream the columns at these places, some tens of thousands of rows at a time.

        `advance` is told how many bytes of the file were read.
        """
        ...


def value_of(column: Any, row: int) -> Any:
    """One value of a column for people, whatever it is."""
    try:
        value = column[row].as_py()
    except (ValueError, OverflowError):  # bytes that are no text, times beyond Python's
        value = column.cast(pa.binary() if pa.types.is_string(column.type) else pa.int64())[row].as_py()
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
