"""What the monitor's assets and checks show in Dagster's UI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from metrics_platform.calendar import SLOT, Slot, SlotRange
from metrics_platform.catalog import SlotMetric
from metrics_platform.formats import formats_for
from metrics_platform.incidents.contributions import contributions_to
from metrics_platform.incidents.incident import Series, Verdict
from metrics_platform.incidents.store import incidents_before
from metrics_platform.incidents.take_in import Batch
from metrics_platform.notifications.phrases import metric_title
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.tables import SLOT_METRICS, read_sql

_SLICES_SHOWN = 20


def slot_numbers(warehouse: Warehouse, slots: SlotRange, most: int) -> dict[str, dict[str, Any]]:
    """The totals of the last slots, by partition key: numbers by name, so that Dagster plots them."""
    rows = warehouse.query(
        "SELECT * EXCEPT (dimension, dimension_value) FROM slot_metrics "
        "WHERE dimension = 'total' AND slot_start >= {first:DateTime('UTC')} AND slot_start < {end:DateTime('UTC')}",
        _last(slots, most),
        doing="Reading the slots' totals",
    ).rows
    return {
        Slot(row["slot_start"]).key: {
            "dagster/table_name": f"{warehouse.database}.{SLOT_METRICS.name}",
            **{name: value for name, value in row.items() if name != "slot_start" and value is not None},
        }
        for row in rows
    }


def slot_facts(warehouse: Warehouse, slots: SlotRange, most: int) -> dict[str, dict[str, Any]]:
    """What each of the last slots did to the incidents, by partition key, whichever run took it in."""
    rows = warehouse.query(
        read_sql("queries/slots_taken_in.sql"), _last(slots, most), doing="Reading what the slots did"
    ).rows
    return {
        Slot(row["slot_start"]).key: {
            "series judged": row["series"],
            "series anomalous": row["anomalous"],
            "open incidents": row["open_incidents"],
            "told": ", ".join(row["messages"]) or "nothing new",
        }
        for row in rows
    }


def _last(slots: SlotRange, most: int) -> dict[str, str]:
    start = max(slots.start, slots.end - most * SLOT)
    return {"first": f"{start:%Y-%m-%d %H:%M:%S}", "end": f"{slots.end:%Y-%m-%d %H:%M:%S}"}


def verdict_check(
    metric: SlotMetric, slot: Slot, verdicts: Mapping[Series, Verdict], settings: Settings
) -> dg.AssetCheckResult:
    """The check of a metric in a slot: the total's numbers, and the slices that are anomalous."""
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


def _said(metric: SlotMetric, verdict: Verdict, when: str) -> str:
    """As messages say it: «CTR 18.9 % at …, expected 19.1 % (15.6 % – 22.9 %), −0.8 %: normal.»"""
    formats = formats_for("en")
    shown = formats.percent if metric.unit == "share" else formats.number
    value = f"{metric_title('en', metric.name)} {shown(verdict.value)} at {when}"
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
        "slots taken in": taken_in,
        "asked for": ", ".join(told) or "nothing",
    }
    if taken_in < len(slots):
        metadata["slots left out"] = f"{len(slots) - taken_in}: taken in before, or without verdicts"
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
