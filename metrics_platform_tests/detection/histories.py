"""Histories to judge: generated traffic, and hand-made series."""

from __future__ import annotations

import datetime
from zoneinfo import ZoneInfo

import numpy as np

from metrics_platform.backtest.traffic import Product, Stretch, generate
from metrics_platform.catalog import slot_metric
from metrics_platform.detection.judge import judge
from metrics_platform.detection.judgement import Judgements, Reason, Status
from metrics_platform.detection.series import SLOTS_A_DAY, Floats, SlotSeries

UTC = ZoneInfo("UTC")
START = datetime.datetime(2026, 3, 1, 23, tzinfo=datetime.UTC)  # midnight in Berlin, a Monday
BERLIN = ZoneInfo("Europe/Berlin")
DAYS = 34


def traffic(
    days: int = DAYS, start: datetime.datetime = START, seed: int = 1, **product: float
) -> dict[str, SlotSeries]:
    """A product's metrics; by default 300 users of the feed in a slot."""
    return generate([Product(**{"feed_users": 300.0, **product})], Stretch(start, days, BERLIN), seed=1)


def flat(values: Floats | list[float], zone: ZoneInfo = UTC) -> SlotSeries:
    """One series of these values."""
    return SlotSeries(START, zone, np.asarray(values, dtype=np.float64)[:, None])


def changed(series: SlotSeries, first: int, factors: list[float] | Floats) -> SlotSeries:
    """The series with the slots from `first` on multiplied (and rounded: counts stay counts)."""
    values = series.values.copy()
    first %= series.length
    values[first : first + len(factors)] = np.round(values[first : first + len(factors)] * np.asarray(factors)[:, None])
    return SlotSeries(series.start, series.zone, values, series.trials)


def judged(metric: str, series: SlotSeries, slots: int = 1, holidays: tuple[int, ...] = ()) -> Judgements:
    """The last slots judged as the catalogue says."""
    return judge(series, slots, slot_metric(metric).monitoring.total, holidays).judgements


def statuses(found: Judgements) -> list[Status]:
    """The statuses of the first series."""
    return [Status(each) for each in found.status[:, 0]]


def reasons(found: Judgements) -> list[Reason]:
    """The reasons of the first series."""
    return [Reason(each) for each in found.reason[:, 0]]


def at(series: SlotSeries, day: int, hour: float) -> int:
    """The position of a local hour on a day of the history, by the clock."""
    date = (series.start.astimezone(series.zone) + datetime.timedelta(hours=2)).date() + datetime.timedelta(days=day)
    local = datetime.datetime.combine(date, datetime.time.min, tzinfo=series.zone) + datetime.timedelta(hours=hour)
    return int((local.astimezone(datetime.UTC) - series.start) / datetime.timedelta(minutes=15))


def until(series: SlotSeries, end: int) -> SlotSeries:
    """The history up to position `end`, not with it."""
    return series.between(0, end)


__all__ = ["SLOTS_A_DAY", "at", "changed", "flat", "judged", "reasons", "statuses", "traffic", "until"]
