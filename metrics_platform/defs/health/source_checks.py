"""The checks of the sources: events arrive, and as many as on the same weekday before.

`source_sensor` sends the alerts, and keeps these checks up to date. Executed manually they probe at once, and send
nothing.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of the functions it is given.

import datetime
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from metrics_platform.catalog import Catalog, Source
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import NoWarehouseError, Warehouse
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.schema import SchemaMismatchError
from metrics_platform.warehouse.source_rows import SourceError, resolve

if TYPE_CHECKING:
    from metrics_platform.health.probe import Probed

# A probe must not take longer than a tick of a sensor may.
_TIMEOUT_SECONDS = 10
CANNOT_PROBE = (WarehouseError, NoWarehouseError, SchemaMismatchError, SourceError)
_DESCRIPTIONS = {
    "is_fresh": "Events have not been missing for longer than the limit ({limits}), counting only hours of the week "
    "that usually have events. Checked every few minutes.",
    "day_volume": "The last complete day has as many rows as the same weekday of the weeks before.",
    "slot_volume": "The latest slot of 15 minutes has as many rows as the same one on that weekday of the weeks "
    "before.",
}


def quick_warehouse(settings: Settings) -> Warehouse:
    """A client that gives up soon and does not retry: the next probe is in a few minutes."""
    impatient = settings.model_copy(update={"clickhouse_timeout_seconds": _TIMEOUT_SECONDS})
    return Warehouse.from_settings(impatient, tags={"job": "source_sensor"}, retry_waits=())


def source_checks(settings: Settings, catalog: Catalog) -> list[dg.AssetChecksDefinition]:
    """Three checks for each source."""
    return [_checks(source, settings) for source in catalog.sources.values()]


def _checks(source: Source, settings: Settings) -> dg.AssetChecksDefinition:
    warning, critical = (limit.total_seconds() / 3600 for limit in source.stale_limits)
    limits = f"{warning:g} h, then {critical:g} h"
    specs = [
        dg.AssetCheckSpec(name, asset=source.name, description=text.format(limits=limits))
        for name, text in _DESCRIPTIONS.items()
    ]

    @dg.multi_asset_check(name=f"{source.name}_probe", specs=specs, can_subset=True)
    def checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        from metrics_platform.health.probe import why_no_events  # noqa: PLC0415

        now = datetime.datetime.now(datetime.UTC)
        reason = why_no_events(settings, now)
        found: dict[str, Probed] = {}
        refusal = ""
        try:
            found = {} if reason else _probe(source, settings, now)
        except CANNOT_PROBE as error:
            refusal = str(error)
        if refusal:
            # Outside the `except` block, so that the driver's errors, which may quote a secret, are not chained.
            raise dg.Failure(refusal, allow_retries=False)
        for key in context.selected_asset_check_keys:
            text = reason or "Nothing to compare with yet."
            probed = found.get(key.name)
            yield dg.AssetCheckResult(
                check_name=key.name,
                asset_key=key.asset_key,
                **_shown(probed) if probed else {"passed": True, "description": text},
            )

    return checks


def _probe(source: Source, settings: Settings, now: datetime.datetime) -> "dict[str, Probed]":
    """What each check of a source shows now."""
    from metrics_platform.health.probe import probe_sources  # noqa: PLC0415

    warehouse = quick_warehouse(settings)
    found = probe_sources(warehouse, {source.name: resolve(warehouse, source)}, settings, None, now)
    return {probed.check: probed for probed in found}


def evaluation(probed: "Probed") -> dg.AssetCheckEvaluation:
    """What a check shows, as Dagster stores it where there is no run."""
    return dg.AssetCheckEvaluation(asset_key=dg.AssetKey(probed.source), check_name=probed.check, **_shown(probed))


def _shown(probed: "Probed") -> dict[str, Any]:
    condition = probed.condition
    is_error = condition.subject.kind == "stale_data" and condition.severity == "critical"
    return {
        "passed": condition.status != "firing",
        "severity": dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        "description": probed.description,
        "metadata": probed.metadata,
    }
