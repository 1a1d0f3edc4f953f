"""Updates the incidents by evaluated slots, in their order, each once."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from metrics_platform.alerts.alert import Alert, Notification
from metrics_platform.alerts.anomalies import Series, Verdict, conditions_of
from metrics_platform.alerts.engine import Step, step
from metrics_platform.alerts.muting import muting
from metrics_platform.alerts.policies import policies
from metrics_platform.catalog import Catalog
from metrics_platform.incidents.store import (
    EvaluatedSlot,
    IncidentStore,
    create_incident_tables,
    evaluated_slots,
    last_processed_slot,
    verdicts_of,
)
from metrics_platform.settings import Settings
from metrics_platform.time_windows import Day, Slot, SlotRange
from metrics_platform.warehouse.client import Warehouse


@dataclass(frozen=True)
class Update:
    """Slots of one day, processed and not yet written.

    Attributes:
        steps: the alerts that are open or have changed after each slot.
        processed: the slots, each with how many incidents are open after it.
        notifications: what to enqueue, with the slot it is about.
    """

    steps: tuple[tuple[Slot, tuple[Alert, ...]], ...]
    processed: tuple[tuple[EvaluatedSlot, int], ...]
    notifications: tuple[tuple[Slot, Notification], ...]

    def write(self, warehouse: Warehouse) -> None:
        """Write it, after its notifications have been enqueued.

        After a crash in between, the slots are processed again and enqueue the same keys. The other way round, the
        notifications would be lost.
        """
        store = IncidentStore(warehouse)
        store.save([(slot.start, alerts) for slot, alerts in self.steps])
        store.save_processed(self.processed)


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
        if rest.start >= rest.end:
            continue
        update = _Day(warehouse, day, rest, catalog, settings).update(now, inhibitors)
        yield update
        if len(update.processed) < len(rest):
            return


class _Day:
    """The slots of one day, with what is read for all of them."""

    def __init__(self, warehouse: Warehouse, day: Day, slots: SlotRange, catalog: Catalog, settings: Settings) -> None:
        self.slots = slots
        self.catalog = catalog
        self.settings = settings
        self.policies = policies(datetime.timedelta(hours=settings.reminder_hours))
        self.sources = {name: metric.source for name, metric in catalog.metrics.items()}
        found = IncidentStore(warehouse, Slot(slots.start), self.sources).load()
        self.alerts = {alert.id: alert for alert in found}
        self.verdicts = verdicts_of(warehouse, day.date, slots, map(Series.of, found))
        self.evaluated = {each.slot: each for each in evaluated_slots(warehouse, day.date, slots)}

    def update(self, now: datetime.datetime, inhibitors: Sequence[Alert]) -> Update:
        """Process the slots up to the first one without verdicts."""
        oldest = now - datetime.timedelta(minutes=self.settings.alert_max_age_minutes)
        steps, processed, notifications = [], [], []
        for slot in self.slots:
            if slot not in self.evaluated:
                break
            found = self._step(slot, self.verdicts.get(slot.start, {}).values(), oldest, inhibitors)
            self.alerts |= {alert.id: alert for alert in found.alerts}
            steps.append((slot, found.alerts))
            processed.append((self.evaluated[slot], sum(alert.is_open for alert in self.alerts.values())))
            notifications += [(slot, notification) for notification in found.notifications]
        return Update(tuple(steps), tuple(processed), tuple(notifications))

    def _step(
        self, slot: Slot, verdicts: Iterable[Verdict], oldest: datetime.datetime, inhibitors: Sequence[Alert]
    ) -> Step:
        return step(
            slot.start,
            self.alerts.values(),
            conditions_of(slot, verdicts, self.alerts.values(), self.sources),
            self.policies,
            notifies=slot.end >= oldest,
            is_muted=muting(self.settings, slot.end, self.catalog),
            inhibitors=inhibitors,
        )
