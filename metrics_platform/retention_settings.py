"""Retention settings: how long to keep the monitor's tables and the staging tables of killed runs."""

from __future__ import annotations

from pydantic import Field

from metrics_platform.settings_part import SettingsPart


class RetentionSettings(SettingsPart):
    """Part of `Settings`: names as there, `METRICS_…`."""

    keep_slots_days: int = Field(
        400,
        ge=60,
        le=36_500,
        description="Days to keep `slot_metrics` and `verdicts`. The detectors need 32 days, the volume check five "
        "weeks.",
    )
    keep_incidents_days: int = Field(
        1100, ge=60, le=36_500, description="Days to keep `incidents` and `monitored_slots`. Whole months are dropped."
    )
    keep_staging_hours: int = Field(
        24,
        ge=1,
        le=8760,
        description="Hours to keep staging tables that killed runs left for tables no longer computed. Those of other "
        "tables are dropped when the table is computed again.",
    )
