"""The settings of retention: for how many days tables and runs are kept, and for how many hours what runs left."""

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
    keep_users_days: int = Field(
        35,
        ge=35,
        le=36_500,
        description="How many days `users`, `feed_user_daily` and `message_user_daily` are kept. Of `users` the first "
        "day of each month stays, too: older days are computed again from the nearest one.",
    )
    keep_user_daily_days: int = Field(
        400, ge=35, le=36_500, description="How many days `user_daily` is kept, which has a row per user and day."
    )
    keep_daily_days: int = Field(
        36_500,
        ge=60,
        le=36_500,
        description="How many days the results are kept: slices, `dimension_metrics`, `app_daily`, `metric_daily`.",
    )
    keep_runs_days: int = Field(
        14,
        ge=3,
        le=36_500,
        description="How many days Dagster keeps every run. Older ones stay as long as a partition's latest "
        "materialisation or a message is in them.",
    )
    keep_staging_hours: int = Field(
        24,
        ge=1,
        le=8760,
        description="Hours to keep staging tables that killed runs left for tables no longer computed. Those of other "
        "tables are dropped when the table is computed again.",
    )
