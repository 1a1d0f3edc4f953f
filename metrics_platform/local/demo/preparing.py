"""From an empty or an interrupted demo to one that is up to date: events, days, slots, the report. Safe to repeat."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from metrics_platform.calendar import RANGE_END, RANGE_START, SLOT, SlotRange, slot_at
from metrics_platform.local.dagster_local import DagsterUI, materialize, run_job
from metrics_platform.local.demo.state import State
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.tables import (
    APP_DAILY,
    DIMENSION_METRICS,
    FEED_USER_DAILY,
    MESSAGE_USER_DAILY,
    USER_DAILY,
    USERS,
)

_EVERY_DAY = (FEED_USER_DAILY.name, MESSAGE_USER_DAILY.name, USERS.name)
_REPORT = (USER_DAILY.name, APP_DAILY.name)
_SLICES = ("os_slice", "gender_slice", "age_slice", DIMENSION_METRICS.name)
# How many of the last days are computed before the demo is ready; None: all.
_AT_ONCE = {_EVERY_DAY: None, _REPORT: 14, _SLICES: 7}
_RECENT = datetime.timedelta(days=15)
# So many slots are judged, and shown by Dagster: eight hours.
_JUDGED_SLOTS = 32
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


def make_ready() -> None:
    """Import what computing needs and make Dagster's databases, while ClickHouse writes and Python is idle."""
    import metrics_platform.definitions  # noqa: F401, PLC0415

    end_lost_runs()


@dataclass(frozen=True)
class Slots:
    """The complete slots that have not been judged yet, as far back as a first check goes: from `all.start` on.

    The last of them (`judged`) go through Dagster. Of those before, detectors only need the metrics: of two weeks at
    once (`recent`), of the others (`older`) when there is time. Dagster does not show them, for it would take minutes
    to write down thousands of partitions.
    """

    all: SlotRange

    @property
    def judged(self) -> SlotRange:
        return SlotRange(max(self.all.start, self.all.end - _JUDGED_SLOTS * SLOT), self.all.end)

    @property
    def recent(self) -> SlotRange:
        return SlotRange(max(self.all.start, self.judged.start - _RECENT), self.judged.start)

    @property
    def older(self) -> SlotRange:
        return SlotRange(self.all.start, self.recent.start)


def missing_slots(settings: Settings, now: datetime.datetime) -> Slots | None:
    """The slots up to `now` that have not been judged yet; None where there are none."""
    import dagster as dg  # noqa: PLC0415

    from metrics_platform.defs.monitoring.schedule import slots_to_compute  # noqa: PLC0415

    with dg.DagsterInstance.get() as instance:
        done = instance.fetch_materializations(dg.AssetKey("incidents"), limit=_LOOKED_THROUGH).records
    slots = slots_to_compute(now, [each.partition_key for each in done], settings)
    return Slots(slots) if slots else None


def compute_slots(warehouse: Warehouse, slots: SlotRange, settings: Settings) -> None:
    """Compute the metrics of slots, without Dagster."""
    from metrics_platform.warehouse import slots as slots_of_warehouse  # noqa: PLC0415

    if len(slots) > 0:
        for _ in slots_of_warehouse.compute_slots(warehouse, slots, settings):
            pass


def end_lost_runs() -> None:
    """End the runs that were going on when the demo was stopped: nobody works on them any more.

    Cancelled, not failed: a failure would be told. What they left undone is caught up with.
    """
    import dagster as dg  # noqa: PLC0415

    going_on = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    with dg.DagsterInstance.get() as instance:
        for run in instance.get_runs(dg.RunsFilter(statuses=going_on)):
            instance.report_run_canceled(run, message="The demo was stopped while this run went on.")


def missing_days(state: State, now: datetime.datetime) -> Days | None:
    """The complete days that `daily_etl` has not computed yet; None where it is up to date."""
    yesterday = now.astimezone(state.product.zone).date() - _ONE_DAY
    missing = _missing(state, _EVERY_DAY[-1], yesterday)
    return Days(missing[0], yesterday) if missing else None


