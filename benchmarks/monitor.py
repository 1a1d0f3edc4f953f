"""Timings of the 15-minute monitor, side by side in one run. Run it from the project's root:

    .venv/bin/python benchmarks/monitor.py

It says how long judging ten thousand series takes, how much faster that is than one series after the other, and what a
whole check costs on a source of one size and of five times that size (a ClickHouse of its own, in a temporary folder).
"""

from __future__ import annotations

import datetime
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from metrics_platform.calendar import SLOT, Slot, SlotRange
from metrics_platform.catalog import SLOT_METRICS
from metrics_platform.detection import seasonal
from metrics_platform.detection.judge import judge
from metrics_platform.detection.series import Floats, SlotSeries
from metrics_platform.local.clickhouse import running_server
from metrics_platform.monitor.verdicts import judge_slots
from metrics_platform.settings import Settings, load_settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import create_database
from metrics_platform.warehouse.slots import compute_slots
from metrics_platform.warehouse.tables import read_sql

SERIES = 10_000
ONE_BY_ONE = 60  # series, of which the time of all is reckoned
END = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
DAYS = 33
_EVENTS = """
INSERT INTO {table}
SELECT number * 7 % 50000 + 1, {second}toDateTime('{start}') + intDiv(number * {seconds}, {rows}), 1, 25,
    ['Russia', 'Germany', 'Turkey'][number % 3 + 1], '', ['iOS', 'Android'][number % 2 + 1],
    ['ads', 'organic'][number % 2 + 1], 0
FROM numbers({rows})
"""


def main() -> None:
    """Print the timings."""
    _judging()
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder) / "data") as server:
        _checks(server.url)


def _judging() -> None:
    random = np.random.default_rng(1)
    lanes = SERIES // len(SLOT_METRICS)
    zone = ZoneInfo("Europe/Moscow")
    start = END - (seasonal.REACH - 1) * SLOT
    counts = random.poisson(60, (seasonal.REACH, lanes)).astype(np.float64)
    views = random.poisson(300, (seasonal.REACH, lanes)).astype(np.float64)

    def at_once(first: int, end: int) -> None:
        for metric in SLOT_METRICS:
            trials: Floats | None = views[:, first:end] if metric.denominator else None
            series = SlotSeries(start, zone, counts[:, first:end], trials)
            judge(series, 1, metric.monitoring.slices)

    whole = _median(lambda: at_once(0, lanes))
    part = _median(lambda: [at_once(lane, lane + 1) for lane in range(ONE_BY_ONE // len(SLOT_METRICS))])
    alone = part / ONE_BY_ONE * SERIES
    sys.stdout.write(
        f"Judging {SERIES:,} series in one slot: {whole:.2f} s at once; "
        f"one by one {alone:.0f} s: {alone / whole:.0f} times\n"
    )


def _checks(url: str) -> None:
    base = url.rsplit("/", 1)[0]
    seconds = {}
    for events in (2_000_000, 10_000_000):
        settings = load_settings(
            None,
            clickhouse_url=f"{base}/metrics_{events}",
            feed_table=f"source_{events}.feed_actions",
            messages_table=f"source_{events}.message_actions",
            start_date=(END - datetime.timedelta(days=DAYS)).date(),
        )
        warehouse = Warehouse.from_settings(settings)
        _fill(warehouse, settings, events)
        slots = SlotRange(END - datetime.timedelta(days=DAYS - 1), END)
        for result in compute_slots(warehouse, slots, settings):
            if not result.published:
                raise RuntimeError(f"the rollup does not add up: {result.violations}")
        seconds[events] = _median(lambda w=warehouse, s=settings: _check(w, s))  # type: ignore[misc]
    small, large = seconds.values()
    sys.stdout.write(
        "Computing and judging a slot, with 2 M and 10 M events in the source: "
        f"{small:.2f} s and {large:.2f} s: {large / small:.2f} times\n"
    )


def _fill(warehouse: Warehouse, settings: Settings, events: int) -> None:
    create_database(warehouse, warehouse.database)
    start, seconds = END - datetime.timedelta(days=DAYS), DAYS * 86_400
    for name, file, second, rows in (
        (settings.feed_table, "feed_actions", "1, if(number % 5 = 0, 'like', 'view'), ", events),
        (settings.messages_table, "message_actions", "2, ", events // 10),
    ):
        database, table = name.split(".")
        create_database(warehouse, database)
        warehouse.execute(read_sql(f"schema/{file}.sql"), {"database": database, "table": table})
        sql = _EVENTS.format(table=name, second=second, start=f"{start:%Y-%m-%d %H:%M:%S}", seconds=seconds, rows=rows)
        warehouse.execute(sql, settings={"max_partitions_per_insert_block": 1000})


def _check(warehouse: Warehouse, settings: Settings) -> None:
    slot = Slot(END - SLOT)
    list(compute_slots(warehouse, SlotRange.of(slot, slot), settings))
    monitoring = {metric.name: metric.monitoring for metric in SLOT_METRICS}
    list(judge_slots(warehouse, SlotRange.of(slot, slot), settings, monitoring))


def _median(work: Callable[[], object], times: int = 3) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
