"""Reads the history of a metric's series from `slot_metrics` as arrays, for the detectors."""

from __future__ import annotations

import datetime
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from string import Template
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from metrics_platform.catalog import Metric, Source
from metrics_platform.detection.config import DetectorConfig
from metrics_platform.detection.evaluate import TOTAL, Evaluation, Member, evaluate, lookback, with_siblings
from metrics_platform.detection.series import Detections, Floats, Reason, SlotSeries, Status
from metrics_platform.settings import Settings
from metrics_platform.table_names import quoted
from metrics_platform.time_windows import SLOT, SlotRange
from metrics_platform.warehouse.catalog_check import CheckedCatalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.partitions import STAGING_PREFIX, drop_leftovers, drop_staging, merged_days
from metrics_platform.warehouse.schema import create_staging, create_tables
from metrics_platform.warehouse.slots import first_slot, missing_slots
from metrics_platform.warehouse.tables import SLICE_VALUES, SLOT_METRICS, VERDICTS, read_sql

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

# Series that are read at a time: a month of them takes some 100 MB.
_SERIES_AT_A_TIME = 2_000


@dataclass(frozen=True)
class SlotHistory:
    """A stretch of one metric's series.

    Attributes:
        metric: the metric.
        start: the start of its first slot, in UTC.
        zone: the product's zone.
        names: (dimension, value) of each series; the total comes first, where it is among them.
        numerators: [slots, series]; NaN where a slot was not computed, has no value, or a slice was not on the grid.
        denominators: the same of a quotient; None for other metrics.
        events: of a gauge or a ratio the usual number of events in a slot, [series]; None for other metrics.
    """

    metric: Metric
    start: datetime.datetime
    zone: ZoneInfo
    names: tuple[tuple[str, str], ...]
    numerators: Floats
    denominators: Floats | None
    events: Floats | None = None

    def series(self, first: int, end: int) -> SlotSeries:
        """The series from `first` up to `end` of `names`."""
        values = self.numerators[:, first:end]
        events = None if self.events is None else self.events[first:end]
        if self.denominators is None:
            return SlotSeries(self.start, self.zone, values, kind=self.metric.kind, events=events)
        below = self.denominators[:, first:end]
        if self.metric.kind == "share":
            return SlotSeries(self.start, self.zone, values, below)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where(below != 0, values / below, np.nan)
        return SlotSeries(self.start, self.zone, ratios, kind="ratio", events=events)


