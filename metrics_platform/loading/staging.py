"""Staging tables: where a file's rows wait, beside their target, until all of them are there and counted.

A staging table has its target's shape, but no TTL, and from `verify` on no background merges, so that a commit
can be followed part by part. Inserts carry a token, so that one whose answer was lost is sent again without
doubling.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from metrics_platform.loading.problems import LoadError
from metrics_platform.loading.targets import Target
from metrics_platform.table_names import TableName
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.partitions import IDLE_SECONDS, STAGING_PREFIX
from metrics_platform.warehouse.tables import read_sql

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

PREFIX = f"{STAGING_PREFIX}load__"
# One insert is one part per partition: large enough that parts stay few, small enough for bounded memory.
_INSERT_ROWS = 500_000
# Parts of one insert are remembered together; an insert has at most one part per day of a long history.
_REMEMBERED_PARTS = 20_000
# Merging keeps the parts of a long unsorted history few; small merges only, since the commit waits for them.
_MERGES = "max_bytes_to_merge_at_max_space_in_pool"
_LARGEST_MERGE = 2 << 30
_NO_MERGE = 1


class Verified(NamedTuple):
    """The times (UTC) of the earliest and the latest event, and when they were all there, by ClickHouse's clock."""

    first: datetime.datetime
    last: datetime.datetime
    now: datetime.datetime


@dataclass
class Staging:
    """A staging table of one source of one load; rows are handed to `add` and sent in large inserts."""

    warehouse: Warehouse
    target: Target
    load_id: str
    rows: int = 0
    _waiting: list[Any] = field(default_factory=list)
    _waiting_rows: int = 0
    _inserts: int = 0

    @property
    def name(self) -> str:
        """The table's name, in the target's database."""
        return f"{PREFIX}{self.target.table}__{self.load_id}"

    @property
    def quoted(self) -> str:
        """The table for statements that take no parameter."""
        return TableName(self.target.database, self.name).sql

    def create(self) -> None:
        """Create the table, and try the rights and the shape that the commit needs while nothing is read yet."""
        doing = f"Preparing to load into {self.target.name}"
        target = TableName(self.target.database, self.target.table).sql
        self.warehouse.execute(f"CREATE TABLE {self.quoted} AS {target}", doing=doing)
        # Replacing…, Summing… and their like fold rows when they merge, before they could be counted.
        largest_merge = _LARGEST_MERGE if self.target.engine == "MergeTree" else _NO_MERGE
        self._set(f"{_MERGES} = {largest_merge}, non_replicated_deduplication_window = {_REMEMBERED_PARTS}")
        if self.target.has_ttl:
            self.warehouse.execute(f"ALTER TABLE {self.quoted} REMOVE TTL", doing=doing)
        # There is no such partition: nothing is moved.
        self.warehouse.execute(f"ALTER TABLE {self.quoted} MOVE PARTITION ID 'none' TO TABLE {target}", doing=doing)

    def add(self, rows: Any) -> None:
        """Take a `pyarrow.RecordBatch`; it is sent with others."""
        if rows.num_rows:
            self._waiting.append(rows)
            self._waiting_rows += rows.num_rows
        if self._waiting_rows >= _INSERT_ROWS:
            self.flush()

    def flush(self) -> None:
        """Send what waits."""
        if not self._waiting:
            return
        columns = self._waiting[0].schema.names
        body = _as_stream(self._waiting)
        count, self._waiting_rows = self._waiting_rows, 0
        self._waiting.clear()  # only one copy of the rows at a time
        settings = {
            "insert_deduplication_token": f"{self.load_id}-{self._inserts}",
            "max_partitions_per_insert_block": 0,  # a long history in any order is no mistake here
            "optimize_on_insert": 0,  # rows that a Replacing… or Summing… table will fold are counted first
        }

        def insert(client: Client) -> object:
            stream = pa.BufferReader(body)
            return client.raw_insert(self.quoted, columns, stream, settings=settings, fmt="ArrowStream")

        self.warehouse.run(insert, doing=f"Loading into {self.target.name}", repeatable=True)
        self.rows += count
        self._inserts += 1

    def verify(self) -> Verified:
        """Make sure that every row arrived, and let the parts be as they are from here on."""
        self._set(f"{_MERGES} = {_NO_MERGE}")
        self._wait_for_merges()
        (row,) = self.warehouse.query(
            "SELECT count() AS rows, toUnixTimestamp(ifNull(min(time), 0)) AS first, "
            "toUnixTimestamp(ifNull(max(time), 0)) AS last, toUnixTimestamp(now()) AS now "
            "FROM {database:Identifier}.{staging:Identifier}",
            {"database": self.target.database, "staging": self.name},
            doing=f"Verifying the rows for {self.target.name}",
        ).rows
        if row["rows"] != self.rows:
            raise LoadError(
                f"{self.rows} rows were sent to {self.target.name}, but {row['rows']} arrived in staging. Nothing was "
                "loaded; load again, and report this if it happens twice."
            )
        seconds = (int(row[name]) for name in ("first", "last", "now"))
        return Verified(*(datetime.datetime.fromtimestamp(one, datetime.UTC) for one in seconds))

    def drop(self) -> None:
        """Drop the table; where ClickHouse is away it stays for the next load's `drop_idle`."""
        drop(self.warehouse, self.target.database, self.name)

    def _set(self, settings: str) -> None:
        statement = f"ALTER TABLE {self.quoted} MODIFY SETTING {settings}"
        self.warehouse.execute(statement, doing=f"Preparing to load into {self.target.name}", repeatable=True)

    def _wait_for_merges(self) -> None:
        while self.warehouse.value(
            "SELECT count() FROM system.merges WHERE database = {database:String} AND table = {staging:String}",
            {"database": self.target.database, "staging": self.name},
        ):
            time.sleep(0.1)


def idle(warehouse: Warehouse, database: str) -> set[str]:
    """The staging tables of loads in a database that nobody has used for `IDLE_SECONDS`."""
    rows = warehouse.query(
        read_sql("queries/load/idle_staging_tables.sql"),
        {"database": database, "prefix": PREFIX, "idle_seconds": IDLE_SECONDS},
        doing="Looking for what killed loads left",
    ).rows
    return {row["name"] for row in rows}


def existing(warehouse: Warehouse, names: list[str]) -> set[tuple[str, str]]:
    """Those of these staging tables that are there, with their databases; the names are unique anywhere."""
    sql = "SELECT database, name FROM system.tables WHERE name IN {names:Array(String)}"
    rows = warehouse.query(sql, {"names": names}, doing="Looking for staging tables").rows
    return {(row["database"], row["name"]) for row in rows}


def drop_idle(warehouse: Warehouse, databases: Iterable[str]) -> None:
    """Drop what killed loads left behind before their commit; to be called when no commit is interrupted."""
    for database in databases:
        for name in sorted(idle(warehouse, database)):
            drop(warehouse, database, name)


def drop(warehouse: Warehouse, database: str, name: str) -> None:
    """Drop a staging table; where ClickHouse is away it stays for `drop_idle`."""
    try:
        warehouse.execute(
            "DROP TABLE IF EXISTS {database:Identifier}.{staging:Identifier} SYNC",
            {"database": database, "staging": name},
            doing="Dropping a staging table",
        )
    except WarehouseError as error:
        if not error.transient:
            raise


def _as_stream(batches: list[Any]) -> Any:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_stream(sink, batches[0].schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue()
