"""Evaluate slots for every metric, as a whole and by slice, and write the verdicts day by day.

The history of a metric's series is read from `slot_metrics` as arrays.
"""

from __future__ import annotations

import datetime
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from string import Template
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from metrics_platform.catalog import Metric, Source
from metrics_platform.detection.evaluate import TOTAL, Evaluation, Member, evaluate, lookback, with_siblings
from metrics_platform.detection.series import Detections, Floats, Reason, SlotSeries, Status
from metrics_platform.settings import Settings
from metrics_platform.table_names import quote_identifier
from metrics_platform.time_windows import SLOT, SlotRange
from metrics_platform.warehouse.catalog_check import CheckedCatalog
from metrics_platform.warehouse.client import Warehouse, bound
from metrics_platform.warehouse.partitions import drop_leftovers, staged_partition
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.slots import first_slot, missing_slots
from metrics_platform.warehouse.tables import SLICE_VALUES, SLOT_METRICS, VERDICTS, read_sql

# The number of series that are read at a time: a month of them takes about 100 MB.
_SERIES_AT_A_TIME = 2_000
_ROWS_AN_INSERT = 100_000
_EPOCH = datetime.date(1970, 1, 1)
_MARK_VANISHED = Template(read_sql("queries/vanished_rows.sql")).substitute(
    table=VERDICTS.name,
    in_range="slot_start >= {start:DateTime('UTC')} AND slot_start < {end:DateTime('UTC')}",
    keys="event_date, slot_start",
)


@dataclass(frozen=True)
class SlotHistory:
    """Consecutive slots of a metric's series, from the slot that begins at `start`."""

    metric: Metric
    start: datetime.datetime
    zone: ZoneInfo
    # (dimension, value) of each series. The total comes first, if it is included.
    names: tuple[tuple[str, str], ...]
    # [slots, series]; NaN if a slot was not computed or has no value, or a slice was not on the grid.
    numerators: Floats
    # The denominators of a quotient; None for other metrics.
    denominators: Floats | None
    # For a gauge or a ratio: the usual number of events in a slot, [series]; None for other metrics.
    events: Floats | None = None

    def series(self, first: int, end: int) -> SlotSeries:
        values = self.numerators[:, first:end]
        events = None if self.events is None else self.events[first:end]
        if self.denominators is None:
            return SlotSeries(self.start, self.zone, values, kind=self.metric.kind, events=events)
        denominators = self.denominators[:, first:end]
        if self.metric.kind == "share":
            return SlotSeries(self.start, self.zone, values, denominators)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where(denominators != 0, values / denominators, np.nan)
        return SlotSeries(self.start, self.zone, ratios, kind="ratio", events=events)


