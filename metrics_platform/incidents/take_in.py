"""Taking judged slots into the incidents, in their order, each once."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, replace

from metrics_platform.calendar import Slot, SlotRange
from metrics_platform.catalog import Catalog
from metrics_platform.incidents.incident import Incident
from metrics_platform.incidents.inhibition import metrics_of, silent_sources
from metrics_platform.incidents.machine import Rules, Telling, step
from metrics_platform.incidents.store import (
    JudgedSlot,
    create_incident_tables,
    incidents_before,
    judged_slots,
    last_slot_taken_in,
    verdicts_of,
    write_step,
)
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse


@dataclass(frozen=True)
class Batch:
    """Slots of one day, worked out and not yet written.

    Attributes:
        states: how each incident that changed or is open stands after a slot.
        taken_in: the slots, each with how many incidents are open after it.
        tellings: what is to be told, with the slot it is told at.
        said_by: the sources whose staleness is to be told instead of incidents.
    """

    states: tuple[tuple[Slot, Incident], ...]
    taken_in: tuple[tuple[JudgedSlot, int], ...]
    tellings: tuple[tuple[Slot, Telling], ...]
    said_by: tuple[str, ...] = ()

    def write(self, warehouse: Warehouse) -> None:
        """Write it. Ask for what is to be told first: after a crash in between the slots are worked out again, ask
        for the same keys, and nothing is told twice; the other way round it would never be told.
        """
        write_step(warehouse, self.states, self.taken_in)


def rules_of(settings: Settings) -> Rules:
    """The rules with what the settings say."""
    return replace(Rules(), reminded_after=datetime.timedelta(hours=settings.reminder_hours))


def batches(
    warehouse: Warehouse,
    slots: SlotRange,
    settings: Settings,
    catalog: Catalog,
    now: datetime.datetime,
) -> Iterator[Batch]:
    """Work out `slots`, by day; each batch must have been written before the next is asked for.

    Slots up to the last one that was taken in change nothing. The first slot without verdicts ends it: slots are taken
    in their order, and what is missing has to be evaluated first. Of slots that ended longer ago than
    METRICS_ALERT_MAX_AGE_MINUTES nothing is told.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer.
        SchemaMismatchError: a table is there with other columns.
    """
    create_incident_tables(warehouse)
    rules = rules_of(settings)
    sources = {name: metric.source for name, metric in catalog.metrics.items()}
    oldest = now - datetime.timedelta(minutes=settings.alert_max_age_minutes)
    for day, piece in slots.by_day(settings.zone):
        date = day.date
        last = last_slot_taken_in(warehouse)
        start = max(piece.start, last.end) if last else piece.start
        if start >= piece.end:
            continue
        rest = SlotRange(start, piece.end)
        incidents = {each.incident: each for each in incidents_before(warehouse, Slot(start))}
        verdicts = verdicts_of(warehouse, date, rest, incidents.values())
        states: list[tuple[Slot, Incident]] = []
        taken_in: list[tuple[JudgedSlot, int]] = []
        tellings: list[tuple[Slot, Telling]] = []
        said_by: set[str] = set()
        silent = silent_sources(warehouse, rest, settings, catalog)
        judged_by_slot = {judged.slot: judged for judged in judged_slots(warehouse, date, rest)}
        for slot in rest:
            judged = judged_by_slot.get(slot)
            if judged is None:
                break
            muted = {
                name
                for name, metric in catalog.metrics.items()
                if metric.monitor.muted_until is not None and metric.monitor.muted_until > slot.end
            }
            found = step(
                slot,
                incidents.values(),
                verdicts.get(slot.start, {}),
                rules,
                tells=slot.end >= oldest,
                muted=muted,
                stale=metrics_of(silent.get(slot, ()), catalog),
                sources=sources,
            )
            incidents |= {each.incident: each for each in found.incidents}
            states += [(slot, each) for each in found.incidents]
            taken_in.append((judged, sum(each.is_open for each in incidents.values())))
            tellings += [(slot, each) for each in found.tellings]
            said_by |= set(found.said_by)
        yield Batch(tuple(states), tuple(taken_in), tuple(tellings), tuple(sorted(said_by)))
        if len(taken_in) < len(rest):
            return
