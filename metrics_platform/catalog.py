"""The catalogue of sources, dimensions and metrics: the one place that defines them.

The built-in catalogue is `metrics.yaml` beside this file. The file that METRICS_CATALOG names has the same format and
is merged on top: it adds entries and overrides any key of existing ones. Errors name the entry, the key, the value and
the remedy. `warehouse/catalog_check.py` checks what only ClickHouse knows: tables, columns and types.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal
from zoneinfo import available_timezones

from pydantic import SecretStr, ValidationError

from metrics_platform import expressions
from metrics_platform.builtin_entries import builtin_entries
from metrics_platform.catalog_entries import (
    NAME,
    PLACEHOLDER,
    CatalogFile,
    DailyEntry,
    DimensionEntry,
    MetricEntry,
    ReportEntry,
    SourceEntry,
    Titles,
    Unit,
)
from metrics_platform.catalog_problems import near, problem_texts
from metrics_platform.detection.config import DetectorConfig, Kind, MonitorConfig
from metrics_platform.settings import Settings, setting_name
from metrics_platform.table_names import TableName, parse_table_name

TOTAL = "total"
# The slices for unknown values and for all values beyond the largest ones.
UNKNOWN, OTHER = "unknown", "other"
_RESERVED = {TOTAL, UNKNOWN, OTHER}
# There are dozens of slices per total, so each must raise far fewer false alerts, or readers stop paying attention.
_SLICE_VOLUME = 3
_SLICE_DEFAULTS: Mapping[str, Any] = {
    "seasonal": {"slot_threshold": 4.9, "hour_threshold": 4.9, "two_hours_threshold": 4.9}
}


class CatalogError(ValueError):
    """A catalogue file cannot be read or is not valid; `problems` has one text per problem."""

    def __init__(self, where: str, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join([f"{where} is not valid:", *(f"  - {problem}" for problem in self.problems)]))


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
    def quotients(self) -> tuple[Metric, ...]:
        """The metrics that are quotients of two others."""
        return tuple(metric for metric in self.metrics.values() if not metric.sql)

    @cached_property
    def sections(self) -> Mapping[str, tuple[Metric, ...]]:
        """The sections that metrics add to the morning report, in the order of the file."""
        found: dict[str, list[Metric]] = {}
        for metric in self.metrics.values():
            if metric.section is not None:
                found.setdefault(metric.section, []).append(metric)
        return {section: tuple(metrics) for section, metrics in found.items()}

    def sources_of(self, metric: str) -> set[str]:
        """The sources whose rows a metric is computed from."""
        found = self.metrics[metric]
        if found.sql:
            return {found.source}
        parts = (str(part) for part in (found.numerator, found.denominator))
        return {self.metrics[part].source for part in parts if part in self.metrics}

    def without(self, names: Iterable[str]) -> Catalog:
        """A copy without some metrics and without the quotients that depend on them."""
        gone = set(names)
        kept = {
            name: metric
            for name, metric in self.metrics.items()
            if not gone & {name, metric.numerator, metric.denominator}
        }
        return replace(self, metrics=kept)

    def title(self, metric: str, language: str, *, short: bool = False) -> str | None:
        """The display name of a metric or of another number in the report; None if it is unknown."""
        found = self.metrics.get(metric) or self.daily.get(metric)
        if found is None:
            return None
        names: dict[str, str] = dict(found.title.items())
        names.update(found.short.items() if short else ())
        return names.get(language) or names.get("en") or metric

    def dimension_title(self, dimension: str, language: str) -> str | None:
        """The display name of a dimension; None if it has none in any language."""
        found = self.dimensions.get(dimension)
        return (found.title.get(language) or found.title.get("en")) if found else None


def load_catalog(settings: Settings) -> Catalog:
    """The catalogue of these settings.

    Raises:
        CatalogError: METRICS_CATALOG cannot be read or is not valid.
    """
    merged: dict[str, Any] = dict(builtin_entries())
    where = "The built-in catalogue"
    if settings.catalog is not None:
        where = f"METRICS_CATALOG = {settings.catalog}"
        merged = _merged(merged, _read(settings.catalog))
    problems: list[str] = []
    merged = _resolved(merged, settings, "", problems)
    if problems:
        raise CatalogError(where, problems)
    try:
        entries = CatalogFile.model_validate(merged)
    except ValidationError as error:
        raise CatalogError(where, problem_texts(error, CatalogFile)) from None
    catalog = _build(entries, settings, problems)
    if problems:
        raise CatalogError(where, problems)
    return catalog


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
        entries = _read(file)
    except CatalogError:
        return frozenset(builtin["sources"])
    if any("sql" in entry for name, entry in entries.get("dimensions", {}).items() if name in builtin["dimensions"]):
        return frozenset(builtin["sources"])
    return frozenset(builtin["sources"]).intersection(entries.get("sources", {}))


def _read(file: Path) -> dict[str, Any]:
    """Read a file without merging it."""
    import yaml  # noqa: PLC0415  (on use only)

    where = f"METRICS_CATALOG = {file}"
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), _loader())  # noqa: S506  (a SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CatalogError(where, [" ".join(str(error).replace('in "<unicode string>", ', "at ").split())]) from None
    if content is None:
        return {}
    sections = list(CatalogFile.model_fields)
    if not isinstance(content, dict):
        raise CatalogError(where, [f"write one or more of the sections {', '.join(sections)}, with their entries"])
    problems = []
    for section, entries in content.items():
        if section not in sections:
            problems.append(f"{section}: is not a section{near(str(section), sections)}")
        elif not isinstance(entries or {}, dict):
            problems.append(f"{section} = {entries!r}: write its entries below it, each as a name and its keys")
        else:
            problems += [
                f"{section}.{name} = {entry!r}: write its keys below it, as `key: value`"
                for name, entry in (entries or {}).items()
                if not isinstance(entry, dict)
            ]
    if problems:
        raise CatalogError(where, problems)
    return {section: entries or {} for section, entries in content.items()}


def _loader() -> Any:
    """A loader that rejects duplicate keys, of which YAML would silently use the last."""
    import yaml  # noqa: PLC0415

    class Loader(yaml.SafeLoader):
        pass

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = loader.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice; keep one of them", key_node.start_mark
                )
            seen.add(key)
        return dict(yaml.SafeLoader.construct_mapping(loader, node, deep=True))

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    return Loader


def _merged(below: Mapping[str, Any], above: Mapping[Any, Any]) -> dict[Any, Any]:
    """Merge `above` into `below`, at any depth."""
    merged = dict(below)
    for name, value in above.items():
        inner = merged.get(name)
        merged[name] = _merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return merged


def _resolved(value: Any, settings: Settings, path: str, problems: list[str]) -> Any:
    """Replace the placeholders `${NAME}` in `value` by settings and environment variables."""
    if isinstance(value, Mapping):
        return {
            str(name): _resolved(inner, settings, f"{path}.{name}".strip("."), problems)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_resolved(inner, settings, path, problems) for inner in value]
    if not isinstance(value, str):
        return value
    fields = {setting_name(name): name for name in Settings.model_fields}

    def found(name: str) -> Any:
        given = getattr(settings, fields[name]) if name in fields else os.environ.get(name)
        if isinstance(given, SecretStr) or (
            name in fields and Settings.model_fields[fields[name]].annotation == SecretStr | None
        ):
            problems.append(f"{path} = {value!r}: {name} is a secret, and catalogues are shown in the UI; remove it")
        elif given is None:
            problems.append(f"{path} = {value!r}: {name} is not set; set it in the environment or write a value")
        else:
            return given
        return ""

    if match := PLACEHOLDER.fullmatch(value):
        return found(match[1])
    return PLACEHOLDER.sub(lambda match: str(found(match[1])), value)


def _build(entries: CatalogFile, settings: Settings, problems: list[str]) -> Catalog:
    for section in CatalogFile.model_fields:
        problems += [
            f"{section}.{name}: use lower-case letters, digits and _ in a name, beginning with a letter"
            for name in getattr(entries, section)
            if not NAME.fullmatch(name)
        ]
    dimensions = {name: _dimension(name, entry, settings, problems) for name, entry in entries.dimensions.items()}
    sources = {
        name: _source(name, entry, entries, dimensions, settings, problems)
        for name, entry in entries.sources.items()
        if entry.enabled
    }
    metrics = {
        name: metric
        for name, entry in entries.metrics.items()
        if entry.enabled and (metric := _metric(name, entry, entries, sources, problems)) is not None
    }
    problems += [
        f"daily.{name}: app_daily has no such column{near(name, builtin_entries()['daily'])}"
        for name in entries.daily
        if name not in builtin_entries()["daily"]
    ]
    former = [metric.was for metric in metrics.values() if metric.was]
    problems += [
        f"metrics.{metric.name}.was = {metric.was!r}: another metric has the same; keep one of them"
        for metric in metrics.values()
        if metric.was and former.count(metric.was) > 1
    ]
    known = {name: source for name, source in sources.items() if source is not None}
    return Catalog(known, dimensions, metrics, entries.daily)


def _dimension(name: str, entry: DimensionEntry, settings: Settings, problems: list[str]) -> Dimension:
    if name in _RESERVED:
        problems.append(f"dimensions.{name}: this name is reserved; choose another")
    sql = entry.sql if entry.sql is not None else name
    _check_sql(f"dimensions.{name}.sql", sql, problems)
    monitored = entry.monitor
    builtin = builtin_entries()["dimensions"].get(name)
    if monitored is None:
        monitored = builtin is None or name in settings.monitored_dimensions
    return Dimension(
        name, sql, entry.values, monitored, builtin is not None and builtin["sql"] == sql, _by_language(entry.title)
    )


def _source(  # noqa: PLR0917  (an entry, and all that it may name)
    name: str,
    entry: SourceEntry,
    entries: CatalogFile,
    dimensions: Mapping[str, Dimension],
    settings: Settings,
    problems: list[str],
) -> Source | None:
    at = f"sources.{name}"
    expressions_of = {"user": entry.user, "receiver": entry.receiver, "time": entry.time, "where": entry.where}
    for key, sql in {**expressions_of, **{f"columns.{column}": sql for column, sql in entry.columns.items()}}.items():
        if sql is not None:
            _check_sql(f"{at}.{key}", sql, problems)
    for column in {"user", "receiver", "time"} & set(entry.columns):
        problems.append(f"{at}.columns.{column}: write it as the key `{column}` of the source")
    for dimension in entry.dimensions:
        if dimension not in dimensions:
            problems.append(f"{at}.dimensions = {dimension!r}: no such dimension{near(dimension, dimensions)}")
    problems += [
        f"{at}.dimensions = {dimension!r}: is given twice; keep one of them"
        for dimension in dict.fromkeys(entry.dimensions)
        if entry.dimensions.count(dimension) > 1
    ]
    warning, error = entry.stale_hours
    if not 0 < warning <= error:
        problems.append(f"{at}.stale_hours = {list(entry.stale_hours)}: write two increasing numbers, such as [1, 3]")
    if entry.timezone is not None and entry.timezone not in available_timezones():
        problems.append(
            f"{at}.timezone = {entry.timezone!r}: no such IANA zone{near(entry.timezone, available_timezones())}"
        )
    try:
        table = parse_table_name(entry.table)
    except ValueError as refusal:
        problems.append(f"{at}.table = {entry.table!r}: {refusal}")
        return None
    lag = settings.slot_lag_seconds if entry.lag_seconds is None else entry.lag_seconds
    return Source(
        name,
        table,
        entry.user,
        entry.receiver,
        entry.time,
        entry.where,
        entry.columns,
        tuple(dimensions[dimension] for dimension in entry.dimensions if dimension in dimensions),
        entry.timezone,
        _hash(_row_definition(entries, name)),
        datetime.timedelta(seconds=lag),
        (datetime.timedelta(hours=warning), datetime.timedelta(hours=error)),
        _by_language(entry.title),
        entry.description,
    )


def _metric(
    name: str,
    entry: MetricEntry,
    entries: CatalogFile,
    sources: Mapping[str, Source | None],
    problems: list[str],
) -> Metric | None:
    at = f"metrics.{name}"
    given = {key for key in ("source", "sql", "numerator", "denominator") if getattr(entry, key) is not None}
    if given not in ({"source", "sql"}, {"numerator", "denominator"}):
        problems.append(
            f"{at}: has {', '.join(sorted(given)) or 'nothing to compute it from'}; "
            "write `source` and `sql`, or `numerator` and `denominator`"
        )
        return None
    if name in _RESERVED:
        problems.append(f"{at}: this name is reserved; choose another")
    kind: Kind
    if entry.sql is not None and entry.source is not None:
        _check_sql(f"{at}.sql", entry.sql, problems)
        if entry.source not in entries.sources:
            problems.append(f"{at}.source = {entry.source!r}: no such source{near(entry.source, entries.sources)}")
            return None
        if sources.get(entry.source) is None:
            return None
        aggregate = expressions.aggregate_of(entry.sql)
        kind = entry.kind or ("count" if aggregate and aggregate.counts else "gauge")
        if kind in ("share", "ratio"):
            problems.append(
                f"{at}.kind = {kind!r}: is for quotients; write `numerator` and `denominator`, or another kind"
            )
        empty = _empty(entry)
        source, depends = entry.source, [_row_definition(entries, entry.source), entry.sql, empty]
    else:
        kind, empty = entry.kind or "ratio", "unknown"
        if kind not in ("share", "ratio"):
            problems.append(f"{at}.kind = {kind!r}: a quotient is a share or a ratio")
        parts = [_part(at, key, entries, problems) for key in ("numerator", "denominator")]
        if None in parts:
            return None
        if any(sources.get(str(part.source)) is None for part in parts if part):
            return None
        source = str(parts[0].source)  # type: ignore[union-attr]
        depends = [
            value
            for part in parts
            if part
            for value in (_row_definition(entries, str(part.source)), part.sql, _empty(part))
        ]
    if entry.was is not None and entry.was in entries.metrics and entries.metrics[entry.was].enabled:
        problems.append(f"{at}.was = {entry.was!r}: that metric still exists; remove it, or remove `was`")
    return Metric(
        name,
        source,
        entry.sql,
        entry.numerator,
        entry.denominator,
        kind,
        empty,
        entry.unit,
        _by_language(entry.title),
        _by_language(entry.short),
        entry.description,
        _monitor(at, entry, kind, problems),
        entry.report.section if isinstance(entry.report, ReportEntry) else None,
        entry.was,
        _hash(depends),
    )


def _by_language(titles: Titles) -> dict[str, str]:
    return dict(titles.items())


def _hash(depends: Any) -> int:
    return int.from_bytes(hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).digest()[:8], "big")


def _empty(entry: MetricEntry) -> Literal["zero", "unknown"]:
    """The meaning of a slot without rows for an aggregate."""
    aggregate = expressions.aggregate_of(entry.sql or "")
    counts = aggregate is not None and aggregate.is_zero_without_rows
    return entry.empty or ("zero" if counts else "unknown")


def _part(at: str, key: str, entries: CatalogFile, problems: list[str]) -> MetricEntry | None:
    """The metric that is a quotient's numerator or denominator."""
    name = getattr(entries.metrics[at.removeprefix("metrics.")], key)
    found = entries.metrics.get(name)
    if found is None:
        problems.append(f"{at}.{key} = {name!r}: no such metric{near(name, entries.metrics)}")
    elif not found.enabled:
        problems.append(f"{at}.{key} = {name!r}: that metric is disabled; enable it, or disable {at.split('.')[1]} too")
    elif found.sql is None or found.source is None:
        problems.append(f"{at}.{key} = {name!r}: is a quotient itself; name a metric with `sql`")
    else:
        return found
    return None


