"""The work of the monitor's assets in a run, and the metadata that they attach."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dagster as dg

from metrics_platform.alerts.anomalies import Series, Verdict, contributions_to
from metrics_platform.alerts.policies import QUIET_FOR
from metrics_platform.catalog import Catalog, Metric, load_catalog_or_builtin
from metrics_platform.defs.daily.values_run import materialise_values
from metrics_platform.defs.day_assets import fail_without_retry
from metrics_platform.defs.delivery.sending import escape_markdown
from metrics_platform.defs.delivery.storage import enqueue
from metrics_platform.defs.health import SOURCES
from metrics_platform.defs.health.alert_store import stored_alerts
from metrics_platform.defs.monitoring.assets import CATALOG_CHECK, is_check, slots_of_run
from metrics_platform.defs.resources import select_metrics
from metrics_platform.formats import formats_for
from metrics_platform.incidents import store
from metrics_platform.incidents.builder import NotificationBuilder
from metrics_platform.incidents.command import incident_row
from metrics_platform.monitor.verdicts import MissingSlotsError, evaluate_slots
from metrics_platform.notifications.channel import send_heartbeat
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SlotRange
from metrics_platform.warehouse.catalog_check import CheckedCatalog, check_catalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.metric_values import ValuesResult
from metrics_platform.warehouse.retention import drop_old_data
from metrics_platform.warehouse.slots import compute_slots, first_slot, lag_of, missing_slots
from metrics_platform.warehouse.tables import SLOT_METRICS, VERDICTS

# How far back the seasonal detector looks. A check computes missing slots of this period.
HISTORY = datetime.timedelta(days=32)
# The first check evaluates a whole day, so that charts have a band.
_FIRST_EVALUATED = datetime.timedelta(days=1)
# A check of older slots does not show that the platform is up to date.
_HEARTBEAT_WITHIN = datetime.timedelta(hours=1)
_MAX_ROWS = 20
# Run id → its catalogue. The three steps of a run share a process, and checking the catalogue takes ten statements.
_CHECKED_CATALOGS: dict[str, CheckedCatalog] = {}


@dataclass(frozen=True)
class _Run:
    """A run of one of the assets."""

    context: dg.AssetExecutionContext
    warehouse: Warehouse
    settings: Settings

    @cached_property
    def checked(self) -> CheckedCatalog:
        """The catalogue at the start of the run. Changes apply at the next check."""
        run_id = self.context.run.run_id
        if run_id not in _CHECKED_CATALOGS:
            _CHECKED_CATALOGS.clear()
            _CHECKED_CATALOGS[run_id] = check_catalog(self.warehouse, load_catalog_or_builtin(self.settings))
        return _CHECKED_CATALOGS[run_id]

    @cached_property
    def slots(self) -> SlotRange:
        lag = lag_of((source.lag for source in self.checked.catalog.sources.values()), self.settings)
        return slots_of_run(self.context, self.settings, lag)

    @property
    def window(self) -> SlotRange:
        """The slots that a check must complete: the detectors' history, and its own slots."""
        return SlotRange(max(self.slots.end - HISTORY, first_slot(self.settings).start), self.slots.end)


# --- slot_metrics -----------------------------------------------------------------------------------------------------


def _compute_values(run: _Run, names: Sequence[str] = ()) -> Iterator[Any]:
    """Compute the run's slots; in a check, also all missing slots before them."""
    checked, problems = run.checked, dict(run.checked.problems)

    def results() -> Iterator[ValuesResult]:
        slots, selected = run.slots, select_metrics(names, checked)
        batches: list[tuple[SlotRange, tuple[Metric, ...] | None]] = [(slots, selected)]
        if is_check(run.context):
            missing = missing_slots(run.warehouse, run.window, checked, run.settings)
            batches = [*((gap.slots, gap.metrics) for gap in missing if gap.slots.start < slots.start), (slots, None)]
        for slot_range, metrics in batches:
            for result in compute_slots(run.warehouse, slot_range, checked, run.settings, metrics):
                problems.update(result.problems)
                yield result
                if not result.published:
                    return

    def catalog_check() -> list[dg.AssetCheckResult]:
        return [_catalog_result(checked.catalog, problems)]

    yield from materialise_values(run.context, run.warehouse, SLOT_METRICS, checked, results(), catalog_check)


def _catalog_result(catalog: Catalog, problems: Mapping[str, str]) -> dg.AssetCheckResult:
    """Whether every entry of the catalogue can be computed. Others are listed with the remedy."""
    all_problems = ([catalog.problem] if catalog.problem else []) + list(problems.values())
    size = f"{len(catalog.sources)} sources, {len(catalog.dimensions)} dimensions and {len(catalog.metrics)} metrics."
    return dg.AssetCheckResult(
        check_name=CATALOG_CHECK,
        passed=not all_problems,
        severity=dg.AssetCheckSeverity.ERROR,
        # Dagster shows Markdown, in which only an empty line begins a new one.
        description="\n\n".join(all_problems) or size,
        metadata={"entries left out": len(problems), "metrics": len(catalog.metrics)},
    )


