"""Column lineage of the platform's tables and the files of their queries, for Dagster's UI.

Columns that are not listed come from the columns of the same name in the upstream tables. The columns of a source are
the product's, and mapped by the catalogue: the source's own asset shows how.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import dagster as dg

from metrics_platform.catalog import Catalog, Source
from metrics_platform.expressions import column_names_in
from metrics_platform.settings import Settings
from metrics_platform.warehouse.tables import Column, DailyTable, all_tables, read_sql

_ATTRIBUTES = ("os", "gender", "age", "country", "city", "exp_group")
_MERGED = ("used_feed", "used_messenger")
_ACTIVE = ("users.last_active_day",)
_COHORT = ("users.first_day",)
_RETAINED = ("users.first_day", "users.last_active_day")
_NEW = ("users.first_day", "users.source")

# A plain name means that column in every upstream table that has it; `table.column` means one column.
_FROM: Mapping[str, Mapping[str, Sequence[str]]] = {
    "users": {
        **{name: (name, f"{name}_seen_at") for name in _ATTRIBUTES},
        "source": ("source", "first_seen_at"),
        "first_day": ("event_date", "first_day"),
        "last_active_day": ("event_date", "last_active_day"),
    },
    "user_daily": {
        **{name: (f"users.{name}",) for name in (*_ATTRIBUTES, "source")},
        "used_feed": ("feed_user_daily.user_id",),
        "used_messenger": ("message_user_daily.messages_sent",),
        "age_group": ("users.age",),
    },
    "app_daily": {
        "app_dau": _MERGED,
        "feed_dau": ("used_feed",),
        "messenger_dau": ("used_messenger",),
        "feed_only": _MERGED,
        "messenger_only": _MERGED,
        "both_services": _MERGED,
        "ctr": ("views", "likes"),
        "views_per_user": ("views", "used_feed"),
        "likes_per_user": ("likes", "used_feed"),
        "senders": ("used_messenger",),
        "receivers": ("messages_received",),
        "sent_per_sender": ("messages_sent", "used_messenger"),
        "received_per_receiver": ("messages_sent", "messages_received"),
        "sent_received": ("used_messenger", "messages_received"),
        "new_users": _COHORT,
        "new_users_ads": _NEW,
        "new_users_organic": _NEW,
        "new_users_other": _NEW,
        "wau": _ACTIVE,
        "mau": _ACTIVE,
        "stickiness": (*_MERGED, *_ACTIVE),
        "cohort_d1": _COHORT,
        "retained_d1": _RETAINED,
        "retention_d1": _RETAINED,
        "cohort_d7": _COHORT,
        "retained_d7": _RETAINED,
        "retention_d7": _RETAINED,
    },
    "user_cohorts": {
        "days_since": _COHORT,
        "users": ("users.user_id",),
        "active": _ACTIVE,
    },
}


def column_sources(
    table: str, columns: Iterable[Column], upstream: Mapping[str, Iterable[Column]]
) -> dict[str, list[tuple[str, str]]]:
    """Map each column to the (table, column) pairs in `upstream` that it is computed from."""
    known = {name: {column.name for column in found} for name, found in upstream.items()}
    return {
        column.name: [
            found
            for source in _FROM.get(table, {}).get(column.name, _same_name(table, column.name))
            for found in _found(source, known)
        ]
        for column in columns
    }


def table_metadata(
    table: DailyTable, upstream: Collection[str], settings: Settings, query: str | None = None
) -> dict[str, Any]:
    """Metadata of an asset: columns with types, meanings and origins, and the file of the query.

    Args:
        table: the table.
        upstream: the assets it is computed from. What is read of a source is shown there, as its mapping.
        settings: for the dimensions, each of which has a table.
        query: the path of its query within `metrics_platform/warehouse`.
    """
    columns = table.columns
    own = {found.name: found.columns for found in all_tables(settings.dimensions) if found.name in upstream}
    sources = column_sources(table.name, columns, own)
    metadata: dict[str, Any] = {
        "dagster/column_schema": dg.TableSchema(
            [
                dg.TableColumn(column.name, type=column.type, description=_described(column, sources[column.name]))
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


def _described(column: Column, sources: Sequence[tuple[str, str]]) -> str:
    origins = ", ".join(f"{table}.{name}" for table, name in sources)
    return f"{column.comment} ← {origins}" if origins else column.comment


def _same_name(table: str, column: str) -> tuple[str, ...]:
    # A slice's value is a column of the merged table, named in the asset's own name.
    if table.endswith("_slice") and column == "dimension_value":
        return (table.removesuffix("_slice"),)
    return (column,)


def _found(source: str, known: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    table, dot, column = source.rpartition(".")
    if dot:
        return [(table, column)]
    return [(name, column) for name, columns in known.items() if column in columns]


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
