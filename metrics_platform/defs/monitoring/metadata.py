"""What the monitor's assets and checks show in Dagster's UI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from metrics_platform.alerts.alert import Alert
from metrics_platform.alerts.anomalies import Series, Verdict, contributions_to
from metrics_platform.alerts.policies import QUIET_FOR
from metrics_platform.catalog import Catalog, Metric
from metrics_platform.formats import formats_for
from metrics_platform.incidents.store import Update, incidents_before
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, Slot, SlotRange
from metrics_platform.warehouse.catalog_check import CheckedCatalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.metric_values import ValuesResult
from metrics_platform.warehouse.tables import SLOT_METRICS

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
