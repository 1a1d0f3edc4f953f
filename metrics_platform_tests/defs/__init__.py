"""Tests of what is Dagster. Its SQLite storage is prepared once a process, which halves their time.

Dagster makes an engine for each connection and reads its own migrations for each database, of which every run has one.
"""

import functools
from typing import Any

from alembic.script import ScriptDirectory
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from sqlalchemy import Engine, NullPool, create_engine


@functools.lru_cache(maxsize=32)
def _engine(database: str) -> Engine:
    return create_engine(database, poolclass=NullPool, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})


def _engine_of(database: str, **_: Any) -> Engine:
    return _engine(database)


ScriptDirectory.from_config = functools.cache(ScriptDirectory.from_config)  # type: ignore[method-assign]
for storage in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
    storage.create_engine = _engine_of  # type: ignore[attr-defined]
