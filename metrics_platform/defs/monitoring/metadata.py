"""What the monitor's assets and checks show in Dagster's UI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from metrics_platform.calendar import SLOT, Slot, SlotRange
from metrics_platform.catalog import Catalog, Metric
from metrics_platform.formats import formats_for
from metrics_platform.incidents.contributions import contributions_to
from metrics_platform.incidents.incident import Series, Verdict
from metrics_platform.incidents.store import incidents_before
from metrics_platform.incidents.take_in import Batch
from metrics_platform.settings import Settings
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


def verdict_check(
    name: str, slot: Slot, verdicts: Mapping[Series, Verdict], checked: CheckedCatalog, settings: Settings
) -> dg.AssetCheckResult:
    """The check of a metric in a slot: the total's numbers, and the slices that are anomalous."""
    metric = checked.metrics.get(name)
    if metric is None:
        return _not_computed(name, checked)
    total = verdicts.get(Series(metric.name, "total", "total"))
    slices = [each for each in verdicts.values() if each.series.metric == metric.name and not each.series.is_total]
    odd = sorted((each for each in slices if each.status == "anomalous"), key=lambda each: -abs(each.score or 0.0))
    local = slot.start.astimezone(settings.zone)
    when = f"{local:%Y-%m-%d %H:%M} {settings.timezone}"
    metadata: dict[str, Any] = {"slot": when, "slices judged": len(slices), "slices anomalous": len(odd)}
    if total is not None:
        metadata |= {
            name: round(value, 4)
            for name in ("value", "expected", "lower", "upper", "score")
            if (value := getattr(total, name)) is not None
        }
        if total.change is not None:
            metadata["deviation (%)"] = round(100 * total.change, 1)
        metadata |= {"status": total.status, "detector": total.detector, "reason": total.reason.replace("_", " ")}
    if odd:
        metadata["slices"] = dg.MetadataValue.table([_record(each) for each in odd[:_SLICES_SHOWN]])
    said = _said(metric, total, when) if total is not None else f"No verdict for {when}."
    if total is not None and total.status == "anomalous":
        parts = contributions_to(total, slices)
        if parts:
            said += " Where: " + ", ".join(
                f"{each.dimension} {each.value} {_percent(each.change)}"
                + (f" ({each.share_of_change:.0%} of it)" if each.share_of_change is not None else "")
                for each in parts
            )
    elif odd:
        worst = odd[0]
        said = f"{worst.series.dimension} {worst.series.dimension_value}: {_said(metric, worst, when)}"
    return dg.AssetCheckResult(
        check_name=metric.name,
        passed=not odd and (total is None or total.status != "anomalous"),
        severity=dg.AssetCheckSeverity.WARN,
        description=said,
        metadata=metadata,
    )


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
    """As messages say it: «CTR 18.9 % at …, expected 19.1 % (15.6 % – 22.9 %), −0.8 %: normal.»"""
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
    warehouse: Warehouse, slots: SlotRange, done: Sequence[Batch], settings: Settings
) -> dict[str, Any]:
    """What a run did with the incidents, and which are open."""
    stand = [each for each in incidents_before(warehouse, Slot(slots.end)) if each.is_open]
    told = [telling.key for batch in done for _, telling in batch.tellings]
    taken_in = sum(len(batch.taken_in) for batch in done)
    metadata: dict[str, Any] = {
        "slots processed": taken_in,
        "notifications": ", ".join(told) or "none",
    }
    if stand:
        metadata["incidents"] = dg.MetadataValue.table(
            [
                dg.TableRecord(
                    {
                        "incident": each.incident,
                        "metric": each.series.metric,
                        "slice": "" if each.series.is_total else " ".join(each.series[1:]),
                        "severity": each.severity,
                        "opened": f"{each.opened_at.astimezone(settings.zone):%Y-%m-%d %H:%M}",
                        "worst": _percent(each.worst_change),
                        "told in": each.message or (f"part of {each.folded_into}" if each.folded_into else "not told"),
                        "last": each.change.replace("_", " "),
                    }
                )
                for each in sorted(stand, key=lambda each: (not each.series.is_total, each.opened_at))[:_SLICES_SHOWN]
            ]
        )
    return metadata
