"""What a sensor remembers from tick to tick: a model, kept by Dagster as JSON."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError


class Cursor(BaseModel):
    """Base of the sensors' memories; every field has a default."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    @classmethod
    def from_cursor(cls, cursor: str | None) -> Self:
        """What `cursor` says; one that says nothing readable is the same as none: keys keep messages from doubling."""
        try:
            return cls.model_validate_json(cursor or "{}")
        except ValidationError:
            return cls()
