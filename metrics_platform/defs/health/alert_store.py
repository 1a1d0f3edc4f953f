"""Alerts about the platform, in the cursors of its sensors: Dagster's storage needs no ClickHouse."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import replace

import dagster as dg

from metrics_platform.alerts.alert import Alert, Condition, Notification
from metrics_platform.alerts.engine import MAX_ALERTS, is_batched, step
from metrics_platform.alerts.policies import mute_filter, policies, severity_of
from metrics_platform.defs.resources import Cursor
from metrics_platform.settings import Settings

# An alert that has neither fired nor ended for this long is dropped.
_KEEP_FOR = datetime.timedelta(days=8)


class AlertCursor(Cursor):
    """Base of the cursors that hold alerts. Dagster keeps a cursor after it has stored the notifications."""

    alerts: tuple[Alert, ...] = ()


def update_alerts(
    alerts: Iterable[Alert],
    now: datetime.datetime,
    conditions: Iterable[Condition],
    settings: Settings,
    inhibitors: Sequence[Alert] = (),
) -> tuple[tuple[Alert, ...], tuple[Notification, ...]]:
    """Update the alerts of a sensor at `now`. Returns the alerts to keep, and the notifications to enqueue.

    If there are too many alerts, open alerts that were notified are kept first.
    """
    alerts = list(alerts)
    rules = policies(datetime.timedelta(hours=settings.reminder_hours))
    # Conditions that METRICS_SEVERITIES switches off keep their severity, and are muted.
    adjusted = [
        replace(
            condition, severity=severity_of(condition.subject.kind, condition.severity, settings) or condition.severity
        )
        for condition in conditions
    ]
    result = step(now, alerts, adjusted, rules, is_muted=mute_filter(settings, now), inhibitors=inhibitors)
    ended = {alert.id: alert for alert in alerts if alert.state in {"resolved", "expired"}}
    kept = [
        alert
        for alert in {**ended, **{alert.id: alert for alert in result.alerts}}.values()
        if now - max(alert.last_at, alert.closed_at or alert.last_at) <= _KEEP_FOR
        or (alert.is_open and alert.subject.kind == "stale_data")
    ]
    kept.sort(key=lambda alert: (_priority(alert), alert.last_at, alert.id))
    return tuple(kept[-MAX_ALERTS:]), result.notifications


def _priority(alert: Alert) -> int:
    if alert.is_open and alert.notification and not is_batched(alert):
        return 3
    return 2 if alert.count > alert.notified_count else int(alert.is_open)


def stored_alerts(instance: dg.DagsterInstance, sensor: str) -> tuple[Alert, ...]:
    """The alerts in a sensor's cursor; none if it is off, or if Dagster stores no sensors (in memory)."""
    for state in instance.all_instigator_state() if instance.schedule_storage else ():
        if state.name == sensor and state.is_running:
            return AlertCursor.from_cursor(getattr(state.instigator_data, "cursor", None)).alerts
    return ()
