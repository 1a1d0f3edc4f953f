"""Settings that are lists: comma-separated in the environment."""

from __future__ import annotations

from typing import Any


def split_list(value: Any) -> Any:
    """Split a comma-separated text, dropping spaces and empty parts; any other value is returned unchanged."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def split_distinct(value: Any) -> Any:
    """Split as `split_list` does; raises ValueError if a part is repeated."""
    parts = split_list(value)
    if len(set(parts)) != len(parts):
        raise ValueError("name each only once")
    return parts
