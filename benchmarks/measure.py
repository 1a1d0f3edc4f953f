"""What a piece of work costs: wall time, processor time and memory, of this process and of ClickHouse apart."""

from __future__ import annotations

import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import psutil

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
_SAMPLED_EVERY = 0.01
MIB = 1024 * 1024


@dataclass(frozen=True)
class Usage:
    """Of one piece of work.

    Attributes:
        seconds: wall time.
        client_seconds: processor time of the Python process.
        engine_seconds: processor time of ClickHouse, its merges and its HTTP included.
        client_mib: by how much the Python process grew, at its peak.
    """

    seconds: float
    client_seconds: float
    engine_seconds: float
    client_mib: float

    @property
    def processor_seconds(self) -> float:
        """Of both together."""
        return self.client_seconds + self.engine_seconds


def measured(engine_pid: int, work: Callable[[], object]) -> Usage:
    """Do the work once; what it cost."""
    client, engine = psutil.Process(), psutil.Process(engine_pid)
    before = client.memory_info().rss
    peak, done = before, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(_SAMPLED_EVERY):
            peak = max(peak, client.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    client_began, engine_began, began = processor_seconds(client), processor_seconds(engine), time.perf_counter()
    try:
        work()
    finally:
        seconds = time.perf_counter() - began
        done.set()
        watcher.join()
    return Usage(
        seconds,
        processor_seconds(client) - client_began,
        processor_seconds(engine) - engine_began,
        (max(peak, client.memory_info().rss) - before) / MIB,
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column to the left, numbers to the right."""
    lines = [columns, ["---", *("---:" for _ in columns[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def processor_seconds(process: psutil.Process) -> float:
    """The processor time that a process has taken so far, of all its threads."""
    times = process.cpu_times()
    return float(times.user + times.system)


def median_usage(usages: Iterable[Usage]) -> Usage:
    """Of several times the same work: the median of each figure; of memory the most."""
    every = list(usages)
    return Usage(
        statistics.median(each.seconds for each in every),
        statistics.median(each.client_seconds for each in every),
        statistics.median(each.engine_seconds for each in every),
        max(each.client_mib for each in every),
    )


def alone(work: Callable[_Parameters, _Result], *arguments: _Parameters.args, **options: _Parameters.kwargs) -> _Result:
    """What `work` returns in a new process of its own, which has nothing in its memory from before."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
        return processes.submit(work, *arguments, **options).result()


def median_seconds(work: Callable[[], object], times: int = 3) -> float:
    """The median wall time of repeating the work."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)
