"""Which alerts are not notified for now: by METRICS_SEVERITIES, mutes, active hours, and the catalogue's mutes."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping

from metrics_platform.alerts.alert import Alert, Kind
from metrics_platform.catalog import Catalog
from metrics_platform.channel_settings import Severity
from metrics_platform.settings import Settings

# What the kinds are called in settings.
_MUTED_AS: Mapping[Kind, str] = {"odd_day": "odd_volume", "odd_hour": "odd_volume", "code_location": "failed_tick"}
_SEVERITY_OF: Mapping[Kind, str] = {**_MUTED_AS, "failed_tick": "failed_run", "code_location": "failed_run"}


def severity_of(kind: Kind, usual: Severity, settings: Settings) -> Severity | None:
    """How severe an alert is by METRICS_SEVERITIES; None: it is switched off."""
    return settings.severity_of(_SEVERITY_OF.get(kind, kind), usual)


def muting(settings: Settings, now: datetime.datetime, catalog: Catalog | None = None) -> Callable[[Alert], bool]:
    """Whether an alert is not to be notified at `now`."""
    silences = settings.silences(settings.zone)
    metrics = catalog.metrics.values() if catalog else ()
    until = {metric.name: metric.monitor.muted_until for metric in metrics if metric.monitor.muted_until}

    def is_muted(alert: Alert) -> bool:
        if severity_of(alert.subject.kind, alert.severity, settings) is None:
            return True
        end = until.get(alert.subject.name) if alert.subject.kind == "anomaly" else None
        return (end is not None and now < end) or silences.hold(_labels(alert), now)

    return is_muted


def _labels(alert: Alert) -> dict[str, str]:
    subject = alert.subject
    labels = {
        "kind": _MUTED_AS.get(subject.kind, subject.kind),
        "severity": alert.severity,
        "name": subject.name,
        "source": alert.origin,
    }
    if subject.kind == "anomaly":
        labels |= {"metric": subject.name, "slice": subject.value}
    return labels
