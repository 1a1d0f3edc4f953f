"""The settings of the 15-minute monitor: when a slot is judged, by what it is sliced, what is said of it."""

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

    catalog: Path | None = Field(
        None,
        description="Your catalogue of sources, dimensions and metrics (YAML), merged on top of the built-in one; read "
        "at every run.",
    )
    holidays: Annotated[tuple[datetime.date, ...], NoDecode] = Field(
        (),
        description="Days (YYYY-MM-DD, comma-separated) on which the band is twice as wide; past ones count little.",
    )
    alert_max_age_minutes: int = Field(
        60, ge=15, le=1440, description="Anomalies in slots that ended longer ago are recorded and nobody is told."
    )
    reminder_hours: float = Field(
        4.0,
        ge=1,
        le=168,
        description="After so many hours an incident is told again if it is open, then at doubled gaps.",
    )

    @field_validator("monitored_dimensions", "holidays", mode="before")
    @classmethod
    def _split_monitored(cls, value: Any) -> Any:
        return split_distinct(value)
