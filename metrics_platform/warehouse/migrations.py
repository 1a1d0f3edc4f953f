"""Numbered migrations: how tables that an earlier version has made become those of this one, with all their rows.

`create_tables` runs them before it compares columns. A migration finds by the columns whether it is needed, so running
it again does nothing. Two processes may run the same one at the same time: its statements lead to the same table from
whatever the other has done so far, and are tried again where ClickHouse asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.tables import APP_DAILY

# Column → type, of a table that exists.
Types = Mapping[str, str]


@dataclass(frozen=True)
class Migration:
    """One change of a table.

    Attributes:
        number: ascending and never used again.
        table: the table's name.
        title: what changes, for people.
        is_needed: whether a table with these columns is still as before.
        statements: run in their order; each may run twice.
    """

    number: int
    table: str
    title: str
    is_needed: Callable[[Types], bool]
    statements: tuple[str, ...]


MIGRATIONS = (
    Migration(
        1,
        APP_DAILY.name,
        "wau and mau may be NULL, where the events do not go back so far",
        lambda types: "Int64" in (types.get("wau"), types.get("mau")),
        (
            "ALTER TABLE app_daily "
            "MODIFY COLUMN wau Nullable(Int64) COMMENT 'distinct active users of the 7 days that end with the day; "
            "NULL: the events do not go back so far', "
            "MODIFY COLUMN mau Nullable(Int64) COMMENT 'distinct active users of the 28 days that end with the day; "
            "NULL: the events do not go back so far', "
            "COMMENT COLUMN stickiness 'app_dau / mau, 0.2 is 20 %; NULL: no mau, or nobody in 28 days'",
        ),
    ),
)


def pending(tables: Mapping[str, Types]) -> list[Migration]:
    """The migrations that these tables (name → columns with their types) still need, in their order."""
    return [each for each in MIGRATIONS if each.table in tables and each.is_needed(tables[each.table])]


def migrate(warehouse: Warehouse, tables: Mapping[str, Types]) -> list[Migration]:
    """Run the migrations that these tables need; returns them.

    Raises:
        WarehouseError: ClickHouse refused (no right to alter), failed or did not answer; no row is lost.
    """
    needed = pending(tables)
    for migration in needed:
        for statement in migration.statements:
            warehouse.execute(
                statement,
                doing=f"Migration {migration.number} of {migration.table} ({migration.title})",
                repeatable=True,
            )
    return needed
