"""The format of a catalogue file: the keys of its entries, their types and their meaning."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, Field, ValidationInfo, field_validator, model_validator

from metrics_platform.detection.config import DetectorConfig, Kind, MonitorConfig, Strict
from metrics_platform.expressions import problem_of
from metrics_platform.setting_types import Table, ZoneName

# Displayed as a count, as per cent, or as a number with decimals. Changes of shares are in percentage points.
Unit = Literal["count", "share", "ratio"]
Titles = dict[Literal["en", "ru"], str]

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
# The slices of everything, of unknown values, and of all values beyond the largest ones.
RESERVED = {"total", "unknown", "other"}
PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


def _check_sql(value: str) -> str:
    if problem := problem_of(value):
        raise ValueError(problem)
    return value


def _check_distinct(value: tuple[str, ...]) -> tuple[str, ...]:
    if repeated := sorted({name for name in value if value.count(name) > 1}):
        raise ValueError(f"{', '.join(repeated)} is given twice; keep one of them")
    return value


def _check_increasing(value: tuple[float, float]) -> tuple[float, float]:
    if not 0 < value[0] <= value[1]:
        raise ValueError("write two increasing numbers, such as [1, 3]")
    return value


def _check_column(value: str) -> str:
    if value in ("user", "receiver", "time"):
        raise ValueError(f"write it as the key `{value}` of the source")
    return value


_Sql = Annotated[str, AfterValidator(_check_sql)]
_Columns = dict[Annotated[str, AfterValidator(_check_column)], _Sql | None]
_Names = Annotated[tuple[str, ...], AfterValidator(_check_distinct)]
_StaleHours = Annotated[tuple[float, float], AfterValidator(_check_increasing)]


class SourceEntry(Strict):
    """A table of events. `user`, `receiver`, `time`, `where` and `columns` are SQL expressions over a row."""

    table: Table = Field(description="A table or a view, as database.table. Put backticks around parts with dots.")
    user: _Sql | None = Field(
        default=None, description="Who made the event, as an integer. For other ids: sipHash64(…)."
    )
    receiver: _Sql | None = Field(
        default=None, description="Who received it, as an integer. Rows without a receiver are ignored."
    )
    time: _Sql = Field(default="time", description="When the event happened, as DateTime or DateTime64.")
    where: _Sql | None = Field(default=None, description="Condition that a row must meet to count as an event.")
    columns: _Columns = Field(
        default={}, description="Names for SQL expressions over the row. null: the source does not have this column."
    )
    dimensions: _Names = Field(default=(), description="The dimensions that its events can be sliced by.")
    timezone: ZoneName | None = Field(
        default=None, description="Time zone of times that are stored as text. If set, they are parsed."
    )
    lag_seconds: int | None = Field(
        default=None, ge=0, le=3600, description="How long events take to arrive. Default: METRICS_SLOT_LAG_SECONDS."
    )
    stale_hours: _StaleHours = Field(
        default=(1.0, 3.0), description="Hours of expected events missing until a warning, and until a critical alert."
    )
    title: Titles = Field(default={}, description="Display name, by language.")
    description: str = Field(default="", description="One or two sentences for Dagster's UI.")
    enabled: bool = Field(default=True, description="false: neither the source nor its metrics are computed.")


class DimensionEntry(Strict):
    """What events are sliced by."""

    sql: _Sql | None = Field(
        default=None, description="SQL over a row; NULL and empty text are `unknown`. Default: the name."
    )
    monitor: bool | None = Field(
        default=None,
        description="Whether the 15-minute metrics are sliced by it. Default: true for your own dimensions, "
        "METRICS_MONITORED_DIMENSIONS for the built-in ones.",
    )
    values: int = Field(default=50, ge=1, le=10_000, description="Number of values kept per day. The rest is `other`.")
    title: Titles = Field(default={}, description="Display name, by language.")


class ReportEntry(Strict):
    """Where the morning report shows a metric."""

    section: str = Field(description="Section of the report. It consists of the metrics that name it.")


_MONITOR_FIELDS: Any = MonitorConfig.model_fields


class MonitorEntry(DetectorConfig):
    """How a metric is evaluated."""

    slices: DetectorConfig | Literal[False] = Field(
        default_factory=DetectorConfig,
        description="What differs for slices, which inherit from the total. false: they are not evaluated.",
    )
    critical_change: float = _MONITOR_FIELDS["critical_change"]
    muted_until: AwareDatetime | None = _MONITOR_FIELDS["muted_until"]


class MetricEntry(Strict):
    """A metric: an aggregate over the rows of a source (`source` and `sql`), or a quotient of two metrics."""

    source: str | None = Field(default=None, description="The source whose rows it is computed from.")
    sql: _Sql | None = Field(default=None, description="An aggregate over the rows, such as countIf(action = 'view').")
    numerator: str | None = Field(default=None, description="A metric with `sql`, divided by `denominator`.")
    denominator: str | None = Field(default=None, description="A metric with `sql`.")
    kind: Kind | None = Field(
        default=None,
        description="count: a number of things, with counting noise. gauge: any other number. share: a quotient whose "
        "numerator is part of its denominator. ratio: any other quotient. Default: count for aggregates that count, "
        "gauge for others, ratio for quotients.",
    )
    empty: Literal["zero", "unknown"] | None = Field(
        default=None,
        description="Meaning of a slot without rows. Default: zero for counts and sums, unknown for the rest.",
    )
    unit: str = Field(default="", max_length=8, description="Unit written after the value, such as €.")
    title: Titles = Field(default={}, description="Display name, by language. Default: the name.")
    short: Titles = Field(default={}, description="Display name in tables, best at most 12 characters.")
    description: str = Field(default="", description="What it measures, in one sentence.")
    monitor: MonitorEntry | Literal[False] = Field(
        default_factory=MonitorEntry,
        description="How the 15-minute values are evaluated (docs/catalog.md). false: not at all.",
    )
    report: ReportEntry | Literal[False] | None = Field(default=None, description="Where the morning report shows it.")
    was: str | None = Field(default=None, description="Former name. Its history and incidents move to the new name.")
    enabled: bool = Field(default=True, description="false: the metric is not computed.")

    @field_validator("kind")
    @classmethod
    def _check_kind(cls, value: Kind | None, info: ValidationInfo) -> Kind | None:
        if info.data.get("sql") is not None and value in ("share", "ratio"):
            raise ValueError("is for quotients; write `numerator` and `denominator`, or another kind")
        if info.data.get("numerator") is not None and value in ("count", "gauge"):
            raise ValueError("a quotient is a share or a ratio")
        return value

    @model_validator(mode="after")
    def _check_definition(self) -> Self:
        if not self.enabled:
            return self
        given = {key for key in ("source", "sql", "numerator", "denominator") if getattr(self, key) is not None}
        if given not in ({"source", "sql"}, {"numerator", "denominator"}):
            parts = ", ".join(sorted(given)) or "nothing to compute it from"
            raise ValueError(f"has {parts}; write `source` and `sql`, or `numerator` and `denominator`")
        return self


class DailyEntry(Strict):
    """The display names of a column of `app_daily` that is not a metric of the catalogue."""

    title: Titles = Field(default={}, description="Display name, by language.")
    short: Titles = Field(default={}, description="Display name in tables, best at most 12 characters.")


class CatalogFile(Strict):
    """The format of `metrics.yaml` and of the file that METRICS_CATALOG names."""

    sources: dict[str, SourceEntry] = Field(default={}, description="Tables of events, by name.")
    dimensions: dict[str, DimensionEntry] = Field(default={}, description="What events are sliced by, by name.")
    metrics: dict[str, MetricEntry] = Field(default={}, description="The metrics, by name.")
    daily: dict[str, DailyEntry] = Field(default={}, description="The other numbers of the report, by name.")
