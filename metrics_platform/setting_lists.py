"""Settings that are lists, as they are written in the environment: comma-separated."""

from __future__ import annotations

from typing import Any


def split_list(value: Any) -> Any:
    """A text's parts without spaces and empty ones; anything but a text as it is."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def split_distinct(value: Any) -> Any:
    """The same; raises ValueError where a part stands there twice."""
    parts = split_list(value)
    if len(set(parts)) != len(parts):
        raise ValueError("name each only once")
    return parts