def _missing(state: State, asset: str, last: datetime.date) -> list[datetime.date]:
    """The days up to `last` of which the asset has not been materialised."""
    import dagster as dg  # noqa: PLC0415

    with dg.DagsterInstance.get() as instance:
        done = instance.get_materialized_partitions(dg.AssetKey(asset))
    first = state.product.first_day
    days = (first + number * _ONE_DAY for number in range((last - first).days + 1))
    return [day for day in days if day.isoformat() not in done]


@dataclass(frozen=True)
class Days:
    """The days that are to be computed, and those of them that a newcomer looks at first.

    The snapshot of a day's users continues that of the day before, so extracts and users are needed for every day. The
    report has pictures of two weeks; of the slices, the last week is enough to begin with.
    """

    first: datetime.date
    last: datetime.date

    def since(self, assets: Sequence[str]) -> datetime.date:
        """The first day of which these assets (a group below) are computed at once."""
        days = _AT_ONCE[tuple(assets)]
        return self.first if days is None else max(self.first, self.last - (days - 1) * _ONE_DAY)

    @property
    def partitions(self) -> int:
        """How many there are to compute at once, of all tables."""
        return sum(len(assets) * ((self.last - self.since(assets)).days + 1) for assets in _AT_ONCE)


def compute_feed(days: Days) -> None:
    """Compute the feed's extract of every day, through Dagster in this process."""
    _compute(days.first, days.last, [FEED_USER_DAILY.name])


def compute_messages(days: Days) -> None:
    """Compute the messenger's extract of every day, in another process: in one, Dagster runs one thing at a time."""
    materialize(MESSAGE_USER_DAILY.name, f"{days.first}...{days.last}")


def compute_users(days: Days) -> None:
    """Compute the users' snapshot of every day, of both extracts."""
    _compute(days.first, days.last, [USERS.name])


def compute_shown_days(days: Days) -> None:
    """Compute the other tables of the days that are looked at first."""
    for assets in (_REPORT, _SLICES):
        _compute(days.since(assets), days.last, assets)


def _compute(first: datetime.date, last: datetime.date, assets: Sequence[str]) -> None:
    import dagster as dg  # noqa: PLC0415

    tags = {RANGE_START: first.isoformat(), RANGE_END: last.isoformat()}
    run_job("daily_etl", tags=tags, asset_selection=[dg.AssetKey(name) for name in assets])


def backfill_days(dagster: DagsterUI, state: State, last: datetime.date) -> None:
    """Put runs into Dagster's queue that compute the days before; also those that an earlier stop has cut off."""
    for assets in (_REPORT, _SLICES):
        if missing := _missing(state, assets[-1], last):
            tags = {RANGE_START: missing[0].isoformat(), RANGE_END: missing[-1].isoformat()}
            dagster.launch("daily_etl", tags, assets=assets)


def judge_slots(dagster: DagsterUI, slots: SlotRange) -> None:
    """Put a run of `anomaly_check` for the slots into Dagster's queue."""
    dagster.launch("anomaly_check", {RANGE_START: slot_at(slots.start).key, RANGE_END: slots.last.key})


def ask_for_report(dagster: DagsterUI, day: datetime.date) -> None:
    """Have Dagster make and send the morning report of the day, unless these numbers have been told already."""
    config = {"ops": {"daily_report": {"config": {"send": True}}}}
    dagster.launch("daily_report_job", {"dagster/partition": day.isoformat()}, config=config)


@contextmanager
def watched(warehouse: Warehouse, days: Days, progress: Progress) -> Iterator[None]:
    """Tell how far the days are, by the partitions of their tables that have been swapped in so far."""
    begun = warehouse.value("SELECT now()")
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(1.5):
            done = warehouse.value(
                "SELECT uniqExact(table, partition) FROM system.parts WHERE database = currentDatabase() AND active "
                "AND modification_time >= {begun:DateTime} AND NOT startsWith(table, 'staging__')",
                {"begun": begun},
            )
            progress(min(done / days.partitions, 1))
        warehouse.close()

    thread = threading.Thread(target=watch, name="demo-progress")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        progress(1)