# --- verdicts ---------------------------------------------------------------------------------------------------------


def _compute_verdicts(run: _Run) -> Iterator[Any]:
    """Evaluate the run's slots; in a check, also all unevaluated slots before them."""
    context, warehouse, slots = run.context, run.warehouse, run.slots
    if is_check(context):
        last = store.last_processed_slot(warehouse)
        begin = max(last.end if last else slots.end - _FIRST_EVALUATED, run.window.start)
        since = store.unevaluated_since(warehouse, SlotRange(min(begin, slots.start), slots.end))
        slots = SlotRange(min(slots.start, since), slots.end)
    with fail_without_retry(MissingSlotsError):
        for result in evaluate_slots(warehouse, slots, run.checked, run.settings):
            context.log.info(
                f"{result.slots}: {result.series} series in {len(result.slots)} slots evaluated, {result.anomalous} "
                f"anomalous, {result.seconds:.2f} s"
            )
    verdicts = store.verdicts_at(warehouse, slots.last)
    change = formats_for("en").change
    quieter: dict[str, list[str]] = {}
    for alert in store.incidents_before(warehouse, slots.end):
        if alert.answered_by:
            until = ((alert.closed_at or alert.last_at) + QUIET_FOR).astimezone(run.settings.zone)
            slice_name = "" if alert.is_total else f"{alert.subject.dimension} {alert.subject.value}, "
            text = (
                f"{slice_name}up to {change(alert.quiet_up_to)} until {until:%Y-%m-%d %H:%M}, marked as {alert.answer}"
            )
            quieter.setdefault(alert.subject.name, []).append(text)
    slot_text = f"{slots.last.start.astimezone(run.settings.zone):%Y-%m-%d %H:%M} {run.settings.timezone}"
    names = [key.name for key in context.selected_asset_check_keys]
    checks = [_verdict_check(name, run.checked, slot_text, verdicts, quieter.get(name, [])) for name in names]
    yield dg.MaterializeResult(check_results=checks)


def _verdict_check(
    name: str, checked: CheckedCatalog, slot_text: str, verdicts: Mapping[Series, Verdict], quieter: Sequence[str]
) -> dg.AssetCheckResult:
    """The check of a metric in a slot: the total's numbers, and the slices that are anomalous."""
    metric = checked.metrics.get(name)
    if metric is None:  # it existed when the code location was loaded
        problem = checked.problems.get(f"metrics.{name}")
        removed = f"{name} is no longer in the catalogue. Reload the code location to remove this check."
        error = dg.AssetCheckSeverity.ERROR
        return dg.AssetCheckResult(
            check_name=name, passed=problem is None, severity=error, description=problem or removed
        )
    total = verdicts.get(Series(name))
    slices = [verdict for series, verdict in verdicts.items() if series.metric == name and not series.is_total]
    anomalous = [verdict for verdict in slices if verdict.status == "anomalous"]
    anomalous.sort(key=lambda verdict: -abs(verdict.score or 0.0))
    metadata: dict[str, Any] = {"slot": slot_text, "slices evaluated": len(slices), "slices anomalous": len(anomalous)}
    if total is not None:
        numbers = {name: getattr(total, name) for name in ("value", "expected", "lower", "upper", "score")}
        metadata |= {name: round(value, 4) for name, value in numbers.items() if value is not None}
        if total.change is not None:
            metadata["deviation (%)"] = round(100 * total.change, 1)
        metadata |= {"status": total.status, "detector": total.detector, "reason": total.reason.replace("_", " ")}
    if quieter:
        metadata["quieter"] = "; ".join(quieter)
    if anomalous:
        metadata["slices"] = dg.MetadataValue.table([_slice_record(verdict) for verdict in anomalous[:_MAX_ROWS]])
    description = _verdict_text(metric, total, slot_text) if total is not None else f"No verdict for {slot_text}."
    is_normal = total is None or total.status != "anomalous"
    if total is not None and not is_normal:
        slice_texts = []
        for part in contributions_to(total, slices):
            share = f" ({part.share_of_change:.0%} of it)" if part.share_of_change is not None else ""
            slice_texts.append(f"{part.dimension} {part.value} {formats_for('en').change(part.change)}{share}")
        description += f" Where: {', '.join(slice_texts)}" if slice_texts else ""
    elif anomalous:
        worst = anomalous[0]
        description = (
            f"{worst.series.dimension} {worst.series.dimension_value}: {_verdict_text(metric, worst, slot_text)}"
        )
    return dg.AssetCheckResult(
        check_name=name,
        passed=not anomalous and is_normal,
        severity=dg.AssetCheckSeverity.WARN,
        description=escape_markdown(description),
        metadata=metadata,
    )


