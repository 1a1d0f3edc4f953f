"""Texts for rejected settings: the expected form in place of pydantic's message, and never a secret."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic.fields import FieldInfo

from metrics_platform.redaction import MASK, mask
from metrics_platform.suggestions import either

_FORMS = (
    ("date_", "write a date as 2026-01-31"),
    ("time_", "write a local time as HH:MM, such as 11:00"),
    ("bool_", "write true or false"),
    ("path_", "write a path"),
)
_NUMBERS = ("int_", "float_", "finite_number", "greater_than", "less_than")
# What looks like a service's key: a long word of small and capital letters and digits.
_KEY = re.compile(r"(?<![\w-])(?=[\w-]*[a-z])(?=[\w-]*[A-Z])(?=[\w-]*\d)[\w-]{24,}", re.ASCII)


def explained(detail: Mapping[str, Any], field: FieldInfo) -> str:
    """The expected form of `field`, from an entry of `ValidationError.errors()`."""
    kind = str(detail["type"])
    if kind == "value_error":
        return str(detail["msg"]).removeprefix("Value error, ")
    if kind == "literal_error":
        return choose(str(detail["input"]), re.findall(r"'([^']*)'", str(detail["ctx"]["expected"])))
    if kind.startswith(_NUMBERS):
        return _number(field)
    if kind.startswith("string_too_"):
        lengths = [_bound(field, name) for name in ("min_length", "max_length")]
        return f"write {lengths[0] or 0} to {lengths[1]} characters"
    return next((form for prefix, form in _FORMS if kind.startswith(prefix)), "write it in the form named below")


def choose(value: str, choices: Iterable[str]) -> str:
    """Text that lists the choices and suggests the one closest to `value`."""
    choices = list(choices)
    near = nearest(value, choices)
    return f"{value!r} is unknown; choose {either(choices)}" + (f"; did you mean {near}?" if near else "")


def nearest(value: str, choices: Iterable[str]) -> str | None:
    """The choice most similar to `value`, or one that `value` begins with."""
    wanted = value.strip().lower()
    choices = list(choices)
    alike = difflib.get_close_matches(wanted, choices, n=1, cutoff=0.6)
    begins = [choice for choice in choices if wanted.startswith(choice)]
    return next(iter(alike or begins), None)


def without_secrets(text: str, secrets: Iterable[str] = ()) -> str:
    """Mask the known `secrets` in `text`, and whatever looks like one: any setting may hold a secret by mistake."""
    return _KEY.sub(MASK, mask(text, secrets))


def _number(field: FieldInfo) -> str:
    kind = "a whole number" if field.annotation in (int, int | None) else "a number"
    least, most = _bound(field, "ge"), _bound(field, "le")
    if least is not None and most is not None:
        return f"write {kind} from {least:,} to {most:,}"
    return f"write {kind}" + (f", {least:,} or more" if least is not None else "")


def _bound(field: FieldInfo, name: str) -> Any:
    return next((getattr(bound, name) for bound in field.metadata if hasattr(bound, name)), None)
