"""Renamed metrics: `was: old_name` in the catalogue takes over the history and the incidents of the old name."""

from __future__ import annotations

from metrics_platform.catalog import Catalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import tables_exist
from metrics_platform.warehouse.tables import INCIDENTS, METRIC_DAILY, SLOT_METRICS, VERDICTS

# The rows under the new name, and the old ones marked as deleted. Done twice, it gives the same rows.
_MOVE = """
INSERT INTO {table} ({columns})
SELECT * REPLACE (moved.1 AS metric, moved.2 AS version, moved.3 AS is_deleted)
FROM (SELECT * FROM {table} FINAL WHERE metric = {{old:String}})
ARRAY JOIN [({{new:String}}, version, 0), ({{old:String}}, toUInt64(toUnixTimestamp64Micro(now64(6))), 1)] AS moved
"""
# Of rows with the same key the last one written is valid.
_INCIDENTS = """
INSERT INTO incidents
SELECT * REPLACE ({new:String} AS metric)
FROM (SELECT * FROM incidents FINAL WHERE metric = {old:String})
"""
_EVERY_PARTITION = {"max_partitions_per_insert_block": 0}


def apply_renames(warehouse: Warehouse, catalog: Catalog) -> list[str]:
    """Move what is stored under old names; returns a text for each metric that was moved.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer. Running it again completes it.
    """
    done = []
    for metric in catalog.metrics.values():
        if metric.was is None:
            continue
        parameters = {"old": metric.was, "new": metric.name}
        moved = 0
        # The table that is looked at by the monitor comes last: until then, the next run starts over.
        for table in (METRIC_DAILY, VERDICTS, SLOT_METRICS):
            if not tables_exist(warehouse, [table]):
                continue
            has_rows = warehouse.value(
                f"SELECT count() FROM {table.name} FINAL WHERE metric = {{old:String}}",  # noqa: S608
                parameters,
                operation=f"Looking for rows of {metric.was}",
            )
            if has_rows:
                columns = ", ".join(column.name for column in table.columns)
                warehouse.execute(
                    _MOVE.format(table=table.name, columns=columns),
                    parameters,
                    operation=f"Renaming {metric.was} to {metric.name} in {table.name}",
                    settings=_EVERY_PARTITION,
                )
            moved += int(has_rows)
        if tables_exist(warehouse, [INCIDENTS]):
            warehouse.execute(
                _INCIDENTS, parameters, operation=f"Renaming {metric.was} in incidents", settings=_EVERY_PARTITION
            )
        if moved:
            done.append(f"{metric.was} is now {metric.name}: {moved:,} rows moved")
    return done
