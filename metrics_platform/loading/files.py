"""Event files as bytes: is there one, of which format, what is its fingerprint, and how far has it been read.

The format goes by the first bytes, not by the name alone, so that a wrong name is told apart from a damaged
file before anything is written.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Literal, cast

from metrics_platform.loading.problems import LoadError

Format = Literal["csv", "csv.gz", "parquet"]
Advance = Callable[[int], None]

_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
# First bytes of what people also have, and what to do with it.
_OTHER_FORMATS = {
    b"PK\x03\x04": "a zip archive (or an Excel workbook): unpack it, or save it as CSV",
    b"\x28\xb5\x2f\xfd": "compressed with zstd: unpack it (`zstd -d`), or use gzip",
    b"BZh": "compressed with bzip2: unpack it (`bunzip2`), or use gzip",
    b"\xfd7zXZ": "compressed with xz: unpack it (`unxz`), or use gzip",
    b"ORC": "an ORC file: save it as Parquet",
    b"Obj\x01": "an Avro file: save it as Parquet",
    b"\xff\xfe": "text in UTF-16: save it as UTF-8",
    b"\xfe\xff": "text in UTF-16: save it as UTF-8",
}


def format_of(file: Path) -> Format:
    """Look at a file's first bytes.

    Raises:
        LoadError: it is missing, no file, empty, unreadable, or neither CSV, gzipped CSV nor Parquet.
    """
    if file.is_dir():
        raise LoadError(f"{file} is a directory. Name one file; load several one after the other.")
    if not file.exists():
        raise LoadError(f"{file} does not exist (looked in {Path.cwd()}). Correct the path.")
    if not file.is_file():
        raise LoadError(f"{file} is no regular file; it is read twice, so save it to one first.")
    with readable(file), file.open("rb") as stream:
        start = stream.read(8)
    if not start:
        raise LoadError(f"{file} is empty: not even a header line. Was it written to the end?")
    if start.startswith(_PARQUET):
        return "parquet"
    if start.startswith(_GZIP):
        return "csv.gz"
    for magic, meaning in _OTHER_FORMATS.items():
        if start.startswith(magic):
            raise LoadError(f"{file} is {meaning}. CSV, gzipped CSV and Parquet are read.")
    suffix = file.suffix.lower()
    if suffix in {".parquet", ".pq"}:
        raise LoadError(f"{file} is no Parquet file, whatever its name says: it does not begin with PAR1.")
    if suffix in {".gz", ".gzip"}:
        raise LoadError(f"{file} is not compressed with gzip, whatever its name says. If it is CSV, name it .csv.")
    return "csv"


def fingerprint(file: Path, advance: Advance) -> str:
    """The SHA-256 of a file's bytes, as `sha256sum` prints it; `advance` is told of every piece read."""
    digest = hashlib.sha256()
    with readable(file), file.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            digest.update(piece)
            advance(len(piece))
    return digest.hexdigest()


def text_pieces(file: Path, format_: Format, size: int, advance: Advance) -> Iterator[bytes]:
    """The text of a CSV file, unpacked, in pieces of about `size` bytes; `advance` counts bytes of the file itself."""
    with ExitStack() as stack:
        with readable(file):
            raw = stack.enter_context(file.open("rb", buffering=0))
            stream: IO[bytes] = io.BufferedReader(_Counted(raw, advance), _CHUNK)
            if format_ == "csv.gz":
                stream = cast("IO[bytes]", stack.enter_context(gzip.GzipFile(fileobj=stream)))
        while True:
            with readable(file):
                piece = stream.read(size)
            if not piece:
                return
            yield piece


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Turn what goes wrong while reading a file into a `LoadError`.

    Nothing but reading may happen inside: a lost connection is an OSError too.
    """
    try:
        yield
    except EOFError:
        raise LoadError(f"{file} is cut off: the gzip stream has no end. Copy or download it again.") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise LoadError(f"{file} is damaged: {error}. Copy or download it again.") from None
    except OSError as error:
        raise LoadError(f"{file} cannot be read: {error.strerror or error}.") from None


class _Counted(io.RawIOBase):
    """A raw file that tells how many bytes were read from it."""

    def __init__(self, raw: io.FileIO, advance: Advance) -> None:
        self._raw = raw
        self._advance = advance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        count = self._raw.readinto(buffer) or 0
        self._advance(count)
        return count
