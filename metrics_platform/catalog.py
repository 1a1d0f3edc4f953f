"""Every metric once: its name, and how it is counted and shown.

A metric's name is the column of `app_daily` that holds it, and what its phrases in `notifications/phrases` are called
by. How it is defined is said where it is computed, in the comment of its column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
_BY_NAME = {metric.name: metric for metric in DAILY_METRICS}


def daily_metric(name: str) -> Metric:
    """The metric of a column of `app_daily`; raises KeyError."""
    return _BY_NAME[name]
