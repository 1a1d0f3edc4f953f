"""The 15-minute rollup: slots of `slot_metrics`, computed, checked and swapped in by UTC day. No Dagster.

Only the slots asked for are read from the source; the day's others are kept as they are.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from dataclasses import dataclass

from metrics_platform.calendar import SlotRange
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Parameters, Warehouse
from metrics_platform.warehouse.daily import EXTRACT_TRIES, Comparison, source_names
from metrics_platform.warehouse.partitions import Staged, Totals, drop_leftovers, publish, staged_partition
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.tables import SLOT_METRICS, read_sql

_KEPT = "queries/slot_metrics_kept.sql"
_GRID = "queries/slot_metrics_grid.sql"


@dataclass(frozen=True)
class SlotsResult:
    """Computed slots of one UTC day.

    Attributes:
        slots: those that were computed.
        totals: rows and sums of the whole day's partition, those that were kept included.
        comparisons: every check's quantities, over the computed slots.
        published: whether readers see them; False when a check does not hold.
        read_rows: rows ClickHouse read to compute them.
        seconds: wall time.
    """

    slots: SlotRange
    totals: Totals
    comparisons: tuple[Comparison, ...]
    published: bool
    read_rows: int
    seconds: float

    @property
    def violations(self) -> tuple[Comparison, ...]:
        """What does not hold."""
        return tuple(each for each in self.comparisons if not each.holds)


def compute_slots(warehouse: Warehouse, slots: SlotRange, settings: Settings) -> Iterator[SlotsResult]:
    """Compute slots in their order, each UTC day swapped in before the next begins; yields each day as it is done.

    Running it again gives the same rows, whatever happened before, and leaves the slots around them as they are. Ends
    after the first day whose checks do not hold.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer; nothing is half-written.
        SchemaMismatchError: the table is there with other columns.
        PartitionMismatchError: what was written is not what is there.
    """
    create_tables(warehouse, [SLOT_METRICS])
    drop_leftovers(warehouse, SLOT_METRICS)
    for date, piece in slots.by_utc_day():
        result = _compute_day(warehouse, date, piece, settings)
        yield result
        if not result.published:
            return


def slot_parameters(slots: SlotRange, settings: Settings) -> Parameters:
    """The server-side parameters that the slots' queries share: bounds in UTC, dimensions, names of sources."""
    return {
        **source_names(settings),
        "event_date": slots.start.date(),
        "first_slot": f"{slots.start:%Y-%m-%d %H:%M:%S}",
        "end_slot": f"{slots.end:%Y-%m-%d %H:%M:%S}",
        "dimensions": ["total", *settings.monitored_dimensions],
    }


def _compute_day(warehouse: Warehouse, date: datetime.date, slots: SlotRange, settings: Settings) -> SlotsResult:
    started = time.perf_counter()
    parameters = slot_parameters(slots, settings)
    selects = [(sql, parameters) for sql in (read_sql(_KEPT), SLOT_METRICS.query, read_sql(_GRID))]
    for attempt in range(1, EXTRACT_TRIES + 1):
        with staged_partition(warehouse, SLOT_METRICS, date, selects) as staged:
            comparisons = _compare(warehouse, staged, parameters)
            holds = all(each.holds for each in comparisons)
            if holds:
                publish(warehouse, staged)
            if holds or attempt == EXTRACT_TRIES:
                seconds = time.perf_counter() - started
                return SlotsResult(slots, staged.totals, comparisons, holds, staged.read_rows, seconds)
    raise AssertionError("unreachable: the last attempt returns")


def _compare(warehouse: Warehouse, staged: Staged, parameters: Parameters) -> tuple[Comparison, ...]:
    answer = warehouse.query(
        SLOT_METRICS.check_query, {**parameters, "staging": staged.name}, doing=f"Checking slots of {staged.date}"
    )
    return tuple(
        Comparison(row["check_name"], row["quantity"], int(row["expected"]), int(row["actual"])) for row in answer.rows
    )
