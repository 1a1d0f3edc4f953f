"""Every setting of the platform: name, type, default and meaning.

Settings come from the environment and from `.env` in the working directory (the environment wins). One error lists
every unknown, missing or invalid setting with its value and the remedy, so that nothing runs on a typo. Secret settings
are `SecretStr` and are never printed.
"""

from __future__ import annotations

import datetime
import difflib
import os
import re
import zoneinfo
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from metrics_platform import setting_types as types
from metrics_platform.builtin_entries import DAILY_DIMENSIONS
from metrics_platform.channel_settings import ChannelSettings
from metrics_platform.monitor_settings import HealthSettings, MonitorSettings
from metrics_platform.redaction import MASK, mask, secrets_of_url
from metrics_platform.suggestions import remedy_of

PREFIX = "METRICS_"
# Prefixes of the channels' settings. Other programs use them too, so an unknown name with one of these is rejected only
# if it resembles a setting.
CHANNEL_PREFIXES = ("TELEGRAM_", "SLACK_", "SMTP_", "EMAIL_")

# Removed settings, each with its replacement.
_REMOVED = {
    "METRICS_MONITORING_FILE": "METRICS_CATALOG replaces it. Write each metric's keys under `metrics.NAME.monitor` of "
    "a catalogue (docs/operations.md#upgrades), set METRICS_CATALOG to it, and remove METRICS_MONITORING_FILE.",
}

# What looks like a service's key: a long word of small and capital letters and digits.
_KEY = re.compile(r"(?<![\w-])(?=[\w-]*[a-z])(?=[\w-]*[A-Z])(?=[\w-]*\d)[\w-]{24,}", re.ASCII)


class SettingsError(ValueError):
    """A setting is unknown, missing or invalid; the text names each with its value and the remedy."""


