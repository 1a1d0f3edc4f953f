"""The settings of retention: for how many days the monitor's tables are kept, and for how many hours what runs left."""

from __future__ import annotations

from pydantic import Field

from metrics_platform.settings_part import SettingsPart


class RetentionSettings(SettingsPart):
    """Part of `Settings`: names as there, `METRICS_…`."""

    keep_slots_days: int = Field(
        400,
        ge=60,
        le=36_500,
        description="How many days `slot_metrics` and `verdicts` are kept; judging needs 32, volumes five weeks.",
    )
    keep_incidents_days: int = Field(
        1100, ge=60, le=36_500, description="How many days `incidents` and `monitored_slots` are kept, by month."
    )
    keep_staging_hours: int = Field(
        24,
        ge=1,
        le=8760,
        description="What killed runs left of tables that are not computed any more goes after so many hours; what "
        "they left of others goes when these are computed again.",
    )
