"""Question 5: how long the code location takes to load, beside `import dagster`."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

_DAGSTER = "import dagster"
_LOCATION = "from metrics_platform.definitions import defs; defs.get_repository_def()"


@dataclass(frozen=True)
class Result:
    """Median seconds of a new Python process, without those that Python itself takes."""

    dagster: float
    location: float

    @property
    def ratio(self) -> float:
        return self.location / self.dagster


def run(times: int) -> Result:
    """Start both in turns, several times; returns the median of each."""
    taken: dict[str, list[float]] = {"pass": [], _DAGSTER: [], _LOCATION: []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(times + 1):
            for code, seconds in taken.items():
                seconds.append(_seconds(code, folder))
    # The first of each fills the file system's cache.
    bare, dagster, location = (statistics.median(seconds[1:]) for seconds in taken.values())
    return Result(dagster - bare, location - bare)


def _seconds(code: str, folder: str) -> float:
    # With compiled files, as wherever it runs a second time.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, check=True)  # noqa: S603
    return time.perf_counter() - began


def summary(result: Result) -> str:
    """The result in Markdown."""
    return (
        f"`import dagster` {result.dagster:.2f} s; the code location, loaded, {result.location:.2f} s: "
        f"**{result.ratio:.2f} times**."
    )
