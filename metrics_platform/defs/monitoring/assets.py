"""The monitor's assets: `slot_metrics` → `verdicts` → `incidents`, partitioned by day, today included.

What computes is imported on use: most processes of the platform load this page and never evaluate a slot.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of the functions it is given.

import datetime
from collections.abc import Iterator
from typing import Any, cast

import dagster as dg

from metrics_platform.catalog import Catalog
from metrics_platform.defs.daily.assets import RETRY_POLICY, failing_at_once
from metrics_platform.defs.lineage import table_metadata
from metrics_platform.defs.metrics_config import MetricsConfig
from metrics_platform.defs.resources import ClickHouseResource
from metrics_platform.settings import Settings
from metrics_platform.warehouse.tables import INCIDENTS, SLOT_METRICS, VERDICTS, DailyTable
from metrics_platform.warehouse.value_sql import VALUES_QUERY

GROUP = "monitoring"
CATALOG_CHECK = "catalog_is_valid"
_DESCRIPTIONS = {
    SLOT_METRICS.name: "The 15-minute value of every metric of the catalogue, for the whole product and by slice, on "
    "a full grid: a slot without events has zeros, so that an outage is seen.\n\nA check computes the slots that are "
    "due, and all that are missing. Materialising a day computes its complete slots again and leaves all others as "
    "they are.",
    VERDICTS.name: "Whether every metric was normal in every slot, as a whole and by slice: the expected value, the "
    "band, and why. Each metric is a check, which warns if the latest slot of the run is anomalous. An anomaly never "
    "fails a run.\n\nA slot is compared with its past only, so evaluating it again gives the same answer. The "
    "catalogue says how each metric is evaluated.",
    INCIDENTS.name: "Anomalies that belong together in time: one incident from the first anomalous slot until the "
    "metric has been back in its band for two. You are notified once when it opens, again after hours, and when it is "
    "over.\n\nEvery slot is processed once, in its order. Slots older than METRICS_ALERT_MAX_AGE_MINUTES send nothing.",
}


def monitored_days(settings: Settings) -> dg.DailyPartitionsDefinition:
    """One partition per day of the product's zone, from METRICS_START_DATE to METRICS_END_DATE or today."""
    midnight = datetime.time.min
    after_end = settings.end_date and settings.end_date + datetime.timedelta(days=1)
    return dg.DailyPartitionsDefinition(
        start_date=datetime.datetime.combine(settings.start_date, midnight),
        end_date=datetime.datetime.combine(after_end, midnight) if after_end else None,
        timezone=settings.timezone,
        end_offset=0 if after_end else 1,
    )


def monitoring_assets(settings: Settings, catalog: Catalog) -> list[dg.AssetsDefinition]:
    """The 15-minute values, the verdicts and the incidents."""
    return [
        _asset(
            SLOT_METRICS,
            list(catalog.sources),
            {"clickhouse", "sql"},
            [
                *(
                    dg.AssetCheckSpec(name, asset=SLOT_METRICS.name, description=promise, blocking=True)
                    for name, promise in SLOT_METRICS.checks.items()
                ),
                dg.AssetCheckSpec(
                    CATALOG_CHECK,
                    asset=SLOT_METRICS.name,
                    description="Every entry of the catalogue fits its source: tables, columns, types and SQL.",
                ),
            ],
            settings,
        ),
        _asset(
            VERDICTS,
            [SLOT_METRICS.name],
            {"python", "numpy"},
            [
                dg.AssetCheckSpec(
                    metric.name,
                    asset=VERDICTS.name,
                    description=f"{metric.description} The latest slot is in its expected band, as a "
                    "whole and in each slice.".strip(),
                )
                for metric in catalog.metrics.values()
                if metric.monitor.total or metric.monitor.slices
            ],
            settings,
        ),
        _asset(INCIDENTS, [VERDICTS.name], {"python", "clickhouse"}, [], settings),
    ]


def _asset(
    table: DailyTable, deps: list[str], kinds: set[str], checks: list[dg.AssetCheckSpec], settings: Settings
) -> dg.AssetsDefinition:
    common: dict[str, Any] = {
        "name": table.name,
        "deps": deps,
        "partitions_def": monitored_days(settings),
        # A backfill runs a day at a time, so that it never holds up a check for long.
        "backfill_policy": dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
        "retry_policy": RETRY_POLICY,
        "pool": GROUP,
        "group_name": GROUP,
        "kinds": kinds,
        "owners": [settings.owner],
        "description": _DESCRIPTIONS[table.name],
        "metadata": table_metadata(table, deps, settings, VALUES_QUERY if table == SLOT_METRICS else None),
        "check_specs": checks,
    }
    if table == SLOT_METRICS:

        @dg.asset(**common)  # type: ignore[untyped-decorator]
        def compute_values(
            context: dg.AssetExecutionContext, config: MetricsConfig, clickhouse: ClickHouseResource
        ) -> Iterator[Any]:
            from metrics_platform.defs.monitoring.computing import compute_slot_metrics  # noqa: PLC0415

            with failing_at_once(*_not_retried()):
                warehouse = clickhouse.warehouse(context, settings)
                yield from compute_slot_metrics(context, warehouse, settings, config.metrics)

        return cast(dg.AssetsDefinition, compute_values)

    @dg.asset(**common)  # type: ignore[untyped-decorator]
    def compute(context: dg.AssetExecutionContext, clickhouse: ClickHouseResource) -> Iterator[Any]:
        from metrics_platform.defs.monitoring.computing import WORK  # noqa: PLC0415

        with failing_at_once(*_not_retried()):
            yield from WORK[table.name](context, clickhouse.warehouse(context, settings), settings)

    return cast(dg.AssetsDefinition, compute)


def _not_retried() -> tuple[type[Exception], ...]:
    from metrics_platform.defs.monitoring.schedule import NoCompleteSlotError  # noqa: PLC0415
    from metrics_platform.monitor.verdicts import MissingSlotsError  # noqa: PLC0415

    return MissingSlotsError, NoCompleteSlotError
