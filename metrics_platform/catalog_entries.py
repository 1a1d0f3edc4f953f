"""The format of a catalogue file: the keys of its entries, their types and their meaning."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field

from metrics_platform.detection.config import Kind, Strict

# Displayed as a count, as per cent, or as a number with decimals. Changes of shares are in percentage points.
Unit = Literal["count", "share", "ratio"]
Titles = dict[Literal["en", "ru"], str]

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


class SourceEntry(Strict):
    """A table of events. `user`, `receiver`, `time`, `where` and `columns` are SQL expressions over a row."""

    table: str = Field(description="A table or a view, as database.table. Put backticks around parts with dots.")
    user: str | None = Field(
        default=None, description="Who made the event, as an integer. For other ids: sipHash64(…)."
    )
    receiver: str | None = Field(
        default=None, description="Who received it, as an integer. Rows without a receiver are ignored."
    )
    time: str = Field(default="time", description="When the event happened, as DateTime or DateTime64.")
    where: str | None = Field(default=None, description="Condition that a row must meet to count as an event.")
    columns: dict[str, str | None] = Field(
        default={}, description="Names for SQL expressions over the row. null: the source does not have this column."
    )
    dimensions: tuple[str, ...] = Field(default=(), description="The dimensions that its events can be sliced by.")
    timezone: str | None = Field(
        default=None, description="Time zone of times that are stored as text. If set, they are parsed."
    )
    lag_seconds: int | None = Field(
        default=None, ge=0, le=3600, description="How long events take to arrive. Default: METRICS_SLOT_LAG_SECONDS."
    )
    stale_hours: tuple[float, float] = Field(
        default=(1.0, 3.0), description="Hours of expected events missing until a warning, and until a critical alert."
    )
    title: Titles = Field(default={}, description="Display name, by language.")
    description: str = Field(default="", description="One or two sentences for Dagster's UI.")
    enabled: bool = Field(default=True, description="false: neither the source nor its metrics are computed.")


class DimensionEntry(Strict):
    """What events are sliced by."""

    sql: str | None = Field(
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


class MetricEntry(Strict):
    """A metric: an aggregate over the rows of a source (`source` and `sql`), or a quotient of two metrics."""

    source: str | None = Field(default=None, description="The source whose rows it is computed from.")
    sql: str | None = Field(default=None, description="An aggregate over the rows, such as countIf(action = 'view').")
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
    short: Titles = Field(default={}, description="Display name in tables, at most 10 characters.")
    description: str = Field(default="", description="What it measures, in one sentence.")
    monitor: dict[str, Any] | Literal[False] = Field(
        default={}, description="How the 15-minute values are evaluated (docs/catalog.md). false: not at all."
    )
    report: ReportEntry | Literal[False] | None = Field(default=None, description="Where the morning report shows it.")
    was: str | None = Field(default=None, description="Former name. Its history and incidents move to the new name.")
    enabled: bool = Field(default=True, description="false: the metric is not computed.")


class DailyEntry(Strict):
    """The display names of a column of `app_daily` that is not a metric of the catalogue."""

    title: Titles = Field(default={}, description="Display name, by language.")
    short: Titles = Field(default={}, description="Display name in tables, at most 10 characters.")


class CatalogFile(Strict):
    """The format of `metrics.yaml` and of the file that METRICS_CATALOG names."""

    sources: dict[str, SourceEntry] = Field(default={}, description="Tables of events, by name.")
    dimensions: dict[str, DimensionEntry] = Field(default={}, description="What events are sliced by, by name.")
    metrics: dict[str, MetricEntry] = Field(default={}, description="The metrics, by name.")
    daily: dict[str, DailyEntry] = Field(default={}, description="The other numbers of the report, by name.")
