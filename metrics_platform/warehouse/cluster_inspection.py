"""What `doctor` finds out about the ClickHouse it talks to: one server, a load balancer or ClickHouse Cloud."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from metrics_platform.findings import Finding, looked_at
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import outside_database
from metrics_platform.warehouse.tables import DailyTable

_SUBJECT = "Cluster"
_CLOUD = "SELECT count() FROM system.settings WHERE name = 'cloud_mode' AND value IN ('1', 'true')"
_SERVER = "SELECT concat(hostName(), ' ', toString(serverUUID()), ' ', toString(tcpPort()))"
_CLUSTERS = "SELECT DISTINCT cluster FROM system.clusters ORDER BY cluster"
_ENGINES = """
SELECT groupArrayIf(name, NOT startsWith(engine, 'Replicated') AND NOT startsWith(engine, 'Shared')) AS plain,
       countIf(startsWith(engine, 'Replicated')) AS replicated
FROM system.tables WHERE database = currentDatabase() AND name IN {tables:Array(String)}
"""
_REPLICAS = """
SELECT groupArrayIf(table, is_readonly) AS readonly, max(absolute_delay) AS delay,
       min(active_replicas) AS active, max(total_replicas) AS total
FROM system.replicas WHERE database = currentDatabase()
"""
_CONVERT = "Make them anew with that engine (docs/operations.md, From one server to a cluster)."
_LATE_SECONDS = 60


def inspect_cluster(warehouse: Warehouse) -> Finding:
    """Whether METRICS_CLICKHOUSE_CLUSTER and METRICS_CLICKHOUSE_ENGINE fit what answers at METRICS_CLICKHOUSE_URL."""
    return looked_at(_SUBJECT, lambda: _cluster(outside_database(warehouse)))


def inspect_replicas(warehouse: Warehouse, tables: Iterable[DailyTable]) -> Iterator[Finding]:
    """Whether the platform's tables are where the settings say, and their replicas are up to date."""
    if warehouse.cluster or warehouse.engine != "MergeTree":
        yield looked_at(_SUBJECT, lambda: _tables(warehouse, [table.name for table in tables]))


def _cluster(warehouse: Warehouse) -> Finding:
    named = warehouse.cluster
    cloud = bool(warehouse.value(_CLOUD, doing="Looking for ClickHouse Cloud"))
    if cloud and not named:
        return Finding(_SUBJECT, "problem", "this is ClickHouse Cloud", "Set METRICS_CLICKHOUSE_CLUSTER=default.")
    servers = 1 if cloud else len(set(_servers(warehouse)))
    if servers > 1 and not named:
        return Finding(
            _SUBJECT,
            "problem",
            f"{servers} servers answer at METRICS_CLICKHOUSE_URL: it is a load balancer",
            "Name one replica there; or set METRICS_CLICKHOUSE_CLUSTER and METRICS_CLICKHOUSE_ENGINE.",
        )
    if not named:
        return Finding(_SUBJECT, "ok", "one server")
    clusters = [row["cluster"] for row in warehouse.query(_CLUSTERS, doing="Reading the clusters").rows]
    if named not in clusters:
        known = f"there is {', '.join(clusters)}" if clusters else "the server knows none"
        detail = f"METRICS_CLICKHOUSE_CLUSTER = {named}: {known}"
        return Finding(_SUBJECT, "problem", detail, "Correct it, or leave it out for one server.")
    if warehouse.engine == "MergeTree" and not cloud:
        detail = f"tables of METRICS_CLICKHOUSE_CLUSTER = {named} would be other tables on each replica"
        return Finding(_SUBJECT, "problem", detail, "Set METRICS_CLICKHOUSE_ENGINE=ReplicatedMergeTree.")
    place = "ClickHouse Cloud" if cloud else "a load balancer" if servers > 1 else "one replica"
    return Finding(_SUBJECT, "ok", f"{place}, cluster {named}")


def _servers(warehouse: Warehouse) -> Iterator[str]:
    """Who answers: on three connections, two requests each, since balancers choose by either."""
    for _ in range(3):
        warehouse.close()
        for _ in range(2):
            yield warehouse.value(_SERVER, doing="Looking which server answers")


def _tables(warehouse: Warehouse, names: list[str]) -> Finding:
    (engines,) = warehouse.query(_ENGINES, {"tables": names}, doing="Reading the tables' engines").rows
    if engines["plain"]:
        detail = f"{', '.join(engines['plain'])}: not replicated, as METRICS_CLICKHOUSE_ENGINE says"
        return Finding(_SUBJECT, "problem", detail, _CONVERT)
    if not engines["replicated"]:
        return Finding(_SUBJECT, "ok", "no table of the platform is replicated by ClickHouse Keeper")
    (state,) = warehouse.query(_REPLICAS, doing="Reading the replicas' state").rows
    if state["readonly"]:
        detail = f"{', '.join(state['readonly'])}: read-only"
        return Finding(_SUBJECT, "problem", detail, "Check that ClickHouse Keeper is running. See system.replicas.")
    shown = f"{state['active']} of {state['total']} replicas, at most {state['delay']} s behind"
    if state["active"] < state["total"] or state["delay"] > _LATE_SECONDS:
        remedy = "Start the missing replica, or wait until it has caught up."
        if warehouse.cluster:
            return Finding(_SUBJECT, "problem", shown, f"{remedy} Every replica must have what is written.")
        return Finding(_SUBJECT, "note", shown, remedy)
    return Finding(_SUBJECT, "ok", shown)
