"""Question 1: what does a day cost, beside the notebook way and the floor, and how does that grow with events?"""

from __future__ import annotations

import datetime
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from clickhouse_connect.driver.client import Client

from benchmarks import notebook, pandas_day
from benchmarks.measure import Usage, alone, measured, median_usage, table
from benchmarks.source import (
    DATE,
    checked_catalog,
    create_source,
    empty_clickhouse,
    know_more_users,
    read_query,
    settings_of,
    source_database,
    write_day,
)
from metrics_platform.settings import Settings
from metrics_platform.time_windows import Day, day_of
from metrics_platform.warehouse import tables
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.daily import compute_days
from metrics_platform.warehouse.slots import compute_metric_days

Way = Literal[
    "floor", "platform", "platform, 400 MiB", "platform, 1 GiB", "metric_daily", "notebook", "pandas, same tables"
]  # fmt: skip
_WAYS: tuple[Way, ...] = get_args(Way)
_LIMIT_MIB: dict[Way, int] = {"platform, 400 MiB": 400, "platform, 1 GiB": 1024}
# More than that, with their 300 thousand users, do not fit into 400 MiB, nor their rows into pandas.
_MOST_EVENTS_FOR_LITTLE = 10_000_000
_DAY_BEFORE = DATE - datetime.timedelta(days=1)


@dataclass(frozen=True)
class Result:
    """One way at one size.

    Attributes:
        events: actions in the feed.
        engine_mib: the most memory that one query took.
        tables: of the platform: the median seconds of each table, its checks included.
    """

    events: int
    way: Way
    usage: Usage
    engine_mib: float
    tables: dict[str, float]


def run(sizes: tuple[int, ...], times: int) -> Iterator[Result]:
    """Measure each way at each size `times` times; yields the medians as they become available."""
    for events in sizes:
        with empty_clickhouse() as server:
            settings = settings_of(server.url, "day", _DAY_BEFORE)
            warehouse = create_source(settings)
            # The day before is computed, too: a snapshot that is continued costs more than one that begins.
            for date in (_DAY_BEFORE, DATE):
                write_day(warehouse, settings, date, events)
            _platform(warehouse, settings, _DAY_BEFORE)
            know_more_users(warehouse, _DAY_BEFORE, events)
            warehouse.execute(notebook.CREATE)
            pandas_day.create_tables(warehouse)
            little = events <= _MOST_EVENTS_FOR_LITTLE
            skipped = {"platform, 1 GiB"} if little else {"platform, 400 MiB", "pandas, same tables"}
            for way in _WAYS:
                if way in skipped:
                    continue
                usages, seconds = alone(_work, server.pid, server.url, way, times)
                yield Result(events, way, median_usage(usages), _engine_mib(warehouse, way), seconds)
            if little and not all((same := pandas_day.same_rows(warehouse, DATE)).values()):
                raise RuntimeError(f"pandas has other rows: {same}")


_IN_PANDAS: dict[Way, Callable[[Client, str, Day], None]] = {
    "notebook": notebook.compute,
    "pandas, same tables": pandas_day.compute,
}


def _work(engine_pid: int, url: str, way: Way, times: int) -> tuple[list[Usage], dict[str, float]]:
    settings = settings_of(url, "day", _DAY_BEFORE)
    if way in _LIMIT_MIB:
        settings = settings.model_copy(update={"clickhouse_max_memory_mb": _LIMIT_MIB[way]})
    warehouse = Warehouse.from_settings(settings, tags={"way": way})
    day = day_of(DATE, settings.zone)
    database = source_database(settings)
    taken: dict[str, list[float]] = {}

    def work() -> None:
        if way in _IN_PANDAS:
            warehouse.run(lambda client: _IN_PANDAS[way](client, database, day), operation=f"The {way} way")
        elif way == "floor":
            bounds = {"day_start": f"{day.start:%Y-%m-%d %H:%M:%S}", "day_end": f"{day.end:%Y-%m-%d %H:%M:%S}"}
            warehouse.query(read_query("floor"), {"database": database, **bounds})
        elif way == "metric_daily":
            (computed,) = compute_metric_days(warehouse, [DATE], checked_catalog(warehouse, settings), settings)
            if not computed.published:
                raise RuntimeError(f"metric_daily does not add up: {computed.violations}")
        else:
            for name, seconds in _platform(warehouse, settings, DATE).items():
                taken.setdefault(name, []).append(seconds)

    _import(warehouse)
    usages = [measured(engine_pid, work) for _ in range(times)]
    return usages, {name: statistics.median(seconds) for name, seconds in taken.items()}


