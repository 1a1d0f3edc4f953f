"""Every two minutes the sources are probed: do events arrive, and as many as usual?"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import AwareDatetime, Field

from metrics_platform.alerts.alert import Alert, Condition, Notification
from metrics_platform.alerts.muting import severity_of
from metrics_platform.defs.delivery.storage import queued
from metrics_platform.defs.health.alert_store import AlertCursor, CursorStore, update_alerts
from metrics_platform.defs.health.source_checks import (
    CANNOT_PROBE,
    day_result,
    evaluations,
    fresh_result,
    quick_warehouse,
    slot_result,
)
from metrics_platform.notifications.kinds import Event, FreshData, OddVolume, StaleData
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT
from metrics_platform.warehouse.source_rows import SourceError, resolve

if TYPE_CHECKING:
    from metrics_platform.catalog import Catalog
    from metrics_platform.health.probe import Freshness
    from metrics_platform.warehouse.client import Warehouse

# How often a check whose result has not changed is shown again: each is an entry in Dagster's event log.
_SHOWN_AGAIN_AFTER = datetime.timedelta(hours=1)


class _Cursor(AlertCursor):
    """The last slot that was evaluated; and by check whether it passed, and when that was shown."""

    slot: AwareDatetime | None = None
    shown: dict[str, tuple[bool, float]] = Field(default_factory=dict)


def tick(
    context: dg.SensorEvaluationContext, settings: Settings, now: datetime.datetime
) -> dg.SensorResult | dg.SkipReason:
    """Probe the sources, and enqueue notifications."""
    from metrics_platform.catalog import load_catalog_or_builtin  # noqa: PLC0415
    from metrics_platform.health.probe import why_no_events  # noqa: PLC0415

    if reason := why_no_events(settings, now):
        return dg.SkipReason(reason)
    probe = _Probe(settings, load_catalog_or_builtin(settings), _Cursor.from_cursor(context.cursor), now)
    refusal = ""
    try:
        probe.run()
    except CANNOT_PROBE as error:
        refusal = str(error)
    if refusal:
        # Everything that needs ClickHouse fails meanwhile, and that is reported. What is stale is not known.
        return dg.SkipReason(f"The sources cannot be probed: {refusal}")
    events = probe.events
    shown = evaluations(probe.to_show())
    return dg.SensorResult(
        skip_reason=f"Queued: {', '.join(event.key for event in events)}." if events else "; ".join(probe.found),
        cursor=probe.cursor().model_dump_json(),
        asset_events=[*queued(*events), *shown],
    )


class _Probe:
    """One probe of all sources."""

    def __init__(self, settings: Settings, catalog: Catalog, before: _Cursor, now: datetime.datetime) -> None:
        self.settings = settings
        self.catalog = catalog
        self.before = before
        self.now = now
        self.events: list[Event] = []
        self.found: list[str] = []
        self.results: list[dg.AssetCheckResult] = []
        self._freshness: dict[str, Freshness] = {}
        self._store = CursorStore(alert for alert in before.alerts if alert.subject.name in catalog.sources)
        self._slot = before.slot
        self._shown = dict(before.shown)

    def run(self) -> None:
        """Probe; errors as of ClickHouse, and then nothing is kept of this probe."""
        warehouse = quick_warehouse(self.settings)
        try:
            conditions = [self._with_severity(condition) for condition in self._conditions(warehouse)]
            inhibitors = self._incidents(warehouse) if self._matters(conditions) else []
        finally:
            warehouse.close()
        for notification in update_alerts(self._store, self.now, conditions, self.settings, inhibitors):
            self.events.append(self._event(notification, notification.alerts[0]))

    def cursor(self) -> _Cursor:
        """What to keep."""
        return _Cursor(alerts=tuple(self._store.load()), slot=self._slot, shown=self._shown)

    def to_show(self) -> Iterator[dg.AssetCheckResult]:
        """The results that differ from what the checks show, or were shown long ago."""
        for result in self.results:
            name = f"{result.asset_key.to_user_string() if result.asset_key else ''}:{result.check_name}"
            passed, at = self.before.shown.get(name, (None, 0.0))
            if passed == result.passed and self.now.timestamp() - at < _SHOWN_AGAIN_AFTER.total_seconds():
                continue
            self._shown[name] = (bool(result.passed), self.now.timestamp())
            yield result

    def _conditions(self, warehouse: Warehouse) -> Iterator[Condition]:
        from metrics_platform.health import probe  # noqa: PLC0415

        for source in self.catalog.sources.values():
            try:
                rows = resolve(warehouse, source)
            except SourceError as error:
                # The check of the catalogue names it; the other sources go on.
                self.found.append(str(error))
                continue
            found = probe.probe_freshness(warehouse, rows, self.settings, self.now)
            self._freshness[source.name] = found
            self.results.append(fresh_result(rows, found, self.settings, self.now))
            self.found.append(str(self.results[-1].description))
            yield found.condition(self.now)
        for name, period in probe.probe_day(warehouse, self.settings, self.now).items():
            if name in self._freshness:
                self.results.append(day_result(period, self.settings))
                yield period.condition()
        slots = probe.probe_slots(warehouse, self.settings, self.before.slot, self.now)
        for periods in slots:
            for name in self._freshness.keys() & periods.keys():
                self._slot = periods[name].end - SLOT
                yield periods[name].condition()
        for name, period in slots[-1].items() if slots else ():
            if name in self._freshness:
                self.results.append(slot_result(period, self.settings))

    def _with_severity(self, condition: Condition) -> Condition:
        """With the severity of METRICS_SEVERITIES."""
        if condition.status != "firing":
            return condition
        severity = severity_of(condition.subject.kind, condition.severity, self.settings)
        return replace(condition, severity=severity or condition.severity)

    def _matters(self, conditions: list[Condition]) -> bool:
        """Whether incidents could inhibit anything."""
        return any(condition.status == "firing" for condition in conditions) or any(
            alert.is_open for alert in self.before.alerts
        )

    def _incidents(self, warehouse: Warehouse) -> list[Alert]:
        """The incidents of the metrics, open or ended a short time ago."""
        from metrics_platform.incidents.store import incidents_after, last_processed_slot  # noqa: PLC0415
        from metrics_platform.warehouse.schema import tables_are_there  # noqa: PLC0415
        from metrics_platform.warehouse.tables import MONITOR_TABLES  # noqa: PLC0415

        last = last_processed_slot(warehouse) if tables_are_there(warehouse, MONITOR_TABLES) else None
        sources = {name: metric.source for name, metric in self.catalog.metrics.items()}
        return incidents_after(warehouse, last, sources) if last else []

    def _event(self, notification: Notification, alert: Alert) -> Event:
        source, facts = alert.subject.name, alert.facts
        common: dict[str, Any] = {
            "key": notification.key,
            "thread": notification.thread or None,
            "table": str(self.catalog.sources[source].table),
        }
        if alert.subject.kind != "stale_data":
            return OddVolume(**common, occurred_at=alert.last_at, severity=alert.severity, **facts)
        if notification.kind == "resolved":
            latest = self._freshness[source].latest or self.now
            return FreshData(**common, occurred_at=self.now, stale_since=alert.last_at, last_event_at=latest)
        return StaleData(
            **common,
            occurred_at=self.now,
            severity=alert.severity,
            last_event_at=facts["last_event_at"],
            limit=datetime.timedelta(seconds=facts["limit_seconds"]),
            still=notification.kind != "opened",
        )
