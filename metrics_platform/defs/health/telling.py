"""What METRICS_SEVERITIES makes of notifications: how severe a kind is, and which nobody is told of."""

from __future__ import annotations

from collections.abc import Iterable

from metrics_platform.notifications.kinds import Event, Recovered
from metrics_platform.settings import Settings

# An all-clear goes with its alert.
_BELONGS_TO = {"fresh_data": "stale_data", "failed_runs": "failed_run", "failed_tick": "failed_run"}


def as_set(events: Iterable[Event], settings: Settings) -> list[Event]:
    """The notifications with their severities of the settings, without those that are switched off."""
    told = []
    for event in events:
        kind = _kind(event)
        severity = settings.severity_of(kind, event.severity)
        if severity is None:
            continue
        keeps = kind != getattr(event, "kind", "") or severity == event.severity
        told.append(event if keeps else event.model_copy(update={"severity": severity}))
    return told


def _kind(event: Event) -> str:
    if isinstance(event, Recovered):
        return "failed_check" if event.check else "failed_run"
    kind = str(getattr(event, "kind", ""))
    return _BELONGS_TO.get(kind, kind)
