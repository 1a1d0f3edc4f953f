"""From what is to be told of a source to the notification."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from metrics_platform.health.freshness import Staleness, Telling
from metrics_platform.notifications.kinds import FreshData, StaleData

if TYPE_CHECKING:
    from metrics_platform.health.looking import Freshness


def freshness_event(
    table: str, telling: Telling, before: Staleness, found: Freshness, now: datetime.datetime
) -> StaleData | FreshData:
    """The notification; `before` is what was known of the source until now, `found` what was found at `now`."""
    if telling.kind == "fresh":
        return FreshData(
            key=telling.key,
            thread=telling.thread,
            occurred_at=now,
            table=table,
            stale_since=before.since or before.told_at or now,
            last_event_at=found.latest or now,
        )
    return StaleData(
        key=telling.key,
        thread=telling.thread or None,
        occurred_at=now,
        severity="critical" if telling.level == "critical" else "warning",
        table=table,
        last_event_at=found.latest,
        limit=found.limits.exceeded(telling.level),
        still=telling.kind != "stale",
    )
