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
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from metrics_platform.builtin_entries import DAILY_DIMENSIONS, further_dimensions
from metrics_platform.channel_settings import ChannelSettings
from metrics_platform.connection import parse_url
from metrics_platform.health_settings import HealthSettings
from metrics_platform.monitor_settings import MonitorSettings
from metrics_platform.redaction import mask, secrets_of_url
from metrics_platform.retention_settings import RetentionSettings
from metrics_platform.setting_errors import choose, explained, without_secrets
from metrics_platform.setting_lists import split_distinct
from metrics_platform.table_names import parse_table_name

PREFIX = "METRICS_"
# Prefixes of the channels' settings. Other programs use them too, so an unknown name with one of these is rejected only
# if it resembles a setting.
CHANNEL_PREFIXES = ("TELEGRAM_", "SLACK_", "SMTP_", "EMAIL_")

# Removed settings, each with its replacement.
_REMOVED = {
    "METRICS_MONITORING_FILE": "METRICS_CATALOG replaces it. Run `metrics-platform convert-monitoring FILE > "
    "catalogue.yaml`, set METRICS_CATALOG=catalogue.yaml, and remove METRICS_MONITORING_FILE.",
}
# Every table needs a path of its own.
_ENGINE = re.compile(
    r"MergeTree|ReplicatedMergeTree(\('[^'\\]*\{(table|uuid)\}[^'\\]*', '[^'\\]*\{replica\}[^'\\]*'\))?"
)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class SettingsError(ValueError):
    """A setting is unknown, missing or invalid; the text names each with its value and the remedy."""


