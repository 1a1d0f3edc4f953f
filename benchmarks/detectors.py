"""The product's detectors for a benchmark of detectors: functions of one series, evaluated as the monitor does.

`seasonal` also has the evidence of siblings. The benchmark passes one series at a time, so the other metrics and slices
of a made-up product are looked up in the benchmark's own data, as far as the given series reaches and without labels.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from metrics_platform.catalog import load_catalog
from metrics_platform.detection.config import Detector, DetectorConfig
from metrics_platform.detection.evaluate import TOTAL, Member, evaluate, with_siblings
from metrics_platform.detection.series import Detections, SlotSeries
from metrics_platform.settings import load_settings

_NAMES = {"active_users_feed": "feed_users", "active_users_msg": "senders", "messages_sent": "messages"}
_EPOCH = datetime.date(1970, 1, 1)
_Meta = Mapping[str, Any]


def seasonal(
    series: pd.Series,
    numerator: pd.Series | None = None,
    denominator: pd.Series | None = None,
    meta: _Meta | None = None,
) -> pd.DataFrame:
    """`seasonal`, with siblings where the benchmark has them."""
    meta = meta or {}
    product = _product_of(series, meta)
    if product is None:
        return seasonal_alone(series, numerator, denominator, meta)
    found = _product_answers(product, len(series), tuple(meta.get("holidays") or ()))
    return _frame(found[meta["slice"], meta["metric"]], series.index)


def _alone(detector: Detector) -> Callable[..., pd.DataFrame]:
    def detect(
        series: pd.Series,
        numerator: pd.Series | None = None,
        denominator: pd.Series | None = None,
        meta: _Meta | None = None,
    ) -> pd.DataFrame:
        return _frame(_evaluated(detector, series, numerator, denominator, meta or {}), series.index)

    return detect


seasonal_alone, day_over_day, iqr = _alone("seasonal"), _alone("day_over_day"), _alone("iqr")
NAMES = ("seasonal", "seasonal_alone", "day_over_day", "iqr")


def _evaluated(
    detector: Detector, series: pd.Series, numerator: pd.Series | None, denominator: pd.Series | None, meta: _Meta
) -> Detections:
    kind = meta.get("kind", "gauge")
    # A count without a row is zero, a gauge without one is unknown.
    values = series if kind == "gauge" else (series if numerator is None else numerator).fillna(0.0)
    trials = None if denominator is None else denominator.fillna(0.0).to_numpy(float)[:, None]
    slots = SlotSeries(
        series.index[0].to_pydatetime().replace(tzinfo=datetime.UTC),
        ZoneInfo("UTC"),
        values.to_numpy(float)[:, None],
        trials,
        "share" if trials is not None else kind,
    )
    config = _config(meta.get("metric"), meta.get("slice")).model_copy(update={"detectors": (detector,)})
    holidays = [(datetime.date.fromisoformat(str(day)) - _EPOCH).days for day in meta.get("holidays") or ()]
    return evaluate(slots, slots.length, config, holidays).detections


@cache
def _config(metric: str | None, part: str | None) -> DetectorConfig:
    """The built-in catalogue's for its metrics, the defaults for others."""
    found = load_catalog(load_settings(None)).metrics.get(_NAMES.get(str(metric), str(metric)))
    config = found and (found.monitor.total if part == "total" else found.monitor.slices)
    return config or DetectorConfig()


def _frame(found: Detections, index: pd.Index) -> pd.DataFrame:
    """The alerts, and as a score the strength: from 1 on a series is anomalous without its siblings."""
    strength = np.abs(found.strength[:, 0])
    return pd.DataFrame({"alert": found.anomalous[:, 0], "score": strength}, index=index)


@cache
def _products() -> dict[str, dict[tuple[str, str], Any]]:
    """The benchmark's made-up products: slice and metric → the series. Their labels are not looked at."""
    suites: Any = sys.modules.get("benchlib.suites")
    products: dict[str, dict[tuple[str, str], Any]] = {}
    for split in ("dev", "test") if suites is not None else ():
        try:
            items = suites.synthetic(split)
        except OSError:  # this half is not here
            continue
        for item in items:
            products.setdefault(item.meta["product"], {})[item.meta["slice"], item.meta["metric"]] = item
    return products


def _product_of(series: pd.Series, meta: _Meta) -> str | None:
    """The product that a series belongs to."""
    for name, items in _products().items():
        item = items.get((str(meta.get("slice")), str(meta.get("metric"))))
        if item is not None and series.equals(item.value.iloc[: len(series)]):
            return name
    return None


@cache
def _product_answers(product: str, length: int, holidays: tuple[str, ...]) -> dict[tuple[str, str], Detections]:
    """The answers for all series of a product, with siblings, from their first `length` slots."""
    items = _products()[product]
    sources: dict[bool, list[tuple[str, str]]] = {}
    for part, metric in items:
        sources.setdefault(metric in {"active_users_msg", "messages_sent"}, []).append((part, metric))
    members: dict[bool, list[Member]] = {}
    for source, keys in sources.items():
        for part, metric in keys:
            item = items[part, metric]
            value, above, below = (
                None if each is None else each.iloc[:length] for each in (item.value, item.numerator, item.denominator)
            )
            assert value is not None
            answers = _evaluated("seasonal", value, above, below, {**item.meta, "holidays": holidays})
            name = TOTAL if part == "total" else ("os", part)
            numerator, denominator = (None, None) if item.denominator is None else ("likes", "views")
            member = Member(metric, [name], answers, numerator, denominator, adds_up=numerator is None)
            members.setdefault(source, []).append(member)
    found: dict[tuple[str, str], Detections] = {}
    for source, keys in sources.items():
        found.update(zip(keys, with_siblings(members[source], members.get(not source, ())), strict=True))
    return found
