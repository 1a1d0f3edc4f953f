"""The resources of the code location."""

from __future__ import annotations

import dagster as dg
from pydantic import Field

from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse


class ClickHouseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The ClickHouse that METRICS_CLICKHOUSE_URL names (or the embedded one).

    The URL, which holds a password, is no field of the resource: Dagster shows and stores fields. It is read from the
    settings when a step needs it.
    """

    timeout_seconds: int = Field(description="Longest time one query may take in ClickHouse.")
    max_memory_mb: int = Field(
        description="Most memory (MiB) one query may take in ClickHouse; at a quarter of it it goes to disk."
    )

    @classmethod
    def for_settings(cls, settings: Settings) -> ClickHouseResource:
        """The resource with the limits of these settings; a run's config may set others."""
        return cls(
            timeout_seconds=settings.clickhouse_timeout_seconds,
            max_memory_mb=settings.clickhouse_max_memory_mb,
        )

    def warehouse(self, context: dg.AssetExecutionContext, settings: Settings) -> Warehouse:
        """A client whose queries are tagged with the run, the asset and the partitions of `context`."""
        limits = {
            "clickhouse_timeout_seconds": self.timeout_seconds,
            "clickhouse_max_memory_mb": self.max_memory_mb,
        }
        return Warehouse.from_settings(
            settings.model_copy(update=limits), tags=_tags(context), on_retry=context.log.warning
        )


def _tags(context: dg.AssetExecutionContext) -> dict[str, str]:
    first, *others = context.partition_keys
    return {
        "run_id": context.run.run_id,
        "job": context.job_name,
        "asset": context.asset_key.to_user_string(),
        "partition": f"{first}…{others[-1]}" if others else first,
    }
