"""The asset `metric_daily`: the daily value of every metric of the catalogue."""

# No `from __future__ import annotations` here: Dagster reads the annotations of the functions it is given.

from collections.abc import Iterator
from typing import Any

import dagster as dg

from metrics_platform.catalog import Catalog
from metrics_platform.defs.daily.assets import GROUP, RETRY_POLICY, day_partitions, fail_without_retry
from metrics_platform.defs.daily.metadata import blocking_checks
from metrics_platform.defs.lineage import table_metadata
from metrics_platform.defs.resources import ClickHouseResource, MetricsConfig
from metrics_platform.settings import Settings
from metrics_platform.warehouse.tables import METRIC_DAILY
from metrics_platform.warehouse.value_sql import VALUES_QUERY

# Days that the report compares with, and the weeks that define a usual day.
_HISTORY_DAYS = 35


def metric_daily_asset(settings: Settings, catalog: Catalog) -> dg.AssetsDefinition:
    """The asset. Yesterday's run also computes days of the last five weeks that a metric lacks."""

    @dg.asset(
        name=METRIC_DAILY.name,
        deps=list(catalog.sources),
        partitions_def=day_partitions(settings),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=RETRY_POLICY,
        pool=GROUP,
        group_name=GROUP,
        kinds={"clickhouse", "sql"},
        owners=[settings.owner],
        description="The daily value of every metric of the catalogue, for the whole product and by slice. Distinct "
        "counts are distinct over the day.\n\nThe nightly run also fills in the last five weeks of a new or changed "
        "metric. To compute older days of one metric, materialise them with `metrics` in the run's config: the rows of "
        "all other metrics stay as they are.",
        metadata=table_metadata(METRIC_DAILY, list(catalog.sources), settings, VALUES_QUERY),
        check_specs=blocking_checks(METRIC_DAILY),
    )
    def compute(
        context: dg.AssetExecutionContext, config: MetricsConfig, clickhouse: ClickHouseResource
    ) -> Iterator[Any]:
        from metrics_platform.defs.daily.values_run import compute_metric_daily  # noqa: PLC0415

        with fail_without_retry():
            warehouse = clickhouse.warehouse(context, settings)
            yield from compute_metric_daily(context, warehouse, config.metrics, settings, _HISTORY_DAYS)

    return compute