def _import(warehouse: Warehouse) -> None:
    """Load what each of the ways imports, and connect: neither is what is timed."""
    import numpy  # noqa: F401, PLC0415
    import pandas  # noqa: F401, PLC0415

    warehouse.run(lambda client: client.query_df("SELECT 1"), operation="Connecting")


def _platform(warehouse: Warehouse, settings: Settings, date: datetime.date) -> dict[str, float]:
    """Compute the day as `daily_etl` does; the seconds of each table."""
    taken = {}
    for each in tables.daily_tables(settings.dimensions):
        began = time.perf_counter()
        for result in compute_days(warehouse, each, [date], settings):
            if not result.published:
                raise RuntimeError(f"{each.name} does not add up: {result.violations}")
        taken[each.name] = time.perf_counter() - began
    return taken


def _engine_mib(warehouse: Warehouse, way: Way) -> float:
    warehouse.execute("SYSTEM FLUSH LOGS")
    most = warehouse.value(
        "SELECT max(memory_usage) FROM system.query_log "
        "WHERE type = 'QueryFinish' AND JSONExtractString(log_comment, 'way') = {way:String}",
        {"way": way},
    )
    return int(most) / 1024 / 1024


def summary(results: list[Result]) -> str:
    """The results in Markdown."""
    notebooks = {each.events: each.usage for each in results if each.way == "notebook"}
    rows = []
    for each in results:
        usage, beside = each.usage, notebooks[each.events]
        rows.append(
            [
                f"{each.events / 1e6:g} M, {each.way}",
                f"{usage.seconds:.2f} s",
                f"{usage.seconds / beside.seconds:.2f}",
                f"{usage.client_seconds:.2f} + {usage.engine_seconds:.2f} s",
                f"{usage.processor_seconds / beside.processor_seconds:.2f}",
                f"{usage.client_mib:.1f} MiB",
                f"{each.engine_mib:.0f} MiB",
            ]
        )
    whole = {(each.events, each.way): each.usage.processor_seconds for each in results}
    equal = [
        f"{events / 1e6:g} M {whole[events, 'platform'] / seconds:.2f}"
        for (events, way), seconds in whole.items()
        if way == "pandas, same tables"
    ]
    columns = ["actions, way", "wall", "÷ notebook", "processor: Python + ClickHouse", "÷ notebook", "Python grew by",
               "largest query"]  # fmt: skip
    parts = [table(columns, rows)]
    parts.append(f"The platform's processor time ÷ that of pandas for the same tables: {', '.join(equal)}.")
    if len(platform := [each for each in results if each.way == "platform"]) > 1:
        first, last = platform[0], platform[-1]
        parts.append(
            f"From {first.events / 1e6:g} M to {last.events / 1e6:g} M actions ({last.events / first.events:g} times), "
            f"the platform takes {last.usage.seconds / first.usage.seconds:.1f} times as long and "
            f"{last.usage.processor_seconds / first.usage.processor_seconds:.1f} times the processor."
        )
    last = platform[-1]
    shares = [(name, seconds / sum(last.tables.values())) for name, seconds in last.tables.items()]
    parts.append(
        f"Of the platform's {last.events / 1e6:g} M: "
        + ", ".join(f"{name} {share:.0%}" for name, share in shares)
        + "."
    )
    return "\n\n".join(parts)
