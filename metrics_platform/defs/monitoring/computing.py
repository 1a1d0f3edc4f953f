"""What the monitor's assets do in a run: work, and say in Dagster's words what came out."""

from __future__ import annotations

import datetime
from typing import Any

import dagster as dg

from metrics_platform.calendar import SlotRange
from metrics_platform.catalog import SLOT_METRICS as METRICS
from metrics_platform.defs.daily.metadata import compared_result
from metrics_platform.defs.delivery.storage import ask
from metrics_platform.defs.monitoring.metadata import incident_metadata, slot_facts, slot_numbers, verdict_check
from metrics_platform.defs.monitoring.staleness import see_that_staleness_is_told
from metrics_platform.incidents.messages import Teller
from metrics_platform.incidents.store import verdicts_at
from metrics_platform.incidents.take_in import Batch, batches
from metrics_platform.monitor.configuration import load_monitoring
from metrics_platform.monitor.verdicts import judge_slots
from metrics_platform.notifications.heartbeat import beat
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.retention import drop_what_is_old
from metrics_platform.warehouse.slots import compute_slots
from metrics_platform.warehouse.tables import INCIDENTS, SLOT_METRICS, VERDICTS

# Slots of a long range that get numbers of their own in Dagster's UI: a day of them.
_SHOWN_SLOTS = 96
# A check of older slots says nothing of whether the platform is alive now.
_HEARTBEAT_WITHIN = datetime.timedelta(hours=1)


def compute_slot_metrics(
    context: dg.AssetExecutionContext, warehouse: Warehouse, slots: SlotRange, settings: Settings
) -> list[Any]:
    """Compute the slots; a failing check leaves its day as it was, and a `Failure` is the last of what is returned."""
    results = []
    for result in compute_slots(warehouse, slots, settings):
        results.append(result)
        context.log.info(
            f"slot_metrics of {result.slots} "
            f"({len(result.slots)} slots): {result.read_rows:,} rows read, {result.seconds:.2f} s"
        )
    for key, numbers in slot_numbers(warehouse, slots, _SHOWN_SLOTS).items():
        context.add_asset_metadata(numbers, partition_key=key)
    periods = f"{len(slots)} slots"
    compared = [(f"{r.slots.start:%Y-%m-%d %H:%M}", each) for r in reversed(results) for each in r.comparisons]
    checks = [
        compared_result(name, promise, [(key, each) for key, each in compared if each.check == name], periods)
        for name, promise in SLOT_METRICS.checks.items()
    ]
    bad = results[-1]
    if bad.published:
        return [dg.MaterializeResult(check_results=checks)]
    facts = "; ".join(f"{c.check}: {c.quantity} is {c.actual:,}, expected {c.expected:,}" for c in bad.violations)
    failure = dg.Failure(
        f"slot_metrics of {bad.slots} do not add up, so they were not "
        f"swapped in: readers still see the slots as they were. {facts}. What to do: materialise them again.",
        allow_retries=False,
    )
    return [*checks, failure]


def compute_verdicts(
    context: dg.AssetExecutionContext, warehouse: Warehouse, slots: SlotRange, settings: Settings
) -> list[Any]:
    """Judge the slots; each metric's check is about the last of them."""
    monitoring = load_monitoring(settings)
    for result in judge_slots(warehouse, slots, settings, monitoring):
        context.log.info(
            f"{result.slots}: {result.series} series in "
            f"{len(result.slots)} slots judged, {result.anomalous} anomalous, {result.seconds:.2f} s"
        )
    found = verdicts_at(warehouse, slots.last)
    checks = [verdict_check(metric, slots.last, found, settings) for metric in METRICS]
    return [dg.MaterializeResult(check_results=checks)]


def take_in_verdicts(
    context: dg.AssetExecutionContext, warehouse: Warehouse, slots: SlotRange, settings: Settings
) -> list[Any]:
    """Take the slots into the incidents and ask for what is to be told."""
    monitoring = load_monitoring(settings)
    done: list[Batch] = []
    for batch in batches(warehouse, slots, settings, monitoring, datetime.datetime.now(datetime.UTC)):
        for slot, telling in batch.tellings:
            event = Teller(warehouse, settings, slot, context.run.run_id).event_of(telling)
            ask(context, event)
            context.log.info(f"Asked for {event.key}: {telling.kind}, {len(telling.incidents)} incident(s)")
        for source in batch.said_by:
            if key := see_that_staleness_is_told(context, warehouse, source, settings):
                context.log.info(f"Asked for {key}: {source} has no events, which is what its metrics' incidents say")
        batch.write(warehouse)
        done.append(batch)
    for key, facts in slot_facts(warehouse, slots, _SHOWN_SLOTS).items():
        context.add_asset_metadata(facts, partition_key=key)
    context.add_asset_metadata(incident_metadata(warehouse, slots, done, settings), partition_key=slots.last.key)
    _drop_what_is_old(context, warehouse, settings)
    _beat(context, slots, settings)
    return [dg.MaterializeResult()]


def _drop_what_is_old(context: dg.AssetExecutionContext, warehouse: Warehouse, settings: Settings) -> None:
    """Retention; where ClickHouse refuses it, the check is good all the same, and the next one tries again."""
    try:
        for name in drop_what_is_old(warehouse, settings, datetime.datetime.now(datetime.UTC).date()):
            context.log.info(f"Dropped {name}: older than METRICS_KEEP_… says")
    except WarehouseError as error:
        context.log.warning(str(error))


def _beat(context: dg.AssetExecutionContext, slots: SlotRange, settings: Settings) -> None:
    """The heartbeat of a check of the latest slots; what it meets fails no run."""
    if settings.heartbeat_url is None or datetime.datetime.now(datetime.UTC) - slots.end > _HEARTBEAT_WITHIN:
        return
    if problem := beat(settings.heartbeat_url.get_secret_value()):
        context.log.warning(problem)


WORK = {SLOT_METRICS.name: compute_slot_metrics, VERDICTS.name: compute_verdicts, INCIDENTS.name: take_in_verdicts}
