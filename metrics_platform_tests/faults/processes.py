"""`daily_etl` of a long range: a process for the run, and one for each step."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from metrics_platform.settings import Settings
from metrics_platform_tests.faults.world import DAY

_LOCATION = """\
from metrics_platform.defs import executor

executor.MOST_DAYS_IN_ONE_PROCESS = 0  # a day is executed like a long range

from metrics_platform.definitions import defs
"""


@contextmanager
def dagster_job(settings: Settings, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`dagster job execute` for the day, with its home in `directory`; nothing of it is left after the block."""
    assert settings.clickhouse_url is not None
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(directory),
        "METRICS_CLICKHOUSE_URL": settings.clickhouse_url.get_secret_value(),
        "METRICS_FEED_TABLE": settings.feed_table,
        "METRICS_MESSAGES_TABLE": settings.messages_table,
        "METRICS_START_DATE": settings.start_date.isoformat(),
    }
    tags = json.dumps({"dagster/partition": DAY.isoformat()})
    location = directory / "location.py"
    location.write_text(_LOCATION, encoding="utf-8")
    command = ["job", "execute", "-f", str(location), "-j", "daily_etl", "--tags", tags]
    with (directory / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster", *command],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # its processes form a group, by which orphans are found
        )
        try:
            yield process
        finally:
            for left in _group(process):
                left.kill()
            process.wait()


def kill_processes(run: subprocess.Popen[bytes], victim: str) -> None:
    """`kill -9` of the run's own process, of its steps' processes, or of all of them."""
    parent = psutil.Process(run.pid)
    (fork_server,) = [child for child in parent.children() if "forkserver" in " ".join(child.cmdline())]
    steps = fork_server.children()
    assert steps
    for process in {"run": [parent], "step": steps, "all": [parent, fork_server, *steps]}[victim]:
        process.send_signal(signal.SIGKILL)


def orphans_gone(run: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """Wait until the steps that outlive a killed run have ended on their own."""
    deadline = time.monotonic() + seconds
    while _group(run):
        assert time.monotonic() < deadline, f"still there: {_group(run)}"
        time.sleep(0.05)


def _group(run: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The living processes of the run's group."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == run.pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found
