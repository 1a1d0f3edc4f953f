"""Sensor cursors: the state between ticks, as a model that Dagster stores as JSON."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError


class Cursor(BaseModel):
    """Base class of the sensors' cursors. Every field has a default."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    @classmethod
    def from_cursor(cls, cursor: str | None) -> Self:
        """Parse `cursor`. An unreadable one counts as empty; message keys then prevent duplicates."""
        try:
            return cls.model_validate_json(cursor or "{}")
        except ValidationError:
            return cls()
