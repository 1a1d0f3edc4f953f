"""Small event files for tests, and what the tables hold afterwards."""

from __future__ import annotations

import csv
import datetime
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from metrics_platform.warehouse.client import Warehouse

Row = dict[str, Any]

FEED_HEADER = "user_id,post_id,action,time,gender,age,country,city,os,source,exp_group"
MESSAGES_HEADER = "user_id,receiver_id,time,gender,age,country,city,os,source,exp_group"
FEED_LINE = "1,2,view,2026-01-05 10:00:00,1,25,Russia,Moscow,iOS,ads,3"
MESSAGE_LINE = "1,2,2026-01-05 10:00:00,1,25,Russia,Moscow,iOS,ads,3"
NOON = datetime.datetime(2026, 1, 5, 12)
# What FEED_LINE means.
EVENT = {
    "user_id": 1, "post_id": 2, "action": "view", "time": datetime.datetime(2026, 1, 5, 10), "gender": 1, "age": 25,
    "country": "Russia", "city": "Moscow", "os": "iOS", "source": "ads", "exp_group": 3,
}  # fmt: skip


def feed_row(**changes: Any) -> Row:
    """The event of `FEED_LINE`, with changes."""
    values: Row = dict(zip(FEED_HEADER.split(","), FEED_LINE.split(","), strict=True))
    return {**values, **changes}


def message_row(**changes: Any) -> Row:
    """The event of `MESSAGE_LINE`, with changes."""
    values: Row = dict(zip(MESSAGES_HEADER.split(","), MESSAGE_LINE.split(","), strict=True))
    return {**values, **changes}


def write_csv(file: Path, rows: Iterable[Mapping[str, Any]], header: Sequence[str] | None = None, **style: Any) -> Path:
    """Write rows as CSV; `style` is that of `csv.writer`."""
    rows = list(rows)
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(header or rows[0]), **{"lineterminator": "\n", **style})
        writer.writeheader()
        writer.writerows(rows)
    return file


def write_feed(file: Path, days: int, rows_a_day: int = 3, first: datetime.date = datetime.date(2026, 1, 1)) -> Path:
    """A feed of some days; user ids count from 0, so that a lost or doubled row shows."""
    times = [
        datetime.datetime.combine(first + datetime.timedelta(days=day), datetime.time(1 + row % 20))
        for day in range(days)
        for row in range(rows_a_day)
    ]
    return write_csv(file, (feed_row(user_id=number, time=time) for number, time in enumerate(times)))


def write_messages(file: Path, days: int, rows_a_day: int = 2) -> Path:
    """The same of messages."""
    first = datetime.datetime(2026, 1, 1, 12)
    times = [first + datetime.timedelta(days=day) for day in range(days) for _ in range(rows_a_day)]
    return write_csv(file, (message_row(user_id=number, time=time) for number, time in enumerate(times)))


def write_lines(file: Path, *lines: str | bytes, header: str = FEED_HEADER) -> Path:
    """Write lines as they are, after a header."""
    encoded = [line.encode() if isinstance(line, str) else line for line in (header, *lines)]
    file.write_bytes(b"\n".join(encoded) + b"\n")
    return file


def rows_in(warehouse: Warehouse, table: str) -> list[Row]:
    """The rows of a table, in the order of all columns."""
    return warehouse.query(f"SELECT * FROM {table} ORDER BY ALL").rows


def users_in(warehouse: Warehouse, table: str) -> list[int]:
    """The user ids of a table, sorted, as often as they are there."""
    return [row["user_id"] for row in warehouse.query(f"SELECT user_id FROM {table} ORDER BY user_id").rows]


def staging_tables(warehouse: Warehouse, *tables: str) -> list[str]:
    """The staging tables of loads in the databases of these tables."""
    rows = warehouse.query(
        "SELECT name FROM system.tables "
        "WHERE startsWith(name, 'staging__load__') AND database IN {databases:Array(String)}",
        {"databases": [table.split(".")[0] for table in tables]},
    ).rows
    return [row["name"] for row in rows]