def _verdict_text(metric: Metric, verdict: Verdict, slot_text: str) -> str:
    """A sentence such as `CTR 18.9% at …, expected 19.1% (15.6% – 22.9%), −0.8%: normal.`"""
    formats = formats_for("en")
    format_value = formats.percent if metric.unit == "share" else formats.number
    value = f"{metric.title.get('en', metric.name)} {format_value(verdict.value)} at {slot_text}"
    if verdict.expected is None:
        return f"{value}: {verdict.status.replace('_', ' ')}."
    band = (
        f" ({format_value(verdict.lower)} – {format_value(verdict.upper)})"
        if None not in (verdict.lower, verdict.upper)
        else ""
    )
    change = f", {formats.change(verdict.change)}" if verdict.change is not None else ""
    return f"{value}, expected {format_value(verdict.expected)}{band}{change}: {verdict.status}."


def _slice_record(verdict: Verdict) -> dg.TableRecord:
    return dg.TableRecord(
        {
            "slice": f"{verdict.series.dimension} {verdict.series.dimension_value}",
            "value": verdict.value,
            "expected": None if verdict.expected is None else round(verdict.expected, 3),
            "deviation": formats_for("en").change(verdict.change),
            "reason": verdict.reason.replace("_", " "),
        }
    )


# --- incidents --------------------------------------------------------------------------------------------------------


def _update_incidents(run: _Run) -> Iterator[Any]:
    """Process the next evaluated slots in order, and queue the notifications."""
    context, warehouse, settings, slots = run.context, run.warehouse, run.settings, run.slots
    store.create_incident_tables(warehouse)
    last = store.last_processed_slot(warehouse)
    start = max(last.end, run.window.start) if last else slots.start
    now = datetime.datetime.now(datetime.UTC)
    updates: list[store.Update] = []
    if start < slots.end:
        stale = stored_alerts(context.instance, SOURCES)
        due = SlotRange(start, slots.end)
        for update in store.updates(warehouse, due, settings, run.checked, now, inhibitors=stale):
            for slot, notification in update.notifications:
                builder = NotificationBuilder(warehouse, settings, slot, run.checked, context.run.run_id)
                event = builder.build(notification)
                enqueue(context, event)
                context.log.info(f"Queued {event.key}: {notification.kind}, {len(notification.alerts)} incident(s)")
            update.write(warehouse)
            updates.append(update)
    keys = [notification.key for update in updates for _, notification in update.notifications]
    metadata: dict[str, Any] = {
        "slots processed": sum(len(update.processed) for update in updates),
        "notifications": ", ".join(keys) or "none",
    }
    open_incidents = [alert for alert in store.incidents_before(warehouse, slots.end) if alert.is_open]
    open_incidents.sort(key=lambda alert: (not alert.is_total, alert.opened_at))
    if open_incidents:
        records = [dg.TableRecord(incident_row(alert, settings)) for alert in open_incidents[:_MAX_ROWS]]
        metadata["incidents"] = dg.MetadataValue.table(records)
    key = slots.last.start.astimezone(settings.zone).date().isoformat()
    context.add_asset_metadata(metadata, partition_key=key)
    _apply_retention(run, now.date())
    url = settings.heartbeat_url if now - slots.end <= _HEARTBEAT_WITHIN else None
    # A failed heartbeat must not fail the run.
    if url is not None and (problem := send_heartbeat(url.get_secret_value())):
        context.log.warning(problem)
    yield dg.MaterializeResult()


def _apply_retention(run: _Run, today: datetime.date) -> None:
    """Drop old data. If ClickHouse refuses, the check still succeeds, and the next one tries again."""
    try:
        for name in drop_old_data(run.warehouse, run.settings, today):
            run.context.log.info(f"Dropped {name}: older than METRICS_KEEP_… allows")
    except WarehouseError as error:
        run.context.log.warning(str(error))


def compute(
    name: str, context: dg.AssetExecutionContext, warehouse: Warehouse, settings: Settings, names: Sequence[str] = ()
) -> Iterator[Any]:
    """Compute the asset `name`. For `slot_metrics`, `names` limits the metrics."""
    run = _Run(context, warehouse, settings)
    if name == SLOT_METRICS.name:
        yield from _compute_values(run, names)
    else:
        yield from _compute_verdicts(run) if name == VERDICTS.name else _update_incidents(run)
