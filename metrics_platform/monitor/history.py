"""Reading the rollup's history as arrays, for the detectors."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np

from metrics_platform.calendar import SLOT, SlotRange, first_instant
from metrics_platform.catalog import SlotMetric
from metrics_platform.detection.series import Floats, SlotSeries
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.tables import SLOT_METRICS, read_sql

TOTAL = ("total", "total")


@dataclass(frozen=True)
class SlotHistory:
    """A stretch of `slot_metrics`.

    Attributes:
        start: its first slot's begin, in UTC.
        zone: the product's zone.
        names: (dimension, value) of each series, the total first.
        columns: column → [slots, series]; NaN where a slot was not computed, or a slice not on the grid.
    """

    start: datetime.datetime
    zone: ZoneInfo
    names: tuple[tuple[str, str], ...]
    columns: dict[str, Floats]

    def series(self, metric: SlotMetric, first: int, end: int) -> SlotSeries:
        """A metric's history for the series `first` up to `end` of `names`."""
        trials = None if metric.denominator is None else self.columns[metric.denominator][:, first:end]
        return SlotSeries(self.start, self.zone, self.columns[metric.numerator][:, first:end], trials)


def read_history(warehouse: Warehouse, judged: SlotRange, reach: int, settings: Settings) -> SlotHistory:
    """The history that judging the slots `judged` needs: `reach` slots up to and with each.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer.
    """
    # Not before the product: what was never computed only costs memory.
    beginning = first_instant(settings.start_date, settings.zone)
    beginning -= (beginning - datetime.datetime.fromtimestamp(0, datetime.UTC)) % SLOT
    start = max(judged.start - (reach - 1) * SLOT, min(beginning, judged.start))
    parameters = {
        "first_slot": f"{start:%Y-%m-%d %H:%M:%S}",
        "judged_slot": f"{judged.start:%Y-%m-%d %H:%M:%S}",
        "end_slot": f"{judged.end:%Y-%m-%d %H:%M:%S}",
        "dimensions": ["total", *settings.monitored_dimensions],
    }
    sql = read_sql("queries/slot_history.sql")
    table = warehouse.run(
        lambda client: client.query_arrow(sql, parameters=parameters, use_strings=True),
        doing="Reading the history of the slots",
        repeatable=True,
    )
    slots, lanes = (judged.end - start) // SLOT, table.num_rows
    names = tuple(zip(*(table.column(name).to_pylist() for name in ("series_dimension", "series_value")), strict=True))
    lists = table.column("positions").combine_chunks()
    lengths = np.diff(lists.offsets.to_numpy())
    rows, lane = lists.flatten().to_numpy(), np.repeat(np.arange(lanes), lengths)
    columns = {}
    for name in SLOT_METRICS.measures:
        cells = np.full((slots, lanes), np.nan)
        cells[rows, lane] = table.column(f"groupArray({name})").combine_chunks().flatten().to_numpy()
        columns[name] = cells
    return SlotHistory(start, settings.zone, names, columns)
