"""The commit: staged partitions are moved into their targets, all of them, however often it is interrupted.

Moving a partition takes it out of staging and puts it into the target in one statement, by hard links. So
while ClickHouse stays up, what is left in staging is exactly what is still to be done, whoever was killed and
whenever. Only a ClickHouse that dies amid the statement can leave a part in both tables: see `arrivals`.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from metrics_platform.loading import history, staging
from metrics_platform.loading.arrivals import arrived, restarted_since, staged_parts, untouched
from metrics_platform.loading.history import Entry
from metrics_platform.loading.problems import LoadError
from metrics_platform.table_names import TableName
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.errors import WarehouseError

Say = Callable[[str], None]

# A restart of ClickHouse takes seconds; what takes longer is left to the next load.
_WAITS = (1.0, 3.0, 6.0)
_LONGEST_STATEMENT = 300
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


def is_committing_here(load_id: str) -> bool:
    """Whether a thread of this process is committing that load."""
    return load_id in _committing_here


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
    parts = staged_parts(warehouse, entry)
    if parts and restarted_since(warehouse, entry):
        for part in arrived(warehouse, entry, parts):
            _alter(warehouse, entry, f"DROP PART '{part}'")
    return list(dict.fromkeys(part["partition_id"] for part in parts))


def _move(warehouse: Warehouse, entry: Entry, partition_id: str) -> None:
    target = TableName(entry.database, entry.target).sql
    _alter(warehouse, entry, f"MOVE PARTITION ID '{partition_id}' TO TABLE {target}")


def _alter(warehouse: Warehouse, entry: Entry, what: str) -> None:
    # Never tried again as such: whether it was done must be looked at first.
    statement = f"ALTER TABLE {TableName(entry.database, entry.staging).sql} {what}"
    warehouse.execute(statement, doing=f"Committing the load into {entry.target_name}")


def _all_staged(warehouse: Warehouse, entries: Sequence[Entry]) -> bool:
    """Whether the staging tables are there: they are dropped only after the load has ended."""
    there = staging.existing(warehouse, [entry.staging for entry in entries])
    return {(entry.database, entry.staging) for entry in entries} <= there


def _give_up(warehouse: Warehouse, entries: Sequence[Entry]) -> None:
    history.end(warehouse, entries[0].load_id, history.GIVEN_UP)
    _drop_all(warehouse, entries)


def give_up_if_untouched(warehouse: Warehouse, entries: Sequence[Entry]) -> bool:
    """Give a load up as long as nothing of it has been moved; false where something has."""
    is_untouched = all(untouched(warehouse, entry) for entry in entries)
    if is_untouched:
        _give_up(warehouse, entries)
    return is_untouched


def _drop_all(warehouse: Warehouse, entries: Sequence[Entry]) -> None:
    for entry in entries:
        staging.drop(warehouse, entry.database, entry.staging)


def _interrupted(warehouse: Warehouse, entries: Sequence[Entry], error: WarehouseError) -> LoadError:
    """What to tell after a failed commit; gives it up where nothing has been moved yet."""
    try:
        if not error.transient and give_up_if_untouched(warehouse, entries):
            return LoadError(f"Nothing was loaded. {error}")
    except WarehouseError:
        pass  # the first error is the one to tell of
    return LoadError(f"The load was interrupted amid its commit, so some days may be in already. {error}\n{_NEXT_TIME}")


def _wait_for_statements(warehouse: Warehouse, entry: Entry) -> None:
    """Wait until no statement of a killed process is at work on the staging table."""
    for _ in range(_LONGEST_STATEMENT):
        running = warehouse.value(
            "SELECT count() FROM system.processes "
            "WHERE position(query, {staging:String}) > 0 AND query_id != queryID()",
            {"staging": entry.staging},
        )
        if not running:
            return
        time.sleep(1)


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
            say("The interrupt waited for the commit.")
        for number in held:
            signal.raise_signal(number)
