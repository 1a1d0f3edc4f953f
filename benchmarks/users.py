"""Question: what does the snapshot of all users cost in a night, beside copying it unchanged?"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from benchmarks.measure import MIB, Usage, measured, median_usage
from benchmarks.source import DATE, create_source, empty_clickhouse, read_query, settings_of
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.daily import compute_days
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.tables import USERS, daily_tables

_DAY_BEFORE = DATE - datetime.timedelta(days=1)
_COPY = """
INSERT INTO copy SELECT * REPLACE ({date:Date} AS event_date)
FROM (SELECT * FROM users WHERE event_date = {before:Date})
"""


@dataclass(frozen=True)
class Result:
    """The snapshot of a day, checked and swapped in; and a copy of the one before, by a single statement."""

    known: int
    active: int
    snapshot: Usage
    copy: Usage
    stored_mib: float


def run(known: int, active: int, times: int) -> Result:
    """Continue a snapshot of `known` users by a day of `active` ones, and copy it, in turns."""
    with empty_clickhouse() as server:
        settings = settings_of(server.url, "users", _DAY_BEFORE - datetime.timedelta(days=1))
        warehouse = create_source(settings)
        create_tables(warehouse, daily_tables(settings.dimensions))
        warehouse.execute("CREATE TABLE copy AS users")
        warehouse.execute(read_query("known_users"), {"date": _DAY_BEFORE, "known": known})
        warehouse.execute(read_query("active_users"), {"date": DATE, "known": known, "active": active})
        snapshots, copies = [], []
        for _ in range(times):
            snapshots.append(measured(server.pid, lambda: _snapshot(warehouse, settings)))
            copies.append(measured(server.pid, lambda: _copy(warehouse)))
            warehouse.execute("TRUNCATE TABLE copy")
        stored = (
            "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND table = 'users' AND partition = {day:String}"
        )
        return Result(
            known,
            active,
            median_usage(snapshots),
            median_usage(copies),
            int(warehouse.value(stored, {"day": DATE.isoformat()})) / MIB,
        )


def _snapshot(warehouse: Warehouse, settings: Settings) -> None:
    (result,) = compute_days(warehouse, USERS, [DATE], settings)
    if not result.published:
        raise RuntimeError(f"{USERS.name} does not add up: {result.violations}")


def _copy(warehouse: Warehouse) -> None:
    warehouse.execute(_COPY, {"date": DATE, "before": _DAY_BEFORE})


def summary(result: Result) -> str:
    """The result in Markdown."""
    snapshot, copy = result.snapshot.processor_seconds, result.copy.processor_seconds
    return (
        f"{result.known / 1e6:g} M known users, of whom {result.active / 1e6:g} M are active on the day: the snapshot, "
        f"checked and swapped in, takes {snapshot:.1f} s of processor time, **{snapshot / copy:.1f} times a plain "
        f"copy** of the day before ({copy:.1f} s). It is stored in {result.stored_mib:.0f} MiB."
    )
