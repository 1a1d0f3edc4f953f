"""The commit: staged partitions are moved into their targets, all of them, however often it is interrupted.

Moving a partition takes it out of staging and puts it into the target in one statement, by hard links. So
while ClickHouse stays up, what is left in staging is exactly what is still to be done, whoever was killed and
whenever. Only a ClickHouse that dies amid the statement can leave a part in both tables; then the target's
parts tell which ones arrived: by the hash of their content and a block number above those recorded before the
commit, or, where they have been merged away since, by their rows.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from metrics_platform.loading import history, staging
from metrics_platform.loading.history import Entry
from metrics_platform.loading.problems import LoadError
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.tables import read_sql

Say = Callable[[str], None]
Row = dict[str, Any]

# A restart of ClickHouse takes seconds; what takes longer is left to the next load.
_WAITS = (1.0, 3.0, 6.0)
_LONGEST_WAIT_FOR_OTHERS = 300
# Clocks in ClickHouse have whole seconds here.
_CLOCK_SLACK = 2
_NEXT_TIME = (
    "Then run `metrics-platform load` again: before anything else it brings in exactly what is missing, and it does "
    "not load the same file twice."
)
_committing_here: set[str] = set()


def commit(warehouse: Warehouse, entries: Sequence[Entry], say: Say) -> None:
    """Load what is staged, all of it or nothing; an interrupt (Ctrl-C, SIGTERM) waits until it is done.

    Raises:
        LoadError: says whether nothing was loaded or the rest comes with the next load.
    """
    load_id = entries[0].load_id
    _committing_here.add(load_id)
    try:
        with _undisturbed(say):
            _begin(warehouse, entries)
            try:
                complete(warehouse, entries, just_begun=True)
            except WarehouseError as error:
                raise _interrupted(warehouse, entries, error) from error
    finally:
        _committing_here.discard(load_id)


def complete(warehouse: Warehouse, entries: Sequence[Entry], *, just_begun: bool = False) -> bool:
    """Move what is left of a load that has begun to commit; false where it had to be given up.

    `just_begun`: by this process, so that nothing has been moved yet and nobody else is at it.

    Raises:
        WarehouseError: ClickHouse refused, or was away too long; calling again goes on.
    """
    waits = iter(_WAITS)
    while True:
        try:
            if not just_begun and not _all_staged(warehouse, entries):
                _give_up(warehouse, entries)
                return False
            for entry in entries:
                left = entry.partition_ids if just_begun else _settle(warehouse, entry)
                for partition_id in left:
                    _move(warehouse, entry, partition_id)
            history.end(warehouse, entries[0].load_id, history.COMMITTED)
            break
        except WarehouseError as error:
            wait = next(waits, None)
            if wait is None or not error.transient:
                raise
            just_begun = False
            time.sleep(wait)
    _drop_all(warehouse, entries)
    return True


def complete_interrupted(warehouse: Warehouse, say: Say) -> list[Entry]:
    """Complete every load whose process died amid its commit, oldest first; waits for those still at it.

    Raises:
        WarehouseError: ClickHouse is away.
        LoadError: another process has been committing for minutes, or ClickHouse refuses to complete a load.
    """
    completed: list[Entry] = []
    for load_id, entries in history.open_loads(warehouse).items():
        if not _wait_for_its_end(warehouse, load_id, say):
            continue
        load = f"The interrupted load of {' and '.join(entry.file for entry in entries)} ({entries[0].since})"
        try:
            is_complete = complete(warehouse, entries)
        except WarehouseError as error:
            if error.transient:
                raise
            if not _give_up_if_untouched(warehouse, entries):
                raise LoadError(f"{load} cannot be completed. {error}\n{_way_out(entries)}") from error
            is_complete = False
        say(f"{load} was {'completed' if is_complete else 'given up: ClickHouse cannot complete it'}.")
        completed += entries if is_complete else []
    return completed


def partitions_before(warehouse: Warehouse, database: str, staged: str, target: str) -> list[Row]:
    """Of each staged partition: its `partition_id`, and the `highest_block` and `rows` that it has in the target."""
    sql = read_sql("queries/load/partitions_before.sql")
    parameters = {"database": database, "staging": staged, "target": target}
    return warehouse.query(sql, parameters, doing="Looking at the partitions").rows


def _begin(warehouse: Warehouse, entries: Sequence[Entry]) -> None:
    try:
        history.begin(warehouse, entries)
    except WarehouseError as error:
        if error.transient:  # the record may stand there: only a later load can tell
            raise LoadError(f"Whether the load was committed is not known. {error}\n{_NEXT_TIME}") from error
        _drop_all(warehouse, entries)
        raise LoadError(f"Nothing was loaded. {error}") from error


def _settle(warehouse: Warehouse, entry: Entry) -> list[str]:
    """After an interruption: drop from staging what is in the target already; returns the partitions that are left."""
    _wait_for_statements(warehouse, entry)
    parts = _parts(warehouse, entry)
    if parts and _restarted_since(warehouse, entry):
        for part in _arrived(warehouse, entry, parts):
            _alter(warehouse, entry, f"DROP PART '{part}'")
    return list(dict.fromkeys(part["partition_id"] for part in parts))


def _move(warehouse: Warehouse, entry: Entry, partition_id: str) -> None:
    _alter(warehouse, entry, f"MOVE PARTITION ID '{partition_id}' TO TABLE `{entry.database}`.`{entry.target}`")


def _alter(warehouse: Warehouse, entry: Entry, what: str) -> None:
    # Never tried again as such: whether it was done must be looked at first.
    statement = f"ALTER TABLE `{entry.database}`.`{entry.staging}` {what}"
    warehouse.execute(statement, doing=f"Committing the load into {entry.target_name}")


def _arrived(warehouse: Warehouse, entry: Entry, parts: list[Row]) -> list[str]:
    """The names of those staged parts whose rows are in the target already."""
    known = dict(zip(entry.partition_ids, zip(entry.highest_blocks, entry.rows_before, strict=True), strict=True))
    rows = partitions_before(warehouse, entry.database, entry.staging, entry.target)
    now = {row["partition_id"]: row for row in rows}
    twins = Counter(
        (row["partition_id"], row["hash"])
        for row in warehouse.query(
            read_sql("queries/load/arrived_parts.sql"),
            {"database": entry.database, "target": entry.target, "staging": entry.staging},
        ).rows
        if row["partition_id"] in known and row["block"] > known[row["partition_id"]][0]
    )
    arrived = []
    for part in parts:
        partition_id = part["partition_id"]
        highest_block, rows_before = known[partition_id]
        if twins[partition_id, part["hash"]] > 0:
            twins[partition_id, part["hash"]] -= 1
            arrived.append(part["name"])
        elif now[partition_id]["highest_block"] > highest_block:
            # Somebody has written here: this part, since merged away, or others. Its rows tell.
            grown = now[partition_id]["rows"] >= rows_before + part["rows"]
            if grown and not _rows_not_in_target(warehouse, entry, part):
                arrived.append(part["name"])
    return arrived


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


def _restarted_since(warehouse: Warehouse, entry: Entry) -> bool:
    return bool(
        warehouse.value(
            "SELECT toUnixTimestamp(now()) - uptime() > {begun_at:Int64} - {slack:Int64}",
            {"begun_at": int(entry.changed_at.timestamp()), "slack": _CLOCK_SLACK},
        )
    )


def _all_staged(warehouse: Warehouse, entries: Sequence[Entry]) -> bool:
    """Whether the staging tables are there: they are dropped only after the load has ended."""
    return {(entry.database, entry.staging) for entry in entries} <= _existing(warehouse, entries)


def _existing(warehouse: Warehouse, entries: Sequence[Entry]) -> set[tuple[str, str]]:
    rows = warehouse.query(
        "SELECT database, name FROM system.tables WHERE name IN {names:Array(String)}",
        {"names": [entry.staging for entry in entries]},
    ).rows
    return {(row["database"], row["name"]) for row in rows}


def _give_up(warehouse: Warehouse, entries: Sequence[Entry]) -> None:
    history.end(warehouse, entries[0].load_id, history.GIVEN_UP)
    _drop_all(warehouse, entries)


def _give_up_if_untouched(warehouse: Warehouse, entries: Sequence[Entry]) -> bool:
    """Give a load up as long as nothing of it has been moved; false where something has."""
    untouched = all(_untouched(warehouse, entry) for entry in entries)
    if untouched:
        _give_up(warehouse, entries)
    return untouched


def _way_out(entries: Sequence[Entry]) -> str:
    tables = ", ".join(f"{entry.database}.{entry.staging}" for entry in entries)
    return (
        f"What is not in yet stands in {tables}. Remove what hinders it and load again, or drop one of these tables: "
        "then the rest is given up."
    )


def _drop_all(warehouse: Warehouse, entries: Sequence[Entry]) -> None:
    for entry in entries:
        staging.drop(warehouse, entry.database, entry.staging)


def _interrupted(warehouse: Warehouse, entries: Sequence[Entry], error: WarehouseError) -> LoadError:
    """What to tell after a failed commit; gives it up where nothing has been moved yet."""
    try:
        if not error.transient and _give_up_if_untouched(warehouse, entries):
            return LoadError(f"Nothing was loaded. {error}")
    except WarehouseError:
        pass  # the first error is the one to tell of
    return LoadError(f"The load was interrupted amid its commit, so some days may be in already. {error}\n{_NEXT_TIME}")


def _untouched(warehouse: Warehouse, entry: Entry) -> bool:
    parts = _parts(warehouse, entry)
    return sum(part["rows"] for part in parts) == entry.rows and not _arrived(warehouse, entry, parts)


def _wait_for_its_end(warehouse: Warehouse, load_id: str, say: Say) -> bool:
    """Wait until an open load has ended (false) or its process is surely gone (true)."""
    deadline = time.monotonic() + _LONGEST_WAIT_FOR_OTHERS
    said = False
    while (entries := history.open_loads(warehouse).get(load_id)) is not None:
        if load_id not in _committing_here and _is_abandoned(warehouse, entries):
            return True
        if time.monotonic() > deadline:
            raise LoadError(
                f"Another load has been committing for minutes ({entries[0].owner}, {entries[0].file}). Wait for it, "
                "or end that process, and load again."
            )
        if not said:
            say(f"Waiting for another load that is committing ({entries[0].owner}, {entries[0].file}) …")
            said = True
        time.sleep(1)
    return False


def _is_abandoned(warehouse: Warehouse, entries: Sequence[Entry]) -> bool:
    owner = entries[0].owner
    if owner == history.this_process() or history.is_dead(owner):
        return True
    databases = {entry.database for entry in entries}
    idle = {(database, name) for database in databases for name in staging.idle(warehouse, database)}
    return _existing(warehouse, entries) <= idle


def _wait_for_statements(warehouse: Warehouse, entry: Entry) -> None:
    """Wait until no statement of a killed process is at work on the staging table."""
    for _ in range(_LONGEST_WAIT_FOR_OTHERS):
        running = warehouse.value(
            "SELECT count() FROM system.processes "
            "WHERE position(query, {staging:String}) > 0 AND query_id != queryID()",
            {"staging": entry.staging},
        )
        if not running:
            return
        time.sleep(1)


def _parts(warehouse: Warehouse, entry: Entry) -> list[Row]:
    sql = read_sql("queries/load/staged_parts.sql")
    parameters = {"database": entry.database, "staging": entry.staging}
    return warehouse.query(sql, parameters, doing="Looking at what is staged").rows


@contextmanager
def _undisturbed(say: Say) -> Iterator[None]:
    """Hold back Ctrl-C and SIGTERM until the end of the block, then let them act."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    both = (signal.SIGINT, signal.SIGTERM)
    before = {one: signal.signal(one, lambda number, _: held.append(number)) for one in both}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler or signal.SIG_DFL)
        if held:
            say("Interrupted amid the commit, which was finished first.")
        for number in held:
            signal.raise_signal(number)
