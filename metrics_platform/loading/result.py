"""What a load did, for callers and for people."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from metrics_platform.loading.events import SourceName


@dataclass(frozen=True)
class LoadedFile:
    """What became of one file.

    Attributes:
        table: the source table, database.table.
        rows: rows loaded.
        rejected: rows that were not; they are in `rejects_file` (None where there are none).
        first_day, last_day: the days of the product that the rows touch; None without rows.
        earlier: the rows came in by completing an interrupted load of the same file, not by reading it again.
    """

    source: SourceName
    file: Path
    table: str
    rows: int
    rejected: int
    rejects_file: Path | None
    first_day: datetime.date | None
    last_day: datetime.date | None
    earlier: bool = False

    def __str__(self) -> str:
        days = f", {self.first_day} to {self.last_day}" if self.rows else ""
        rejected = f"; {self.rejected:,} rejected, in {self.rejects_file}" if self.rejected else ""
        return f"{self.source}: {self.rows:,} rows of {self.file} into {self.table}{days}{rejected}"


@dataclass(frozen=True)
class LoadResult:
    """What a load did: each file, every line that was said on the way, and the seconds it took."""

    files: tuple[LoadedFile, ...]
    notes: tuple[str, ...]
    seconds: float

    @property
    def rows(self) -> int:
        """Rows loaded, of all files."""
        return sum(file.rows for file in self.files)

    @property
    def rejected(self) -> int:
        """Rows rejected, of all files."""
        return sum(file.rejected for file in self.files)

    def __str__(self) -> str:
        lines = [str(file) for file in self.files]
        return "\n".join([*lines, f"Loaded {self.rows:,} rows in {self.seconds:.1f} s."])
