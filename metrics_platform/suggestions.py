"""Remedies in errors about settings and catalogues: what to write, choices, and suggestions for misspelt names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_INSTANT = "write a time with its offset, such as 2026-12-01T09:00+03:00"
# How pydantic's type of error begins → the remedy.
_REMEDIES = {
    "timezone_aware": _INSTANT,
    "datetime_": _INSTANT,
    "date_": "write a date as 2026-01-31",
    "time_": "write a local time as HH:MM, such as 11:00",
    "bool_": "write true or false",
    "path_": "write a path",
    "int_": "write a whole number",
    "float_": "write a number",
    "finite_number": "write a number",
    "greater_than_equal": "write at least {ge:g}",
    "greater_than": "write more than {gt:g}",
    "less_than_equal": "write at most {le:g}",
    "less_than": "write less than {lt:g}",
    "string_type": "write text, in quotes",
    "string_too_long": "write at most {max_length} characters",
    "too_short": "write at least {min_length}",
    "too_long": "write at most {max_length}",
    "tuple_type": "write a list in square brackets, such as [a, b]",
    "dict_type": "write its keys below it, as `key: value`",
    "model_type": "write its keys below it, as `key: value`",
}


def remedy_of(detail: Mapping[str, Any]) -> str:
    """What to write in place of a rejected value; `detail` is one of pydantic's `ValidationError.errors()`."""
    if detail["type"] == "literal_error":
        allowed = re.findall(r"'([^']+)'", str(detail["ctx"]["expected"]))
        value = detail["loc"][-2] if detail["loc"][-1] == "[key]" else detail["input"]
        return f"write {join_choices(allowed)}{did_you_mean(str(value), allowed)}"
    remedy = next((text for kind, text in _REMEDIES.items() if str(detail["type"]).startswith(kind)), None)
    return remedy.format(**detail.get("ctx", {})) if remedy else str(detail["msg"]).removeprefix("Value error, ")


def nearest(value: str, choices: Iterable[str]) -> str | None:
    """The choice most similar to `value`, or one that `value` begins with."""
    target, names = value.strip().lower(), list(choices)
    similar = difflib.get_close_matches(target, names, n=1, cutoff=0.5)
    return next(iter(similar or (name for name in names if target.startswith(name))), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A suggestion of the known name closest to `name`, or nothing."""
    suggestion = nearest(name, known)
    return f"; did you mean {suggestion}?" if suggestion else ""


def suggest(name: str, known: Iterable[str]) -> str:
    """A suggestion as in `did_you_mean`, or the list of names if it is short."""
    names = list(known)
    return did_you_mean(name, names) or (f"; choose from {', '.join(names)}" if names and len(names) <= 40 else "")


def join_choices(names: Sequence[str]) -> str:
    """The names as text: a, b or c."""
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def choose(value: str, choices: Iterable[str]) -> str:
    """Text that lists the choices and suggests the one closest to `value`."""
    names = list(choices)
    return f"{value!r} is unknown; choose {join_choices(names)}{did_you_mean(value, names)}"
