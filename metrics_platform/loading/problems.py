"""What can be wrong with an event file: one row of it, or all of it.

A wrong row is a `BadRow`: it is counted, named and written to the rejects file. What makes the whole load
impossible is a `LoadError`. Values are shown to people cut to a readable length, since a broken file may well
be one line of many megabytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_LONGEST_SHOWN = 60


class LoadError(RuntimeError):
    """Nothing was loaded; the text names the file, the column, the value or line where there is one, and the remedy."""


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be an event.

    Attributes:
        number: its line in a text file, its row in a Parquet file, both counted from 1.
        reason: each column that is wrong, with its value and what is expected.
        text: the row as it stood in the file.
    """

    number: int
    reason: str
    text: str


def shown(value: Any, longest: int = _LONGEST_SHOWN) -> str:
    """A value for people: quoted, escaped, and cut where it is long."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    text = str(value)
    return repr(text) if len(text) <= longest else f"{text[:longest]!r}… ({len(text)} characters)"


def listed(names: list[str], longest: int = 20) -> str:
    """Names for people: separated by commas, cut where they are many or long."""
    cut = [name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}…" for name in names[:longest]]
    cut = [name if name.isprintable() else repr(name) for name in cut]
    return ", ".join(cut) + (f" and {len(names) - longest} more" if len(names) > longest else "")