class HistoryReader:
    """Reads the history that evaluating some slots needs, one metric after the other.

    Raises (also `read`):
        WarehouseError: ClickHouse refused, failed or did not answer.
    """

    def __init__(self, warehouse: Warehouse, evaluated: SlotRange, settings: Settings) -> None:
        self._warehouse, self._evaluated, self._settings = warehouse, evaluated, settings
        self._shared = {
            "last_day": evaluated.last.start.astimezone(settings.zone).date(),
            "evaluated_from": f"{evaluated.start:%Y-%m-%d %H:%M:%S}",
            "end": f"{evaluated.end:%Y-%m-%d %H:%M:%S}",
            "merged_days": merged_days(warehouse, SLOT_METRICS),
        }
        rows = warehouse.query(
            "SELECT toString(metric) AS name, uniqExact(dimension, dimension_value) AS series, "
            "(cityHash64('total', 'total')) AS total FROM slot_metrics FINAL "
            "WHERE event_date = {last_day:Date} AND slot_start < {end:DateTime('UTC')} GROUP BY name",
            self._shared,
            doing="Counting the series of each metric",
        ).rows
        self._series = {row["name"]: (row["series"], row["total"]) for row in rows}

    def read(self, metric: Metric, source: Source, lookback: int) -> Iterator[SlotHistory]:
        """The history of a metric: `lookback` slots up to and with each that is evaluated.

        Series are read in parts, the one with the total first, so that memory stays bounded however many slices there
        are.
        """
        evaluated, settings = self._evaluated, self._settings
        # Not before the product began: what was never computed only takes memory.
        start = max(evaluated.start - (lookback - 1) * SLOT, min(first_slot(settings).start, evaluated.start))
        parameters = {
            **self._shared,
            "metric": metric.name,
            "definition": metric.definition,
            "events": source.events_metric,
            "first_day": start.astimezone(settings.zone).date(),
            "start": f"{start:%Y-%m-%d %H:%M:%S}",
            "dimensions": ["total", *(dimension.name for dimension in source.monitored_dimensions)],
        }
        series, total = self._series.get(metric.name, (0, 0))
        parts = max(1, -(-series // _SERIES_AT_A_TIME))
        with_total = total % parts
        for part in sorted(range(parts), key=lambda number: number != with_total):
            own = {**parameters, "parts": parts, "part": part}
            yield _read_part(self._warehouse, metric, start, evaluated, own, settings)


def _read_part(  # noqa: PLR0917
    warehouse: Warehouse,
    metric: Metric,
    start: datetime.datetime,
    evaluated: SlotRange,
    parameters: dict[str, object],
    settings: Settings,
) -> SlotHistory:
    columns = ["numerator"] if metric.sql else ["numerator", "denominator"]
    conditions = [
        "dimension IN {dimensions:Array(String)}",
        "dimension_value != 'other'",
        "definition = {definition:UInt64}",
        *(
            ["cityHash64(dimension, dimension_value) % {parts:UInt16} = {part:UInt16}"]
            if parameters["parts"] != 1
            else []
        ),
    ]
    sql = Template(read_sql("queries/slot_history.sql")).substitute(
        values=", ".join(f"groupArray(ifNull({name}, nan)) AS {name}s" for name in columns),
        conditions=" AND ".join(conditions),
    )
    table = warehouse.run(
        lambda client: client.query_arrow(sql, parameters=parameters, use_strings=True),
        doing=f"Reading the history of {metric.name}",
        repeatable=True,
    )
    slots, count = (evaluated.end - start) // SLOT, table.num_rows
    names = tuple(zip(*(table.column(name).to_pylist() for name in ("series_dimension", "series_value")), strict=True))
    positions = table.column("positions").combine_chunks()
    lengths = np.diff(positions.offsets.to_numpy())
    rows, numbers = positions.flatten().to_numpy(), np.repeat(np.arange(count), lengths)

    def cells(name: str) -> Floats:
        found = np.full((slots, count), np.nan)
        found[rows, numbers] = table.column(name).combine_chunks().flatten().to_numpy()
        return found

    denominators = None if metric.sql else cells("denominators")
    events = None
    if metric.kind in ("gauge", "ratio"):
        usual = {
            (row["dimension"], row["dimension_value"]): row["events"]
            for row in warehouse.query(
                read_sql("queries/usual_events.sql"), parameters, doing=f"Reading the usual events of {metric.name}"
            ).rows
        }
        events = np.array([usual.get(name, 0.0) for name in names])
    return SlotHistory(metric, start, settings.zone, names, cells("numerators"), denominators, events)


_EPOCH = datetime.date(1970, 1, 1)
_ROWS_AN_INSERT = 100_000
_NUMBERS = ("value", "trials", "expected", "lower", "upper", "score")
_TEXTS = ("metric", "dimension", "dimension_value", "status", "severity", "reason", "detector")


class MissingSlotsError(RuntimeError):
    """Slots that are to be evaluated are not in `slot_metrics`."""


@dataclass(frozen=True)
class VerdictsResult:
    """Evaluated slots of one day.

    Attributes:
        slots: the slots that were evaluated.
        series: how many series, metrics times slices.
        anomalous: how many verdicts are `anomalous`.
        seconds: wall time.
    """

    slots: SlotRange
    series: int
    anomalous: int
    seconds: float


def evaluate_slots(
    warehouse: Warehouse, slots: SlotRange, checked: CheckedCatalog, settings: Settings
) -> Iterator[VerdictsResult]:
    """Evaluate slots in their order, each day published before the next begins; yields each day as it is done.

    Evaluating again gives the same rows, as long as the values are the same.

    Raises:
        MissingSlotsError: slots are missing in `slot_metrics`.
        WarehouseError: ClickHouse refused, failed or did not answer; nothing is half-written.
        SchemaMismatchError: a table is there with other columns.
    """
    create_tables(warehouse, [SLICE_VALUES, SLOT_METRICS, VERDICTS])
    drop_leftovers(warehouse, VERDICTS)
    for day, piece in slots.by_day(settings.zone):
        started = time.perf_counter()
        metrics = _complete_metrics(warehouse, piece, checked, settings)
        reader = HistoryReader(warehouse, piece, settings)
        with _staging(warehouse, day.date) as (name, version):
            series = anomalous = 0
            for rows in _in_batches(_day_rows(reader, metrics, day.date, piece, checked, settings)):
                warehouse.run(
                    partial(_insert, name=name, rows=_versioned(rows, version)), doing=f"Writing {VERDICTS.name}"
                )
                series += rows.num_rows // len(piece)
                anomalous += pc.sum(pc.equal(rows.column("status"), "anomalous")).as_py()
            _publish(warehouse, name, version, day.date, piece, [metric.name for metric in metrics])
        yield VerdictsResult(piece, series, anomalous, time.perf_counter() - started)


def _day_rows(  # noqa: PLR0917
    reader: HistoryReader,
    metrics: list[Metric],
    date: datetime.date,
    slots: SlotRange,
    checked: CheckedCatalog,
    settings: Settings,
) -> Iterator[pa.Table]:
    """The verdicts of some slots of a day, source by source: its metrics are each other's evidence."""
    for source in {metric.source: None for metric in metrics}:
        answers = [
            answer
            for metric in metrics
            if metric.source == source
            for answer in _metric_answers(reader, metric, len(slots), checked, settings)
        ]
        found = with_siblings([answer.member for answer in answers])
        for answer, detections in zip(answers, found, strict=True):
            yield _rows(answer, detections, date, slots)


def _in_batches(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in fewer tables: each of them is an insert."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(rows.num_rows for rows in waiting) >= _ROWS_AN_INSERT:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _complete_metrics(
    warehouse: Warehouse, slots: SlotRange, checked: CheckedCatalog, settings: Settings
) -> list[Metric]:
    """The metrics that have a value in each of the slots; one whose SQL failed on the rows has none."""
    missing = missing_slots(warehouse, slots, checked, settings)
    lacking = {metric.name for gap in missing for metric in gap.metrics}
    complete = [metric for metric in checked.metrics.values() if metric.name not in lacking]
    if missing and not complete:
        date = slots.start.astimezone(settings.zone).date()
        raise MissingSlotsError(
            f"slot_metrics has no values in {missing[0].slots}. Materialise `slot_metrics` of {date} first."
        )
    return complete


@dataclass(frozen=True)
class _Answer:
    """Some series of a metric in some slots, before the evidence of their siblings.

    Attributes:
        denominators: of a quotient, [slots, series].
    """

    metric: Metric
    names: tuple[tuple[str, str], ...]
    config: DetectorConfig
    evaluation: Evaluation
    denominators: Floats | None

    @property
    def member(self) -> Member:
        return Member(
            self.metric.name,
            self.names,
            self.evaluation.detections,
            self.metric.numerator,
            self.metric.denominator,
            adds_up=self.metric.empty == "zero",
            listens=self.config.listens,
        )


def _metric_answers(
    reader: HistoryReader, metric: Metric, slots: int, checked: CheckedCatalog, settings: Settings
) -> Iterator[_Answer]:
    """The answers for a metric's series, a part of them at a time."""
    configs = [config for config in (metric.monitor.total, metric.monitor.slices) if config is not None]
    if not configs:
        return
    needed = max(map(lookback, configs))
    for history in reader.read(metric, checked.rows[metric.source].source, needed):
        yield from _answers(history, slots, settings)


def _answers(history: SlotHistory, slots: int, settings: Settings) -> Iterator[_Answer]:
    """The answers for the total, if it is in the history, and for the slices."""
    holidays = [(holiday - _EPOCH).days for holiday in settings.holidays]
    monitor = history.metric.monitor
    first_slice = 1 if TOTAL in history.names else 0
    for first, end, config in (
        (0, first_slice, monitor.total),
        (first_slice, len(history.names), monitor.slices),
    ):
        if config is None or first == end:
            continue
        found = evaluate(history.series(first, end), slots, config, holidays)
        below = None if history.denominators is None else history.denominators[-slots:, first:end]
        yield _Answer(history.metric, history.names[first:end], config, found, below)


def _rows(answer: _Answer, found: Detections, date: datetime.date, slots: SlotRange) -> pa.Table:
    metric, names, evaluation = answer.metric, answer.names, answer.evaluation
    count, series = found.value.shape
    starts = int(slots.start.timestamp()) + int(SLOT.total_seconds()) * np.arange(count)
    critical = (
        (np.abs(found.change) >= metric.monitor.critical_change)
        | (found.expected == 0)
        | (found.reason == Reason.NO_DATA)
    )
    severity = np.where(found.anomalous, np.where(critical, "critical", "warning"), "")
    texts = {
        "metric": np.full(count * series, metric.name),
        "dimension": np.tile(np.array([dimension for dimension, _ in names], dtype=object), count),
        "dimension_value": np.tile(np.array([value for _, value in names], dtype=object), count),
        "status": _named(Status, found.status),
        "severity": severity.ravel(),
        "reason": _named(Reason, found.reason),
        "detector": np.array(evaluation.detectors)[evaluation.detector].ravel(),
    }
    numbers = {
        "value": found.value,
        "trials": np.full(found.value.shape, np.nan) if answer.denominators is None else answer.denominators,
        "expected": found.expected,
        "lower": found.lower,
        "upper": found.upper,
        "score": found.score,
    }
    columns = {
        "event_date": pa.array(np.full(count * series, (date - _EPOCH).days, dtype=np.uint16)),
        "slot_start": pa.array(np.repeat(starts, series).astype(np.uint32)),
        **{name: pa.array(texts[name].astype(object), type=pa.string()) for name in _TEXTS},
        **{name: pa.array(numbers[name].ravel(), mask=~np.isfinite(numbers[name].ravel())) for name in _NUMBERS},
    }
    return pa.table(columns)


def _named(names: type[Status] | type[Reason], codes: npt.NDArray[np.int8]) -> npt.NDArray[np.str_]:
    return np.array([member.name.lower() for member in names], dtype=np.str_)[codes].ravel()


@contextmanager
def _staging(warehouse: Warehouse, date: datetime.date) -> Iterator[tuple[str, int]]:
    """A staging table of `verdicts` for one day, and the version of its rows."""
    name = f"{STAGING_PREFIX}{VERDICTS.name}__{date:%Y%m%d}__{uuid.uuid4().hex[:12]}"
    doing = f"Writing {VERDICTS.name} of {date}"
    version = warehouse.value("SELECT toUnixTimestamp64Micro(now64(6))", doing=doing)
    create_staging(warehouse, name, VERDICTS.name, doing=doing)
    try:
        yield name, int(version)
    finally:
        drop_staging(warehouse, name)


def _versioned(rows: pa.Table, version: int) -> pa.Table:
    return rows.append_column("version", pa.array(np.full(rows.num_rows, version, dtype=np.uint64))).append_column(
        "is_deleted", pa.array(np.zeros(rows.num_rows, dtype=np.uint8))
    )


def _insert(client: Client, name: str, rows: pa.Table) -> None:
    client.insert_arrow(name, rows)


def _publish(  # noqa: PLR0917
    warehouse: Warehouse, name: str, version: int, date: datetime.date, slots: SlotRange, metrics: list[str]
) -> None:
    """Mark what is gone as deleted, and attach the staged rows: readers see all of them at once."""
    gone = Template(read_sql("queries/vanished_rows.sql")).substitute(
        table=VERDICTS.name,
        in_range="slot_start >= {start:DateTime('UTC')} AND slot_start < {end:DateTime('UTC')}",
        keys="event_date, slot_start",
    )
    parameters = {
        "event_date": date,
        "start": f"{slots.start:%Y-%m-%d %H:%M:%S}",
        "end": f"{slots.end:%Y-%m-%d %H:%M:%S}",
        "version": version,
        "staging": name,
        "metrics": metrics,
    }
    doing = f"Publishing {VERDICTS.name} of {date}"
    columns = ", ".join(column.name for column in VERDICTS.columns)
    warehouse.execute(f"INSERT INTO {quoted(name)} ({columns})\n{gone}", parameters, doing=doing)
    warehouse.execute(
        f"ALTER TABLE {VERDICTS.name} ATTACH PARTITION '{date}' FROM {quoted(name)}", doing=doing, repeatable=True
    )
