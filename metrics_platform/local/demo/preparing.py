"""From an empty or an interrupted demo to one that is up to date: events, days, slots, the report. Safe to repeat."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from metrics_platform.calendar import SlotRange, slot_of_key
from metrics_platform.local.dagster_local import run_job
from metrics_platform.local.demo.state import State
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
# So many slots are computed and judged through Dagster, so that it shows them; of those before, which the detectors
# only look back at, the metrics alone are computed. A day of them is judged in seconds.
_SLOTS_THROUGH_DAGSTER = 96
_LOOKED_THROUGH = 200
_ONE_DAY = datetime.timedelta(days=1)
# Told how much of a step is done, from 0 to 1.
Progress = Callable[[float], None]


def write_history(state: State, warehouse: Warehouse, until: datetime.datetime, progress: Progress) -> None:
    """Write the product's events up to `until`, and remember it after each day."""
    since = state.written_until
    for written in state.product.write_events(warehouse, since, until):
        state.written_until = written
        state.write()
        progress((written - since) / (until - since))


def missing_days(state: State, now: datetime.datetime) -> tuple[datetime.date, datetime.date] | None:
    """The first and last complete day that `daily_etl` has not computed yet; None where it is up to date."""
    import dagster as dg  # noqa: PLC0415

    yesterday = now.astimezone(state.product.zone).date() - _ONE_DAY
    with dg.DagsterInstance.get() as instance:
        done = instance.get_materialized_partitions(dg.AssetKey("dimension_metrics"))
    days = [
        state.product.first_day + number * _ONE_DAY for number in range((yesterday - state.product.first_day).days + 1)
    ]
    missing = [day for day in days if day.isoformat() not in done]
    return (missing[0], yesterday) if missing else None


def compute_days(first: datetime.date, last: datetime.date, warehouse: Warehouse, progress: Progress) -> None:
    """Run `daily_etl` for a range of days, in one run in this process."""
    with _watched(warehouse, (last - first).days + 1, progress):
        run_job("daily_etl", tags={RANGE_START: first.isoformat(), RANGE_END: last.isoformat()})


def compute_slots(settings: Settings, warehouse: Warehouse, now: datetime.datetime, progress: Progress) -> None:
    """Compute the slots up to `now` that are missing, and judge the last of them, as `anomaly_check` would."""
    import dagster as dg  # noqa: PLC0415

    from metrics_platform.defs.monitoring.schedule import slots_to_compute  # noqa: PLC0415
    from metrics_platform.warehouse import slots as slots_of_warehouse  # noqa: PLC0415

    with dg.DagsterInstance.get() as instance:
        done = instance.fetch_materializations(dg.AssetKey("incidents"), limit=_LOOKED_THROUGH).records
        slots = slots_to_compute(now, [each.partition_key for each in done], settings)
    if slots is None:
        return
    judged = SlotRange(max(slots.start, slots.end - _SLOTS_THROUGH_DAGSTER * (slots.end - slots.last.start)), slots.end)
    if judged.start > slots.start:
        before = SlotRange(slots.start, judged.start)
        for result in slots_of_warehouse.compute_slots(warehouse, before, settings):
            progress(0.5 * (result.slots.end - before.start) / (before.end - before.start))
    progress(0.5)
    first = next(iter(judged))
    run_job("anomaly_check", tags={RANGE_START: first.key, RANGE_END: slot_of_key(judged.last.key).key})
    progress(1)


def ask_for_report(day: datetime.date) -> None:
    """Have the morning report of the day made and sent, unless these numbers have been told already."""
    run_job("daily_report_job", {"daily_report": {"config": {"send": True}}}, partition_key=day.isoformat())


@contextmanager
def _watched(warehouse: Warehouse, days: int, progress: Progress) -> Iterator[None]:
    """Tell how far `daily_etl` is, by the partitions of its tables that have been swapped in since it began."""
    begun = warehouse.value("SELECT now()")
    ended = threading.Event()
    tables = 9

    def watch() -> None:
        while not ended.wait(0.5):
            done = warehouse.value(
                "SELECT uniqExact(table, partition) FROM system.parts WHERE database = currentDatabase() AND active "
                "AND modification_time >= {begun:DateTime} AND NOT startsWith(table, 'staging__')",
                {"begun": begun},
            )
            progress(min(done / (tables * days), 1))
        warehouse.close()

    thread = threading.Thread(target=watch, name="demo-progress")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        progress(1)
