"""The daily load: one day of one table, computed, checked and swapped in. Pure ClickHouse, no Dagster.

Each table of `tables.py` is computed by its `.sql` file from the tables before it, reconciled by its checks
while still in staging, and swapped in only when every check holds: readers never see a day that does not add
up.
"""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from metrics_platform.settings import Settings
from metrics_platform.time_windows import Day, day_of
from metrics_platform.warehouse import tables
from metrics_platform.warehouse.client import Parameters, Row, Warehouse, runnable
from metrics_platform.warehouse.comparison import Comparison
from metrics_platform.warehouse.daily_sources import TOO_MANY_TEXTS, DailySources
from metrics_platform.warehouse.earlier_users import build_earlier_users
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.partitions import Staged, Totals, drop_leftovers, publish, staged_partition
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.tables import DailyTable
from metrics_platform.warehouse.upstream import require_upstream

# Events may arrive between the extract and the count that it is compared with, so it is tried up to three times.
EXTRACT_TRIES = 3


@dataclass(frozen=True)
class DayResult:
    """One computed day of one table.

    Attributes:
        totals: rows and sums of measures.
        comparisons: every check's quantities.
        published: whether readers see the day; False when a check does not hold.
        read_rows: rows ClickHouse read to compute it.
        seconds: wall time of computing, checking and swapping in.
        query: the day's query in runnable form.
        preview: the first rows.
        without_user: for an extract, how many rows of the source have no user and are left out.
    """

    table: DailyTable
    day: Day
    totals: Totals
    comparisons: tuple[Comparison, ...]
    published: bool
    read_rows: int
    seconds: float
    query: str
    preview: tuple[Row, ...] = field(default=())
    without_user: int = 0

    @property
    def violations(self) -> tuple[Comparison, ...]:
        """The quantities that differ by more than a few late events."""
        return tuple(comparison for comparison in self.comparisons if comparison.is_violated)


def compute_days(
    warehouse: Warehouse,
    table: DailyTable,
    dates: Iterable[datetime.date],
    settings: Settings,
    *,
    preview_rows: int = 0,
    log: Callable[[str], None] = lambda _: None,
) -> Iterator[DayResult]:
    """Compute days of one table in order. Each is swapped in before the next begins, and yielded.

    Creates missing tables and drops what killed runs left, first. Ends after the first day whose checks do not hold.
    `log` gets the progress of what takes long, and what is wrong with METRICS_CATALOG. Errors: see `compute_day` and
    `create_tables`.
    """
    create_tables(warehouse, tables.daily_tables(settings.dimensions))
    drop_leftovers(warehouse, table)
    sources = DailySources.of(warehouse, settings)
    if sources.catalog.problem:
        log(f"{sources.catalog.problem}\nThe built-in catalogue is used instead.")
    for date in sorted(dates):
        try:
            result = compute_day(warehouse, table, date, settings, sources, preview_rows=preview_rows, log=log)
        except WarehouseError as error:
            if error.code != TOO_MANY_TEXTS:
                raise
            sources = replace(sources, has_many_texts=True)
            result = compute_day(warehouse, table, date, settings, sources, preview_rows=preview_rows, log=log)
        yield result
        if not result.published:
            return


def compute_day(
    warehouse: Warehouse,
    table: DailyTable,
    date: datetime.date,
    settings: Settings,
    sources: DailySources,
    *,
    preview_rows: int = 0,
    log: Callable[[str], None] = lambda _: None,
) -> DayResult:
    """Compute one day of one table, check it, and swap it in if all checks hold.

    Running it again gives the same rows, whatever happened before. The first day of `users` builds the snapshot that it
    continues, from all earlier events; `log` gets the progress.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer; nothing is half-written.
        SourceError: a source does not fit its table.
        NotComputedError: a table above has to be computed first.
        PartitionMismatchError: the table holds other rows than were written.
    """
    started = time.perf_counter()
    day = day_of(date, settings.zone)
    require_upstream(sources, table, day, settings)
    if table.name == tables.USERS.name and date == settings.start_date:
        build_earlier_users(sources, settings, log)
    selects = _selects(table, day, settings, sources)
    for attempt in range(1, EXTRACT_TRIES + 1):
        with staged_partition(warehouse, table, date, selects) as staged:
            comparisons, without_user = _compare(warehouse, staged, day, settings, sources)
            holds = not any(comparison.is_violated for comparison in comparisons)
            if holds:
                publish(warehouse, staged)
            if holds or attempt == EXTRACT_TRIES or table not in tables.EXTRACTS:
                return DayResult(
                    table,
                    day,
                    staged.totals,
                    comparisons,
                    published=holds,
                    read_rows=staged.read_rows,
                    seconds=time.perf_counter() - started,
                    query="\n\n".join(runnable(sql, values) for sql, values in selects),
                    preview=tuple(_preview(warehouse, staged, preview_rows)),
                    without_user=without_user,
                )
    raise AssertionError("unreachable: the last attempt returns")


def _parameters(day: Day, settings: Settings) -> Parameters:
    """The server-side parameters that the day's queries share: bounds in UTC, and dates."""
    return {
        "event_date": day.date,
        "day_start": day.start,
        "day_end": day.end,
        "previous_date": day.date - datetime.timedelta(days=1),
        "dimension_count": len(settings.dimensions),
    }


def _selects(table: DailyTable, day: Day, settings: Settings, sources: DailySources) -> list[tuple[str, Parameters]]:
    parameters = _parameters(day, settings)
    if table.name == tables.DIMENSION_METRICS.name:
        slices = [tables.slice_table(dimension).name for dimension in settings.dimensions]
        return [("UNION ALL\n".join(table.query.replace("$slice_table", name) for name in slices), parameters)]
    if table.dimension:
        parameters = {**parameters, "dimension": table.dimension, "dimension_column": table.dimension}
    return [(sources.render(table.query), parameters)]


def _compare(
    warehouse: Warehouse, staged: Staged, day: Day, settings: Settings, sources: DailySources
) -> tuple[tuple[Comparison, ...], int]:
    """The quantities of the table's checks, and how many rows of the source have no user."""
    (row,) = warehouse.query(
        sources.render(staged.table.check_query),
        {**_parameters(day, settings), "staging": staged.name},
        operation=f"Checking {staged.table.name} of {day.date}",
    ).rows
    without_user = int(row.pop("without_user", 0))
    comparisons = (_comparison(name, *map(int, numbers), settings=settings) for name, numbers in row.items())
    return tuple(comparisons), without_user


def _comparison(name: str, expected: int, actual: int, late: int = 0, *, settings: Settings) -> Comparison:
    check, _, quantity = name.partition(": ")
    # One late event is always allowed.
    allowed = math.ceil(expected * settings.late_events_pct / 100)
    return Comparison(check, quantity, expected, actual, late=late, late_allowed=allowed)


def _preview(warehouse: Warehouse, staged: Staged, rows: int) -> list[Row]:
    if not rows:
        return []
    # Of a table of several dimensions, that number of rows of each.
    by = "BY dimension" if any(column.name == "dimension" for column in staged.table.columns) else ""
    return warehouse.query(
        f"SELECT * EXCEPT (event_date) FROM {{staging:Identifier}} ORDER BY ALL LIMIT {{rows:UInt32}} {by}",  # noqa: S608
        {"staging": staged.name, "rows": rows},
        operation=f"Previewing {staged.table.name}",
    ).rows
