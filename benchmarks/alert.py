"""Question 4: how long from the close of a slot (plus the lag) to Telegram's answer, in a running `dagster dev`?
And how long does a burst of messages take that cannot become a digest?

The events of the last day are written before the first check, and every fourth slot has four times as many. Each of
these is checked as the schedule does it, and timed from the launch of the run. Incidents are deleted in between: a
second one within two hours would edit the first message. Dagster's scheduler wakes up when a schedule is due, so its
delay is not measured. The Bot API server enforces Telegram's limits.
"""

from __future__ import annotations

import datetime
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import dagster as dg

from benchmarks.platform import Platform, running_platform
from benchmarks.source import checked_catalog, write_evenly
from metrics_platform.defs.delivery.storage import queued
from metrics_platform.defs.monitoring.assets import tags_of
from metrics_platform.notifications.kinds import DailyReport
from metrics_platform.time_windows import RANGE_END, RANGE_START, SLOT, Slot, SlotRange, slot_at
from metrics_platform.warehouse.slots import compute_slots, first_slot

_HISTORY = datetime.timedelta(days=32)
_BETWEEN = 4  # slots; alerts are sent about those of the last 24 hours
MOST_ALERTS = 24 * 4 // _BETWEEN - 1
_EVENTS = 3_000_000
_WAIT_SECONDS = 120
BURST = 50


@dataclass(frozen=True)
class Result:
    """Seconds: of each alert from the launch to Telegram's answer, and of that until the check had ended.

    The burst: seconds from queueing to the last answer, and the runs of `notify` that it took.
    """

    alerts: list[float]
    checks: list[float]
    burst_seconds: float
    burst_runs: int
    memory: dict[str, float]

    @property
    def median(self) -> float:
        return statistics.median(self.alerts)

    @property
    def most(self) -> float:
        return max(self.alerts)


def run(alerts: int) -> Result:
    """Send this number of alerts, one after the other."""
    now = slot_at(datetime.datetime.now(datetime.UTC)).start
    first = now - alerts * _BETWEEN * SLOT
    start = first - _HISTORY
    with running_platform(start.date(), METRICS_ALERT_MAX_AGE_MINUTES="1440") as platform:
        write_evenly(platform.warehouse, platform.settings, start, now, _EVENTS)
        in_a_slot = _EVENTS // ((now - start) // SLOT)
        loud = [Slot(first + (number * _BETWEEN + _BETWEEN - 1) * SLOT) for number in range(alerts)]
        for slot in loud:
            write_evenly(platform.warehouse, platform.settings, slot.start, slot.end, 3 * in_a_slot)
        checked = checked_catalog(platform.warehouse, platform.settings)
        history = SlotRange(first_slot(platform.settings).start, first)
        list(compute_slots(platform.warehouse, history, checked, platform.settings))
        taken, durations = [], []
        for number, slot in enumerate(loud):
            # Dagster evaluates sensors every five seconds: alerts come at any moment in between.
            time.sleep(number % 5)
            platform.warehouse.execute("TRUNCATE TABLE IF EXISTS incidents")
            answered, check = _alert(platform, slot)
            taken.append(answered)
            durations.append(check)
        return Result(taken, durations, *_burst(platform), platform.memory())


def _alert(platform: Platform, slot: Slot) -> tuple[float, float]:
    """Seconds from the launch of the slot's check to Telegram's answer to its alert, and to the end of the check."""
    before = len(_pictures(platform))
    began = time.time()
    # As the schedule asks for it: with the slots before, for late events.
    slots = SlotRange(slot.start - platform.settings.recompute_slots * SLOT, slot.end)
    days = [day.key for day, _ in slots.by_day(platform.settings.zone)]
    tags = {RANGE_START: days[0], RANGE_END: days[-1], **tags_of(slots)}
    checked = platform.run("anomaly_check", tags).seconds
    _until(lambda: len(_pictures(platform)) > before, "the alert")
    return _pictures(platform)[before] - began, checked


def _burst(platform: Platform) -> tuple[float, int]:
    """Queue reports at once, each a message of its own; the seconds until the last is answered, and the runs."""
    now = datetime.datetime.now(datetime.UTC)
    first = DailyReport(key="report-0", occurred_at=now, date=now.date(), period_start=now, period_end=now, parts=())
    reports = [first.model_copy(update={"key": f"report-{number}"}) for number in range(BURST)]
    runs = dg.RunsFilter(job_name="notify", created_after=now)
    with dg.DagsterInstance.get() as instance:
        began = time.time()
        for observation in queued(*reports):
            instance.report_runless_asset_event(observation)
        _until(lambda: len(_texts(platform)) >= BURST, f"the burst of {BURST}")
        return _texts(platform)[-1] - began, instance.get_runs_count(runs)


def _texts(platform: Platform) -> list[float]:
    return [call.time for call in platform.telegram.calls_of("sendMessage") if call.ok]


def _pictures(platform: Platform) -> list[float]:
    """When Telegram answered to each alert with its chart."""
    return [call.time for call in platform.telegram.calls_of("sendPhoto") if call.ok]


def _until(happened: Callable[[], bool], what: str) -> None:
    give_up = time.time() + _WAIT_SECONDS
    while not happened():
        if time.time() > give_up:
            raise RuntimeError(f"{what} has not come within {_WAIT_SECONDS} s")
        time.sleep(0.05)


def summary(result: Result) -> str:
    """The result in Markdown."""
    memory = ", ".join(f"{name} {mib:.0f}" for name, mib in sorted(result.memory.items(), key=lambda each: -each[1]))
    check = statistics.median(result.checks)
    return (
        f"Of {len(result.alerts)} alerts, from the launch of the check to Telegram's answer: median "
        f"**{result.median:.1f} s**, from {min(result.alerts):.1f} s to **{result.most:.1f} s**; of it the check "
        f"{check:.1f} s.\n\n{BURST} messages queued at once: the last answer after **{result.burst_seconds:.0f} s** "
        f"(Telegram's limit of one per 1.05 s: {BURST * 1.05:.0f} s), in {result.burst_runs} run(s) of `notify`."
        f"\n\nMemory of all processes after that: {sum(result.memory.values()):.0f} MiB ({memory})."
    )
