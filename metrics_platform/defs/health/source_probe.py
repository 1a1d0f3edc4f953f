"""Every two minutes the sources are probed: do events arrive, and as many as usual?"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from typing import Any

import dagster as dg
from pydantic import AwareDatetime, Field

from metrics_platform.alerts.alert import Alert, Notification
from metrics_platform.catalog import Catalog, load_catalog_or_builtin
from metrics_platform.defs.delivery.storage import queued
from metrics_platform.defs.health.alert_store import AlertCursor, update_alerts
from metrics_platform.defs.health.source_checks import CANNOT_PROBE, evaluation, quick_warehouse
from metrics_platform.health.probe import FRESH, SLOT_VOLUME, Probed, probe_sources, why_no_events
from metrics_platform.incidents.store import incidents_before, last_processed_slot
from metrics_platform.notifications.kinds import Event, FreshData, OddVolume, StaleData
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import tables_are_there
from metrics_platform.warehouse.source_rows import SourceError, SourceRows, resolve
from metrics_platform.warehouse.tables import MONITOR_TABLES

# How often a check whose result has not changed is shown again: each is an entry in Dagster's event log.
_SHOWN_AGAIN_AFTER = datetime.timedelta(hours=1)


class _Cursor(AlertCursor):
    """The last slot that was evaluated; and by check whether it passed, and when that was shown."""

    slot: AwareDatetime | None = None
    shown: dict[str, tuple[bool, float]] = Field(default_factory=dict)


def tick(
    context: dg.SensorEvaluationContext, settings: Settings, now: datetime.datetime
) -> dg.SensorResult | dg.SkipReason:
    """Probe the sources, and enqueue notifications. Where ClickHouse fails, nothing of the probe is kept."""
    if reason := why_no_events(settings, now):
        return dg.SkipReason(reason)
    catalog = load_catalog_or_builtin(settings)
    before = _Cursor.from_cursor(context.cursor)
    warehouse = None
    try:
        warehouse = quick_warehouse(settings)
        sources, problems = _resolved(warehouse, catalog)
        found = probe_sources(warehouse, sources, settings, before.slot, now)
        inhibitors = _incidents(warehouse, catalog) if _matters(found, before) else []
    except CANNOT_PROBE as error:
        # Everything that needs ClickHouse fails meanwhile, and that is reported. What is stale is not known.
        return dg.SkipReason(f"The sources cannot be probed: {error}")
    finally:
        if warehouse is not None:
            warehouse.close()
    alerts = [alert for alert in before.alerts if alert.subject.name in catalog.sources]
    conditions = [probed.condition for probed in found]
    kept, notifications = update_alerts(alerts, now, conditions, settings, inhibitors)
    latest = {probed.source: probed.latest_event or now for probed in found if probed.check == FRESH}
    events = [_event(each, each.alerts[0], catalog, latest, now) for each in notifications]
    shown = list(_to_show(found, before, now))
    cursor = _Cursor(
        alerts=kept,
        slot=max((each.condition.at - SLOT for each in found if each.check == SLOT_VOLUME), default=before.slot),
        shown=before.shown | {_name(each): (each.condition.status != "firing", now.timestamp()) for each in shown},
    )
    said = [*problems, *(each.description for each in found if each.check == FRESH)]
    return dg.SensorResult(
        skip_reason=f"Queued: {', '.join(event.key for event in events)}." if events else "; ".join(said),
        cursor=cursor.model_dump_json(),
        asset_events=[*queued(*events), *map(evaluation, shown)],
    )


def _resolved(warehouse: Warehouse, catalog: Catalog) -> tuple[dict[str, SourceRows], list[str]]:
    """The sources that can be read, and why the others cannot. The check of the catalogue names those."""
    sources: dict[str, SourceRows] = {}
    problems: list[str] = []
    for source in catalog.sources.values():
        try:
            sources[source.name] = resolve(warehouse, source)
        except SourceError as error:
            problems.append(str(error))
    return sources, problems


def _matters(found: Iterable[Probed], before: _Cursor) -> bool:
    """Whether incidents could inhibit anything."""
    return any(each.condition.status == "firing" for each in found) or any(alert.is_open for alert in before.alerts)


def _incidents(warehouse: Warehouse, catalog: Catalog) -> list[Alert]:
    """The incidents of the metrics, for as long as they inhibit."""
    last = last_processed_slot(warehouse) if tables_are_there(warehouse, MONITOR_TABLES) else None
    sources = {name: metric.source for name, metric in catalog.metrics.items()}
    return incidents_before(warehouse, last.end, sources) if last else []


def _to_show(found: Iterable[Probed], before: _Cursor, now: datetime.datetime) -> Iterator[Probed]:
    """The latest of each check, if it differs from what the check shows, or that was shown long ago."""
    for name, probed in {_name(each): each for each in found}.items():
        passed, at = before.shown.get(name, (None, 0.0))
        changed = passed != (probed.condition.status != "firing")
        if changed or now.timestamp() - at >= _SHOWN_AGAIN_AFTER.total_seconds():
            yield probed


def _name(probed: Probed) -> str:
    return f"{probed.source}:{probed.check}"


def _event(
    notification: Notification,
    alert: Alert,
    catalog: Catalog,
    latest: dict[str, datetime.datetime],
    now: datetime.datetime,
) -> Event:
    source, facts = alert.subject.name, alert.facts
    common: dict[str, Any] = {
        "key": notification.key,
        "thread": notification.thread or None,
        "table": str(catalog.sources[source].table),
    }
    if alert.subject.kind != "stale_data":
        return OddVolume(**common, occurred_at=alert.last_at, severity=alert.severity, **facts)
    if notification.kind == "resolved":
        return FreshData(**common, occurred_at=now, stale_since=alert.last_at, last_event_at=latest[source])
    return StaleData(
        **common,
        occurred_at=now,
        severity=alert.severity,
        last_event_at=facts["last_event_at"],
        limit=datetime.timedelta(seconds=facts["limit_seconds"]),
        still=notification.kind != "opened",
    )
