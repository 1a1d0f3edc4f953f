"""Names in errors: choices, and suggestions for misspelt ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def meant(name: str, known: Iterable[str]) -> str:
    """A suggestion of the known name closest to `name`, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def near(name: str, known: Iterable[str]) -> str:
    """A suggestion as of `meant`, or the list of names if it is short."""
    names = list(known)
    return meant(name, names) or (f"; choose from {', '.join(names)}" if names and len(names) <= 40 else "")


def either(names: Sequence[str]) -> str:
    """The names as text: a, b or c."""
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
