"""The catalogue of sources, dimensions and metrics: the one place that defines them.

The built-in catalogue is `metrics.yaml` beside this file. The file that METRICS_CATALOG names has the same format and
is merged on top: it adds entries and overrides any key of existing ones. Errors name the entry, the key, the value and
the remedy. `warehouse/catalog_check.py` checks what only ClickHouse knows: tables, columns and types.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from metrics_platform import expressions
from metrics_platform.builtin_entries import builtin_entries
from metrics_platform.catalog_entries import (
    CatalogFile,
    DailyEntry,
    DimensionEntry,
    MetricEntry,
    ReportEntry,
    SourceEntry,
    Unit,
)
from metrics_platform.catalog_file import (
    CatalogError,
    fill_placeholders,
    merged,
    problem_texts,
    read_file,
    reference_problems,
)
from metrics_platform.detection.config import DetectorConfig, Kind, MonitorConfig
from metrics_platform.settings import Settings
from metrics_platform.table_names import TableName, parse_table_name

# There are dozens of slices per total, so each must raise far fewer false alerts, or readers stop paying attention.
_SLICE_VOLUME = 3
_SLICE_DEFAULTS: Mapping[str, Any] = {
    "seasonal": {"slot_threshold": 4.9, "hour_threshold": 4.9, "two_hours_threshold": 4.9}
}


@dataclass(frozen=True)
class Dimension:
    """What events are sliced by.

    Attributes:
        sql: an expression over a row.
        values: how many values are kept per day.
        is_monitored: whether the 15-minute metrics are sliced by it.
        is_builtin: whether it is unchanged from the built-in catalogue; then a source may lack its column.
    """

    name: str
    sql: str
    values: int
    is_monitored: bool
    is_builtin: bool
    title: Mapping[str, str]


@dataclass(frozen=True)
class Source:
    """A table of events and how its rows are mapped. See `SourceEntry` for the attributes.

    `definition` is a hash of everything that its rows and slices depend on.
    """

    name: str
    table: TableName
    user: str | None
    receiver: str | None
    time: str
    where: str | None
    columns: Mapping[str, str | None]
    dimensions: tuple[Dimension, ...]
    timezone: str | None
    definition: int
    lag: datetime.timedelta
    stale_limits: tuple[datetime.timedelta, datetime.timedelta]
    title: Mapping[str, str]
    description: str

    @property
    def monitored_dimensions(self) -> tuple[Dimension, ...]:
        """The dimensions that the 15-minute metrics are sliced by."""
        return tuple(dimension for dimension in self.dimensions if dimension.is_monitored)

    @property
    def events_metric(self) -> str:
        """The name under which its number of events is stored beside its metrics; no metric can have this name."""
        return f"{self.name}.events"


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        source: the source of its rows; for a quotient, the numerator's source.
        sql: an aggregate over the rows; None for a quotient, which has a numerator and a denominator instead.
        kind: how the detectors treat a value.
        empty: what a slot without rows means.
        monitor: how its 15-minute values are evaluated.
        definition: a hash of everything that its values depend on. Values of different definitions are not comparable.
    """

    name: str
    source: str
    sql: str | None
    numerator: str | None
    denominator: str | None
    kind: Kind
    empty: Literal["zero", "unknown"]
    unit_text: str
    title: Mapping[str, str]
    short: Mapping[str, str]
    description: str
    monitor: MonitorConfig
    section: str | None
    was: str | None
    definition: int

    @property
    def unit(self) -> Unit:
        """How its values are displayed."""
        return "share" if self.kind == "share" else "count" if self.kind == "count" else "ratio"

    @property
    def aggregate(self) -> expressions.Aggregate | None:
        """The aggregate call that its SQL consists of; None for quotients and for larger expressions."""
        return expressions.aggregate_of(self.sql) if self.sql else None


