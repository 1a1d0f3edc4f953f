"""Updates the incidents by evaluated slots, in their order, each once."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from metrics_platform.alerts.alert import Alert, Notification
from metrics_platform.alerts.anomalies import Series, conditions_of
from metrics_platform.alerts.engine import step
from metrics_platform.alerts.muting import muting
from metrics_platform.alerts.policies import policies
from metrics_platform.calendar import Day, Slot, SlotRange
from metrics_platform.catalog import Catalog
from metrics_platform.incidents.store import (
    ProcessedSlot,
    create_incident_tables,
    evaluated_slots,
    incidents_before,
    last_processed_slot,
    save_incidents,
    save_processed,
    verdicts_of,
)
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse


@dataclass
class Update:
    """Slots of one day, processed and not yet written.

    Attributes:
        steps: the alerts that are open or have changed after each slot.
        processed: the slots.
        notifications: what to enqueue, with the slot it is about.
    """

    steps: list[tuple[datetime.datetime, tuple[Alert, ...]]] = field(default_factory=list)
    processed: list[ProcessedSlot] = field(default_factory=list)
    notifications: list[tuple[Slot, Notification]] = field(default_factory=list)

    def write(self, warehouse: Warehouse) -> None:
        """Write it, after its notifications have been enqueued.

        After a crash in between, the slots are processed again and enqueue the same keys. The other way round, the
        notifications would be lost.
        """
        save_incidents(warehouse, self.steps)
        save_processed(warehouse, self.processed)


def updates(  # noqa: PLR0917
    warehouse: Warehouse,
    slots: SlotRange,
    settings: Settings,
    catalog: Catalog,
    now: datetime.datetime,
    inhibitors: Sequence[Alert] = (),
) -> Iterator[Update]:
    """Process `slots`, by day; each update must have been written before the next is asked for.

    Slots up to the last one that was processed change nothing. The first slot without verdicts ends it: slots are
    processed in their order. `inhibitors` are alerts about the platform. Of slots that ended longer ago than
    METRICS_ALERT_MAX_AGE_MINUTES nothing is notified.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer.
        SchemaMismatchError: a table is there with other columns.
    """
    create_incident_tables(warehouse)
    for day, piece in slots.by_day(settings.zone):
        last = last_processed_slot(warehouse)
        rest = SlotRange(max(piece.start, last.end) if last else piece.start, piece.end)
        if rest.start < rest.end:
            update = _update(warehouse, day, rest, settings, catalog, now, inhibitors)
            yield update
            if len(update.processed) < len(rest):
                return


def _update(  # noqa: PLR0917
    warehouse: Warehouse,
    day: Day,
    slots: SlotRange,
    settings: Settings,
    catalog: Catalog,
    now: datetime.datetime,
    inhibitors: Sequence[Alert],
) -> Update:
    """Process the slots of one day up to the first one without verdicts."""
    rules = policies(datetime.timedelta(hours=settings.reminder_hours))
    oldest = now - datetime.timedelta(minutes=settings.alert_max_age_minutes)
    sources = {name: metric.source for name, metric in catalog.metrics.items()}
    alerts = {alert.id: alert for alert in incidents_before(warehouse, slots.start, sources)}
    verdicts = verdicts_of(warehouse, day.date, slots, map(Series.of, alerts.values()))
    evaluated = evaluated_slots(warehouse, day.date, slots)
    update = Update()
    for slot in slots:
        if slot not in evaluated:
            break
        found = step(
            slot.start,
            alerts.values(),
            conditions_of(slot, verdicts.get(slot.start, {}).values(), alerts.values(), sources),
            rules,
            notifies=slot.end >= oldest,
            is_muted=muting(settings, slot.end, catalog),
            inhibitors=inhibitors,
        )
        alerts |= {alert.id: alert for alert in found.alerts}
        update.steps.append((slot.start, found.alerts))
        open_now = sum(alert.is_open for alert in alerts.values())
        update.processed.append(evaluated[slot]._replace(incidents=open_now))
        update.notifications += [(slot, notification) for notification in found.notifications]
    return update
