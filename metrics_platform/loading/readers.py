"""Which reader a file needs, and whether it holds the events it is said to hold."""

from __future__ import annotations

from pathlib import Path

from metrics_platform.loading.batches import Reader
from metrics_platform.loading.csv_file import CsvReader
from metrics_platform.loading.events import Source
from metrics_platform.loading.files import format_of
from metrics_platform.loading.parquet_file import ParquetReader


def reader_for(source: Source, file: Path) -> Reader:
    """Recognise a file by its first bytes and its column names.

    Raises:
        LoadError: it cannot be read, or is no file of this kind of events.
    """
    format_ = format_of(file)
    known = frozenset(name for field in source.fields for name in field.spellings)
    reader: Reader = ParquetReader(file) if format_ == "parquet" else CsvReader(file, format_, known)
    source.find(reader.names, file)
    return reader
