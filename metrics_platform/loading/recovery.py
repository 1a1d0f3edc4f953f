"""Loads that were interrupted amid their commit: whose they are, and their completion before anything else."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from metrics_platform.loading import history, staging
from metrics_platform.loading.commit import complete, give_up_if_untouched, is_committing_here
from metrics_platform.loading.history import Entry
from metrics_platform.loading.problems import LoadError
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.errors import WarehouseError

_LONGEST_WAIT = 300


def complete_interrupted(warehouse: Warehouse, say: Callable[[str], None]) -> list[Entry]:
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
            if not give_up_if_untouched(warehouse, entries):
                raise LoadError(f"{load} cannot be completed. {error}\n{_way_out(entries)}") from error
            is_complete = False
        say(f"{load} was {'completed' if is_complete else 'given up: ClickHouse cannot complete it'}.")
        completed += entries if is_complete else []
    return completed


def _wait_for_its_end(warehouse: Warehouse, load_id: str, say: Callable[[str], None]) -> bool:
    """Wait until an open load has ended (false) or its process is surely gone (true)."""
    deadline = time.monotonic() + _LONGEST_WAIT
    said = False
    while (entries := history.open_loads(warehouse).get(load_id)) is not None:
        if not is_committing_here(load_id) and _is_abandoned(warehouse, entries):
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
    return staging.existing(warehouse, [entry.staging for entry in entries]) <= idle


def _way_out(entries: Sequence[Entry]) -> str:
    tables = ", ".join(f"{entry.database}.{entry.staging}" for entry in entries)
    return (
        f"What is not in yet stands in {tables}. Remove what hinders it and load again, or drop one of these tables: "
        "then the rest is given up."
    )
