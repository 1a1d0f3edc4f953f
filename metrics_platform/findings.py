"""What `doctor` and Dagster's check of the channels find, wherever they look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing looked at: fine, worth a look (`note`), or a problem with its remedy."""

    subject: str
    status: Literal["ok", "note", "problem"]
    detail: str
    remedy: str = ""
