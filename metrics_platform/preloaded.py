"""Modules that the fork server of a range of days loads once for all steps: the code location, and what Dagster and the
driver import lazily. A step is a fork of that server and begins 0.2 s after Dagster requests it, instead of 0.6 s.

Do not open anything here: connections and threads do not survive the fork.
"""

from __future__ import annotations

import importlib
from contextlib import suppress

import metrics_platform.definitions  # noqa: F401

# Dagster may rename its private modules. If one of them is missing, the step imports what it needs as usual.
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
