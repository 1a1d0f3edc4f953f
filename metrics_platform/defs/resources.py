"""The resources of the code location."""

from __future__ import annotations

from typing import Any

import dagster as dg
from pydantic import Field, PrivateAttr

from metrics_platform.settings import Settings, current_settings
from metrics_platform.warehouse.client import Warehouse


class ClickHouseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The ClickHouse that METRICS_CLICKHOUSE_URL names (or the embedded one).

    The URL, which holds a password, is no field of the resource: Dagster shows and stores fields. It is read from the
    settings when a step needs it.
    """

    timeout_seconds: int = Field(description="Longest time one query may take in ClickHouse.")
    max_memory_mb: int = Field(
        description="Most memory (MiB) one query may take in ClickHouse; at half of it it goes to disk."
    )
    _settings: Settings | None = PrivateAttr(default=None)

    @classmethod
    def for_settings(cls, settings: Settings) -> ClickHouseResource:
        """The resource for these settings."""
        resource = cls(
            timeout_seconds=settings.clickhouse_timeout_seconds, max_memory_mb=settings.clickhouse_max_memory_mb
        )
        resource._settings = settings
        return resource

    def warehouse(self, context: dg.AssetExecutionContext) -> Warehouse:
        """A client whose queries are tagged with the run, the asset and the partitions of `context`."""
        settings = self._settings or current_settings()
        return Warehouse.from_settings(
            settings.model_copy(
                update={
                    "clickhouse_timeout_seconds": self.timeout_seconds,
                    "clickhouse_max_memory_mb": self.max_memory_mb,
                }
            ),
            tags=_tags(context),
            on_retry=context.log.warning,
        )


def _tags(context: dg.AssetExecutionContext) -> dict[str, str]:
    keys: Any = context.partition_keys if context.run.tags else []
    tags = {"run_id": context.run_id, "job": context.job_name, "asset": context.asset_key.to_user_string()}
    if keys:
        tags["partition"] = keys[0] if len(keys) == 1 else f"{keys[0]}…{keys[-1]}"
    return tags
