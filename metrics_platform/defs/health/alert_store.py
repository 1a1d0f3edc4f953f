"""Alerts about the platform, in the cursors of its sensors: Dagster's storage needs no ClickHouse."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence

import dagster as dg

from metrics_platform.alerts.alert import Alert, AlertStore, Condition, Notification
from metrics_platform.alerts.batches import MOST, is_batched
from metrics_platform.alerts.engine import step
from metrics_platform.alerts.muting import muting
from metrics_platform.alerts.policies import policies
from metrics_platform.defs.cursor import Cursor
from metrics_platform.settings import Settings

# An alert that has neither fired nor ended for so long is no longer followed.
_FORGOTTEN_AFTER = datetime.timedelta(days=8)


class AlertCursor(Cursor):
    """Base of the cursors that hold alerts."""

    alerts: tuple[Alert, ...] = ()


class CursorStore(AlertStore):
    """The `AlertStore` of a sensor: its cursor, which Dagster keeps after it has stored the notifications."""

    def __init__(self, alerts: Iterable[Alert]) -> None:
        self._alerts = {alert.id: alert for alert in alerts}

    def load(self) -> list[Alert]:
        """See `AlertStore`."""
        return list(self._alerts.values())

    def save(self, steps: Sequence[tuple[datetime.datetime, Iterable[Alert]]]) -> None:
        """See `AlertStore`; where there are too many, those stay that people wait for the end of."""
        for now, alerts in steps:
            ended = {name: alert for name, alert in self._alerts.items() if alert.state in {"resolved", "expired"}}
            kept = [
                alert
                for alert in {**ended, **{alert.id: alert for alert in alerts}}.values()
                if now - max(alert.last_at, alert.closed_at or alert.last_at) <= _FORGOTTEN_AFTER
                or (alert.is_open and alert.subject.kind == "stale_data")
            ]
            kept.sort(key=lambda alert: (_weight(alert), alert.last_at, alert.id))
            self._alerts = {alert.id: alert for alert in kept[-MOST:]}


def _weight(alert: Alert) -> int:
    if alert.is_open and alert.notification and not is_batched(alert):
        return 3
    return 2 if alert.count > alert.notified_count else int(alert.is_open)


def update_alerts(
    store: CursorStore,
    now: datetime.datetime,
    conditions: Iterable[Condition],
    settings: Settings,
    inhibitors: Sequence[Alert] = (),
) -> tuple[Notification, ...]:
    """Update the alerts of a sensor at `now`; the notifications to enqueue."""
    rules = policies(datetime.timedelta(hours=settings.reminder_hours))
    found = step(now, store.load(), conditions, rules, is_muted=muting(settings, now), inhibitors=inhibitors)
    store.save([(now, found.alerts)])
    return found.notifications


def stored_alerts(instance: dg.DagsterInstance, sensor: str) -> tuple[Alert, ...]:
    """The alerts that a sensor keeps; none where it is off, or where Dagster keeps no sensors (in memory)."""
    for state in instance.all_instigator_state() if instance.schedule_storage else ():
        if state.name == sensor and state.is_running:
            return AlertCursor.from_cursor(getattr(state.instigator_data, "cursor", None)).alerts
    return ()
