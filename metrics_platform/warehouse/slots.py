"""Find missing metrics of slots and days, and compute them day by day. No Dagster."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from metrics_platform.catalog import Metric
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, Slot, SlotRange, day_of, first_instant, slot_at
from metrics_platform.warehouse.catalog_check import CheckedCatalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.metric_values import ValuesResult, compute_values
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.tables import METRIC_DAILY, SLICE_VALUES, SLOT_METRICS

_SECONDS = int(SLOT.total_seconds())
_PRESENT = """
SELECT event_date, metric, definition, groupArray(intDiv(toUnixTimestamp(slot_start), 900)) AS slots
FROM slot_metrics FINAL
WHERE event_date >= {first_day:Date} AND event_date <= {last_day:Date} AND dimension = 'total'
  AND slot_start >= {start:DateTime('UTC')} AND slot_start < {end:DateTime('UTC')}
GROUP BY event_date, metric, definition
"""
_PRESENT_DAYS = """
SELECT event_date, metric, definition
FROM metric_daily FINAL
WHERE event_date >= {first:Date} AND event_date <= {last:Date} AND dimension = 'total'
"""


@dataclass(frozen=True)
class Missing:
    """Missing slots of one day, and the metrics that lack them."""

    slots: SlotRange
    metrics: tuple[Metric, ...]


def compute_slots(
    warehouse: Warehouse,
    slots: SlotRange,
    checked: CheckedCatalog,
    settings: Settings,
    metrics: Sequence[Metric] | None = None,
) -> Iterator[ValuesResult]:
    """Compute slots of all metrics, or of `metrics`, day by day. Yields each day when it is published.

    See `compute_values`.
    """
    stretches = ((day.date, piece.start, piece.end) for day, piece in slots.by_day(settings.zone))
    return compute_values(warehouse, SLOT_METRICS, stretches, checked, settings.zone, metrics)


def missing_slots(warehouse: Warehouse, slots: SlotRange, checked: CheckedCatalog, settings: Settings) -> list[Missing]:
    """The missing slots among `slots`, by day, oldest first.

    A metric lacks a slot whose value is not there, or was computed by another definition. What is missing of a day is
    taken from its first to its last missing slot, so that a gap is one statement.
    """
    create_tables(warehouse, [SLICE_VALUES, SLOT_METRICS])
    if not len(slots):
        return []
    pieces = list(slots.by_day(settings.zone))
    rows = warehouse.query(
        _PRESENT,
        {
            "first_day": pieces[0][0].date,
            "last_day": pieces[-1][0].date,
            "start": slots.start,
            "end": slots.end,
        },
        operation="Looking for slots that are missing",
    ).rows
    present = {(row["event_date"], row["metric"], row["definition"]): set(row["slots"]) for row in rows}
    missing: list[Missing] = []
    for day, piece in pieces:
        numbers = range(int(piece.start.timestamp()) // _SECONDS, int(piece.end.timestamp()) // _SECONDS)
        missing_positions: dict[str, tuple[int, int]] = {}
        for metric in checked.metrics.values():
            present_slots = present.get((day.date, metric.name, metric.definition), set())
            if missing_numbers := [number for number in numbers if number not in present_slots]:
                missing_positions[metric.name] = missing_numbers[0], missing_numbers[-1] + 1
        # A quotient is computed with its parts or, if these lack other slots, after them.
        together: dict[tuple[int, int], list[Metric]] = {}
        after: dict[tuple[int, int], list[Metric]] = {}
        for name, positions in missing_positions.items():
            metric = checked.metrics[name]
            parts = [str(part) for part in (metric.numerator, metric.denominator) if not metric.sql]
            with_parts = all(missing_positions.get(part, positions) == positions for part in parts)
            (together if with_parts else after).setdefault(positions, []).append(metric)
        missing += [
            Missing(SlotRange(_instant(start), _instant(end)), tuple(metrics))
            for (start, end), metrics in [*together.items(), *after.items()]
        ]
    return missing


def compute_metric_days(
    warehouse: Warehouse,
    dates: Iterable[datetime.date],
    checked: CheckedCatalog,
    settings: Settings,
    metrics: Sequence[Metric] | None = None,
) -> Iterator[ValuesResult]:
    """Compute days of all metrics, or of `metrics`; yields each day as it is published. Ends where checks do not hold.

    See `compute_values`.
    """
    days = (day_of(date, settings.zone) for date in sorted(dates))
    # The zone's clocks have skipped some dates.
    stretches = ((day.date, day.start, day.end) for day in days if day.hours)
    return compute_values(warehouse, METRIC_DAILY, stretches, checked, settings.zone, metrics)


def missing_days(
    warehouse: Warehouse, first: datetime.date, last: datetime.date, checked: CheckedCatalog, zone: ZoneInfo
) -> list[tuple[datetime.date, tuple[Metric, ...]]]:
    """The days from `first` to `last` that some metric lacks, or has by another definition, with these metrics.

    Raises SchemaMismatchError if the table is there with other columns.
    """
    create_tables(warehouse, [SLICE_VALUES, METRIC_DAILY])
    rows = warehouse.query(
        _PRESENT_DAYS, {"first": first, "last": last}, operation="Looking for days that are missing"
    ).rows
    present = {(row["event_date"], row["metric"], row["definition"]) for row in rows}
    missing = []
    for number in range((last - first).days + 1):
        date = first + datetime.timedelta(days=number)
        if not day_of(date, zone).hours:
            continue  # the zone's clocks skipped it
        missing_metrics = tuple(
            metric for metric in checked.metrics.values() if (date, metric.name, metric.definition) not in present
        )
        if missing_metrics:
            missing.append((date, missing_metrics))
    return missing


def first_slot(settings: Settings) -> Slot:
    """The first slot of the product: the one in which METRICS_START_DATE begins."""
    return slot_at(first_instant(settings.start_date, settings.zone))


def last_complete_slot(settings: Settings, lag: datetime.timedelta, now: datetime.datetime) -> Slot | None:
    """The latest slot with complete events at `now`: `lag` has passed since its end. None: there is none yet."""
    end = slot_at(now - lag).start
    if settings.end_date is not None:
        end = min(end, first_instant(settings.end_date + datetime.timedelta(days=1), settings.zone))
    last = Slot(end - SLOT)
    return last if last.start >= first_slot(settings).start else None


def lag_of(checked: Iterable[datetime.timedelta], settings: Settings) -> datetime.timedelta:
    """How long a check waits for events: as long as the slowest source takes."""
    return max([*checked, datetime.timedelta(seconds=settings.slot_lag_seconds)])


def _instant(number: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(number * _SECONDS, datetime.UTC)
