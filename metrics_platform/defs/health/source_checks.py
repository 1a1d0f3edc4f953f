"""The checks of the sources: events arrive, and as many as on the same weekday before.

`source_sensor` sends the alerts, and keeps these checks up to date. Executed manually they probe at once, and send
nothing.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of the functions it is given.

import datetime
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from metrics_platform.catalog import Catalog, Source
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import NoWarehouseError, Warehouse
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.schema import SchemaMismatchError
from metrics_platform.warehouse.source_rows import SourceError, SourceRows, resolve

if TYPE_CHECKING:
    from metrics_platform.health.probe import Freshness, Period

FRESH, DAY_VOLUME, SLOT_VOLUME = "is_fresh", "day_volume", "slot_volume"
# A probe must not take longer than a tick of a sensor may.
_TIMEOUT_SECONDS = 10
CANNOT_PROBE = (WarehouseError, NoWarehouseError, SchemaMismatchError, SourceError)
_DESCRIPTIONS = {
    FRESH: "Events have not been missing for longer than the limit ({limit}), counting only hours of the week that "
    "usually have events. Checked every few minutes.",
    DAY_VOLUME: "The last complete day has as many rows as the same weekday of the weeks before.",
    SLOT_VOLUME: "The latest slot of 15 minutes has as many rows as the same one on that weekday of the weeks before.",
}


def quick_warehouse(settings: Settings) -> Warehouse:
    """A client that gives up soon and does not retry: the next probe is in a few minutes."""
    impatient = settings.model_copy(update={"clickhouse_timeout_seconds": _TIMEOUT_SECONDS})
    return Warehouse.from_settings(impatient, tags={"job": "source_sensor"}, retry_waits=())


def source_checks(settings: Settings, catalog: Catalog) -> list[dg.AssetChecksDefinition]:
    """Three checks for each source."""
    return [_check(source, name, settings) for source in catalog.sources.values() for name in _DESCRIPTIONS]


def _check(source: Source, name: str, settings: Settings) -> dg.AssetChecksDefinition:
    warning, critical = (limit.total_seconds() / 3600 for limit in source.stale_limits)
    limits = f"{warning:g} h, then {critical:g} h"

    @dg.asset_check(asset=source.name, name=name, description=_DESCRIPTIONS[name].format(limit=limits))
    def check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        from metrics_platform.health.probe import why_no_events  # noqa: PLC0415

        now = datetime.datetime.now(datetime.UTC)
        if reason := why_no_events(settings, now):
            return dg.AssetCheckResult(passed=True, description=reason)
        found: dg.AssetCheckResult | None = None
        refusal = ""
        try:
            found = _PROBES[name](quick_warehouse(settings), source, settings, now)
        except CANNOT_PROBE as error:
            refusal = str(error)
        if refusal:
            # Outside the `except` block, so that the driver's errors, which may quote a secret, are not chained.
            raise dg.Failure(refusal, allow_retries=False)
        return found or dg.AssetCheckResult(passed=True, description="Nothing to compare with yet.")

    return check


def _fresh(warehouse: Warehouse, source: Source, settings: Settings, now: datetime.datetime) -> Any:
    from metrics_platform.health.probe import probe_freshness  # noqa: PLC0415

    rows = resolve(warehouse, source)
    return fresh_result(rows, probe_freshness(warehouse, rows, settings, now), settings, now)


def _day(warehouse: Warehouse, source: Source, settings: Settings, now: datetime.datetime) -> Any:
    from metrics_platform.health.probe import probe_day  # noqa: PLC0415

    found = probe_day(warehouse, settings, now).get(source.name)
    return day_result(found, settings) if found else None


def _slot(warehouse: Warehouse, source: Source, settings: Settings, now: datetime.datetime) -> Any:
    from metrics_platform.health.probe import probe_slots  # noqa: PLC0415

    found = probe_slots(warehouse, settings, None, now)
    return slot_result(found[-1][source.name], settings) if found and source.name in found[-1] else None


_PROBES: dict[str, Callable[[Warehouse, Source, Settings, datetime.datetime], Any]] = {
    FRESH: _fresh,
    DAY_VOLUME: _day,
    SLOT_VOLUME: _slot,
}


def fresh_result(
    rows: SourceRows, found: "Freshness", settings: Settings, now: datetime.datetime
) -> dg.AssetCheckResult:
    """What the check of freshness shows."""
    limit = found.limits.exceeded(found.level)
    table = str(rows.source.table)
    if found.latest is None:
        said = f"{table} has no event since {settings.start_date}."
        metadata: dict[str, Any] = {}
    else:
        age = (now - found.latest).total_seconds() / 60
        local = found.latest.astimezone(settings.zone)
        said = f"Latest event of {table}: {local:%Y-%m-%d %H:%M:%S} {settings.timezone}, {age:,.0f} min ago"
        said += f" (limit {limit.total_seconds() / 60:,.0f} min)."
        metadata = {"latest event": f"{local:%Y-%m-%d %H:%M:%S}", "age (min)": round(age, 1)}
    metadata |= {
        "warning after (min)": found.limits.warning.total_seconds() / 60,
        "critical after (min)": found.limits.critical.total_seconds() / 60,
    }
    critical = found.level == "critical"
    return dg.AssetCheckResult(
        asset_key=rows.source.name,
        check_name=FRESH,
        passed=found.level == "fresh",
        severity=dg.AssetCheckSeverity.ERROR if critical else dg.AssetCheckSeverity.WARN,
        description=said,
        metadata=metadata,
    )


def day_result(found: "Period", settings: Settings) -> dg.AssetCheckResult:
    """What the check of a day's rows shows."""
    return _volume_result(found, DAY_VOLUME, f"{found.start.astimezone(settings.zone):%Y-%m-%d}")


def slot_result(found: "Period", settings: Settings) -> dg.AssetCheckResult:
    """What the check of a slot's rows shows; where it is unusual, of the hour up to it."""
    start, end = found.start.astimezone(settings.zone), found.end.astimezone(settings.zone)
    return _volume_result(found, SLOT_VOLUME, f"{start:%Y-%m-%d %H:%M} – {end:%H:%M}")


def _volume_result(found: "Period", name: str, when: str) -> dg.AssetCheckResult:
    volume = found.volume
    metadata: dict[str, Any] = {"period": when, "rows": volume.rows, "weeks compared": volume.weeks}
    if volume.expected is None:
        said = f"{volume.rows:,} rows on {when}; only {volume.weeks} week(s) before to compare with."
    else:
        band = f"{volume.lower:,.0f} – {volume.upper:,.0f}"
        said = f"{volume.rows:,} rows on {when}, usual {volume.expected:,.0f} ({band})."
        metadata |= {
            "expected": volume.expected,
            "lower": round(volume.lower or 0.0, 1),
            "upper": round(volume.upper or 0.0, 1),
        }
        if volume.change is not None:
            metadata["deviation (%)"] = round(100 * volume.change, 1)
    return dg.AssetCheckResult(
        asset_key=found.source,
        check_name=name,
        passed=volume.status != "unusual",
        severity=dg.AssetCheckSeverity.WARN,
        description=said,
        metadata=metadata,
    )


def evaluations(results: Iterator[dg.AssetCheckResult]) -> list[dg.AssetCheckEvaluation]:
    """Results as Dagster stores them where there is no run."""
    return [
        dg.AssetCheckEvaluation(
            asset_key=result.asset_key,  # type: ignore[arg-type]
            check_name=str(result.check_name),
            passed=result.passed,
            severity=result.severity,
            description=result.description,
            metadata=result.metadata,
        )
        for result in results
    ]
