"""Names in errors: choices, and suggestions for misspelt ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def nearest(value: str, choices: Iterable[str]) -> str | None:
    """The choice most similar to `value`, or one that `value` begins with."""
    wanted, names = value.strip().lower(), list(choices)
    alike = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)
    return next(iter(alike or (name for name in names if wanted.startswith(name))), None)


def meant(name: str, known: Iterable[str]) -> str:
    """A suggestion of the known name closest to `name`, or nothing."""
    found = nearest(name, known)
    return f"; did you mean {found}?" if found else ""


def near(name: str, known: Iterable[str]) -> str:
    """A suggestion as of `meant`, or the list of names if it is short."""
    names = list(known)
    return meant(name, names) or (f"; choose from {', '.join(names)}" if names and len(names) <= 40 else "")


def either(names: Sequence[str]) -> str:
    """The names as text: a, b or c."""
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def choose(value: str, choices: Iterable[str]) -> str:
    """Text that lists the choices and suggests the one closest to `value`."""
    names = list(choices)
    return f"{value!r} is unknown; choose {either(names)}{meant(value, names)}"
