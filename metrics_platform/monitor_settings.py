"""Settings of the 15-minute monitor: when a slot is evaluated, how it is sliced, and what is reported."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from metrics_platform.setting_lists import split_distinct
from metrics_platform.settings_part import SettingsPart

MonitoredDimension = Literal["os", "source", "country", "city", "gender", "exp_group"]


class MonitorSettings(SettingsPart):
    """Part of `Settings`: names as there, `METRICS_…`."""

    slot_lag_seconds: int = Field(
        60,
        ge=0,
        le=3600,
        description="Seconds after its end until a 15-minute slot is evaluated. Set it to how long events take to "
        "arrive.",
    )
    recompute_slots: int = Field(
        4, ge=0, le=96, description="Number of slots before the latest that are recomputed for late events."
    )
    monitored_dimensions: Annotated[tuple[MonitoredDimension, ...], NoDecode] = Field(
        ("os", "source", "country"),
        description="Dimensions of the 15-minute metrics, comma-separated: os, source, country, city, gender, "
        "exp_group.",
    )

    catalog: Path | None = Field(
        None,
        description="Your catalogue of sources, dimensions and metrics (YAML), merged on top of the built-in one. "
        "Every run reads it.",
    )
    holidays: Annotated[tuple[datetime.date, ...], NoDecode] = Field(
        (),
        description="Days (YYYY-MM-DD, comma-separated) on which the band is twice as wide. Past holidays have little "
        "weight in the expected values.",
    )
    alert_max_age_minutes: int = Field(
        60, ge=15, le=1440, description="Anomalies in slots that ended longer ago are recorded but not sent."
    )
    reminder_hours: float = Field(
        4.0,
        ge=1,
        le=168,
        description="Hours until the first reminder of an open incident. The interval doubles after each reminder.",
    )

    @field_validator("monitored_dimensions", "holidays", mode="before")
    @classmethod
    def _split_monitored(cls, value: Any) -> Any:
        return split_distinct(value)
