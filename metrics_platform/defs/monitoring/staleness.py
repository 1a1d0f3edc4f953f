"""Where incidents are told as stale data: seeing to it that this is told, also where `source_sensor` is off."""

from __future__ import annotations

import datetime

import dagster as dg

from metrics_platform.defs.delivery.storage import enqueue, event_log
from metrics_platform.health.freshness import Staleness, judge
from metrics_platform.health.looking import look_at_freshness
from metrics_platform.health.messages import freshness_event
from metrics_platform.notifications.history import Queued
from metrics_platform.notifications.kinds import StaleData
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.source_rows import SourceRows

_REMINDED_WITHIN = datetime.timedelta(days=8)


def see_that_staleness_is_told(
    context: dg.AssetExecutionContext, warehouse: Warehouse, rows: SourceRows, settings: Settings
) -> str | None:
    """Ask for the message that a source is stale, unless that has been asked for since its latest event.

    Returns its key where it was asked for.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer.
    """
    now = datetime.datetime.now(datetime.UTC)
    found = look_at_freshness(warehouse, rows, settings, now)
    source, table = rows.source.name, str(rows.source.table)
    # What lasts is told again at least once in this time.
    since = max(found.latest or now - _REMINDED_WITHIN, now - _REMINDED_WITHIN)
    for stored in event_log(context.instance).since(since.timestamp()):
        if isinstance(stored.entry, Queued):
            told = stored.entry.notification
            if isinstance(told, StaleData) and told.table == table:
                return None
    reminded_after = datetime.timedelta(hours=settings.reminder_hours)
    _, telling = judge(source, Staleness(), found.since, now, limits=found.limits, reminded_after=reminded_after)
    if telling is None:
        return None
    event = freshness_event(table, telling, Staleness(), found, now)
    severity = settings.severity_of("stale_data", event.severity)
    enqueue(context, event.model_copy(update={"severity": severity or event.severity}))
    return event.key
