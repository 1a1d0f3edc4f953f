"""Creating and dropping tables, on one server or on every replica of a cluster.

Without METRICS_CLICKHOUSE_CLUSTER every statement goes to the one server, or the one replica, that
METRICS_CLICKHOUSE_URL names, and staging tables live there alone as plain MergeTree. With it that address may be a load
balancer: tables, staging tables included, are made and dropped ON CLUSTER with the engine of METRICS_CLICKHOUSE_ENGINE.
"""

from __future__ import annotations

import re

from metrics_platform.table_names import quoted
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.tables import DailyTable, read_sql

PLAIN = "MergeTree"
# What ClickHouse writes before the keys of a table: its engine, with arguments or without.
_ENGINE = re.compile(r"^\w*MergeTree(?:\(.*?\))?(?= (?:PARTITION BY|PRIMARY KEY|ORDER BY) )", re.DOTALL)
_DECLARED = re.compile(r"^ENGINE = (?P<kind>\w*)MergeTree(?:\((?P<arguments>.*)\))?$", re.MULTILINE)
_REPLICATED = re.compile(r"ReplicatedMergeTree(?:\((?P<path>.*)\))?")


def on_cluster(warehouse: Warehouse) -> str:
    """The clause for a statement that creates, renames or drops; empty without a cluster."""
    return f" ON CLUSTER {quoted(warehouse.cluster)}" if warehouse.cluster else ""


def create_table(warehouse: Warehouse, table: DailyTable, name: str) -> None:
    """Create a table of `schema/<file>.sql` as `name`, where it is missing."""
    sql = read_sql(f"schema/{table.file}.sql").replace(
        "CREATE TABLE IF NOT EXISTS {table:Identifier}",
        f"CREATE TABLE IF NOT EXISTS {{table:Identifier}}{on_cluster(warehouse)}",
    )
    sql = _DECLARED.sub(lambda declared: f"ENGINE = {_engine(warehouse.engine, declared)}", sql)
    warehouse.execute(sql, {"table": name}, doing=f"Creating table {warehouse.database}.{name}", repeatable=True)


def create_staging(warehouse: Warehouse, name: str, target: str, *, doing: str, repeatable: bool = False) -> None:
    """Create a table with the columns and keys of `target`, from which partitions can be moved into it.

    With `repeatable` it may be there already. Its engine is no Replacing…: what is staged is counted row by row.
    """
    full = warehouse.query(
        "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {name:String}",
        {"name": target},
        doing=doing,
    ).rows
    # The keys, and settings such as a storage policy. Of a table that is not there, ClickHouse's own error is raised.
    keys = _ENGINE.sub("", full[0]["engine_full"]) if full else ""
    engine = f" ENGINE = {warehouse.engine if warehouse.cluster else PLAIN}{keys}" if full else ""
    missing = "IF NOT EXISTS " if repeatable else ""
    # Both names are ours, and `AS` takes no parameter.
    warehouse.execute(
        f"CREATE TABLE {missing}{quoted(name)}{on_cluster(warehouse)} AS {quoted(target)}{engine}",
        doing=doing,
        repeatable=repeatable,
    )


def drop_table(warehouse: Warehouse, name: str, *, doing: str, repeatable: bool = False) -> None:
    """Drop a table that is no longer needed; by default ClickHouse refuses to drop one of more than 50 GB."""
    warehouse.execute(
        f"DROP TABLE IF EXISTS {quoted(name)}{on_cluster(warehouse)} SYNC",
        doing=doing,
        repeatable=repeatable,
        settings={"max_table_size_to_drop": 0},
    )


def everywhere(warehouse: Warehouse, table: str) -> str:
    """A table of `system` as a table expression: of every replica, or of the one server."""
    return (
        f"clusterAllReplicas({quoted(warehouse.cluster)}, system.{table})" if warehouse.cluster else f"system.{table}"
    )


def _engine(setting: str, declared: re.Match[str]) -> str:
    """A declared engine such as `ReplacingMergeTree(version)`, replicated where the setting says so."""
    kind, arguments = declared["kind"], declared["arguments"] or ""
    replicated = _REPLICATED.fullmatch(setting)
    if replicated is None:
        return f"{kind}MergeTree" + (f"({arguments})" if arguments else "")
    every = ", ".join(filter(None, (replicated["path"], arguments)))
    return f"Replicated{kind}MergeTree" + (f"({every})" if every else "")
