"""The rejects file: every bad row with its file, line and reason, then the row as it stood."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from metrics_platform.loading.problems import BadRow, LoadError


class Rejects:
    """Counts the bad rows of one file and writes them down; without one there is no rejects file.

    Raises:
        LoadError: the rejects file cannot be written.
    """

    def __init__(self, file: Path, rejects_file: Path) -> None:
        self.count = 0
        self.first: list[BadRow] = []
        self._file = file
        self._path = rejects_file
        self._stream: IO[str] | None = None
        self._writer: Any = None

    @property
    def path(self) -> Path | None:
        """The rejects file; None while no row was rejected."""
        return self._path if self.count else None

    def add(self, rows: Iterable[BadRow]) -> None:
        """Write rows down."""
        for row in rows:
            if self._stream is None:
                self._open()
            self.count += 1
            if len(self.first) < 3:
                self.first.append(row)
            self._guarded(self._writer.writerow, (str(self._file), row.number, row.reason, row.text))

    def __enter__(self) -> Rejects:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            stream, self._stream = self._stream, None
            self._guarded(stream.close)

    def _open(self) -> None:
        self._guarded(self._path.parent.mkdir, parents=True, exist_ok=True)
        self._stream = self._guarded(self._path.open, "w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._stream)
        self._guarded(self._writer.writerow, ("file", "line", "reason", "row"))

    def _guarded(self, write: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return write(*arguments, **options)
        except OSError as error:
            raise LoadError(
                f"The rejects file {self._path} cannot be written: {error.strerror}. Name another directory with "
                "--rejects."
            ) from None


def check_directory(directory: Path) -> None:
    """Refuse, before an hour of reading, a directory that no rejects file can be written to."""
    nearest = next((path for path in (directory, *directory.absolute().parents) if path.exists()), directory)
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise LoadError(
            f"The rejects directory {directory} cannot be written to. Name another one with --rejects, or correct its "
            "permissions."
        )
