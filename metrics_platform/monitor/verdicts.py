"""Evaluates slots: every metric, as a whole and by slice, and writes the verdicts day by day.

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
from metrics_platform.table_names import quoted
from metrics_platform.time_windows import SLOT, SlotRange
from metrics_platform.warehouse.catalog_check import CheckedCatalog
from metrics_platform.warehouse.client import Warehouse, bound
from metrics_platform.warehouse.partitions import drop_leftovers, merged_days, staged_partition
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.slots import first_slot, missing_slots
from metrics_platform.warehouse.tables import SLICE_VALUES, SLOT_METRICS, VERDICTS, read_sql

# Series that are read at a time: a month of them takes some 100 MB.
_SERIES_AT_A_TIME = 2_000
_ROWS_AN_INSERT = 100_000
_EPOCH = datetime.date(1970, 1, 1)
_VANISHED = Template(read_sql("queries/vanished_rows.sql")).substitute(
    table=VERDICTS.name,
    in_range="slot_start >= {start:DateTime('UTC')} AND slot_start < {end:DateTime('UTC')}",
    keys="event_date, slot_start",
)


@dataclass(frozen=True)
class SlotHistory:
    """A stretch of one metric's series, from the slot that begins at `start`."""

    metric: Metric
    start: datetime.datetime
    zone: ZoneInfo
    # (dimension, value) of each series; the total comes first, where it is among them.
    names: tuple[tuple[str, str], ...]
    # [slots, series]; NaN where a slot was not computed, has no value, or a slice was not on the grid.
    numerators: Floats
    # The same of a quotient; None for other metrics.
    denominators: Floats | None
    # Of a gauge or a ratio the usual number of events in a slot, [series]; None for other metrics.
    events: Floats | None = None

    def series(self, first: int, end: int) -> SlotSeries:
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

    Raises WarehouseError (also in `read`) if ClickHouse refused, failed or did not answer.
    """

    def __init__(self, warehouse: Warehouse, evaluated: SlotRange, settings: Settings) -> None:
        self._warehouse, self._evaluated, self._settings = warehouse, evaluated, settings
        self._shared = {
            "last_day": evaluated.last.start.astimezone(settings.zone).date(),
            "evaluated_from": evaluated.start,
            "end": evaluated.end,
            "merged_days": merged_days(warehouse, SLOT_METRICS),
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
        """The history of a metric: `lookback` slots up to and with each that is evaluated.

        Series are read in parts, the one with the total first, so that memory stays bounded however many slices there
        are.
        """
        evaluated, settings = self._evaluated, self._settings
        # Not before the product began: what was never computed only takes memory.
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
            found = np.full((slots, count), np.nan)
            found[rows, numbers] = table.column(name).combine_chunks().flatten().to_numpy()
            return found

        denominators = None if metric.sql else cells("denominators")
        events = None
        if metric.kind in ("gauge", "ratio"):
            sql_of_events, operation = (
                read_sql("queries/usual_events.sql"),
                f"Reading the usual events of {metric.name}",
            )
            found = self._warehouse.query(sql_of_events, parameters, operation=operation).rows
            usual = {(row["dimension"], row["dimension_value"]): row["events"] for row in found}
            events = np.array([usual.get(name, 0.0) for name in names])
        return SlotHistory(metric, start, self._settings.zone, names, cells("numerators"), denominators, events)


# --- evaluating -------------------------------------------------------------------------------------------------------


class MissingSlotsError(RuntimeError):
    """Slots that are to be evaluated are not in `slot_metrics`."""


class VerdictsResult(NamedTuple):
    """Evaluated slots of one day: how many series (metrics times slices), and how many verdicts are `anomalous`."""

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
        operation = f"Publishing {VERDICTS.name} of {day.date}"
        version = int(warehouse.value("SELECT toUnixTimestamp64Micro(now64(6))", operation=operation))
        parameters = {
            "event_date": day.date,
            "start": piece.start,
            "end": piece.end,
            "version": version,
            "metrics": [metric.name for metric in metrics],
        }
        found: Counter[str] = Counter()
        rows = _in_batches(_day_rows(reader, metrics, day.date, piece, checked, settings, version), found)
        # Readers see all rows at once; what is gone is marked as deleted.
        with staged_partition(warehouse, VERDICTS, day.date, [(_VANISHED, parameters)], rows) as staged:
            attach = f"ALTER TABLE {VERDICTS.name} ATTACH PARTITION '{day.date}' FROM {quoted(staged.name)}"
            warehouse.execute(attach, operation=operation, repeatable=True)
        yield VerdictsResult(piece, found["rows"] // len(piece), found["anomalous"], time.perf_counter() - started)


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


class _Answer(NamedTuple):
    """Some series of a metric in some slots, before the evidence of their siblings."""

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
    """The verdicts of some slots of a day, source by source: its metrics are each other's evidence."""
    holidays = [(holiday - _EPOCH).days for holiday in settings.holidays]
    for name in dict.fromkeys(metric.source for metric in metrics):
        answers = [
            answer
            for metric in metrics
            if metric.source == name
            for answer in _answers(reader, metric, checked.rows[name].source, len(slots), holidays)
        ]
        found = with_siblings([answer.member for answer in answers])
        for answer, detections in zip(answers, found, strict=True):
            yield _rows(answer, detections, date, slots, version)


