"""Table metadata for Dagster's UI: columns, column lineage, and the sources as external assets.

Columns that are not listed come from columns with the same name in the upstream tables. The catalogue maps the columns
of a source, and the source's asset shows the mapping.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import dagster as dg

from metrics_platform.catalog import Catalog, Source
from metrics_platform.expressions import column_names_in
from metrics_platform.settings import Settings
from metrics_platform.warehouse.tables import Column, DailyTable, all_tables, read_sql

# Columns of a table (separated by spaces) → their origins. A plain name means this column in every upstream table that
# has it; `table.column` means a single column.
_ORIGINS: Mapping[str, Mapping[str, str]] = {
    "users": {
        **{name: f"{name} {name}_seen_at" for name in ("os", "gender", "age", "country", "city", "exp_group")},
        "source": "source first_seen_at",
        "first_day": "event_date first_day",
        "last_active_day": "event_date last_active_day",
    },
    "user_daily": {
        **{name: f"users.{name}" for name in ("os", "gender", "age", "country", "city", "exp_group", "source")},
        "used_feed": "feed_user_daily.user_id",
        "used_messenger": "message_user_daily.messages_sent",
        "age_group": "users.age",
    },
    "app_daily": {
        "app_dau feed_only messenger_only both_services": "used_feed used_messenger",
        "feed_dau": "used_feed",
        "messenger_dau senders": "used_messenger",
        "receivers": "messages_received",
        "ctr": "views likes",
        "views_per_user": "views used_feed",
        "likes_per_user": "likes used_feed",
        "sent_per_sender": "messages_sent used_messenger",
        "received_per_receiver": "messages_sent messages_received",
        "sent_received": "used_messenger messages_received",
        "new_users cohort_d1 cohort_d7": "users.first_day",
        "new_users_ads new_users_organic new_users_other": "users.first_day users.source",
        "wau mau": "users.last_active_day",
        "stickiness": "used_feed used_messenger users.last_active_day",
        "retained_d1 retention_d1 retained_d7 retention_d7": "users.first_day users.last_active_day",
    },
    "user_cohorts": {
        "days_since": "users.first_day",
        "users": "users.user_id",
        "active": "users.last_active_day",
    },
}


def _origins(table: str, column: str, upstream: Mapping[str, Collection[str]]) -> list[tuple[str, str]]:
    """The (table, column) pairs that a column is computed from; `upstream` are the columns of the tables above."""
    # A slice's value is a column of the merged table. The asset's name contains the column's name.
    is_value = table.endswith("_slice") and column == "dimension_value"
    by_column = {name: origins for names, origins in _ORIGINS.get(table, {}).items() for name in names.split()}
    pairs = []
    for origin in by_column.get(column, table.removesuffix("_slice") if is_value else column).split():
        source, dot, name = origin.rpartition(".")
        pairs += (
            [(source, name)]
            if dot
            else [(upstream_table, name) for upstream_table, columns in upstream.items() if name in columns]
        )
    return pairs


def table_metadata(
    table: DailyTable, upstream: Collection[str], settings: Settings, query: str | None = None
) -> dict[str, Any]:
    """Metadata of an asset: columns with types, meanings and origins, and the file of the query.

    `upstream` are the assets that it is computed from. `query` is the path of its query within
    `metrics_platform/warehouse`.
    """
    columns = table.columns
    upstream_tables = [
        upstream_table for upstream_table in all_tables(settings.dimensions) if upstream_table.name in upstream
    ]
    upstream_columns = {
        upstream_table.name: [column.name for column in upstream_table.columns] for upstream_table in upstream_tables
    }
    sources = {column.name: _origins(table.name, column.name, upstream_columns) for column in columns}
    metadata: dict[str, Any] = {
        "dagster/column_schema": dg.TableSchema(
            [
                dg.TableColumn(
                    column.name, type=column.type, description=_column_description(column, sources[column.name])
                )
                for column in columns
            ]
        ),
        "dagster/column_lineage": dg.TableColumnLineage(
            {
                name: [dg.TableColumnDep(asset_key=asset, column_name=column) for asset, column in origins]
                for name, origins in sources.items()
                if origins
            }
        ),
    }
    if query is not None:
        metadata["sql"] = dg.MetadataValue.md(f"```sql\n{read_sql(query)}```")
        path = Path(str(files("metrics_platform.warehouse") / query))
        metadata["dagster/code_references"] = dg.CodeReferencesMetadataValue(
            code_references=[dg.LocalFileCodeReference(file_path=str(path), label=path.name)]
        )
    return metadata


def _column_description(column: Column, sources: Sequence[tuple[str, str]]) -> str:
    origins = ", ".join(f"{table}.{name}" for table, name in sources)
    return f"{column.comment} ← {origins}" if origins else column.comment


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
    special = {"user": source.user, "receiver": source.receiver, "time": source.time, "where": source.where}
    rows = {name: sql for name, sql in {**special, **source.columns}.items() if sql is not None}
    return {**rows, **{dimension.name: dimension.sql for dimension in source.dimensions}}
