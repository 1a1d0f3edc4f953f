"""What the monitor's assets do in a run, and what they show of it in Dagster."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from metrics_platform.catalog import Metric, load_catalog_or_builtin
from metrics_platform.defs.daily.metadata import compared_result
from metrics_platform.defs.delivery.storage import enqueue
from metrics_platform.defs.health import SOURCES
from metrics_platform.defs.health.alert_store import stored_alerts
from metrics_platform.defs.metrics_config import chosen_metrics
from metrics_platform.defs.monitoring.assets import CATALOG_CHECK
from metrics_platform.defs.monitoring.metadata import catalog_result, day_metadata, incident_metadata, verdict_check
from metrics_platform.defs.monitoring.schedule import is_check, slots_of_run
from metrics_platform.incidents.builder import NotificationBuilder
from metrics_platform.incidents.store import (
    Update,
    create_incident_tables,
    incidents_before,
    last_processed_slot,
    unevaluated_since,
    updates,
    verdicts_at,
)
from metrics_platform.monitor.verdicts import evaluate_slots
from metrics_platform.notifications.channel import beat
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SlotRange
from metrics_platform.warehouse.catalog_check import CheckedCatalog, check_catalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.metric_values import ValuesResult
from metrics_platform.warehouse.renames import apply_renames
from metrics_platform.warehouse.retention import drop_what_is_old, merge_past_days
from metrics_platform.warehouse.schema import tables_are_there
from metrics_platform.warehouse.slots import compute_slots, first_slot, lag_of, missing_slots
from metrics_platform.warehouse.tables import INCIDENT_ANSWERS, INCIDENTS, SLOT_METRICS, VERDICTS

# How far back the seasonal detector looks: what is missing of it, a check computes.
HISTORY = datetime.timedelta(days=32)
# Without incidents yet, a check evaluates a day, so that charts have a band.
_FIRST_EVALUATED = datetime.timedelta(days=1)
# A check of older slots says nothing of whether the platform is alive now.
_HEARTBEAT_WITHIN = datetime.timedelta(hours=1)
# Run id → its catalogue. The three steps of a run share a process, and checking the catalogue takes ten statements.
_CHECKED: dict[str, CheckedCatalog] = {}


def compute_slot_metrics(
    context: dg.AssetExecutionContext, warehouse: Warehouse, settings: Settings, names: Sequence[str] = ()
) -> Iterator[Any]:
    """Compute the run's slots, and in a check all that are missing before them.

    A day that does not add up stays as it was.
    """
    checked = _checked(context, warehouse, settings)
    for text in apply_renames(warehouse, checked.catalog):
        context.log.info(text)
    slots = _slots(context, checked, settings)
    chosen = chosen_metrics(names, checked)
    results: list[ValuesResult] = []
    work: list[tuple[SlotRange, tuple[Metric, ...] | None]] = [(slots, chosen)]
    if is_check(context):
        missing = missing_slots(warehouse, _window(slots, settings), checked, settings)
        before = [(gap.slots, gap.metrics) for gap in missing if gap.slots.start < slots.start]
        work = [*before, (slots, None)]
    for stretch, metrics in work:
        for result in compute_slots(warehouse, stretch, checked, settings, metrics):
            results.append(result)
            context.log.info(
                f"slot_metrics, {SlotRange(result.start, result.end)}: {len(result.metrics)} metrics, "
                f"{result.rows:,} rows, {result.read_rows:,} read, {result.seconds:.2f} s"
            )
            _show_day(context, warehouse, result, settings)
        if not results[-1].published:
            break
    problems = dict(checked.problems)
    for result in results:
        problems |= result.problems
    checks = [
        compared_result(name, promise, _compared(results, name), f"{len(results)} stretches of slots")
        for name, promise in SLOT_METRICS.checks.items()
    ]
    checks.append(catalog_result(CATALOG_CHECK, checked.catalog, problems))
    bad = results[-1]
    if bad.published:
        yield dg.MaterializeResult(check_results=checks)
        return
    yield from checks
    facts = "; ".join(f"{c.check}: {c.quantity} is {c.actual:,}, expected {c.expected:,}" for c in bad.violations)
    raise dg.Failure(
        f"slot_metrics, {SlotRange(bad.start, bad.end)}, do not add up, so they were not published: readers still see "
        f"the slots as they were. {facts}. What to do: materialise the day again.",
        allow_retries=False,
    )


def compute_verdicts(context: dg.AssetExecutionContext, warehouse: Warehouse, settings: Settings) -> Iterator[Any]:
    """Evaluate the run's slots, and in a check all that were not evaluated before them."""
    checked = _checked(context, warehouse, settings)
    slots = _slots(context, checked, settings)
    if is_check(context):
        window = _window(slots, settings)
        last = last_processed_slot(warehouse)
        begin = max(last.end if last else slots.end - _FIRST_EVALUATED, window.start)
        slots = SlotRange(
            min(slots.start, unevaluated_since(warehouse, SlotRange(min(begin, slots.start), slots.end))), slots.end
        )
    for result in evaluate_slots(warehouse, slots, checked, settings):
        context.log.info(
            f"{result.slots}: {result.series} series in {len(result.slots)} slots evaluated, {result.anomalous} "
            f"anomalous, {result.seconds:.2f} s"
        )
    found = verdicts_at(warehouse, slots.last)
    names = [key.name for key in context.selected_asset_check_keys]
    known = incidents_before(warehouse, slots.end) if tables_are_there(warehouse, [INCIDENTS, INCIDENT_ANSWERS]) else []
    answered = [alert for alert in known if alert.is_answered]
    checks = [verdict_check(name, slots.last, found, answered, checked, settings) for name in names]
    yield dg.MaterializeResult(check_results=checks)