def _row_definition(entries: CatalogFile, source: str) -> Any:
    """Everything that a source's rows depend on, except its table: a table that moved has the same events."""
    entry = entries.sources[source]
    dimensions = {name: entries.dimensions[name].sql for name in entry.dimensions if name in entries.dimensions}
    return [entry.user, entry.receiver, entry.time, entry.where, entry.columns, entry.timezone, dimensions]


def _monitor(at: str, entry: MetricEntry, kind: Kind, problems: list[str]) -> MonitorConfig:
    """How a metric is evaluated: its keys on top of its kind's defaults, with `slices` on top of these for slices."""
    if entry.monitor is False:
        return MonitorConfig(total=None, slices=None)
    given = dict(entry.monitor)
    own: dict[str, Any] = {key: given.pop(key) for key in ("critical_change", "muted_until") if key in given}
    slices = given.pop("slices", {})
    total: dict[str, Any] = {"minimum_volume": 10.0, **given}
    found = dict(own)
    at = f"{at}.monitor"
    try:
        found["total"] = DetectorConfig.model_validate(total)
        if slices is False:
            found["slices"] = None
        elif isinstance(slices, Mapping):
            volume = {"minimum_volume": _SLICE_VOLUME * found["total"].minimum_volume}
            inherited = _merged(_merged(total, volume), _SLICE_DEFAULTS)
            at = f"{at}.slices"
            found["slices"] = DetectorConfig.model_validate(_merged(inherited, slices))
        else:
            problems.append(f"{at}.slices = {slices!r}: write its keys below it, as `key: value`, or false")
        at = at.removesuffix(".slices")
        return MonitorConfig.model_validate(found)
    except ValidationError as error:
        own_keys = () if at.endswith(".slices") else ("slices", "critical_change", "muted_until")
        problems += problem_texts(error, DetectorConfig, at, own_keys)
        return MonitorConfig()


def _check_sql(at: str, sql: str, problems: list[str]) -> None:
    if problem := expressions.problem_of(sql):
        problems.append(f"{at} = {sql!r}: {problem}")
