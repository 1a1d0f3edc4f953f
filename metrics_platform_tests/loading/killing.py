"""Loads that die: a process of its own that kills itself, or the ClickHouse it speaks to, at a statement."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from metrics_platform.loading import load
from metrics_platform.settings import load_settings
from metrics_platform.warehouse.client import Warehouse

# Processes come from one that has imported everything, so that each costs milliseconds.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__, "pandas", "clickhouse_connect", "pyarrow.parquet"])


def in_new_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function answers in a process of its own."""
    with _context.Pool(1) as pool:
        return pool.apply(function, arguments)


def load_and_die(url: str, tables: dict[str, str], files: dict[str, Path], operation: str, number: int) -> int | None:
    """Load in a process that kills itself just before the n-th statement of a kind; returns its exit code."""
    process = _context.Process(target=_run, args=(url, tables, files, operation, number))
    process.start()
    process.join(300)
    return process.exitcode


def _run(url: str, tables: dict[str, str], files: dict[str, Path], operation: str, number: int) -> None:
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with at_statement(operation, die, number):
        warehouse = Warehouse.from_settings(settings := load_settings(None, clickhouse_url=url, **tables))
        load(settings, warehouse, feed=files.get("feed"), messages=files.get("messages"), say=lambda _: None)


def at_statement(prefix: str, happens: Callable[[], Any], number: int = 1) -> Any:
    """Have something happen just before the n-th statement whose operation begins with `prefix`."""
    sent = 0
    original = Warehouse._run

    def run(self: Warehouse, work: Any, operation: str, **options: Any) -> Any:
        nonlocal sent
        sent += operation.startswith(prefix)
        if sent == number and operation.startswith(prefix):
            happens()
        return original(self, work, operation, **options)

    return mock.patch.object(Warehouse, "_run", run)