@dataclass(frozen=True)
class Catalog:
    """What the platform computes.

    Attributes:
        problem: why METRICS_CATALOG was ignored; empty if it was not.
        unreadable: built-in sources whose mapping the ignored file may have changed.
    """

    sources: Mapping[str, Source]
    dimensions: Mapping[str, Dimension]
    metrics: Mapping[str, Metric]
    daily: Mapping[str, DailyEntry] = field(default_factory=dict)
    problem: str = field(default="")
    unreadable: frozenset[str] = frozenset()

    def metrics_of(self, source: str) -> tuple[Metric, ...]:
        """The metrics computed from a source's rows, in the order of the file, without quotients."""
        return tuple(metric for metric in self.metrics.values() if metric.sql and metric.source == source)

    @cached_property
    def sections(self) -> Mapping[str, tuple[Metric, ...]]:
        """The sections that metrics add to the morning report, in the order of the file."""
        by_section: dict[str, list[Metric]] = {}
        for metric in self.metrics.values():
            if metric.section is not None:
                by_section.setdefault(metric.section, []).append(metric)
        return {section: tuple(metrics) for section, metrics in by_section.items()}

    def sources_of(self, metric: str) -> set[str]:
        """The sources whose rows a metric is computed from."""
        entry = self.metrics[metric]
        if entry.sql:
            return {entry.source}
        parts = (str(part) for part in (entry.numerator, entry.denominator))
        return {self.metrics[part].source for part in parts if part in self.metrics}

    def without(self, names: Iterable[str]) -> Catalog:
        """A copy without some metrics and without the quotients that depend on them."""
        removed = set(names)
        kept = {
            name: metric
            for name, metric in self.metrics.items()
            if not removed & {name, metric.numerator, metric.denominator}
        }
        return replace(self, metrics=kept)

    def title(self, metric: str, language: str, *, short: bool = False) -> str | None:
        """The display name of a metric or of another number in the report; None if it is unknown."""
        entry = self.metrics.get(metric) or self.daily.get(metric)
        if entry is None:
            return None
        names: dict[str, str] = dict(entry.title.items())
        names.update(entry.short.items() if short else ())
        return names.get(language) or names.get("en") or metric

    def dimension_title(self, dimension: str, language: str) -> str | None:
        """The display name of a dimension; None if it has none in any language."""
        entry = self.dimensions.get(dimension)
        return (entry.title.get(language) or entry.title.get("en")) if entry else None


def load_catalog(settings: Settings) -> Catalog:
    """The catalogue of these settings.

    Raises:
        CatalogError: METRICS_CATALOG cannot be read or is not valid.
    """
    where, content = "The built-in catalogue", builtin_entries()
    if settings.catalog is not None:
        where = f"METRICS_CATALOG = {settings.catalog}"
        content = merged(content, read_file(settings.catalog))
    problems: list[str] = []
    content = fill_placeholders(content, settings, problems)
    if problems:
        raise CatalogError(where, problems)
    try:
        entries = CatalogFile.model_validate(content)
    except ValidationError as error:
        raise CatalogError(where, problem_texts(error)) from None
    if problems := list(reference_problems(entries)):
        raise CatalogError(where, problems)
    return _build(entries, settings)


@cache
def builtin_catalog() -> Catalog:
    """The built-in catalogue with the settings' defaults, for names and titles."""
    return load_catalog(Settings.model_construct())


def load_catalog_or_builtin(settings: Settings) -> Catalog:
    """Load the catalogue, but ignore an invalid file as a whole; `problem` then says why."""
    try:
        return load_catalog(settings)
    except CatalogError as error:
        builtin = load_catalog(settings.model_copy(update={"catalog": None}))
        assert settings.catalog is not None
        return replace(builtin, problem=str(error), unreadable=_mapped_sources(settings.catalog))


def _mapped_sources(file: Path) -> frozenset[str]:
    """The built-in sources whose rows an invalid file may define: all of them if the file cannot be read."""
    builtin = builtin_entries()
    try:
        entries = read_file(file)
    except CatalogError:
        return frozenset(builtin["sources"])
    if any("sql" in entry for name, entry in entries.get("dimensions", {}).items() if name in builtin["dimensions"]):
        return frozenset(builtin["sources"])
    return frozenset(builtin["sources"]).intersection(entries.get("sources", {}))


def _build(entries: CatalogFile, settings: Settings) -> Catalog:
    """The catalogue of entries without mistakes."""
    dimensions = {name: _dimension(name, entry, settings) for name, entry in entries.dimensions.items()}
    sources = {
        name: _source(name, entry, entries, dimensions, settings)
        for name, entry in entries.sources.items()
        if entry.enabled
    }
    metrics = {
        name: _metric(name, entry, entries)
        for name, entry in entries.metrics.items()
        if entry.enabled and all(part.source in sources for part in _parts(entry, entries))
    }
    return Catalog(sources, dimensions, metrics, entries.daily)


