"""Judging slots: every metric, as a whole and by slice, and writing the verdicts by UTC day."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metrics_platform.calendar import SLOT, SlotRange
from metrics_platform.catalog import SLOT_METRICS as METRICS
from metrics_platform.catalog import SlotMetric
from metrics_platform.detection.config import Judging, MetricMonitoring
from metrics_platform.detection.judge import Combined, judge, reach
from metrics_platform.detection.judgement import Reason, Status
from metrics_platform.detection.series import Floats
from metrics_platform.monitor.history import SlotHistory, read_history
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.partitions import drop_leftovers, publish, staged_partition
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.tables import SLOT_METRICS, VERDICTS, columns_of, read_sql

_EPOCH = datetime.date(1970, 1, 1)
_TEXTS = tuple(column.name for column in columns_of("verdicts") if "String" in column.type)
_NUMBERS = tuple(column.name for column in columns_of("verdicts") if "Float64" in column.type)


class NoSlotsError(RuntimeError):
    """The slots to judge are not in `slot_metrics`."""


@dataclass(frozen=True)
class VerdictsResult:
    """Judged slots of one UTC day.

    Attributes:
        slots: those that were judged.
        series: how many series, metrics times slices.
        anomalous: how many verdicts are «anomalous».
        seconds: wall time.
    """

    slots: SlotRange
    series: int
    anomalous: int
    seconds: float


def judge_slots(
    warehouse: Warehouse, slots: SlotRange, settings: Settings, monitoring: Mapping[str, MetricMonitoring]
) -> Iterator[VerdictsResult]:
    """Judge slots in their order, each UTC day swapped in before the next begins; yields each day as it is done.

    Judging again gives the same rows, as long as the rollup is the same.

    Raises:
        NoSlotsError: slots are missing in `slot_metrics`.
        WarehouseError: ClickHouse refused, failed or did not answer; nothing is half-written.
        SchemaMismatchError: a table is there with other columns.
    """
    create_tables(warehouse, [SLOT_METRICS, VERDICTS])
    drop_leftovers(warehouse, VERDICTS)
    furthest = max(reach(judging) for each in monitoring.values() for judging in (each.total, each.slices))
    for date, piece in slots.by_utc_day():
        started = time.perf_counter()
        history = read_history(warehouse, piece, furthest + len(piece) - 1, settings)
        _require(history, piece)
        rows = pa.concat_tables(list(_verdicts(history, piece, settings, monitoring)))
        kept = {
            "event_date": date,
            "first_slot": f"{piece.start:%Y-%m-%d %H:%M:%S}",
            "end_slot": f"{piece.end:%Y-%m-%d %H:%M:%S}",
        }
        selects = [(read_sql("queries/verdicts_kept.sql"), kept)]
        with staged_partition(warehouse, VERDICTS, date, selects, rows) as staged:
            publish(warehouse, staged)
        anomalous = int(np.sum(rows.column("status").to_numpy(zero_copy_only=False) == "anomalous"))
        seconds = time.perf_counter() - started
        series = rows.num_rows // len(piece)
        yield VerdictsResult(piece, series, anomalous, seconds)


def _require(history: SlotHistory, slots: SlotRange) -> None:
    total = history.columns["views"][-len(slots) :, 0] if history.names else np.full(len(slots), np.nan)
    missing = [slot.key for slot, value in zip(slots, total, strict=True) if np.isnan(value)]
    if missing:
        raise NoSlotsError(
            f"{len(missing)} of the slots to judge are not in slot_metrics, the first {missing[0]}. Materialise "
            f"`slot_metrics` from {missing[0]} to {missing[-1]} first."
        )


def _verdicts(
    history: SlotHistory, slots: SlotRange, settings: Settings, monitoring: Mapping[str, MetricMonitoring]
) -> Iterator[pa.Table]:
    holidays = [(each - _EPOCH).days for each in settings.holidays]
    for metric in METRICS:
        how = monitoring[metric.name]
        groups: list[tuple[int, int, Judging]] = [(0, 1, how.total)]
        if how.judge_slices and len(history.names) > 1:
            groups.append((1, len(history.names), how.slices))
        for first, end, judging in groups:
            series = history.series(metric, first, end)
            found = judge(series, len(slots), judging, holidays)
            trials = None if series.trials is None else series.trials[-len(slots) :]
            yield _rows(metric, history.names[first:end], slots, found, trials, how)


def _rows(  # noqa: PLR0917  (what a row says comes from six places)
    metric: SlotMetric,
    names: tuple[tuple[str, str], ...],
    slots: SlotRange,
    combined: Combined,
    trials: Floats | None,
    how: MetricMonitoring,
) -> pa.Table:
    found = combined.judgements
    count, lanes = found.value.shape
    starts = int(slots.start.timestamp()) + int(SLOT.total_seconds()) * np.arange(count)
    critical = (np.abs(found.change) >= how.critical_change) | (found.expected == 0) | (found.reason == Reason.NO_DATA)
    severity = np.where(found.anomalous, np.where(critical, "critical", "warning"), "")
    texts = {
        "metric": np.full(count * lanes, metric.name),
        "dimension": np.tile(np.array([dimension for dimension, _ in names], dtype=object), count),
        "dimension_value": np.tile(np.array([value for _, value in names], dtype=object), count),
        "status": _named(Status, found.status),
        "severity": severity.ravel(),
        "reason": _named(Reason, found.reason),
        "detector": np.array(combined.detectors)[combined.detector].ravel(),
    }
    numbers = {
        "value": found.value,
        "trials": np.full(found.value.shape, np.nan) if trials is None else trials,
        "expected": found.expected,
        "lower": found.lower,
        "upper": found.upper,
        "score": found.score,
    }
    columns = {
        "slot_start": pa.array(np.repeat(starts, lanes).astype(np.uint32)),
        **{name: pa.array(texts[name].astype(object), type=pa.string()) for name in _TEXTS},
        **{name: pa.array(numbers[name].ravel(), mask=~np.isfinite(numbers[name].ravel())) for name in _NUMBERS},
    }
    return pa.table(columns)


def _named(names: type[Status] | type[Reason], codes: npt.NDArray[np.int8]) -> npt.NDArray[np.str_]:
    return np.array([each.name.lower() for each in names], dtype=np.str_)[codes].ravel()
