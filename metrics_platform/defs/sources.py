"""The catalogue's sources as external assets, which the product writes and the platform only reads."""

from __future__ import annotations

import dagster as dg

from metrics_platform.catalog import Catalog, Source
from metrics_platform.expressions import column_names_in
from metrics_platform.settings import Settings


def source_assets(settings: Settings, catalog: Catalog) -> list[dg.AssetSpec]:
    """One asset per source, with the mapping of its rows."""
    return [
        dg.AssetSpec(
            source.name,
            group_name="sources",
            description=source.description or f"Events of {source.table}.",
            kinds={"clickhouse", "table"},
            owners=[settings.owner],
            metadata={
                "dagster/table_name": str(source.table),
                "dagster/column_schema": _columns(source),
                "mapping": dg.MetadataValue.md(_mapping(source)),
            },
        )
        for source in catalog.sources.values()
    ]


def _mapping(source: Source) -> str:
    """The mapping of a row, as a Markdown table."""
    lines = [f"| {name} | `{sql}` |" for name, sql in _expressions(source).items()]
    return "\n".join(["| column | SQL |", "|---|---|", *lines])


def _columns(source: Source) -> dg.TableSchema:
    """The columns of the source that are read, each with its use."""
    used: dict[str, list[str]] = {}
    mapped = set(source.columns)
    for role, sql in _expressions(source).items():
        for name in sorted(column_names_in(sql)):
            # A dimension over a mapped column reads the columns behind the mapping.
            if name not in mapped or role in mapped:
                used.setdefault(name, []).append(role)
    return dg.TableSchema(
        [dg.TableColumn(name, type="", description=f"read as {', '.join(roles)}") for name, roles in used.items()]
    )


def _expressions(source: Source) -> dict[str, str]:
    own = {"user": source.user, "receiver": source.receiver, "time": source.time, "where": source.where}
    rows = {name: sql for name, sql in {**own, **source.columns}.items() if sql is not None}
    return {**rows, **{dimension.name: dimension.sql for dimension in source.dimensions}}
