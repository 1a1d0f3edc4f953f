"""The findings of `doctor` and of Dagster's channel check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """The result of one check: fine, worth a look (`note`), or a problem with its remedy."""

    subject: str
    status: Literal["ok", "note", "problem"]
    detail: str
    remedy: str = ""


def run_check(subject: str, check: Callable[[], Finding]) -> Finding:
    """Call `check`, which queries ClickHouse. An error becomes a problem with its remedy."""
    from metrics_platform.warehouse.errors import WarehouseError  # noqa: PLC0415  (other findings do not need it)
    from metrics_platform.warehouse.schema import SchemaMismatchError  # noqa: PLC0415

    try:
        return check()
    except (WarehouseError, SchemaMismatchError) as error:
        text, _, remedy = str(error).partition("\nWhat to do: ")
        return Finding(subject, "problem", text, remedy)
