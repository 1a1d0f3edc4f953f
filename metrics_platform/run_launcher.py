"""Dagster's own launcher of runs, which also says whether the process of a run still lives.

Dagster's default launcher cannot: runs that died with their server (Ctrl-C, a power cut, out of memory) stay «started»
and hold the places of their pools for hours. With this one, run monitoring marks them as failed within a minute, and
starts again what `run_retries` allows. For one machine, as `dagster dev` and .dagster/dagster.yaml are.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from dagster import DagsterEventType, DagsterRun
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus

# Dagster's tag with the address of the server that executes a run.
_SERVER = ".dagster/grpc_info"
_THIS_MACHINE = {"localhost", "127.0.0.1"}
# The clock of the kernel counts in hundredths of a second since it started, ours may have been set since.
_CLOCKS_DIFFER_SECONDS = 60.0


class LocalRunLauncher(DefaultRunLauncher):
    """Launches runs on this machine's code server, and knows when their processes are gone."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """RUNNING, or NOT_FOUND where the run's process is gone; what cannot be told is taken for RUNNING."""
        server = json.loads(run.tags.get(_SERVER, "{}"))
        # A command that executes a run by itself has no server, and its process is on a machine that is not told.
        if server.get("host") not in _THIS_MACHINE:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        for entry in self._instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT):
            data = entry.dagster_event.engine_event_data if entry.dagster_event else None
            if data and "pid" in data.metadata:
                process = int(str(data.metadata["pid"].value))
                if _lives(process, entry.timestamp):
                    return CheckRunHealthResult(WorkerStatus.RUNNING)
                return CheckRunHealthResult(WorkerStatus.NOT_FOUND, msg=f"its process ({process}) is gone")
        return CheckRunHealthResult(WorkerStatus.RUNNING)


def _lives(process: int, known_at: float) -> bool:
    """Whether the process that had this id at `known_at` (seconds since 1970) is there, and no zombie."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is somebody's
    try:
        state, *fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        boot = next(
            float(line.split()[1])
            for line in Path("/proc/stat").read_text(encoding="utf-8").splitlines()
            if line.startswith("btime ")
        )
    except (OSError, StopIteration, ValueError):
        return True  # no Linux: its id has to do
    started = boot + int(fields[18]) / os.sysconf("SC_CLK_TCK")
    # After a restart of the machine another process may have its id.
    return state != "Z" and started <= known_at + _CLOCKS_DIFFER_SECONDS
