"""Every metric once: its name, how it is counted and shown, and how the 15-minute ones are judged.

A metric's name is the column of `app_daily` or `slot_metrics` that holds it, and what its phrases in
`notifications/phrases` are called by. How it is defined is said where it is computed, in the comment of its column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metrics_platform.detection.config import Judging, MetricMonitoring, Seasonal

# A count is shown as a number of things, a share (0…1) as per cent, a ratio as a number with decimals. Changes of
# counts and ratios are per cent, those of shares percentage points.
Unit = Literal["count", "share", "ratio"]


@dataclass(frozen=True)
class Metric:
    """A metric of the product."""

    name: str
    unit: Unit


DAILY_METRICS = (
    Metric("feed_dau", "count"),
    Metric("views", "count"),
    Metric("likes", "count"),
    Metric("ctr", "share"),
    Metric("views_per_user", "ratio"),
    Metric("likes_per_user", "ratio"),
    Metric("messenger_dau", "count"),
    Metric("messages_sent", "count"),
    Metric("senders", "count"),
    Metric("receivers", "count"),
    Metric("sent_per_sender", "ratio"),
    Metric("received_per_receiver", "ratio"),
    Metric("sent_received", "ratio"),
    Metric("app_dau", "count"),
    Metric("feed_only", "count"),
    Metric("messenger_only", "count"),
    Metric("both_services", "count"),
    Metric("new_users", "count"),
    Metric("new_users_ads", "count"),
    Metric("new_users_organic", "count"),
    Metric("new_users_other", "count"),
    Metric("wau", "count"),
    Metric("mau", "count"),
    Metric("stickiness", "share"),
    Metric("retention_d1", "share"),
    Metric("retention_d7", "share"),
)
_DAILY = {metric.name: metric for metric in DAILY_METRICS}


def daily_metric(name: str) -> Metric:
    """The metric of a column of `app_daily`; raises KeyError."""
    return _DAILY[name]


@dataclass(frozen=True)
class SlotMetric(Metric):
    """A metric of `slot_metrics`.

    Attributes:
        source: the source whose events it counts, by the name of its asset.
        numerator, denominator: of a rate the columns it is made of; a count has no denominator and is its own.
        monitoring: how it is judged, unless METRICS_MONITORING_FILE says otherwise.
    """

    source: str
    numerator: str
    denominator: str | None
    monitoring: MetricMonitoring


def _monitored(minimum_volume: float) -> MetricMonitoring:
    """The default way to judge a metric that needs `minimum_volume` for an answer to mean something.

    There are dozens of slices to one total, so each must be far rarer wrong for people to go on reading.
    """
    return MetricMonitoring(
        total=Judging(minimum_volume=minimum_volume),
        slices=Judging(
            minimum_volume=3 * minimum_volume,
            seasonal=Seasonal(slot_threshold=6.0, hour_threshold=6.0, two_hours_threshold=6.0, minimum_change=0.3),
        ),
    )


# Least volumes in what scatters: ten users; their views come in dozens, their messages in threes.
SLOT_METRICS = (
    SlotMetric("feed_users", "count", "feed_actions", "feed_users", None, _monitored(10)),
    SlotMetric("views", "count", "feed_actions", "views", None, _monitored(50)),
    SlotMetric("likes", "count", "feed_actions", "likes", None, _monitored(20)),
    SlotMetric("ctr", "share", "feed_actions", "likes", "views", _monitored(100)),
    SlotMetric("messages", "count", "message_actions", "messages", None, _monitored(20)),
    SlotMetric("senders", "count", "message_actions", "senders", None, _monitored(10)),
)
_SLOT = {metric.name: metric for metric in SLOT_METRICS}


def slot_metric(name: str) -> SlotMetric:
    """The 15-minute metric of that name; raises KeyError."""
    return _SLOT[name]
