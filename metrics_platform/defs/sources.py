"""The sources of the catalogue as assets that the product writes and the platform only reads."""

from __future__ import annotations

import dagster as dg

from metrics_platform.catalog import Catalog, Source
from metrics_platform.settings import Settings


def source_assets(settings: Settings, catalog: Catalog) -> list[dg.AssetSpec]:
    """One asset per source, with how its rows are mapped."""
    return [
        dg.AssetSpec(
            source.name,
            group_name="sources",
            description=source.description or f"Events of {source.table}.",
            kinds={"clickhouse", "table"},
            owners=[settings.owner],
            metadata={"dagster/table_name": str(source.table), "mapping": dg.MetadataValue.md(_mapping(source))},
        )
        for source in catalog.sources.values()
    ]


def _mapping(source: Source) -> str:
    own = {"user": source.user, "receiver": source.receiver, "time": source.time, "where": source.where}
    rows = [(name, sql) for name, sql in {**own, **source.columns}.items() if sql is not None]
    rows += [(dimension.name, dimension.sql) for dimension in source.dimensions]
    return "\n".join(["| column | SQL |", "|---|---|", *(f"| {name} | `{sql}` |" for name, sql in rows)])
