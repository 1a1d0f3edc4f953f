"""The monitor's assets: `slot_metrics` → `verdicts` → `incidents`, partitioned by slots in UTC.

What computes is imported on use: most processes of the platform load this page and never judge.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of the functions it is given.

import datetime
from collections.abc import Iterator
from typing import Any

import dagster as dg

from metrics_platform.calendar import SLOT_KEY_FORMAT, SlotRange, first_instant, slot_at, slot_of_key
from metrics_platform.catalog import SLOT_METRICS as METRICS
from metrics_platform.defs.daily.assets import RETRY_POLICY
from metrics_platform.defs.lineage import table_metadata
from metrics_platform.defs.monitoring.descriptions import DESCRIPTIONS
from metrics_platform.defs.resources import ClickHouseResource
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import NoWarehouseError
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.schema import SchemaMismatchError
from metrics_platform.warehouse.tables import INCIDENTS, SLOT_METRICS, VERDICTS, DailyTable

GROUP = "monitoring"


def slot_partitions(settings: Settings) -> dg.TimeWindowPartitionsDefinition:
    """One partition per slot, from METRICS_START_DATE to METRICS_END_DATE or now; keys are in UTC."""
    after_end = settings.end_date and settings.end_date + datetime.timedelta(days=1)
    return dg.TimeWindowPartitionsDefinition(
        cron_schedule="*/15 * * * *",
        fmt=SLOT_KEY_FORMAT,
        start=slot_at(first_instant(settings.start_date, settings.zone)).key,
        end=slot_at(first_instant(after_end, settings.zone)).key if after_end else None,
        timezone="UTC",
    )


def monitoring_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """The rollup, the verdicts and the incidents."""
    return [
        _asset(
            SLOT_METRICS,
            ["feed_actions", "message_actions"],
            {"clickhouse", "sql"},
            [
                dg.AssetCheckSpec(name, asset=SLOT_METRICS.name, description=promise, blocking=True)
                for name, promise in SLOT_METRICS.checks.items()
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
                    description=f"{metric.name} of the run's latest slot is in its expected band, as a whole and in "
                    "each slice. It shows what was judged; people are told by incidents.",
                )
                for metric in METRICS
            ],
            settings,
        ),
        _asset(INCIDENTS, [VERDICTS.name], {"python", "clickhouse"}, [], settings),
    ]


def _asset(
    table: DailyTable, deps: list[str], kinds: set[str], checks: list[dg.AssetCheckSpec], settings: Settings
) -> dg.AssetsDefinition:
    query = f"queries/{table.file}.sql" if "sql" in kinds else None
    metadata = table_metadata(table, deps, settings, query)
    if query:
        metadata["sql"] = dg.MetadataValue.md(f"```sql\n{table.query}```")

    @dg.asset(
        name=table.name,
        deps=deps,
        partitions_def=slot_partitions(settings),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=RETRY_POLICY,
        pool=GROUP,  # dagster.yaml lets one run of it go on at a time: two would write the same day
        group_name=GROUP,
        kinds=kinds,
        owners=[settings.owner],
        description=DESCRIPTIONS[table.name],
        metadata=metadata,
        check_specs=checks,
    )
    def compute(context: dg.AssetExecutionContext, clickhouse: ClickHouseResource) -> Iterator[Any]:
        from metrics_platform.defs.monitoring.computing import WORK  # noqa: PLC0415
        from metrics_platform.monitor.configuration import MonitoringFileError  # noqa: PLC0415
        from metrics_platform.monitor.verdicts import NoSlotsError  # noqa: PLC0415

        keys = sorted(context.partition_keys)
        slots = SlotRange.of(slot_of_key(keys[0]), slot_of_key(keys[-1]))
        refusal = ""
        try:
            results = WORK[table.name](context, clickhouse.warehouse(context, settings), slots, settings)
        except (NoWarehouseError, SchemaMismatchError, MonitoringFileError, NoSlotsError) as error:
            refusal = str(error)
        except WarehouseError as error:
            if error.transient:
                raise
            refusal = str(error)
        if refusal:
            # Outside the `except` block: the refusal says all there is to say, a chain of driver errors does not.
            raise dg.Failure(refusal, allow_retries=False)
        for result in results:
            if isinstance(result, dg.Failure):
                raise result
            yield result

    return compute
