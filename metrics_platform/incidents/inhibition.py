"""What a stale source says already: that its metrics are at nothing, because nothing arrives."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from metrics_platform.calendar import SLOT, Slot, SlotRange
from metrics_platform.catalog import Catalog
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.sources import Rows, rows_of_slots


def silent_sources(
    warehouse: Warehouse, slots: SlotRange, settings: Settings, catalog: Catalog
) -> dict[Slot, tuple[str, ...]]:
    """For each of `slots` the sources that have been without an event for as long as makes them stale by its end.

    By the rollup, so that judging an old slot again gives the same answer. None where staleness is not told
    (METRICS_SEVERITIES: stale_data=off): then the metrics say it.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer.
        SchemaMismatchError: `slot_metrics` has other columns than this version reads.
    """
    if settings.severity_of("stale_data", "warning") is None:
        return {}
    spans = {name: slots_of(source.stale_limits[0]) for name, source in catalog.sources.items()}
    if not spans:
        return {}
    start = slots.start - max(spans.values()) * SLOT
    rows = rows_of_slots(warehouse, SlotRange(start, slots.end))
    return {slot: tuple(source for source in spans if is_silent(rows, source, slot, spans[source])) for slot in slots}


def slots_of(limit: datetime.timedelta) -> int:
    """How many whole slots a silence of `limit` takes."""
    return max(1, -(-limit // SLOT))


def is_silent(rows: Mapping[Slot, Rows], source: str, slot: Slot, span: int) -> bool:
    """Whether the source had no event in the `span` slots that end with `slot`; a slot not computed is not silent."""
    return all(
        (found := rows.get(Slot(slot.start - number * SLOT))) is not None and found.get(source) == 0
        for number in range(span)
    )


def metrics_of(sources: tuple[str, ...], catalog: Catalog) -> dict[str, str]:
    """The metrics of these sources, each with its source."""
    return {metric.name: metric.source for metric in catalog.metrics.values() if metric.source in sources}
