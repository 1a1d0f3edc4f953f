"""The raw entries of `metrics.yaml`. Settings take names from them, and the catalogue builds on them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

# The dimensions that `dimension_metrics` always has.
DAILY_DIMENSIONS = ("os", "gender", "age")


@cache
def builtin_entries() -> Mapping[str, Any]:
    """Section → name → entry."""
    import yaml  # noqa: PLC0415  (on use only)

    entries: Mapping[str, Any] = yaml.safe_load(
        (files("metrics_platform") / "metrics.yaml").read_text(encoding="utf-8")
    )
    return entries


def further_dimensions() -> tuple[str, ...]:
    """The built-in dimensions that METRICS_EXTRA_DIMENSIONS can add to `dimension_metrics`."""
    return tuple(name for name in builtin_entries()["dimensions"] if name not in DAILY_DIMENSIONS)
