"""Histories to evaluate: made-up traffic, and hand-made series."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from metrics_platform.catalog import builtin_catalog as catalog
from metrics_platform.detection.config import DetectorConfig, Kind
from metrics_platform.detection.evaluate import evaluate
from metrics_platform.detection.series import Detections, Floats, Reason, SlotSeries, Status
from metrics_platform.monitor.backtest import Product, generated_histories

UTC = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
START = datetime.datetime(2026, 3, 1, 23, tzinfo=datetime.UTC)  # midnight in Berlin, a Monday
DAYS = 34


def config_of(metric: str) -> DetectorConfig:
    """How the built-in catalogue evaluates a metric's total."""
    found = catalog().metrics[metric].monitor.total
    assert found is not None
    return found


def traffic(days: int = DAYS, seed: int = 1, users: float = 300.0, **product: Any) -> dict[str, SlotSeries]:
    """The totals of a product's metrics; by default it has 300 active users in a slot."""
    made_up = Product(users, days, **{"start": START, "holidays": (), **product})
    return {name: found.series(0, 1) for name, found in generated_histories(catalog(), made_up, seed).items()}


def flat(values: Floats | list[float], zone: ZoneInfo = UTC, kind: Kind = "count") -> SlotSeries:
    """One series of these values."""
    return SlotSeries(START, zone, np.asarray(values, dtype=np.float64)[:, None], kind=kind)


def changed(series: SlotSeries, first: int, factors: list[float] | Floats) -> SlotSeries:
    """The series with the slots from `first` on multiplied; counts are rounded."""
    values = series.values.copy()
    first %= series.length
    part = values[first : first + len(factors)] * np.asarray(factors)[:, None]
    values[first : first + len(factors)] = part if series.is_gauge else np.round(part)
    return replace(series, values=values)


def ending(series: SlotSeries, value: float, trials: float | None = None) -> SlotSeries:
    """The series with another value, of a share with so many trials, in its last slot."""
    values = series.values.copy()
    values[-1] = value
    below = None if series.trials is None else series.trials.copy()
    if below is not None:
        below[-1] = trials
    return replace(series, values=values, trials=below)


def evaluated(metric: str, series: SlotSeries, slots: int = 1, holidays: tuple[int, ...] = ()) -> Detections:
    """The last slots, evaluated as the catalogue says."""
    return evaluate(series, slots, config_of(metric), holidays).detections


def statuses(found: Detections) -> list[Status]:
    """The statuses of the first series."""
    return [Status(code) for code in found.status[:, 0]]


def reasons(found: Detections) -> list[Reason]:
    """The reasons of the first series."""
    return [Reason(code) for code in found.reason[:, 0]]


def at(series: SlotSeries, day: int, hour: float) -> int:
    """The position of a local hour on a day of the history, by the clock."""
    date = (series.start.astimezone(series.zone) + datetime.timedelta(hours=2)).date() + datetime.timedelta(days=day)
    local = datetime.datetime.combine(date, datetime.time.min, tzinfo=series.zone) + datetime.timedelta(hours=hour)
    return int((local.astimezone(datetime.UTC) - series.start) / datetime.timedelta(minutes=15))


def until(series: SlotSeries, end: int) -> SlotSeries:
    """The history up to position `end`, which is left out."""
    return series.between(0, end)
