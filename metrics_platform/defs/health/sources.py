"""The sources are probed every two minutes: do events arrive, and as many as usual?

`source_sensor` sends the alerts, and keeps the checks of the sources up to date. Executed manually, these probe at once
and send nothing.
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

# A probe must not take longer than a tick of a sensor may.
_TIMEOUT_SECONDS = 10
_CANNOT_PROBE = (WarehouseError, NoWarehouseError, SchemaMismatchError, SourceError)
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
        warehouse = _quick_warehouse(settings)
        sources, problems = _resolved(warehouse, catalog)
        found = probe_sources(warehouse, sources, settings, before.slot, now)
        # Incidents inhibit where something fires or is open.
        matters = any(probed.condition.status == "firing" for probed in found) or any(
            alert.is_open for alert in before.alerts
        )
        inhibitors = _incidents(warehouse, catalog) if matters else []
    except _CANNOT_PROBE as error:
        # Everything that needs ClickHouse fails meanwhile, and that is reported. What is stale is not known.
        return dg.SkipReason(f"The sources cannot be probed: {error}")
    finally:
        if warehouse is not None:
            warehouse.close()
    alerts = [alert for alert in before.alerts if alert.subject.name in catalog.sources]
    conditions = [probed.condition for probed in found]
    kept, notifications = update_alerts(alerts, now, conditions, settings, inhibitors)
    latest = {probed.source: probed.latest_event or now for probed in found if probed.check == FRESH}
    events = [_event(notification, catalog, latest, now) for notification in notifications]
    shown = dict(_to_show(found, before, now))
    cursor = _Cursor(
        alerts=kept,
        slot=max((probed.condition.at - SLOT for probed in found if probed.check == SLOT_VOLUME), default=before.slot),
        shown=before.shown | {name: (_passed(probed), now.timestamp()) for name, probed in shown.items()},
    )
    said = [*problems, *(probed.description for probed in found if probed.check == FRESH)]
    evaluations = [
        dg.AssetCheckEvaluation(asset_key=dg.AssetKey(probed.source), check_name=probed.check, **_result(probed))
        for probed in shown.values()
    ]
    return dg.SensorResult(
        skip_reason=f"Queued: {', '.join(event.key for event in events)}." if events else "; ".join(said),
        cursor=cursor.model_dump_json(),
        asset_events=[*queued(*events), *evaluations],
    )


def check_results(
    keys: Collection[dg.AssetCheckKey], source: Source, settings: Settings
) -> Iterator[dg.AssetCheckResult]:
    """What the checks `keys` of a source show now."""
    now = datetime.datetime.now(datetime.UTC)
    reason = why_no_events(settings, now)
    found: dict[str, ProbeResult] = {}
    refusal = ""
    if not reason:
        try:
            warehouse = _quick_warehouse(settings)
            probes = probe_sources(warehouse, {source.name: resolve(warehouse, source)}, settings, None, now)
            found = {probed.check: probed for probed in probes}
        except _CANNOT_PROBE as error:
            refusal = str(error)
    if refusal:
        # Outside the `except` block, so that the driver's errors, which may quote a secret, are not chained.
        raise dg.Failure(refusal, allow_retries=False)
    nothing: dict[str, Any] = {"passed": True, "description": reason or "Nothing to compare with yet."}
    for key in keys:
        shown = _result(found[key.name]) if key.name in found else nothing
        yield dg.AssetCheckResult(check_name=key.name, asset_key=key.asset_key, **shown)


def _quick_warehouse(settings: Settings) -> Warehouse:
    """A client that gives up soon and does not retry: the next probe is in a few minutes."""
    impatient = settings.model_copy(update={"clickhouse_timeout_seconds": _TIMEOUT_SECONDS})
    return Warehouse.from_settings(impatient, tags={"job": "source_sensor"}, retry_waits=())


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


def _incidents(warehouse: Warehouse, catalog: Catalog) -> list[Alert]:
    """The incidents of the metrics, for as long as they inhibit."""
    last = last_processed_slot(warehouse)
    sources = {name: metric.source for name, metric in catalog.metrics.items()}
    return incidents_before(warehouse, last.end, sources) if last else []


def _to_show(found: list[ProbeResult], before: _Cursor, now: datetime.datetime) -> Iterator[tuple[str, ProbeResult]]:
    """The latest of each check, if it differs from what the check shows, or that was shown long ago."""
    for name, probed in {f"{probed.source}:{probed.check}": probed for probed in found}.items():
        passed, at = before.shown.get(name, (None, 0.0))
        if passed != _passed(probed) or now.timestamp() - at >= _SHOWN_AGAIN_AFTER.total_seconds():
            yield name, probed


def _passed(probed: ProbeResult) -> bool:
    return probed.condition.status != "firing"


def _result(probed: ProbeResult) -> dict[str, Any]:
    condition = probed.condition
    is_error = condition.subject.kind == "stale_data" and condition.severity == "critical"
    return {
        "passed": _passed(probed),
        "severity": dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        "description": probed.description,
        "metadata": probed.metadata,
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
