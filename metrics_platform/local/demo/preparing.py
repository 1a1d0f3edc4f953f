"""Bring an empty or interrupted demo up to date: events, days, slots and the report. Safe to repeat.

All of it runs in this process, before Dagster's schedules start, and does not depend on a busy webserver.
"""

from __future__ import annotations

import datetime
import fcntl
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from metrics_platform.local.clickhouse_directory import write_private
from metrics_platform.local.dagster_local import run_job
from metrics_platform.local.demo.product import Product
from metrics_platform.settings import Settings
from metrics_platform.time_windows import RANGE_END, RANGE_START, SLOT, SlotRange, slot_at
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.slots import first_slot, last_complete_slot
from metrics_platform.warehouse.tables import APP_DAILY, DIMENSION_METRICS, METRIC_DAILY

# The last tables of a day: if a day has them, it has all others.
_LAST_TABLES = (APP_DAILY.name, DIMENSION_METRICS.name, METRIC_DAILY.name)
# Days per run: few, so that the progress bar moves and an interrupted start loses little.
_DAYS_OF_A_RUN = 7
# Slots that are checked through Dagster, and shown there: eight hours.
_CHECKED_SLOTS = 32
_ONE_DAY = datetime.timedelta(days=1)
# Called with the progress of a step, from 0 to 1.
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


def check_slots(slots: SlotRange, zone: ZoneInfo) -> None:
    """Check the slots in one run of `anomaly_check`; it also computes what is missing before them."""
    from metrics_platform.defs.monitoring.assets import tags_of  # noqa: PLC0415

    days = [day.key for day, _ in slots.by_day(zone)]
    run_job("anomaly_check", tags={RANGE_START: days[0], RANGE_END: days[-1], **tags_of(slots)})


def send_report(day: datetime.date) -> None:
    """Write the morning report of the day and queue its message, unless these numbers have been sent already."""
    run_job("daily_report_job", {"daily_report": {"config": {"send": True}}}, partition_key=day.isoformat())


class DemoError(RuntimeError):
    """The demo cannot run here. The text says what to do."""


class State(BaseModel):
    """The demo of a directory. `written_until`: the first instant (UTC) whose events are not written yet."""

    directory: Path = Field(Path(), exclude=True)
    product: Product
    written_until: AwareDatetime

    @classmethod
    def read(cls, directory: Path) -> State | None:
        """Read the state of the directory; None where no demo has been made yet. Raises DemoError if it is broken."""
        file = directory / "demo.json"
        try:
            state = cls.model_validate_json(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (ValidationError, UnicodeError) as error:
            raise DemoError(
                f"{file} is damaged, or was written by another version. Start with --fresh to make a new demo."
            ) from error
        state.directory = directory
        return state

    def write(self) -> None:
        """Write it atomically: a reader sees the old or the new state."""
        write_private(self.directory / "demo.json", self.model_dump_json(indent=2) + "\n")


@contextmanager
def exclusive_lock(directory: Path) -> Iterator[bool]:
    """Lock the directory against another demo. Yields False if one is running in it."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "demo.lock").open("a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield True


def lock_holder(directory: Path) -> str:
    """The process id of the demo that runs in the directory."""
    return (directory / "demo.lock").read_text(encoding="utf-8").strip()


# A slot of 15 minutes takes one.
_SPEED = 15
# A fast product starts this far behind, and catches up after 34 minutes.
_BEHIND = datetime.timedelta(hours=8)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


@dataclass
class Clock:
    """Whole seconds in UTC: `begins` until `start` is called, then a faster time that catches up with the real one.

    Only the past can be replayed: Dagster has no partition of a slot before it is over.
    """

    begins: datetime.datetime | None = None
    real: Callable[[], datetime.datetime] = field(default=_now, repr=False)
    _started: datetime.datetime | None = field(default=None, init=False)

    @classmethod
    def fast(cls, written_until: datetime.datetime | None, real: Callable[[], datetime.datetime] = _now) -> Clock:
        """The last hours again, from the beginning of a slot on, without those whose events are written already."""
        slot = slot_at(real() - _BEHIND)
        return cls(max(slot.start, written_until) if written_until else slot.start, real)

    def start(self) -> None:
        """Start a fast clock. The real time needs no start."""
        self._started = self.real()

    def now(self) -> datetime.datetime:
        """The product's time."""
        if self.begins is None:
            return self.real()
        passed = self.real() - self._started if self._started else datetime.timedelta()
        return min(self.begins + _SPEED * passed, self.real())

    @property
    def is_behind(self) -> bool:
        """Whether the product's time is behind the real one."""
        return self.now() < self.real()


@dataclass
class Stream:
    """Writes the product's events since the last call, and remembers how far it came."""

    state: State
    warehouse: Warehouse
    clock: Clock

    def write(self, progress: Progress = lambda _share: None) -> None:
        """Write up to the product's present, and remember it after each day; after an error, the next call goes on."""
        since, until = self.state.written_until, self.clock.now()
        product = self.state.product
        if since == product.first_instant():
            product.write_earlier_days(self.warehouse)
        # Close it on an interrupt, too: otherwise it would continue to write while the exception refers to it.
        with closing(product.write_events(self.warehouse, since, until)) as days:
            for written in days:
                self.state.written_until = written
                self.state.write()
                progress((written - since) / (until - since))


@dataclass
class FastSchedules:
    """Runs the check and the nightly load by the product's time, because Dagster's schedules use the real one."""

    state: State
    checked_until: datetime.datetime
    computed_until: datetime.date
    """The last day that has been computed."""

    def run_due(self) -> None:
        """Run what has become due since the last call, and retry what failed then."""
        written, zone = self.state.written_until, self.state.product.zone
        complete = slot_at(written).start
        if complete > self.checked_until:
            check_slots(SlotRange(self.checked_until, complete), zone)
            self.checked_until = complete
        if days := days_between(self.computed_until + _ONE_DAY, written.astimezone(zone).date()):
            compute_days(days)
            self.computed_until = days[-1]
