"""Reading `app_daily`: the facts of a few days."""

from __future__ import annotations

import datetime

from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import tables_are_there
from metrics_platform.warehouse.tables import APP_DAILY, read_sql


def read_app_days(
    warehouse: Warehouse, first: datetime.date, last: datetime.date
) -> dict[datetime.date, dict[str, float | None]]:
    """The metrics (columns of `app_daily`) of each day from `first` to `last` that has been computed, by its date.

    Empty before the first load, when the table or the database may not exist.

    Raises:
        WarehouseError: ClickHouse refused, failed or did not answer.
        SchemaMismatchError: the table has other columns than this version reads.
    """
    if not tables_are_there(warehouse, [APP_DAILY]):
        return {}
    answer = warehouse.query(
        read_sql("queries/app_days.sql"),
        {"first": first, "last": last},
        doing=f"Reading {APP_DAILY.name} from {first} to {last}",
    )
    return {row.pop("event_date"): row for row in map(dict, answer.rows)}
