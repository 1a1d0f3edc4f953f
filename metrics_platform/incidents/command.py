"""`metrics-platform incidents`: lists incidents, and records users' answers to them."""

from __future__ import annotations

import datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from metrics_platform.alerts.alert import Alert
from metrics_platform.alerts.policies import QUIET_FOR
from metrics_platform.formats import formats_for
from metrics_platform.incidents.store import incidents_before, save_answer
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse


class UnknownIncidentError(RuntimeError):
    """No recent incident has this id."""


def list_incidents(settings: Settings, console: Console) -> None:
    """Print the incidents that are open, ended in the last eight days, or silence others. The latest comes first.

    Raises WarehouseError if ClickHouse refused, failed or did not answer.
    """
    alerts = incidents_before(Warehouse.from_settings(settings), _now())
    alerts.sort(key=lambda alert: alert.opened_at, reverse=True)
    rows = [incident_row(alert, settings) for alert in alerts]
    if not rows:
        console.print("No incident is open, and none ended in the last eight days.")
        return
    table = Table(*(Column(name, overflow="fold", no_wrap=name in ("incident", "opened")) for name in rows[0]))
    for row in rows:
        table.add_row(*map(escape, row.values()))
    console.print(table)


def incident_row(alert: Alert, settings: Settings) -> dict[str, str]:
    """An incident as a row of a table."""
    return {
        "incident": alert.id,
        "metric": alert.subject.name,
        "slice": "" if alert.is_total else f"{alert.subject.dimension} {alert.subject.value}",
        "severity": alert.severity,
        "worst": formats_for("en").change(alert.worst_change),
        "opened": f"{alert.opened_at.astimezone(settings.zone):%d %b %H:%M}",
        "state": alert.state,
        "sent": "yes" if alert.notification else f"no, {alert.inhibited_by}" if alert.inhibited_by else "no",
        "answer": alert.answer,
    }


def record_answer(settings: Settings, incident: str, *, is_incident: bool, who: str, note: str) -> str:
    """Record whether it is an incident. Returns a text that describes the effect.

    Raises:
        UnknownIncidentError: no recent incident has this id.
        WarehouseError: ClickHouse refused, failed or did not answer.
    """
    warehouse = Warehouse.from_settings(settings)
    recorded = next((alert for alert in incidents_before(warehouse, _now()) if alert.id == incident.upper()), None)
    if recorded is None:
        raise UnknownIncidentError(f"No recent incident {incident!r} exists. `metrics-platform incidents` lists them.")
    save_answer(warehouse, recorded, _now(), is_incident=is_incident, who=who, note=note)
    if is_incident:
        return f"{recorded.id} counts as an incident again."
    if recorded.worst_change is None:
        return f"{recorded.id} is marked as not an incident. Zero was expected, so the series' next rise is sent again."
    size = formats_for("en").change(recorded.worst_change)
    return (
        f"{recorded.id} is marked as not an incident. Deviations of up to {size} of this series are recorded and not "
        f"sent for {QUIET_FOR.days} days after its end. Larger ones are sent."
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