class Settings(ChannelSettings, MonitorSettings, HealthSettings):
    """The platform's settings. The field `clickhouse_url` is read from `METRICS_CLICKHOUSE_URL`, and so on."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",  # `.env` also has other programs' names; `load_settings` checks those with our prefixes
        frozen=True,
        hide_input_in_errors=True,
        env_ignore_empty=True,
        defer_build=False,  # unlike its parts
        use_attribute_docstrings=True,
        populate_by_name=True,  # overrides use field names, even where the environment's name is an alias
    )

    clickhouse_url: types.ClickHouseUrl = None
    """ClickHouse as http(s)://user:password@host:port/database. The platform's tables are in that database. Not set:
    the embedded server in METRICS_DATA_DIR."""
    clickhouse_ca_file: Path | None = None
    """Certificate authority (PEM) to trust for https, if the system's are not enough."""
    clickhouse_engine: types.Engine = "MergeTree"
    """The engine of the platform's tables: MergeTree (which ClickHouse Cloud replicates), ReplicatedMergeTree, or
    ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')."""
    clickhouse_cluster: types.Cluster | None = None
    """A cluster of the server; in ClickHouse Cloud: default. If set, METRICS_CLICKHOUSE_URL may be a load balancer:
    tables are created ON CLUSTER, and every write reaches all replicas. Not set: one server."""
    clickhouse_timeout_seconds: int = Field(600, ge=1, le=86_400)
    """Time limit of a ClickHouse query, in seconds."""
    clickhouse_max_memory_mb: int = Field(4096, ge=64)
    """Memory limit of a ClickHouse query, in MiB. GROUP BY and ORDER BY spill to disk at half of it."""
    feed_table: types.Table = "simulator.feed_actions"
    """Table of feed events, as database.table."""
    messages_table: types.Table = "simulator.message_actions"
    """Table of messenger events, as database.table."""
    receiver_column: types.ColumnName = "receiver_id"
    """Receiver column of the messages table; `reciever_id` in older dumps."""
    timezone: types.ZoneName = "UTC"
    """The product's time zone (IANA name). Days begin and end in this zone."""
    start_date: datetime.date = datetime.date(2026, 1, 1)
    """First day (YYYY-MM-DD) to compute. Earlier events only go into the first snapshot of users."""
    end_date: datetime.date | None = None
    """Last day (YYYY-MM-DD) to compute, if the product's events have ended. Not set: yesterday."""
    etl_at: types.Minute = datetime.time(0, 5)
    """Local time (HH:MM) of the nightly load, `daily_etl`."""
    report_at: types.Minute = datetime.time(11)
    """Local time (HH:MM) of the morning report, `daily_report`."""
    report_metrics: types.MetricNames = (
        "app_dau",
        "views",
        "likes",
        "ctr",
        "messages_sent",
        "new_users",
        "retention_d1",
    )
    """The metrics that the morning report shows first, comma-separated: columns of `app_daily`, or metrics of a report
    section of the catalogue."""
    schedules_on: bool = True
    """Whether the schedules (nightly load, morning report, 15-minute check) are on when Dagster starts. A schedule that
    you switch on or off in Dagster's UI keeps that state."""
    recompute_days: int = Field(2, ge=1, le=31)
    """Number of complete days that the nightly load computes: yesterday, and the days before it again for late
    events."""
    late_events_pct: float = Field(1.0, ge=0, le=100)
    """Share of a day's events, in per cent of the source's count, that may arrive between the extracts and the tables
    computed from them. Up to this share is a warning; above it, the day is not published."""
    extra_dimensions: types.FurtherDimensions = ()
    """Dimensions in addition to os, gender and age, comma-separated: age_group, source, country, city, exp_group."""
    owner: types.Owner = "team:metrics"
    """Owner of the assets in Dagster's UI: an e-mail address or team:name."""
    data_dir: Path = Path(".metrics")
    """Folder for the embedded ClickHouse and the outbox."""

    keep_slots_days: int = types.days(400, 60)
    """Days to keep `slot_metrics` and `verdicts`. The detectors need 32 days, the volume check five weeks."""
    keep_incidents_days: int = types.days(1100, 60)
    """Days to keep `incidents` and `monitored_slots`. Whole months are dropped."""
    keep_users_days: int = types.days(35, 35)
    """Days to keep `users`, `feed_user_daily` and `message_user_daily`. Of `users`, the first day of each month is kept
    too: older days are computed again from the nearest one."""
    keep_user_daily_days: int = types.days(400, 35)
    """Days to keep `user_daily`, which has a row per user and day."""
    keep_daily_days: int = types.days(36_500, 60)
    """Days to keep the results: slices, `dimension_metrics`, `app_daily`, `user_cohorts`, `metric_daily`."""
    keep_runs_days: int = types.days(14, 3)
    """Days that Dagster keeps every run. Older runs are kept as long as they hold a partition's latest materialisation
    or a message."""
    keep_staging_hours: int = Field(24, ge=1, le=8760)
    """Hours to keep staging tables that killed runs left for tables no longer computed. Those of other tables are
    dropped when the table is computed again."""

    @field_validator("*", mode="before")
    @classmethod
    def _check_no_secret(cls, value: Any, info: ValidationInfo) -> Any:
        """Reject secrets in other settings, which Dagster and messages show."""
        parts = value if isinstance(value, tuple | list) else (value,)
        shows = any(isinstance(part, str | Path) and mask(str(part)) != str(part) for part in parts)
        if shows and not is_secret(str(info.field_name)):
            raise ValueError(
                "it looks like it contains a token, a webhook or a password, but this setting is not secret. Put "
                "secrets into TELEGRAM_BOT_TOKEN, SLACK_WEBHOOK_URL, SMTP_URL and METRICS_CLICKHOUSE_URL only"
            )
        return value

    @model_validator(mode="after")
    def _check_dates(self) -> Settings:
        if self.end_date is not None and self.end_date < self.start_date:
            raise ValueError(f"METRICS_END_DATE = {self.end_date} is before METRICS_START_DATE = {self.start_date}")
        return self

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The dimensions of `dimension_metrics`: os, gender and age, then METRICS_EXTRA_DIMENSIONS."""
        return (*DAILY_DIMENSIONS, *self.extra_dimensions)

    @property
    def outbox(self) -> Path:
        """The folder that messages are written to in a dry run."""
        return self.data_dir / "outbox"

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        """The product's time zone."""
        return zoneinfo.ZoneInfo(self.timezone)