def update_incidents(context: dg.AssetExecutionContext, warehouse: Warehouse, settings: Settings) -> Iterator[Any]:
    """Process the evaluated slots that come next, in their order, and queue the notifications."""
    checked = _checked(context, warehouse, settings)
    create_incident_tables(warehouse)
    slots = _slots(context, checked, settings)
    last = last_processed_slot(warehouse)
    start = max(last.end, _window(slots, settings).start) if last else slots.start
    done: list[Update] = []
    if start < slots.end:
        now = datetime.datetime.now(datetime.UTC)
        stale = stored_alerts(context.instance, SOURCES)
        for update in updates(warehouse, SlotRange(start, slots.end), settings, checked.catalog, now, inhibitors=stale):
            _enqueue(context, warehouse, update, checked, settings)
            update.write(warehouse)
            done.append(update)
    context.add_asset_metadata(
        incident_metadata(warehouse, slots, done, settings),
        partition_key=slots.last.start.astimezone(settings.zone).date().isoformat(),
    )
    _drop_what_is_old(context, warehouse, settings)
    _beat(context, slots, settings)
    yield dg.MaterializeResult()


def _enqueue(
    context: dg.AssetExecutionContext, warehouse: Warehouse, update: Update, checked: CheckedCatalog, settings: Settings
) -> None:
    for slot, notification in update.notifications:
        event = NotificationBuilder(warehouse, settings, slot, checked, context.run.run_id).build(notification)
        enqueue(context, event)
        context.log.info(f"Queued {event.key}: {notification.kind}, {len(notification.alerts)} incident(s)")


def _checked(context: dg.AssetExecutionContext, warehouse: Warehouse, settings: Settings) -> CheckedCatalog:
    """The catalogue as it is when the run begins: changes apply at the next check."""
    run_id = context.run.run_id
    if run_id not in _CHECKED:
        _CHECKED.clear()
        _CHECKED[run_id] = check_catalog(warehouse, load_catalog_or_builtin(settings))
    return _CHECKED[run_id]


def _slots(context: dg.AssetExecutionContext, checked: CheckedCatalog, settings: Settings) -> SlotRange:
    lag = lag_of((source.lag for source in checked.catalog.sources.values()), settings)
    return slots_of_run(context, settings, lag)


def _window(slots: SlotRange, settings: Settings) -> SlotRange:
    """The slots that a check sees to: those that the detectors look back over, and its own."""
    return SlotRange(max(slots.end - HISTORY, first_slot(settings).start), slots.end)


def _compared(results: list[ValuesResult], name: str) -> list[tuple[str, Any]]:
    """What a check compared, the latest first."""
    return [
        (f"{result.start:%Y-%m-%d %H:%M}", comparison)
        for result in reversed(results)
        for comparison in result.comparisons
        if comparison.check == name
    ]


def _show_day(
    context: dg.AssetExecutionContext, warehouse: Warehouse, result: ValuesResult, settings: Settings
) -> None:
    """Attach a day's numbers to its partition; a day outside of the run's partitions is recorded as materialised."""
    if not result.published:
        return
    metadata = day_metadata(warehouse, result)
    key = result.date.isoformat()
    if key in context.partition_keys:
        context.add_asset_metadata(metadata, partition_key=key)
    else:
        context.log_event(dg.AssetMaterialization(SLOT_METRICS.name, partition=key, metadata=metadata))


def _drop_what_is_old(context: dg.AssetExecutionContext, warehouse: Warehouse, settings: Settings) -> None:
    """Retention; where ClickHouse refuses it, the check is good all the same, and the next one tries again."""
    try:
        today = datetime.datetime.now(datetime.UTC).date()
        for name in drop_what_is_old(warehouse, settings, today):
            context.log.info(f"Dropped {name}: older than METRICS_KEEP_… allows")
        merge_past_days(warehouse, today)
    except WarehouseError as error:
        context.log.warning(str(error))


def _beat(context: dg.AssetExecutionContext, slots: SlotRange, settings: Settings) -> None:
    """The heartbeat of a check of the latest slots; a failure of it fails no run."""
    if settings.heartbeat_url is None or datetime.datetime.now(datetime.UTC) - slots.end > _HEARTBEAT_WITHIN:
        return
    if problem := beat(settings.heartbeat_url.get_secret_value()):
        context.log.warning(problem)


WORK = {VERDICTS.name: compute_verdicts, INCIDENTS.name: update_incidents}
