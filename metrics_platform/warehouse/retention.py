"""Retention: drop whole partitions that are older than the settings allow.

Not a TTL of the tables: staging tables are made like theirs and would inherit it, so that a backfill of old slots would
lose rows while it is being verified. `DROP PARTITION` needs no right that swapping a partition does not need, too.
"""

from __future__ import annotations

import datetime
from calendar import monthrange
from collections.abc import Mapping

from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.partitions import STAGING_PREFIX, drop_idle_staging_tables
from metrics_platform.warehouse.tables import (
    APP_DAILY,
    DIMENSION_METRICS,
    EXTRACTS,
    INCIDENTS,
    METRIC_DAILY,
    MONITORED_SLOTS,
    SLICE_VALUES,
    SLOT_METRICS,
    USER_COHORTS,
    USER_DAILY,
    USERS,
    VERDICTS,
    slice_table,
)

_OF_DAYS = tuple(table.name for table in (USERS, *EXTRACTS, USER_DAILY))
# Recently written partitions are in use: a backfill may compute days that are older than the retention.
_WRITTEN_HOURS = 24
_PARTITIONS = """
SELECT table, partition, max(modification_time) > now() - toIntervalHour({hours:UInt8}) AS is_in_use
FROM system.parts
WHERE database = currentDatabase() AND active AND table IN {tables:Array(String)}
GROUP BY table, partition
ORDER BY table, partition
"""


def drop_old_data(warehouse: Warehouse, settings: Settings, today: datetime.date) -> list[str]:
    """Drop partitions that are older than the settings allow, and staging tables that are not in use.

    Returns what was dropped, as `table partition` and names of staging tables.
    """
    # If the product's events have ended, the last ones are kept.
    first_kept = first_days_kept(settings, min(today, settings.end_date or today))
    parameters = {"tables": list(first_kept), "hours": _WRITTEN_HOURS}
    partitions = warehouse.query(_PARTITIONS, parameters, operation="Looking for old partitions").rows
    latest = max((row["partition"] for row in partitions if row["table"] == USERS.name), default="")
    dropped = []
    for row in partitions:
        table, partition = row["table"], row["partition"]
        if last_day_of(partition) >= first_kept[table]:
            continue
        if table in _OF_DAYS and row["is_in_use"]:
            continue
        if table == USERS.name and (partition == latest or is_base(partition, settings)):
            continue
        # The table's name is ours, the partition's is ClickHouse's own.
        warehouse.execute(
            f"ALTER TABLE `{table}` DROP PARTITION '{partition}'"
            if "-" in partition
            else f"ALTER TABLE `{table}` DROP PARTITION {partition}",
            operation=f"Dropping {table} of {partition}, which is older than the settings say",
            repeatable=True,
        )
        dropped.append(f"{table} {partition}")
    return [*dropped, *drop_idle_staging_tables(warehouse, STAGING_PREFIX, settings.keep_staging_hours * 3600)]


def first_days_kept(settings: Settings, today: datetime.date) -> Mapping[str, datetime.date]:
    """Table → the oldest day to keep, in UTC."""
    slots = today - datetime.timedelta(days=settings.keep_slots_days)
    incidents = today - datetime.timedelta(days=settings.keep_incidents_days)
    users = today - datetime.timedelta(days=settings.keep_users_days)
    daily = today - datetime.timedelta(days=settings.keep_daily_days)
    results = (*map(slice_table, settings.dimensions), DIMENSION_METRICS, APP_DAILY, USER_COHORTS, METRIC_DAILY)
    return {
        **dict.fromkeys((table.name for table in (USERS, *EXTRACTS)), users),
        USER_DAILY.name: today - datetime.timedelta(days=settings.keep_user_daily_days),
        **dict.fromkeys((table.name for table in results), daily),
        SLICE_VALUES.name: min(daily, slots),  # both are sliced by them
        SLOT_METRICS.name: slots,
        VERDICTS.name: slots,
        INCIDENTS.name: incidents,
        MONITORED_SLOTS.name: incidents,
    }


def is_base(partition: str, settings: Settings) -> bool:
    """Whether a snapshot of `users` stays, so that older days can be computed from it.

    These are the snapshots of each month's first day, and that of all users before the product's first day.
    """
    date = datetime.date.fromisoformat(partition)
    return date.day == 1 or date < settings.start_date


def last_day_of(partition: str) -> datetime.date:
    """The last day of a partition, `2026-11-20` or the month `202611`; raises ValueError on anything else."""
    if "-" in partition:
        return datetime.date.fromisoformat(partition)
    year, month = int(partition[:4]), int(partition[4:])
    return datetime.date(year, month, monthrange(year, month)[1])
