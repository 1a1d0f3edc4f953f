"""How things stand now: the open incidents, for the morning report."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from metrics_platform.calendar import Slot
from metrics_platform.catalog import load_catalog_or_builtin
from metrics_platform.incidents.messages import Teller
from metrics_platform.incidents.store import incidents_before, last_slot_taken_in, verdicts_at
from metrics_platform.notifications.kinds import Anomaly
from metrics_platform.settings import Settings
from metrics_platform.warehouse.catalog_check import check_catalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import SchemaMismatchError, tables_are_there
from metrics_platform.warehouse.tables import MONITOR_TABLES

# A monitor that has been silent for longer has nothing to say of now.
_OLDEST = datetime.timedelta(hours=1)


@dataclass(frozen=True)
class Standing:
    """Open incidents that people have been told of, the worst first, and how many metrics are as expected."""

    anomalies: tuple[Anomaly, ...] = ()
    normal: int = 0

    @property
    def critical(self) -> int:
        """How many incidents are critical."""
        return sum(each.severity == "critical" for each in self.anomalies)

    @property
    def warning(self) -> int:
        """How many are a warning."""
        return len(self.anomalies) - self.critical


def standing(warehouse: Warehouse, settings: Settings, now: datetime.datetime) -> Standing:
    """How things stand at `now`; nothing where the monitor does not run.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer.
    """
    try:
        runs = tables_are_there(warehouse, MONITOR_TABLES)
    except SchemaMismatchError:
        runs = False  # the monitor's own runs say so; the report goes without
    if not runs:
        return Standing()
    last = last_slot_taken_in(warehouse)
    if last is None or not last.end <= now <= last.end + _OLDEST:
        return Standing()
    verdicts = verdicts_at(warehouse, last)
    checked = check_catalog(warehouse, load_catalog_or_builtin(settings))
    teller = Teller(warehouse, settings, last, checked)
    incidents = [each for each in incidents_before(warehouse, Slot(last.end)) if each.is_open and each.message]
    anomalies = [
        teller.anomaly(each, verdicts, with_history=False).model_copy(update={"severity": each.severity})
        for each in incidents
        if each.series in verdicts
    ]
    anomalies.sort(key=lambda each: (each.severity != "critical", each.dimension is not None))
    names = set(checked.metrics)
    odd = {each.series.metric for each in incidents}
    judged = {series.metric for series, each in verdicts.items() if series.is_total and each.status == "normal"}
    return Standing(tuple(anomalies), len((judged & names) - odd))
