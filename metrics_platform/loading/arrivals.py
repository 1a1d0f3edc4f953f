"""What of a staging table is in its target already: asked after ClickHouse itself died amid a move, and only then.

The target's parts tell: by the hash of their content and a block number above those recorded before the commit,
or, where they have been merged away since, by their rows.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from metrics_platform.loading.history import Entry
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.tables import read_sql

Row = dict[str, Any]

# Clocks in ClickHouse have whole seconds here.
_CLOCK_SLACK = 2


def target_partitions(warehouse: Warehouse, database: str, staged: str, target: str) -> list[Row]:
    """Of each staged partition: its `partition_id`, and the `highest_block` and `rows` that it has in the target."""
    sql = read_sql("queries/load/target_partitions.sql")
    parameters = {"database": database, "staging": staged, "target": target}
    return warehouse.query(sql, parameters, doing="Looking at the partitions").rows


def staged_parts(warehouse: Warehouse, entry: Entry) -> list[Row]:
    """The parts that have not been moved: `partition_id`, `name`, `rows` and `hash` of each."""
    sql = read_sql("queries/load/staged_parts.sql")
    parameters = {"database": entry.database, "staging": entry.staging}
    return warehouse.query(sql, parameters, doing="Looking at what is staged").rows


def arrived(warehouse: Warehouse, entry: Entry, parts: list[Row]) -> list[str]:
    """The names of those staged parts whose rows are in the target already."""
    known = dict(zip(entry.partition_ids, zip(entry.highest_blocks, entry.rows_before, strict=True), strict=True))
    rows = target_partitions(warehouse, entry.database, entry.staging, entry.target)
    now = {row["partition_id"]: row for row in rows}
    twins = Counter(
        (row["partition_id"], row["hash"])
        for row in warehouse.query(
            read_sql("queries/load/arrived_parts.sql"),
            {"database": entry.database, "target": entry.target, "staging": entry.staging},
        ).rows
        if row["partition_id"] in known and row["block"] > known[row["partition_id"]][0]
    )
    names = []
    for part in parts:
        partition_id = part["partition_id"]
        highest_block, rows_before = known[partition_id]
        if twins[partition_id, part["hash"]] > 0:
            twins[partition_id, part["hash"]] -= 1
            names.append(part["name"])
        elif now[partition_id]["highest_block"] > highest_block:
            # Somebody has written here: this part, since merged away, or others. Its rows tell.
            grown = now[partition_id]["rows"] >= rows_before + part["rows"]
            if grown and not _rows_not_in_target(warehouse, entry, part):
                names.append(part["name"])
    return names


def _rows_not_in_target(warehouse: Warehouse, entry: Entry, part: Row) -> int:
    return int(
        warehouse.value(
            read_sql("queries/load/rows_not_in_target.sql"),
            {
                "database": entry.database,
                "staging": entry.staging,
                "target": entry.target,
                "part": part["name"],
                "partition_id": part["partition_id"],
            },
            doing="Looking for what an interrupted load brought",
        )
    )


def restarted_since(warehouse: Warehouse, entry: Entry) -> bool:
    """Whether ClickHouse was started after the commit had begun."""
    return bool(
        warehouse.value(
            "SELECT toUnixTimestamp(now()) - uptime() > {begun_at:Int64} - {slack:Int64}",
            {"begun_at": int(entry.changed_at.timestamp()), "slack": _CLOCK_SLACK},
        )
    )


def untouched(warehouse: Warehouse, entry: Entry) -> bool:
    """Whether nothing of what was staged has been moved."""
    parts = staged_parts(warehouse, entry)
    return sum(part["rows"] for part in parts) == entry.rows and not arrived(warehouse, entry, parts)
