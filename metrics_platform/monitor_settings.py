"""Settings of the 15-minute monitor: when a slot is evaluated, how it is sliced, and what is reported."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from metrics_platform.builtin_entries import builtin_entries
from metrics_platform.setting_types import SettingsPart, split_distinct
from metrics_platform.silences import ActiveHours, Mute, Silences, parse_active_hours, parse_mute
from metrics_platform.suggestions import choose


def _dimension(name: str) -> str:
    """The name of a dimension of the built-in catalogue."""
    if name not in builtin_entries()["dimensions"]:
        raise ValueError(choose(name, builtin_entries()["dimensions"]))
    return name


_LIST = NoDecode, BeforeValidator(split_distinct)


class MonitorSettings(SettingsPart):
    """Part of `Settings`: names as there, `METRICS_…`."""

    slot_lag_seconds: int = Field(
        60,
        ge=0,
        le=3600,
        description="Seconds from the end of a 15-minute slot until it is evaluated. Set it to how long events take to "
        "arrive.",
    )
    recompute_slots: int = Field(
        4, ge=0, le=96, description="Number of slots before the latest that are recomputed for late events."
    )
    monitored_dimensions: Annotated[tuple[Annotated[str, AfterValidator(_dimension)], ...], *_LIST] = Field(
        ("os", "source", "country"),
        description="Built-in dimensions of the 15-minute metrics, comma-separated: os, source, country, city, gender, "
        "age, age_group, exp_group.",
    )
    catalog: Path | None = Field(
        None,
        description="Your catalogue of sources, dimensions and metrics (YAML), merged on top of the built-in one. "
        "Every run reads it.",
    )
    holidays: Annotated[tuple[datetime.date, ...], *_LIST] = Field(
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
        description="Hours until the first reminder of an open alert. The interval doubles after each reminder.",
    )
    mutes: Annotated[tuple[Annotated[Mute, BeforeValidator(parse_mute)], ...], *_LIST] = Field(
        (),
        description="Alerts that are recorded and not sent, comma-separated: metric:views until "
        "2026-12-01T09:00+03:00, kind:odd_volume+severity:warning. Alerts that still last when a mute ends are "
        "sent then.",
    )
    active_hours: Annotated[tuple[Annotated[ActiveHours, BeforeValidator(parse_active_hours)], ...], *_LIST] = Field(
        (),
        description="Alerts that are sent in these hours of METRICS_TIMEZONE only, comma-separated: severity:warning "
        "09:00-21:00, metric:views mon-fri 08:00-20:00. Alerts that still last when the hours begin are sent "
        "then.",
    )

    def silences(self, zone: ZoneInfo) -> Silences:
        """The mutes and the active hours, which are those of `zone`."""
        return Silences(self.mutes, self.active_hours, zone)
