"""Probe the sources every two minutes: whether events arrive, and as many as usual.

`source_sensor` sends the alerts, and keeps the checks of the sources up to date. A check that is executed manually
probes immediately and sends nothing.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import dagster as dg
from pydantic import AwareDatetime, Field

from metrics_platform.alerts.alert import Alert, Notification
from metrics_platform.catalog import Catalog, Source, load_catalog_or_builtin
from metrics_platform.defs.delivery.storage import queued
from metrics_platform.defs.health.alert_store import AlertCursor, update_alerts
from metrics_platform.health.probe import FRESH, SLOT_VOLUME, ProbeResult, probe_sources, why_no_events
from metrics_platform.incidents.store import incidents_before, last_processed_slot
from metrics_platform.notifications.kinds import Event, FreshData, OddVolume, StaleData
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT
from metrics_platform.warehouse.client import NoWarehouseError, Warehouse
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.schema import SchemaMismatchError
from metrics_platform.warehouse.source_rows import SourceError, SourceRows, resolve

# A probe must fit into a tick of the sensor.
_TIMEOUT_SECONDS = 10
_PROBE_ERRORS = (WarehouseError, NoWarehouseError, SchemaMismatchError, SourceError)
# How often an unchanged check is recorded again: each time adds an entry to Dagster's event log.
_REFRESH_AFTER = datetime.timedelta(hours=1)


class _Cursor(AlertCursor):
    """The last evaluated slot, and for each check whether it passed and when that was recorded."""

    slot: AwareDatetime | None = None
    shown: dict[str, tuple[bool, float]] = Field(default_factory=dict)


def tick(
    context: dg.SensorEvaluationContext, settings: Settings, now: datetime.datetime
) -> dg.SensorResult | dg.SkipReason:
    """Probe the sources, and enqueue notifications. If ClickHouse fails, the whole probe is discarded."""
    if reason := why_no_events(settings, now):
        return dg.SkipReason(reason)
    catalog = load_catalog_or_builtin(settings)
    before = _Cursor.from_cursor(context.cursor)
    warehouse = None
    try:
        warehouse = _short_timeout_warehouse(settings)
        sources, problems = _resolve_sources(warehouse, catalog)
        results = probe_sources(warehouse, sources, settings, before.slot, now)
        # Incidents inhibit alerts, so they are only needed if something fires or is open.
        has_alerts = any(result.condition.status == "firing" for result in results) or any(
            alert.is_open for alert in before.alerts
        )
        inhibitors = _incidents(warehouse, catalog) if has_alerts else []
    except _PROBE_ERRORS as error:
        # Other runs fail and report that ClickHouse is down. Which sources are stale is unknown.
        return dg.SkipReason(f"The sources cannot be probed: {error}")
    finally:
        if warehouse is not None:
            warehouse.close()
    alerts = [alert for alert in before.alerts if alert.subject.name in catalog.sources]
    conditions = [result.condition for result in results]
    kept, notifications = update_alerts(alerts, now, conditions, settings, inhibitors)
    latest = {result.source: result.latest_event or now for result in results if result.check == FRESH}
    events = [_event(notification, catalog, latest, now) for notification in notifications]
    to_show = dict(_changed_results(results, before, now))
    cursor = _Cursor(
        alerts=kept,
        slot=max(
            (result.condition.at - SLOT for result in results if result.check == SLOT_VOLUME), default=before.slot
        ),
        shown=before.shown | {name: (_passed(result), now.timestamp()) for name, result in to_show.items()},
    )
    texts = [*problems, *(result.description for result in results if result.check == FRESH)]
    evaluations = [
        dg.AssetCheckEvaluation(asset_key=dg.AssetKey(result.source), check_name=result.check, **_check_fields(result))
        for result in to_show.values()
    ]
    return dg.SensorResult(
        skip_reason=f"Queued: {', '.join(event.key for event in events)}." if events else "; ".join(texts),
        cursor=cursor.model_dump_json(),
        asset_events=[*queued(*events), *evaluations],
    )


def check_results(
    keys: Collection[dg.AssetCheckKey], source: Source, settings: Settings
) -> Iterator[dg.AssetCheckResult]:
    """Probe a source, and yield the results of the checks `keys`."""
    now = datetime.datetime.now(datetime.UTC)
    reason = why_no_events(settings, now)
    by_check: dict[str, ProbeResult] = {}
    refusal = ""
    if not reason:
        try:
            warehouse = _short_timeout_warehouse(settings)
            probes = probe_sources(warehouse, {source.name: resolve(warehouse, source)}, settings, None, now)
            by_check = {result.check: result for result in probes}
        except _PROBE_ERRORS as error:
            refusal = str(error)
    if refusal:
        # Outside the `except` block, so that the driver's errors, which may quote a secret, are not chained.
        raise dg.Failure(refusal, allow_retries=False)
    nothing_compared: dict[str, Any] = {"passed": True, "description": reason or "Nothing to compare with yet."}
    for key in keys:
        result_fields = _check_fields(by_check[key.name]) if key.name in by_check else nothing_compared
        yield dg.AssetCheckResult(check_name=key.name, asset_key=key.asset_key, **result_fields)


def _short_timeout_warehouse(settings: Settings) -> Warehouse:
    """A client with a short timeout and without retries: the next probe is in a few minutes."""
    short_timeout = settings.model_copy(update={"clickhouse_timeout_seconds": _TIMEOUT_SECONDS})
    return Warehouse.from_settings(short_timeout, tags={"job": "source_sensor"}, retry_waits=())


def _resolve_sources(warehouse: Warehouse, catalog: Catalog) -> tuple[dict[str, SourceRows], list[str]]:
    """The sources that can be read, and why the others cannot. The catalogue's check reports the latter."""
    sources: dict[str, SourceRows] = {}
    problems: list[str] = []
    for source in catalog.sources.values():
        try:
            sources[source.name] = resolve(warehouse, source)
        except SourceError as error:
            problems.append(str(error))
    return sources, problems


def _incidents(warehouse: Warehouse, catalog: Catalog) -> list[Alert]:
    """The incidents of metrics that may inhibit alerts."""
    last = last_processed_slot(warehouse)
    sources = {name: metric.source for name, metric in catalog.metrics.items()}
    return incidents_before(warehouse, last.end, sources) if last else []


def _changed_results(
    results: list[ProbeResult], before: _Cursor, now: datetime.datetime
) -> Iterator[tuple[str, ProbeResult]]:
    """The latest result of each check that has changed, or was recorded long ago."""
    for name, result in {f"{result.source}:{result.check}": result for result in results}.items():
        passed, at = before.shown.get(name, (None, 0.0))
        if passed != _passed(result) or now.timestamp() - at >= _REFRESH_AFTER.total_seconds():
            yield name, result


def _passed(result: ProbeResult) -> bool:
    return result.condition.status != "firing"


def _check_fields(result: ProbeResult) -> dict[str, Any]:
    condition = result.condition
    is_error = condition.subject.kind == "stale_data" and condition.severity == "critical"
    return {
        "passed": _passed(result),
        "severity": dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        "description": result.description,
        "metadata": result.metadata,
    }


def _event(
    notification: Notification, catalog: Catalog, latest: Mapping[str, datetime.datetime], now: datetime.datetime
) -> Event:
    alert = notification.alerts[0]
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
