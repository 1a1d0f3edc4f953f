"""The notebook way to the same slices, as it is taught and as it runs in many an Airflow: per-user frames into pandas.

Written as its authors write it, with the faster of the drivers in use; it does less than the platform does: no users'
snapshot, so that receivers have no attributes, no report's facts, no check, and rows twice when it is run twice.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from benchmarks.source import read_query
from metrics_platform.time_windows import Day

if TYPE_CHECKING:
    import pandas as pd
    from clickhouse_connect.driver.client import Client

MEASURES = ["views", "likes", "messages_received", "messages_sent", "users_received", "users_sent"]
_SLICES = ("os", "gender", "age")
CREATE = """
CREATE OR REPLACE TABLE notebook
(
    event_date Date, dimension String, dimension_value String, views Int64, likes Int64, messages_received Int64,
    messages_sent Int64, users_received Int64, users_sent Int64
)
ENGINE = MergeTree ORDER BY event_date
"""


def compute(client: Client, database: str, day: Day) -> None:
    """One day: extract twice, merge, slice three times, insert."""
    import pandas as pd  # noqa: PLC0415  (its import is not part of what is timed)

    feed = _frame(client, "notebook_feed", database, day)
    messages = _frame(client, "notebook_messages", database, day)
    users = feed.merge(messages, on=["user_id", "os", "gender", "age"], how="outer").fillna(dict.fromkeys(MEASURES, 0))
    slices = pd.concat([_slice(users, dimension, day.date) for dimension in _SLICES])
    client.insert_df("notebook", slices)


def _frame(client: Client, query: str, database: str, day: Day) -> pd.DataFrame:
    parameters = {
        "database": database,
        "day_start": f"{day.start:%Y-%m-%d %H:%M:%S}",
        "day_end": f"{day.end:%Y-%m-%d %H:%M:%S}",
    }
    return client.query_df(read_query(query), parameters=parameters)


def _slice(users: pd.DataFrame, dimension: str, date: datetime.date) -> pd.DataFrame:
    found = users.groupby(dimension)[MEASURES].sum().reset_index()
    found = found.rename(columns={dimension: "dimension_value"}).astype({"dimension_value": str})
    found.insert(0, "dimension", dimension)
    found.insert(0, "event_date", date)
    return found.astype(dict.fromkeys(MEASURES, "int64"))
