"""Every metric once: its name, which service it is of, and how it is counted and shown.

A metric's name is the column of `app_daily` that holds it, and what its phrases in `notifications/phrases` are called
by. How it is defined is said where it is computed, in the comment of its column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# A count is shown as a number of things, a share (0…1) as per cent, a ratio as a number with decimals. Changes of
# counts and ratios are per cent, those of shares percentage points.
Unit = Literal["count", "share", "ratio"]
Service = Literal["feed", "messenger", "application"]


@dataclass(frozen=True)
class Metric:
    """A metric of the product."""

    name: str
    service: Service
    unit: Unit


DAILY_METRICS = (
    Metric("feed_dau", "feed", "count"),
    Metric("views", "feed", "count"),
    Metric("likes", "feed", "count"),
    Metric("ctr", "feed", "share"),
    Metric("views_per_user", "feed", "ratio"),
    Metric("likes_per_user", "feed", "ratio"),
    Metric("messenger_dau", "messenger", "count"),
    Metric("messages_sent", "messenger", "count"),
    Metric("senders", "messenger", "count"),
    Metric("receivers", "messenger", "count"),
    Metric("sent_per_sender", "messenger", "ratio"),
    Metric("received_per_receiver", "messenger", "ratio"),
    Metric("sent_received", "messenger", "ratio"),
    Metric("app_dau", "application", "count"),
    Metric("feed_only", "application", "count"),
    Metric("messenger_only", "application", "count"),
    Metric("both_services", "application", "count"),
    Metric("new_users", "application", "count"),
    Metric("new_users_ads", "application", "count"),
    Metric("new_users_organic", "application", "count"),
    Metric("new_users_other", "application", "count"),
    Metric("wau", "application", "count"),
    Metric("mau", "application", "count"),
    Metric("stickiness", "application", "share"),
    Metric("retention_d1", "application", "share"),
    Metric("retention_d7", "application", "share"),
)
_BY_NAME = {metric.name: metric for metric in DAILY_METRICS}


def daily_metric(name: str) -> Metric:
    """The metric of a column of `app_daily`; raises KeyError."""
    return _BY_NAME[name]
