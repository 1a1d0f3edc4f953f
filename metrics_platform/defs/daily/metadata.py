"""Metadata of the daily load's materialisations and checks, for Dagster's UI."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from metrics_platform.settings import Settings
from metrics_platform.warehouse import tables
from metrics_platform.warehouse.client import Row, Warehouse
from metrics_platform.warehouse.comparison import Comparison
from metrics_platform.warehouse.daily import DayResult
from metrics_platform.warehouse.tables import EXTRACTS, DailyTable

# Rows in a check's table of comparisons. A range has six per day, and only the latest ones are of interest.
MAX_SHOWN = 24


def day_metadata(result: DayResult, database: str, settings: Settings) -> dict[str, Any]:
    """Metadata of a computed day: rows, sums, rows read, duration, a runnable query, and the first rows."""
    day = result.day
    metadata: dict[str, Any] = {
        "dagster/row_count": result.totals.rows,
        "dagster/table_name": f"{database}.{result.table.name}",
        # Numbers under fixed names, so that Dagster plots them over the partitions.
        **_sums(result, settings),
        "rows read": result.read_rows,
        **({"rows without a user": result.without_user} if result.table in EXTRACTS else {}),
        "duration (s)": round(result.seconds, 3),
        "day": f"{day.start:%Y-%m-%d %H:%M} – {day.end:%Y-%m-%d %H:%M} UTC ({day.hours:g} h in {settings.timezone})",
    }
    if result.preview:
        metadata["preview"] = _preview(result.preview)
    metadata["query"] = dg.MetadataValue.md(f"```sql\n{result.query}\n```")
    return metadata


def check_results(table: DailyTable, compared: Sequence[tuple[str, Sequence[Comparison]]]) -> list[dg.AssetCheckResult]:
    """One result per check over all periods of the run, with its comparisons."""
    latest_first = [(period, comparison) for period, comparisons in reversed(compared) for comparison in comparisons]
    plural = f"{len(compared)} {'slot ranges' if table == tables.SLOT_METRICS else 'days'}"
    periods = compared[0][0] if len(compared) == 1 else plural
    return [
        _check_result(name, promise, [pair for pair in latest_first if pair[1].check == name], periods)
        for name, promise in table.checks.items()
    ]


def materialise_or_fail(
    table: DailyTable,
    checks: list[dg.AssetCheckResult],
    failed: Sequence[tuple[str, Sequence[Comparison]]],
    remedy: str,
) -> Iterator[Any]:
    """Yield the checks and the materialisation. Fail the run if failed checks prevented the publication of a period.

    `failed` has each unpublished period with its violations.
    """
    if not failed:
        yield dg.MaterializeResult(check_results=checks)
        return
    yield from checks
    period, violations = failed[0]
    facts = "; ".join(f"{violation.check}: {difference(violation)}" for violation in violations)
    raise dg.Failure(
        f"{table.name} of {period} does not add up, so it was not published and readers still see the previous "
        f"version. {facts}. What to do: {remedy}",
        allow_retries=False,
    )


def _check_result(name: str, promise: str, compared: list[tuple[str, Comparison]], periods: str) -> dg.AssetCheckResult:
    """The result of a check. `compared` has each comparison with its period, the latest first."""
    violated = [(day, comparison) for day, comparison in compared if comparison.is_violated]
    late = [(day, comparison) for day, comparison in compared if comparison.explained_by_late_events]
    listed = (violated or late or compared)[:MAX_SHOWN]
    if violated:
        day, first = violated[0]
        description = f"{day}: {difference(first)}. Not published."
    elif late:
        description = (
            f"{late[0][0]}: the source has grown by {late[0][1].late:,} ({late[0][1].quantity}) since the extract; the "
            "next recomputation of the day includes it."
        )
    else:
        description = f"{promise} Holds for {periods}."
    records = [
        dg.TableRecord(
            {"day": day, "quantity": comparison.quantity, "expected": comparison.expected, "actual": comparison.actual}
        )
        for day, comparison in listed
    ]
    return dg.AssetCheckResult(
        check_name=name,
        passed=not violated and not late,
        # Late events are not an error of the load: they are reported, but block nothing.
        severity=dg.AssetCheckSeverity.ERROR if violated else dg.AssetCheckSeverity.WARN,
        description=description,
        # Nothing is compared if no entry of the catalogue can be computed. Dagster refuses a table without rows.
        metadata={
            **({"compared": dg.MetadataValue.table(records)} if records else {}),
            "comparisons in total": len(compared),
        },
    )


def difference(comparison: Comparison) -> str:
    """The text of a difference that a check found, with the reason if known."""
    text = f"{comparison.quantity} is {comparison.actual:,}, expected {comparison.expected:,}"
    if comparison.too_many_late_events:
        text += (
            f" (the source has grown by {comparison.late:,} since the extract; METRICS_LATE_EVENTS_PCT allows "
            f"{comparison.late_allowed:,})"
        )
    return text


def _sums(result: DayResult, settings: Settings) -> dict[str, int]:
    """The day's sums. The final table has each sum once per dimension; its checks ensure that they agree."""
    copies = len(settings.dimensions) if result.table.file == "dimension_metrics" else 1
    return {measure: total // copies for measure, total in result.totals.sums.items()}


def _preview(rows: tuple[Row, ...]) -> dg.TableMetadataValue:
    records = [dg.TableRecord({name: _cell(name, value) for name, value in row.items()}) for row in rows]
    return dg.MetadataValue.table(records)


def _cell(name: str, value: Any) -> str | bool | None:
    """Format a value for display. Numbers other than ids get thousands separators."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return f"{value:,.4f}"
    if isinstance(value, int) and not name.endswith("_id"):
        return f"{value:,}"
    if isinstance(value, datetime.datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)


def blocking_checks(table: DailyTable) -> list[dg.AssetCheckSpec]:
    """The checks of a table that block downstream assets."""
    return [
        dg.AssetCheckSpec(name, asset=table.name, description=promise, blocking=True)
        for name, promise in table.checks.items()
    ]


CHECK = "day_is_usual"


def usual_day_specs(table: DailyTable) -> list[dg.AssetCheckSpec]:
    """The check's spec, for `app_daily` only."""
    if table.name != tables.APP_DAILY.name:
        return []
    return [
        dg.AssetCheckSpec(
            CHECK,
            asset=table.name,
            description="No metric is outside the range that is usual for such a day. It only warns: an unusual "
            "day is not an error.",
        )
    ]


def usual_day_results(
    warehouse: Warehouse, table: DailyTable, results: list[DayResult], settings: Settings
) -> list[dg.AssetCheckResult]:
    """The check of the latest published day; empty if no day was published."""
    published = [result.day.date for result in results if result.published]
    if table.name != tables.APP_DAILY.name or not published:
        return []
    from metrics_platform.report.highlights import LOOKBACK, highlights  # noqa: PLC0415  (on use only)
    from metrics_platform.report.reading import read_app_days  # noqa: PLC0415

    day = max(published)
    unusual = highlights(day, read_app_days(warehouse, day - LOOKBACK, day), holidays=settings.holidays)
    if unusual is None:
        text = f"Too little history to know what is usual for {day}."
    elif not unusual:
        text = f"{day} was a usual day."
    else:
        text = f"{day}: " + ", ".join(
            f"{highlight.metric} {_number(highlight.value)} "
            f"(usual {_number(highlight.lower)} to {_number(highlight.upper)})"
            for highlight in unusual
        )
    return [
        dg.AssetCheckResult(
            check_name=CHECK,
            passed=not unusual,
            severity=dg.AssetCheckSeverity.WARN,
            description=text,
            metadata={
                highlight.metric: f"{_number(highlight.value)}, expected {_number(highlight.expected)}"
                for highlight in unusual or ()
            },
        )
    ]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
