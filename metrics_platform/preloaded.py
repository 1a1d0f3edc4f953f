"""What the fork server of a run loads once, so that none of its steps has to: the code location, and what Dagster and
the driver load on use. A step is a fork of it and begins 0.2 s, instead of 0.6 s, after Dagster has asked for it
(`python -m benchmarks backfill`).

Nothing is opened here: a connection, or a thread, would not survive the fork.
"""

from __future__ import annotations

import importlib
from contextlib import suppress

import metrics_platform.definitions  # noqa: F401

# Dagster's own are no names that it promises to keep: what is not there any more is loaded by the step, as ever.
_ON_USE = (
    "clickhouse_connect",
    "clickhouse_connect.driver.httpclient",
    "dagster._core.instance.factory",
    "dagster._core.storage.event_log",
    "dagster._core.storage.runs",
    "dagster._core.storage.schedules",
    "dagster._core.storage.sqlite_storage",
    "dagster._core.remote_representation.external",
    "dagster._core.workspace.context",
    "dagster._core.workspace.autodiscovery",
    "dagster._daemon.controller",
    "upath",
    "dagster_postgres",
)
for _name in _ON_USE:
    with suppress(ImportError):
        importlib.import_module(_name)
