"""From an empty or an interrupted demo to one that is up to date: events, days, slots, the report. Safe to repeat.

All of it runs in this process, before Dagster's schedules start, and does not depend on a busy webserver.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo

from metrics_platform.catalog import load_catalog
from metrics_platform.local.dagster_local import run_job
from metrics_platform.local.demo.product import Product
from metrics_platform.settings import Settings
from metrics_platform.time_windows import RANGE_END, RANGE_START, SLOT, SlotRange
from metrics_platform.warehouse.catalog_check import check_catalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.slots import compute_slots, first_slot, last_complete_slot, missing_slots
from metrics_platform.warehouse.tables import APP_DAILY, DIMENSION_METRICS, METRIC_DAILY, SLOT_METRICS

# The last tables of a day: a day that has them has all others.
_LAST_TABLES = (APP_DAILY.name, DIMENSION_METRICS.name, METRIC_DAILY.name)
# Days of one run: few, so that the bar moves and an interrupted start does not begin again.
_DAYS_OF_A_RUN = 7
# Slots that are checked through Dagster, and shown there: eight hours.
_CHECKED_SLOTS = 32
_ONE_DAY = datetime.timedelta(days=1)
# Called with the share of a step that is done, from 0 to 1.
Progress = Callable[[float], None]


def cancel_lost_runs() -> None:
    """Cancel the runs that were in progress when the demo was stopped: their processes are gone.

    Cancelled, not failed: a failure would send an alert. The next steps compute what is missing.
    """
    import dagster as dg  # noqa: PLC0415

    in_progress = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    with dg.DagsterInstance.get() as instance:
        for run in instance.get_runs(dg.RunsFilter(statuses=in_progress)):
            instance.report_run_canceled(run, message="The demo was stopped during this run.")


def missing_days(product: Product, now: datetime.datetime) -> list[datetime.date]:
    """The complete days from the first one that has not been computed on; empty if all are computed."""
    import dagster as dg  # noqa: PLC0415

    with dg.DagsterInstance.get() as instance:
        done = [instance.get_materialized_partitions(dg.AssetKey(name)) for name in _LAST_TABLES]
    computed = set.intersection(*map(set, done))
    days = days_between(product.first_day, now.astimezone(product.zone).date())
    return list(itertools.dropwhile(lambda day: day.isoformat() in computed, days))


def days_between(first: datetime.date, end: datetime.date) -> list[datetime.date]:
    """The days from `first` until before `end`."""
    return [first + number * _ONE_DAY for number in range((end - first).days)]


def compute_days(days: Sequence[datetime.date], progress: Progress = lambda _share: None) -> None:
    """Compute every daily table of consecutive days, in runs of `daily_etl` for a week each."""
    for number in range(0, len(days), _DAYS_OF_A_RUN):
        week = days[number : number + _DAYS_OF_A_RUN]
        run_job("daily_etl", tags={RANGE_START: week[0].isoformat(), RANGE_END: week[-1].isoformat()})
        progress((number + len(week)) / len(days))


def due_slots(settings: Settings, now: datetime.datetime) -> SlotRange | None:
    """The last eight hours of complete slots; None: there is no slot yet."""
    lag = datetime.timedelta(seconds=settings.slot_lag_seconds)
    last = last_complete_slot(settings, lag, now)
    if last is None:
        return None
    return SlotRange(max(last.end - _CHECKED_SLOTS * SLOT, first_slot(settings).start), last.end)


def compute_slot_history(warehouse: Warehouse, until: datetime.datetime, settings: Settings) -> None:
    """Compute the slots before `until` that are missing, as the first check would, and record their days in Dagster.

    It runs in parallel with the daily load, so that little is left for the check.
    """
    import dagster as dg  # noqa: PLC0415

    from metrics_platform.defs.monitoring.computing import HISTORY  # noqa: PLC0415

    checked = check_catalog(warehouse, load_catalog(settings))
    history = SlotRange(max(until - HISTORY, first_slot(settings).start), until)
    with dg.DagsterInstance.get() as instance:
        for gap in missing_slots(warehouse, history, checked, settings):
            for result in compute_slots(warehouse, gap.slots, checked, settings, gap.metrics):
                event = dg.AssetMaterialization(SLOT_METRICS.name, partition=result.date.isoformat())
                instance.report_runless_asset_event(event)


def check_slots(slots: SlotRange, zone: ZoneInfo) -> None:
    """Check the slots in one run of `anomaly_check`; it also computes what is missing before them."""
    from metrics_platform.defs.monitoring.assets import tags_of  # noqa: PLC0415

    days = [day.key for day, _ in slots.by_day(zone)]
    run_job("anomaly_check", tags={RANGE_START: days[0], RANGE_END: days[-1], **tags_of(slots)})


def send_report(day: datetime.date) -> None:
    """Write the morning report of the day and queue its message, unless these numbers have been sent already."""
    run_job("daily_report_job", {"daily_report": {"config": {"send": True}}}, partition_key=day.isoformat())