class HistoryReader:
    """Reads the history that evaluating some slots needs, one metric after the other.

    Raises WarehouseError (also in `read`) if ClickHouse refused, failed or did not answer.
    """

    def __init__(self, warehouse: Warehouse, evaluated: SlotRange, settings: Settings) -> None:
        self._warehouse, self._evaluated, self._settings = warehouse, evaluated, settings
        self._shared = {
            "last_day": evaluated.last.start.astimezone(settings.zone).date(),
            "evaluated_from": evaluated.start,
            "end": evaluated.end,
        }
        rows = warehouse.query(
            "SELECT toString(metric) AS name, uniqExact(dimension, dimension_value) AS series, "
            "(cityHash64('total', 'total')) AS total FROM slot_metrics FINAL "
            "WHERE event_date = {last_day:Date} AND slot_start < {end:DateTime('UTC')} GROUP BY name",
            self._shared,
            operation="Counting the series of each metric",
        ).rows
        self._series = {row["name"]: (row["series"], row["total"]) for row in rows}

    def read(self, metric: Metric, source: Source, lookback: int) -> Iterator[SlotHistory]:
        """The history of a metric: `lookback` slots up to and including each evaluated one.

        Series are read in parts, the one with the total first, so that memory stays bounded with any number of slices.
        """
        evaluated, settings = self._evaluated, self._settings
        # Do not start before the first slot of the product: missing slots only take memory.
        start = max(evaluated.start - (lookback - 1) * SLOT, min(first_slot(settings).start, evaluated.start))
        series, total = self._series.get(metric.name, (0, 0))
        parts = max(1, -(-series // _SERIES_AT_A_TIME))
        parameters = {
            **self._shared,
            "metric": metric.name,
            "definition": metric.definition,
            "events": source.events_metric,
            "first_day": start.astimezone(settings.zone).date(),
            "start": start,
            "dimensions": ["total", *(dimension.name for dimension in source.monitored_dimensions)],
            "parts": parts,
        }
        for part in sorted(range(parts), key=lambda number: number != total % parts):
            yield self._read_part(metric, start, {**parameters, "part": part})

    def _read_part(self, metric: Metric, start: datetime.datetime, parameters: Mapping[str, Any]) -> SlotHistory:
        columns = ["numerator"] if metric.sql else ["numerator", "denominator"]
        conditions = [
            "dimension IN {dimensions:Array(String)}",
            "dimension_value != 'other'",
            "definition = {definition:UInt64}",
        ]
        if parameters["parts"] != 1:
            conditions.append("cityHash64(dimension, dimension_value) % {parts:UInt16} = {part:UInt16}")
        sql = Template(read_sql("queries/slot_history.sql")).substitute(
            values=", ".join(f"groupArray(ifNull({name}, nan)) AS {name}s" for name in columns),
            conditions=" AND ".join(conditions),
        )
        table = self._warehouse.run(
            lambda client: client.query_arrow(sql, parameters=bound(parameters), use_strings=True),
            operation=f"Reading the history of {metric.name}",
            repeatable=True,
        )
        slots, count = (self._evaluated.end - start) // SLOT, table.num_rows
        lists = (table.column(name).to_pylist() for name in ("series_dimension", "series_value"))
        names = tuple(zip(*lists, strict=True))
        positions = table.column("positions").combine_chunks()
        lengths = np.diff(positions.offsets.to_numpy())
        rows, numbers = positions.flatten().to_numpy(), np.repeat(np.arange(count), lengths)

        def cells(name: str) -> Floats:
            array = np.full((slots, count), np.nan)
            array[rows, numbers] = table.column(name).combine_chunks().flatten().to_numpy()
            return array

        denominators = None if metric.sql else cells("denominators")
        events = None
        if metric.kind in ("gauge", "ratio"):
            events_sql, operation = (
                read_sql("queries/usual_events.sql"),
                f"Reading the usual events of {metric.name}",
            )
            rows_with_events = self._warehouse.query(events_sql, parameters, operation=operation).rows
            usual = {(row["dimension"], row["dimension_value"]): row["events"] for row in rows_with_events}
            events = np.array([usual.get(name, 0.0) for name in names])
        return SlotHistory(metric, start, self._settings.zone, names, cells("numerators"), denominators, events)


# --- evaluating -------------------------------------------------------------------------------------------------------


class MissingSlotsError(RuntimeError):
    """Slots to evaluate are missing in `slot_metrics`."""


class VerdictsResult(NamedTuple):
    """Evaluated slots of one day: how many series (metrics times slices), and how many verdicts are `anomalous`."""

    slots: SlotRange
    series: int
    anomalous: int
    seconds: float


def evaluate_slots(
    warehouse: Warehouse, slots: SlotRange, checked: CheckedCatalog, settings: Settings
) -> Iterator[VerdictsResult]:
    """Evaluate slots in order. Each day is published before the next begins, and yielded.

    A repeated evaluation gives the same rows, as long as the values are the same.

    Raises:
        MissingSlotsError: slots are missing in `slot_metrics`.
        WarehouseError: ClickHouse refused, failed or did not answer; nothing is half-written.
        SchemaMismatchError: a table has other columns.
    """
    create_tables(warehouse, [SLICE_VALUES, SLOT_METRICS, VERDICTS])
    drop_leftovers(warehouse, VERDICTS)
    for day, day_slots in slots.by_day(settings.zone):
        started = time.perf_counter()
        metrics = _complete_metrics(warehouse, day_slots, checked, settings)
        reader = HistoryReader(warehouse, day_slots, settings)
        operation = f"Publishing {VERDICTS.name} of {day.date}"
        version = int(warehouse.value("SELECT toUnixTimestamp64Micro(now64(6))", operation=operation))
        parameters = {
            "event_date": day.date,
            "start": day_slots.start,
            "end": day_slots.end,
            "version": version,
            "metrics": [metric.name for metric in metrics],
        }
        counts: Counter[str] = Counter()
        rows = _in_batches(_day_rows(reader, metrics, day.date, day_slots, checked, settings, version), counts)
        # Readers see all rows at once. Vanished rows are marked as deleted.
        with staged_partition(warehouse, VERDICTS, day.date, [(_MARK_VANISHED, parameters)], rows) as staged:
            attach = f"ALTER TABLE {VERDICTS.name} ATTACH PARTITION '{day.date}' FROM {quote_identifier(staged.name)}"
            warehouse.execute(attach, operation=operation, repeatable=True)
        yield VerdictsResult(
            day_slots, counts["rows"] // len(day_slots), counts["anomalous"], time.perf_counter() - started
        )


def _complete_metrics(
    warehouse: Warehouse, slots: SlotRange, checked: CheckedCatalog, settings: Settings
) -> list[Metric]:
    """The metrics that have a value in every slot. A metric with failing SQL has none."""
    missing = missing_slots(warehouse, slots, checked, settings)
    incomplete = {metric.name for gap in missing for metric in gap.metrics}
    complete = [metric for metric in checked.metrics.values() if metric.name not in incomplete]
    if missing and not complete:
        date = slots.start.astimezone(settings.zone).date()
        raise MissingSlotsError(
            f"slot_metrics has no values in {missing[0].slots}. Materialise `slot_metrics` of {date} first."
        )
    return complete


class _Evaluated(NamedTuple):
    """The results for some series of a metric, before the evidence of their siblings."""

    metric: Metric
    member: Member
    evaluation: Evaluation
    # Of a quotient, [slots, series].
    denominators: Floats | None


def _day_rows(  # noqa: PLR0917
    reader: HistoryReader,
    metrics: list[Metric],
    date: datetime.date,
    slots: SlotRange,
    checked: CheckedCatalog,
    settings: Settings,
    version: int,
) -> Iterator[pa.Table]:
    """The verdicts of some slots of a day. All metrics are evaluated first: they are evidence for each other."""
    holidays = [(holiday - _EPOCH).days for holiday in settings.holidays]
    parts: dict[str, list[_Evaluated]] = {}
    for metric in metrics:
        source = checked.rows[metric.source].source
        parts.setdefault(metric.source, []).extend(_evaluate_metric(reader, metric, source, len(slots), holidays))
    for name, source_parts in parts.items():
        others = [part.member for other, members in parts.items() if other != name for part in members]
        detections_with_siblings = with_siblings([part.member for part in source_parts], others)
        for part, detections in zip(source_parts, detections_with_siblings, strict=True):
            yield _rows(part, detections, date, slots, version)


def _evaluate_metric(
    reader: HistoryReader, metric: Metric, source: Source, slots: int, holidays: Collection[int]
) -> Iterator[_Evaluated]:
    """Evaluate a metric's total and slices, a part of the series at a time."""
    monitor = metric.monitor
    configs = [config for config in (monitor.total, monitor.slices) if config is not None]
    for history in reader.read(metric, source, max(map(lookback, configs))) if configs else ():
        first_slice, count = int(TOTAL in history.names), len(history.names)
        for first, end, config in ((0, first_slice, monitor.total), (first_slice, count, monitor.slices)):
            if config is None or first == end:
                continue
            evaluation = evaluate(history.series(first, end), slots, config, holidays)
            denominators = None if history.denominators is None else history.denominators[-slots:, first:end].copy()
            member = Member(
                metric.name,
                history.names[first:end],
                evaluation.detections,
                metric.numerator,
                metric.denominator,
                adds_up=metric.empty == "zero",
                uses_siblings=config.uses_siblings,
            )
            yield _Evaluated(metric, member, evaluation, denominators)


def _rows(part: _Evaluated, detections: Detections, date: datetime.date, slots: SlotRange, version: int) -> pa.Table:
    metric, evaluation = part.metric, part.evaluation
    count, series = detections.value.shape
    starts = int(slots.start.timestamp()) + int(SLOT.total_seconds()) * np.arange(count)
    dimensions, values = (np.array(names, dtype=object) for names in zip(*part.member.names, strict=True))
    critical = (
        (np.abs(detections.change) >= metric.monitor.critical_change)
        | (detections.expected == 0)
        | (detections.reason == Reason.NO_DATA)
    )
    texts = {
        "metric": np.full(count * series, metric.name),
        "dimension": np.tile(dimensions, count),
        "dimension_value": np.tile(values, count),
        "status": _code_names(Status, detections.status),
        "severity": np.where(detections.anomalous, np.where(critical, "critical", "warning"), "").ravel(),
        "reason": _code_names(Reason, detections.reason),
        "detector": np.array(evaluation.detectors)[evaluation.detector].ravel(),
    }
    numbers = {
        "value": detections.value,
        "trials": np.full(detections.value.shape, np.nan) if part.denominators is None else part.denominators,
        "expected": detections.expected,
        "lower": detections.lower,
        "upper": detections.upper,
        "score": detections.score,
    }
    columns = {
        "event_date": pa.array(np.full(count * series, (date - _EPOCH).days, dtype=np.uint16)),
        "slot_start": pa.array(np.repeat(starts, series).astype(np.uint32)),
        **{name: pa.array(column.astype(object), type=pa.string()) for name, column in texts.items()},
        **{name: pa.array(cells.ravel(), mask=~np.isfinite(cells.ravel())) for name, cells in numbers.items()},
        "version": pa.array(np.full(count * series, version, dtype=np.uint64)),
        "is_deleted": pa.array(np.zeros(count * series, dtype=np.uint8)),
    }
    return pa.table(columns)


def _code_names(names: type[Status] | type[Reason], codes: npt.NDArray[np.int8]) -> npt.NDArray[np.str_]:
    return np.array([member.name.lower() for member in names], dtype=np.str_)[codes].ravel()


def _in_batches(tables: Iterator[pa.Table], counts: Counter[str]) -> Iterator[pa.Table]:
    """Combine tables, because each is an insert. `counts` gets the number of rows, and of anomalous ones."""
    batch: list[pa.Table] = []
    for table in tables:
        counts.update(rows=table.num_rows, anomalous=pc.sum(pc.equal(table.column("status"), "anomalous")).as_py())
        batch.append(table)
        if sum(rows.num_rows for rows in batch) >= _ROWS_AN_INSERT:
            yield pa.concat_tables(batch)
            batch = []
    if batch:
        yield pa.concat_tables(batch)