class Settings(ChannelSettings, MonitorSettings, HealthSettings, RetentionSettings):
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
        populate_by_name=True,  # overrides use field names, even where the environment's name is an alias
    )

    clickhouse_url: SecretStr | None = Field(
        None,
        description="ClickHouse as http(s)://user:password@host:port/database. The platform's tables are in that "
        "database. Not set: the embedded server in METRICS_DATA_DIR.",
    )
    clickhouse_ca_file: Path | None = Field(
        None, description="Certificate authority (PEM) to trust for https, if the system's are not enough."
    )
    clickhouse_engine: str = Field(
        "MergeTree",
        description="The engine of the platform's tables: MergeTree (which ClickHouse Cloud replicates), "
        "ReplicatedMergeTree, or ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}').",
    )
    clickhouse_cluster: str | None = Field(
        None,
        description="A cluster of the server. Set: METRICS_CLICKHOUSE_URL may be a load balancer, tables are created "
        "ON CLUSTER, and every replica has what was written. In ClickHouse Cloud: default. Not set: one server.",
    )
    clickhouse_timeout_seconds: int = Field(
        600, ge=1, le=86_400, description="Time limit of a ClickHouse query, in seconds."
    )
    clickhouse_max_memory_mb: int = Field(
        4096,
        ge=64,
        description="Memory limit of a ClickHouse query, in MiB. GROUP BY and ORDER BY spill to disk at a quarter of "
        "it.",
    )
    feed_table: str = Field("simulator.feed_actions", description="Table of feed events, as database.table.")
    messages_table: str = Field(
        "simulator.message_actions", description="Table of messenger events, as database.table."
    )
    receiver_column: str = Field(
        "receiver_id", description="Receiver column of the messages table; `reciever_id` in older dumps."
    )
    timezone: str = Field("UTC", description="The product's time zone (IANA name). Days begin and end in this zone.")
    start_date: datetime.date = Field(
        datetime.date(2026, 1, 1),
        description="First day (YYYY-MM-DD) to compute. Earlier events only go into the first snapshot of users.",
    )
    end_date: datetime.date | None = Field(
        None, description="Last day (YYYY-MM-DD) to compute, if the product's events have ended. Not set: yesterday."
    )
    etl_at: datetime.time = Field(
        datetime.time(0, 5), description="Local time (HH:MM) of the nightly load, `daily_etl`."
    )
    report_at: datetime.time = Field(
        datetime.time(11), description="Local time (HH:MM) of the morning report, `daily_report`."
    )
    report_metrics: Annotated[tuple[str, ...], NoDecode] = Field(
        ("app_dau", "views", "likes", "ctr", "messages_sent", "new_users", "retention_d1"),
        description="The metrics that the morning report shows first, comma-separated: columns of `app_daily`, or "
        "metrics of a report section of the catalogue.",
    )
    schedules_on: bool = Field(
        True,
        description="Whether the schedules (nightly load, morning report, 15-minute check) are on when Dagster starts. "
        "A schedule that you switch on or off in Dagster's UI keeps that state.",
    )
    recompute_days: int = Field(
        2,
        ge=1,
        le=31,
        description="Number of complete days that the nightly load computes: yesterday, and the days before it again "
        "for late events.",
    )
    late_events_pct: float = Field(
        1.0,
        ge=0,
        le=100,
        description="Share of a day's events, in per cent of the source's count, that may arrive between the extracts "
        "and the tables computed from them. Up to this share is a warning; above it, the day is not published.",
    )
    extra_dimensions: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Dimensions in addition to os, gender and age, comma-separated: age_group, source, country, city, "
        "exp_group.",
    )
    owner: str = Field(
        "team:metrics",
        description="Owner of the assets in Dagster's UI: an e-mail address or team:name.",
    )
    data_dir: Path = Field(Path(".metrics"), description="Folder for the embedded ClickHouse and the outbox.")

    @field_validator("*", mode="before")
    @classmethod
    def _check_no_secret(cls, value: Any, info: ValidationInfo) -> Any:
        """Reject secrets in other settings, which Dagster and messages show."""
        parts = value if isinstance(value, tuple | list) else (value,)
        shows = any(isinstance(part, str | Path) and mask(str(part)) != str(part) for part in parts)
        if shows and not _is_secret(str(info.field_name)):
            raise ValueError(
                "it looks like it contains a token, a webhook or a password, but this setting is not secret. Put "
                "secrets into TELEGRAM_BOT_TOKEN, SLACK_WEBHOOK_URL, SMTP_URL and METRICS_CLICKHOUSE_URL only"
            )
        return value

    @field_validator("clickhouse_url")
    @classmethod
    def _check_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_url(value.get_secret_value())
        return value

    @field_validator("clickhouse_engine")
    @classmethod
    def _check_engine(cls, value: str) -> str:
        if not _ENGINE.fullmatch(value):
            raise ValueError(
                "write MergeTree, ReplicatedMergeTree, or ReplicatedMergeTree('path', '{replica}') with {table} or "
                "{uuid} in the path"
            )
        return value

    @field_validator("clickhouse_cluster")
    @classmethod
    def _check_cluster(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z_][\w.-]*", value):
            raise ValueError("write the name of a cluster, as in system.clusters")
        return value

    @field_validator("feed_table", "messages_table")
    @classmethod
    def _check_table(cls, value: str) -> str:
        parse_table_name(value)
        return value

    @field_validator("receiver_column")
    @classmethod
    def _check_column(cls, value: str) -> str:
        if not _IDENTIFIER.fullmatch(value):
            raise ValueError("write a column name of letters, digits and _ only")
        return value

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, value: str) -> str:
        try:
            zoneinfo.ZoneInfo(value)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            # Suggest only names of places: MST is close to MSK, but another zone.
            places = [name for name in zoneinfo.available_timezones() if "/" in name]
            near = difflib.get_close_matches(value, places, n=1, cutoff=0.6)
            hint = f"; did you mean {near[0]}?" if near else ", such as Europe/Moscow"
            raise ValueError(f"use an IANA time zone name{hint}") from None
        return value

    @field_validator("etl_at", "report_at")
    @classmethod
    def _check_minute(cls, value: datetime.time) -> datetime.time:
        if value.second or value.microsecond or value.tzinfo:
            raise ValueError("write it as HH:MM, local time")
        return value

    @field_validator("extra_dimensions", "report_metrics", mode="before")
    @classmethod
    def _split_dimensions(cls, value: Any) -> Any:
        return split_distinct(value)

    @field_validator("report_metrics")
    @classmethod
    def _check_report_metrics(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not _IDENTIFIER.fullmatch(name):
                raise ValueError("write names of metrics, such as app_dau,views,ctr")
        return value

    @field_validator("extra_dimensions")
    @classmethod
    def _check_dimensions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in further_dimensions():
                raise ValueError(choose(name, further_dimensions()))
        return value

    @field_validator("owner")
    @classmethod
    def _check_owner(cls, value: str) -> str:
        if not re.fullmatch(r"team:[A-Za-z0-9_-]+|[^@\s:]+@[^@\s:]+\.[^@\s:]+", value):
            raise ValueError("use an e-mail address, or team:name with letters, digits, _ and -")
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


@lru_cache(maxsize=1)
def current_settings() -> Settings:
    """The settings of this process; read once."""
    return load_settings()


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
    foreign = name.startswith(CHANNEL_PREFIXES)
    near = difflib.get_close_matches(name, sorted(_known_names()), n=1, cutoff=0.8 if foreign else 0.5)
    if foreign and not near:
        return None
    hint = f"did you mean {near[0]}? " if near else ""
    remedy = f"{hint}Remove it or correct its name (.env.example lists the settings)."
    return f"{without_secrets(name)} is not a setting: {remedy}"


def _problem(detail: Any, given: Mapping[str, str], overrides: Mapping[str, Any]) -> str:
    if not detail["loc"]:  # about several settings at once: the text names them
        return without_secrets(f"{str(detail['msg']).removeprefix('Value error, ')}. Correct one of them.")
    named = {setting_name(field): field for field in Settings.model_fields}
    field = named.get(str(detail["loc"][0]), str(detail["loc"][0]))
    name = setting_name(field)
    text = explained(detail, Settings.model_fields[field])
    value = "(secret)" if _is_secret(field) else repr(overrides.get(field, given.get(name, "")))
    end = "" if text.endswith("?") else "."
    # The value may be another setting's secret, set here by mistake, and some texts repeat the value.
    misplaced = [secret for secret in _secrets(given, overrides) if secret in value]
    problem = without_secrets(f"{name} = {value}: {text}{end}", misplaced)
    return f"{problem} It means: {Settings.model_fields[field].description}"


def _is_secret(field: str) -> bool:
    return Settings.model_fields[field].annotation == (SecretStr | None)


def _secrets(given: Mapping[str, str], overrides: Mapping[str, Any]) -> Iterator[str]:
    """The values of the secret settings, as they were given."""
    for field in filter(_is_secret, Settings.model_fields):
        value = overrides.get(field, given.get(setting_name(field), ""))
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value or "")
        yield from secrets_of_url(text) if "://" in text else (text,)
