"""The settings of the 15-minute monitor: when a slot is judged, by what it is sliced, what is said of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

MonitoredDimension = Literal["os", "source", "country", "city", "gender", "exp_group"]


class MonitorSettings(BaseSettings):
    """Part of `Settings`: names as there, `METRICS_…`."""

    slot_lag_seconds: int = Field(
        60,
        ge=0,
        le=3600,
        description="How long after its end a slot of 15 minutes is judged: as long as events take to arrive.",
    )
    recompute_slots: int = Field(
        4, ge=0, le=96, description="How many slots before the latest are computed again, for late events."
    )
    monitored_dimensions: Annotated[tuple[MonitoredDimension, ...], NoDecode] = Field(
        ("os", "source", "country"),
        description="What the 15-minute metrics are sliced by, comma-separated: os, source, country, city, gender, "
        "exp_group.",
    )

    @field_validator("monitored_dimensions", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = tuple(part.strip() for part in value.split(",") if part.strip())
        if len(set(value)) != len(value):
            raise ValueError("name each dimension once")
        return value
