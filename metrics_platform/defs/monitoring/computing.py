"""What the monitor's assets and checks show in Dagster's UI."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from metrics_platform.alerts.alert import Alert
from metrics_platform.alerts.anomalies import Series, Verdict, contributions_to
from metrics_platform.alerts.policies import QUIET_FOR
from metrics_platform.catalog import Catalog, Metric, load_catalog_or_builtin
from metrics_platform.defs.daily.metadata import compared_result
from metrics_platform.defs.delivery.storage import enqueue
from metrics_platform.defs.health import SOURCES
from metrics_platform.defs.health.alert_store import stored_alerts
from metrics_platform.defs.monitoring.assets import CATALOG_CHECK, is_check, slots_of_run
from metrics_platform.defs.resources import chosen_metrics
from metrics_platform.formats import formats_for
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
from metrics_platform.notifications.heartbeat import beat
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, Slot, SlotRange
from metrics_platform.warehouse.catalog_check import CheckedCatalog, check_catalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.metric_values import ValuesResult
from metrics_platform.warehouse.renames import apply_renames
from metrics_platform.warehouse.retention import drop_what_is_old, merge_past_days
from metrics_platform.warehouse.schema import tables_are_there
from metrics_platform.warehouse.slots import compute_slots, first_slot, lag_of, missing_slots
from metrics_platform.warehouse.tables import INCIDENT_ANSWERS, INCIDENTS, SLOT_METRICS, VERDICTS

_SLICES_SHOWN = 20


def day_metadata(warehouse: Warehouse, result: ValuesResult) -> dict[str, Any]:
    """What was computed of a day, and the totals of its last slot: numbers by name, so that Dagster plots them."""
    last = result.end - SLOT
    rows = warehouse.query(
        "SELECT toString(metric) AS name, value FROM slot_metrics FINAL "
        "WHERE event_date = {event_date:Date} AND dimension = 'total' AND slot_start = {slot:DateTime('UTC')}",
        {"event_date": result.date, "slot": f"{last:%Y-%m-%d %H:%M:%S}"},
        doing="Reading the slot's totals",
    ).rows
    return {
        "dagster/table_name": f"{warehouse.database}.{SLOT_METRICS.name}",
        "computed": str(SlotRange(result.start, result.end)),
        "rows written": result.rows,
        "rows read": result.read_rows,
        "duration (s)": round(result.seconds, 3),
        "query": dg.MetadataValue.md(f"```sql\n{result.sql}\n```"),
        "last slot": f"{last:%Y-%m-%d %H:%M} UTC",
        **{row["name"]: row["value"] for row in rows if row["value"] is not None},
    }


def catalog_result(name: str, catalog: Catalog, problems: Mapping[str, str]) -> dg.AssetCheckResult:
    """Whether every entry of the catalogue can be computed; each that cannot is named with the remedy."""
    found = ([catalog.problem] if catalog.problem else []) + list(problems.values())
    if not found:
        said = (
            f"{len(catalog.sources)} sources, {len(catalog.dimensions)} dimensions and {len(catalog.metrics)} metrics."
        )
    else:
        said = "\n".join(found)
    return dg.AssetCheckResult(
        check_name=name,
        passed=not found,
        severity=dg.AssetCheckSeverity.ERROR,
        description=said,
        metadata={"entries left out": len(problems), "metrics": len(catalog.metrics)},
    )


def verdict_check(  # noqa: PLR0917
    name: str,
    slot: Slot,
    verdicts: Mapping[Series, Verdict],
    answered: Sequence[Alert],
    checked: CheckedCatalog,
    settings: Settings,
) -> dg.AssetCheckResult:
    """The check of a metric in a slot: the total's numbers, and the slices that are anomalous.

    `answered` are the incidents that are marked as none.
    """
    metric = checked.metrics.get(name)
    if metric is None:
        return _not_computed(name, checked)
    total = verdicts.get(Series(metric.name))
    slices = [verdict for series, verdict in verdicts.items() if series.metric == metric.name and not series.is_total]
    anomalous = [verdict for verdict in slices if verdict.status == "anomalous"]
    anomalous.sort(key=lambda verdict: -abs(verdict.score or 0.0))
    local = slot.start.astimezone(settings.zone)
    when = f"{local:%Y-%m-%d %H:%M} {settings.timezone}"
    metadata: dict[str, Any] = {"slot": when, "slices evaluated": len(slices), "slices anomalous": len(anomalous)}
    if total is not None:
        metadata |= {
            name: round(value, 4)
            for name in ("value", "expected", "lower", "upper", "score")
            if (value := getattr(total, name)) is not None
        }
        if total.change is not None:
            metadata["deviation (%)"] = round(100 * total.change, 1)
        metadata |= {"status": total.status, "detector": total.detector, "reason": total.reason.replace("_", " ")}
    if quiet := [_quiet(alert, settings) for alert in answered if alert.subject.name == metric.name]:
        metadata["quieter"] = "; ".join(quiet)
    if anomalous:
        metadata["slices"] = dg.MetadataValue.table([_record(verdict) for verdict in anomalous[:_SLICES_SHOWN]])
    said = _said(metric, total, when) if total is not None else f"No verdict for {when}."
    if total is not None and total.status == "anomalous":
        parts = contributions_to(total, slices)
        if parts:
            said += " Where: " + ", ".join(
                f"{part.dimension} {part.value} {_percent(part.change)}"
                + (f" ({part.share_of_change:.0%} of it)" if part.share_of_change is not None else "")
                for part in parts
            )
    elif anomalous:
        worst = anomalous[0]
        said = f"{worst.series.dimension} {worst.series.dimension_value}: {_said(metric, worst, when)}"
    return dg.AssetCheckResult(
        check_name=metric.name,
        passed=not anomalous and (total is None or total.status != "anomalous"),
        severity=dg.AssetCheckSeverity.WARN,
        description=said,
        metadata=metadata,
    )


def _quiet(alert: Alert, settings: Settings) -> str:
    until = ((alert.closed_at or alert.last_at) + QUIET_FOR).astimezone(settings.zone)
    of = "" if alert.is_total else f"{alert.subject.dimension} {alert.subject.value}, "
    return f"{of}up to {_percent(alert.quiet_up_to)} until {until:%Y-%m-%d %H:%M}, marked as {alert.answer}"


def _not_computed(name: str, checked: CheckedCatalog) -> dg.AssetCheckResult:
    """The check of a metric that was there when the code location was loaded, and is not computed now."""
    problem = checked.problems.get(f"metrics.{name}")
    return dg.AssetCheckResult(
        check_name=name,
        passed=problem is None,
        severity=dg.AssetCheckSeverity.ERROR,
        description=problem or f"{name} is no longer in the catalogue. Reload the code location to remove this check.",
    )


def _said(metric: Metric, verdict: Verdict, when: str) -> str:
    """A sentence such as `CTR 18.9% at …, expected 19.1% (15.6% – 22.9%), −0.8%: normal.`"""
    formats = formats_for("en")
    shown = formats.percent if metric.unit == "share" else formats.number
    title = metric.title.get("en", metric.name)
    value = f"{title} {shown(verdict.value)} at {when}"
    if verdict.expected is None:
        return f"{value}: {verdict.status.replace('_', ' ')}."
    band = f" ({shown(verdict.lower)} – {shown(verdict.upper)})" if None not in (verdict.lower, verdict.upper) else ""
    change = f", {formats.change(verdict.change)}" if verdict.change is not None else ""
    return f"{value}, expected {shown(verdict.expected)}{band}{change}: {verdict.status}."


def _percent(share: float | None) -> str:
    return "n/a" if share is None else f"{share:+.0%}"


def _record(verdict: Verdict) -> dg.TableRecord:
    return dg.TableRecord(
        {
            "slice": f"{verdict.series.dimension} {verdict.series.dimension_value}",
            "value": verdict.value,
            "expected": None if verdict.expected is None else round(verdict.expected, 3),
            "deviation": _percent(verdict.change),
            "reason": verdict.reason.replace("_", " "),
        }
    )


def incident_metadata(
    warehouse: Warehouse, slots: SlotRange, done: Sequence[Update], settings: Settings
) -> dict[str, Any]:
    """What a run did with the incidents, and which are open."""
    found = [alert for alert in incidents_before(warehouse, slots.end) if alert.is_open]
    keys = [notification.key for update in done for _, notification in update.notifications]
    metadata: dict[str, Any] = {
        "slots processed": sum(len(update.processed) for update in done),
        "notifications": ", ".join(keys) or "none",
    }
    if found:
        found.sort(key=lambda alert: (not alert.is_total, alert.opened_at))
        records = [_incident_record(alert, settings) for alert in found[:_SLICES_SHOWN]]
        metadata["incidents"] = dg.MetadataValue.table(records)
    return metadata


def _incident_record(alert: Alert, settings: Settings) -> dg.TableRecord:
    series = Series.of(alert)
    inhibited = f"inhibited by {alert.inhibited_by}" if alert.inhibited_by else "none"
    return dg.TableRecord(
        {
            "incident": alert.id,
            "metric": series.metric,
            "slice": "" if series.is_total else " ".join(series[1:]),
            "severity": alert.severity,
            "opened": f"{alert.opened_at.astimezone(settings.zone):%Y-%m-%d %H:%M}",
            "worst": _percent(alert.worst_change),
            "notification": alert.notification or inhibited,
            "last": alert.change.replace("_", " "),
            "answer": alert.answer,
        }
    )


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