def load_settings(env_file: Path | None = Path(".env"), **overrides: Any) -> Settings:
    """Read the settings from the environment and `env_file`; `overrides` (field names) win over both.

    Raises:
        SettingsError: naming every unknown or invalid setting, its value (unless secret) and the remedy.
    """
    given = given_values(env_file)
    problems = [text for name in sorted(given) if (text := _unknown(name))]
    try:
        settings = Settings(_env_file=env_file, **overrides)  # type: ignore[call-arg]  # pydantic-settings' own
    except ValidationError as error:
        problems += list(dict.fromkeys(_problem(detail, given, overrides) for detail in error.errors()))
        settings = None
    if problems or settings is None:
        raise SettingsError("\n".join(["The settings are not valid:", *(f"  - {p}" for p in problems)]))
    return settings


def setting_name(field: str) -> str:
    """The name a field of `Settings` has in the environment."""
    alias = Settings.model_fields[field].validation_alias
    return str(alias) if alias else PREFIX + field.upper()


def _known_names() -> set[str]:
    return {setting_name(field) for field in Settings.model_fields}


def given_values(env_file: Path | None) -> dict[str, str]:
    """The names with the platform's prefixes in the environment and in `env_file`, with their values."""
    from dotenv import dotenv_values  # noqa: PLC0415  (a dependency of pydantic-settings)

    values: Mapping[str, str | None] = {}
    if env_file is not None and env_file.exists():
        values = dotenv_values(env_file, encoding="utf-8")
    merged = {**values, **os.environ}
    prefixes = (PREFIX, *CHANNEL_PREFIXES)
    given = {name.upper(): value or "" for name, value in merged.items()}
    # Include METRIC_TIMEZONE and the like: a missing S is a typo, since no other program uses such a name.
    misspelt = {f"METRIC_{name.removeprefix(PREFIX)}" for name in _known_names() if name.startswith(PREFIX)}
    return {name: value for name, value in given.items() if name.startswith(prefixes) or name in misspelt}


def _unknown(name: str) -> str | None:
    """The error for a name that is not a setting; None if it is one, or may belong to another program."""
    if name in _known_names():
        return None
    if name in _REMOVED:
        return f"{name} is no longer a setting: {_REMOVED[name]}"
    may_be_foreign = name.startswith(CHANNEL_PREFIXES)
    near = difflib.get_close_matches(name, sorted(_known_names()), n=1, cutoff=0.8 if may_be_foreign else 0.5)
    if may_be_foreign and not near:
        return None
    hint = f"did you mean {near[0]}? " if near else ""
    remedy = f"{hint}Remove it or correct its name (.env.example lists the settings)."
    return f"{without_secrets(name)} is not a setting: {remedy}"


def _problem(detail: Any, given: Mapping[str, str], overrides: Mapping[str, Any]) -> str:
    if not detail["loc"]:  # about several settings at once: the text names them
        return without_secrets(f"{remedy_of(detail)}. Correct one of them.")
    named = {setting_name(field): field for field in Settings.model_fields}
    field = named.get(str(detail["loc"][0]), str(detail["loc"][0]))
    name = setting_name(field)
    text = remedy_of(detail)
    value = "(secret)" if is_secret(field) else repr(overrides.get(field, given.get(name, "")))
    end = "" if text.endswith("?") else "."
    # The value may be another setting's secret, set here by mistake, and some texts repeat the value.
    exposed = [secret for secret in _secrets(given, overrides) if secret in value]
    problem = without_secrets(f"{name} = {value}: {text}{end}", exposed)
    return f"{problem} It means: {meaning_of(field)}"


def meaning_of(field: str) -> str:
    """The meaning of a field of `Settings`, in one line."""
    return " ".join((Settings.model_fields[field].description or "").split())


def is_secret(field: str) -> bool:
    """Whether a field of `Settings` is never shown."""
    return Settings.model_fields[field].annotation == (SecretStr | None)


def _secrets(given: Mapping[str, str], overrides: Mapping[str, Any]) -> Iterator[str]:
    """The values of the secret settings, as they were given."""
    for field in filter(is_secret, Settings.model_fields):
        value = overrides.get(field, given.get(setting_name(field), ""))
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value or "")
        yield from secrets_of_url(text) if "://" in text else (text,)


def without_secrets(text: str, secrets: Iterable[str] = ()) -> str:
    """Mask the known `secrets` in `text`, and whatever looks like one: any setting may hold a secret by mistake."""
    return _KEY.sub(MASK, mask(text, secrets))
