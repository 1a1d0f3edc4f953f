"""Reads the history of a metric's series from `slot_metrics` as arrays, for the detectors."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from string import Template
from zoneinfo import ZoneInfo

import numpy as np

from metrics_platform.catalog import Metric, Source
from metrics_platform.detection.series import Floats, SlotSeries
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, SlotRange
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.partitions import merged_days
from metrics_platform.warehouse.slots import first_slot
from metrics_platform.warehouse.tables import SLOT_METRICS, read_sql

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