def _answers(
    reader: HistoryReader, metric: Metric, source: Source, slots: int, holidays: Collection[int]
) -> Iterator[_Answer]:
    """The answers for a metric's total and slices, a part of the series at a time."""
    monitor = metric.monitor
    configs = [config for config in (monitor.total, monitor.slices) if config is not None]
    for history in reader.read(metric, source, max(map(lookback, configs))) if configs else ():
        first_slice, count = int(TOTAL in history.names), len(history.names)
        for first, end, config in ((0, first_slice, monitor.total), (first_slice, count, monitor.slices)):
            if config is None or first == end:
                continue
            found = evaluate(history.series(first, end), slots, config, holidays)
            below = None if history.denominators is None else history.denominators[-slots:, first:end]
            member = Member(
                metric.name,
                history.names[first:end],
                found.detections,
                metric.numerator,
                metric.denominator,
                adds_up=metric.empty == "zero",
                listens=config.listens,
            )
            yield _Answer(metric, member, found, below)


def _rows(answer: _Answer, found: Detections, date: datetime.date, slots: SlotRange, version: int) -> pa.Table:
    metric, evaluation = answer.metric, answer.evaluation
    count, series = found.value.shape
    starts = int(slots.start.timestamp()) + int(SLOT.total_seconds()) * np.arange(count)
    dimensions, values = (np.array(names, dtype=object) for names in zip(*answer.member.names, strict=True))
    critical = (
        (np.abs(found.change) >= metric.monitor.critical_change)
        | (found.expected == 0)
        | (found.reason == Reason.NO_DATA)
    )
    texts = {
        "metric": np.full(count * series, metric.name),
        "dimension": np.tile(dimensions, count),
        "dimension_value": np.tile(values, count),
        "status": _named(Status, found.status),
        "severity": np.where(found.anomalous, np.where(critical, "critical", "warning"), "").ravel(),
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
        **{name: pa.array(column.astype(object), type=pa.string()) for name, column in texts.items()},
        **{name: pa.array(cells.ravel(), mask=~np.isfinite(cells.ravel())) for name, cells in numbers.items()},
        "version": pa.array(np.full(count * series, version, dtype=np.uint64)),
        "is_deleted": pa.array(np.zeros(count * series, dtype=np.uint8)),
    }
    return pa.table(columns)


def _named(names: type[Status] | type[Reason], codes: npt.NDArray[np.int8]) -> npt.NDArray[np.str_]:
    return np.array([member.name.lower() for member in names], dtype=np.str_)[codes].ravel()


def _in_batches(tables: Iterator[pa.Table], found: Counter[str]) -> Iterator[pa.Table]:
    """The same rows in fewer tables, since each is an insert; `found` counts them, and the anomalous ones."""
    waiting: list[pa.Table] = []
    for table in tables:
        found.update(rows=table.num_rows, anomalous=pc.sum(pc.equal(table.column("status"), "anomalous")).as_py())
        waiting.append(table)
        if sum(rows.num_rows for rows in waiting) >= _ROWS_AN_INSERT:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)
