"""Question 2: a month backfilled in one run, beside a run for each of its days; through Dagster, as people do."""

from __future__ import annotations

import datetime
import statistics
from dataclasses import dataclass

from benchmarks.platform import running_platform
from benchmarks.source import DATE, write_day
from metrics_platform.time_windows import RANGE_END, RANGE_START

_JOB = "daily_etl"
_ONE_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Result:
    """The two ways.

    Attributes:
        range_seconds: all days in one run, from its launch to its end.
        single_seconds: the median of runs of one day, of which `singles` ran.
        step_seconds: what the steps of one of these took together; the median.
    """

    days: int
    events: int
    range_seconds: float
    single_seconds: float
    singles: int
    step_seconds: float

    @property
    def ratio(self) -> float:
        """How many times as long a run for each day takes."""
        return self.single_seconds * self.days / self.range_seconds


def run(days: int, events: int, singles: int) -> Result:
    """Write `days` days of `events` actions and compute them both ways, with only `singles` of the single runs.

    They are the last days, which no run is faster for than for others: each has the whole snapshot before it.
    """
    first = DATE - (days - 1) * _ONE_DAY
    with running_platform(first) as platform:
        for number in range(days):
            write_day(platform.warehouse, platform.settings, first + number * _ONE_DAY, events)
        whole = platform.run(_JOB, {RANGE_START: first.isoformat(), RANGE_END: DATE.isoformat()})
        alone = [
            platform.run(_JOB, {"dagster/partition": (DATE - number * _ONE_DAY).isoformat()})
            for number in range(singles)
        ]
        return Result(
            days,
            events,
            whole.seconds,
            statistics.median(each.seconds for each in alone),
            singles,
            statistics.median(platform.step_seconds(each) for each in alone),
        )


def summary(result: Result) -> str:
    """The result in Markdown."""
    singles = result.single_seconds * result.days
    return (
        f"{result.days} days of {result.events / 1e6:g} M actions in one run: {result.range_seconds:.0f} s. A run of "
        f"one of them: {result.single_seconds:.1f} s (median of {result.singles}), so {result.days} runs: "
        f"{singles:.0f} s, **{result.ratio:.1f} times as long**. The steps of such a run take "
        f"{result.step_seconds:.1f} s together."
    )
