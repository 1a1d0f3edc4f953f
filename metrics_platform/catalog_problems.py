"""Errors in a catalogue file, as texts that name the entry, the key, the value and the remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

# How pydantic names the alternative `false` of a key.
_FALSE = "literal[False]"
_NO_KEYS = {"dict_type", "model_type"}
# Pydantic's type of error → the remedy.
_REMEDIES = {
    "tuple_type": "write a list in square brackets, such as [a, b]",
    "dict_type": "write its keys below it, as `key: value`",
    "model_type": "write its keys below it, as `key: value`",
    "greater_than_equal": "write at least {ge:g}",
    "greater_than": "write more than {gt:g}",
    "less_than_equal": "write at most {le:g}",
    "less_than": "write less than {lt:g}",
    "finite_number": "write a number",
    **dict.fromkeys(("float_parsing", "float_type"), "write a number"),
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "write a whole number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "write true or false"),
    "string_type": "write text, in quotes",
    "string_too_long": "write at most {max_length} characters",
    "too_short": "write at least {min_length}",
    "too_long": "write at most {max_length}",
    **dict.fromkeys(
        ("timezone_aware", "datetime_from_date_parsing", "datetime_type", "datetime_parsing"),
        "write a time with its offset, such as 2026-12-01T09:00+03:00",
    ),
}


def problem_texts(error: ValidationError, model: type[BaseModel], at: str = "", more: Iterable[str] = ()) -> list[str]:
    """Turn Pydantic's errors into texts with the key, the value and the remedy. `more`: keys not in the model."""
    details = error.errors()
    # A key that is either false or has keys below it gives two errors. Keep the one about the keys.
    either = {detail["loc"][:-1] for detail in details if detail["loc"][-1:] == (_FALSE,)}
    found = []
    for detail in details:
        if detail["loc"][-1:] == (_FALSE,):
            continue
        path = [part for part in detail["loc"] if "[" not in str(part) and part != "ReportEntry"]
        where = ".".join([*([at] if at else []), *map(str, path)])
        or_false = ", or false" if tuple(detail["loc"][:-1]) in either and detail["type"] in _NO_KEYS else ""
        found.append(f"{where}{_problem_text(detail, _keys(model, path, more))}{or_false}")
    return found


def _problem_text(detail: Any, keys: list[str]) -> str:
    """The problem with a key, as text that follows its path."""
    kind, limits = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return f": no such key{near(str(detail['loc'][-1]), keys)}"
    if kind == "missing":
        return ": is missing; add it"
    value = detail["loc"][-2] if detail["loc"][-1] == "[key]" else detail["input"]
    if kind == "literal_error":
        allowed = re.findall(r"'([^']+)'", str(limits["expected"]))
        return f" = {value!r}: write {_listed(allowed)}{meant(str(value), allowed)}"
    remedy = _REMEDIES.get(kind, str(detail["msg"]).removeprefix("Value error, "))
    return f" = {value!r}: {remedy.format(**limits)}"


def _keys(model: type[BaseModel], path: list[Any], more: Iterable[str]) -> list[str]:
    """The known keys at the place where one was rejected."""
    for part in path[:-1]:
        if part in model.model_fields:
            model = next(_models_in(model.model_fields[part].annotation), model)
    return [*model.model_fields, *(more if len(path) == 1 else ())]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def meant(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def near(name: str, known: Iterable[str]) -> str:
    names = list(known)
    return meant(name, names) or (f"; choose from {', '.join(names)}" if names and len(names) <= 40 else "")
