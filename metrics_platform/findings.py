"""What `doctor` and Dagster's check of the channels find, wherever they look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing looked at: fine, worth a look (`note`), or a problem with its remedy."""

    subject: str
    status: Literal["ok", "note", "problem"]
    detail: str
    remedy: str = ""


def looked_at(subject: str, look: Callable[[], Finding]) -> Finding:
    """What a look at ClickHouse finds; a refusal of ClickHouse's is a problem with its remedy."""
    from metrics_platform.warehouse.errors import WarehouseError  # noqa: PLC0415  (findings of other rooms need it not)

    try:
        return look()
    except WarehouseError as error:
        text, _, remedy = str(error).partition("\nWhat to do: ")
        return Finding(subject, "problem", text, remedy)
