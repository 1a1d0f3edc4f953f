"""The metrics of `app_daily`, by the columns of the table, and how each is shown."""

from __future__ import annotations

from collections.abc import Mapping

from metrics_platform.catalog_entries import Unit

DAILY_METRICS: Mapping[str, Unit] = {
    "feed_dau": "count",
    "views": "count",
    "likes": "count",
    "ctr": "share",
    "views_per_user": "ratio",
    "likes_per_user": "ratio",
    "messenger_dau": "count",
    "messages_sent": "count",
    "senders": "count",
    "receivers": "count",
    "sent_per_sender": "ratio",
    "received_per_receiver": "ratio",
    "sent_received": "ratio",
    "app_dau": "count",
    "feed_only": "count",
    "messenger_only": "count",
    "both_services": "count",
    "new_users": "count",
    "new_users_ads": "count",
    "new_users_organic": "count",
    "new_users_other": "count",
    "wau": "count",
    "mau": "count",
    "stickiness": "share",
    "retention_d1": "share",
    "retention_d7": "share",
}
