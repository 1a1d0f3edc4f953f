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


def load_and_die(url: str, tables: dict[str, str], files: dict[str, Path], statement: int) -> int | None:
    """Load in a process that kills itself just before its n-th statement; returns its exit code (0: it got through)."""
    process = _context.Process(target=_run, args=(url, tables, files, statement))
    process.start()
    process.join(300)
    return process.exitcode


def _run(url: str, tables: dict[str, str], files: dict[str, Path], statement: int) -> None:
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with at_statement(statement, die):
        warehouse = Warehouse.from_settings(settings := load_settings(None, clickhouse_url=url, **tables))
        load(settings, warehouse, feed=files.get("feed"), messages=files.get("messages"), say=lambda _: None)


def statements_of(work: Callable[[], Any]) -> list[str]:
    """What each statement that `work` sends to ClickHouse is for, in order: the first is number 1 of `at_statement`."""
    sent: list[str] = []
    original = Warehouse._run

    def run(self: Warehouse, to_do: Any, doing: str, **options: Any) -> Any:
        sent.append(doing)
        return original(self, to_do, doing, **options)

    with mock.patch.object(Warehouse, "_run", run):
        work()
    return sent


def at_statement(number: int, happens: Callable[[], Any]) -> Any:
    """Have something happen just before the n-th statement that is sent to ClickHouse."""
    sent = 0
    original = Warehouse._run

    def run(self: Warehouse, *arguments: Any, **options: Any) -> Any:
        nonlocal sent
        sent += 1
        if sent == number:
            happens()
        return original(self, *arguments, **options)

    return mock.patch.object(Warehouse, "_run", run)
