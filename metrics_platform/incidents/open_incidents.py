"""The open incidents, for the morning report."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from metrics_platform.alerts.anomalies import Series
from metrics_platform.catalog import load_catalog_or_builtin
from metrics_platform.incidents.builder import NotificationBuilder
from metrics_platform.incidents.store import incidents_after, last_processed_slot
from metrics_platform.notifications.kinds import Anomaly
from metrics_platform.settings import Settings
from metrics_platform.warehouse.catalog_check import check_catalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import SchemaMismatchError, tables_are_there
from metrics_platform.warehouse.tables import MONITOR_TABLES

# A monitor that has been silent for longer knows nothing about now.
_OLDEST = datetime.timedelta(hours=1)


@dataclass(frozen=True)
class OpenIncidents:
    """Open incidents that people were notified of, the worst first, and how many metrics are normal."""

    anomalies: tuple[Anomaly, ...] = ()
    normal: int = 0

    @property
    def critical(self) -> int:
        """How many incidents are critical."""
        return sum(anomaly.severity == "critical" for anomaly in self.anomalies)

    @property
    def warning(self) -> int:
        """How many are a warning."""
        return len(self.anomalies) - self.critical


def open_incidents(warehouse: Warehouse, settings: Settings, now: datetime.datetime) -> OpenIncidents:
    """The incidents that are open at `now`; none where the monitor does not run.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer.
    """
    try:
        runs = tables_are_there(warehouse, MONITOR_TABLES)
    except SchemaMismatchError:
        runs = False  # the monitor's own runs report it; the report goes without
    if not runs:
        return OpenIncidents()
    last = last_processed_slot(warehouse)
    if last is None or not last.end <= now <= last.end + _OLDEST:
        return OpenIncidents()
    checked = check_catalog(warehouse, load_catalog_or_builtin(settings))
    builder = NotificationBuilder(warehouse, settings, last, checked)
    alerts = [alert for alert in incidents_after(warehouse, last) if alert.is_open and alert.notification]
    anomalies = [
        builder.anomaly(alert, with_history=False).model_copy(update={"severity": alert.severity})
        for alert in alerts
        if Series.of(alert) in builder.verdicts
    ]
    anomalies.sort(key=lambda anomaly: (anomaly.severity != "critical", anomaly.dimension is not None))
    normal = {
        series.metric
        for series, verdict in builder.verdicts.items()
        if series.is_total and verdict.status == "normal" and series.metric in checked.metrics
    }
    return OpenIncidents(tuple(anomalies), len(normal - {alert.subject.name for alert in alerts}))