def _dimension(name: str, entry: DimensionEntry, settings: Settings) -> Dimension:
    builtin = builtin_entries()["dimensions"].get(name)
    monitored = builtin is None or name in settings.monitored_dimensions
    sql = name if entry.sql is None else entry.sql
    return Dimension(
        name=name,
        sql=sql,
        values=entry.values,
        is_monitored=monitored if entry.monitor is None else entry.monitor,
        is_builtin=builtin is not None and builtin["sql"] == sql,
        title=dict(entry.title.items()),
    )


def _source(
    name: str, entry: SourceEntry, entries: CatalogFile, dimensions: Mapping[str, Dimension], settings: Settings
) -> Source:
    lag = settings.slot_lag_seconds if entry.lag_seconds is None else entry.lag_seconds
    warning, critical = (datetime.timedelta(hours=hours) for hours in entry.stale_hours)
    return Source(
        name=name,
        table=parse_table_name(entry.table),
        user=entry.user,
        receiver=entry.receiver,
        time=entry.time,
        where=entry.where,
        columns=entry.columns,
        dimensions=tuple(dimensions[dimension] for dimension in entry.dimensions),
        timezone=entry.timezone,
        definition=_hash(_row_definition(entries, name)),
        lag=datetime.timedelta(seconds=lag),
        stale_limits=(warning, critical),
        title=dict(entry.title.items()),
        description=entry.description,
    )


def _metric(name: str, entry: MetricEntry, entries: CatalogFile) -> Metric:
    aggregate = expressions.aggregate_of(entry.sql) if entry.sql else None
    kind: Kind = "ratio" if entry.sql is None else "count" if aggregate and aggregate.counts else "gauge"
    parts = _parts(entry, entries)
    return Metric(
        name=name,
        source=str(parts[0].source),
        sql=entry.sql,
        numerator=entry.numerator,
        denominator=entry.denominator,
        kind=entry.kind or kind,
        empty=_empty(entry) if entry.sql else "unknown",
        unit_text=entry.unit,
        title=dict(entry.title.items()),
        short=dict(entry.short.items()),
        description=entry.description,
        monitor=_monitor(entry),
        section=entry.report.section if isinstance(entry.report, ReportEntry) else None,
        was=entry.was,
        definition=_hash(
            [value for part in parts for value in (_row_definition(entries, str(part.source)), part.sql, _empty(part))]
        ),
    )


def _parts(entry: MetricEntry, entries: CatalogFile) -> list[MetricEntry]:
    """The entries with SQL that a metric consists of: itself, or a quotient's numerator and denominator."""
    return [entries.metrics[part] for part in (entry.numerator, entry.denominator) if part] or [entry]


def _hash(depends: Any) -> int:
    return int.from_bytes(hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).digest()[:8], "big")


def _empty(entry: MetricEntry) -> Literal["zero", "unknown"]:
    """The meaning of a slot without rows for an aggregate."""
    aggregate = expressions.aggregate_of(entry.sql or "")
    counts = aggregate is not None and aggregate.is_zero_without_rows
    return entry.empty or ("zero" if counts else "unknown")


def _row_definition(entries: CatalogFile, source: str) -> Any:
    """Everything that a source's rows depend on, except its table: a table that moved has the same events."""
    entry = entries.sources[source]
    dimensions = {name: entries.dimensions[name].sql for name in entry.dimensions}
    return [entry.user, entry.receiver, entry.time, entry.where, entry.columns, entry.timezone, dimensions]


def _monitor(entry: MetricEntry) -> MonitorConfig:
    """How a metric is evaluated: its keys on top of the defaults, with those of `slices` on top of them for slices."""
    if entry.monitor is False:
        return MonitorConfig(total=None, slices=None)
    given = entry.monitor.model_dump(exclude_unset=True)
    own = {key: given.pop(key) for key in ("critical_change", "muted_until") if key in given}
    slices = given.pop("slices", {})
    total = DetectorConfig(**given)
    if slices is False:
        return MonitorConfig(total=total, slices=None, **own)
    defaults = {**_SLICE_DEFAULTS, "minimum_volume": _SLICE_VOLUME * total.minimum_volume}
    return MonitorConfig(total=total, slices=DetectorConfig(**merged(merged(given, defaults), slices)), **own)
