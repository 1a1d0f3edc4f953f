"""A run launcher that knows whether a run's process is still alive.

Dagster's default launcher does not: runs that died with their server (Ctrl-C, a power cut, out of memory) stay
"started" and block their pools for hours. With this one, run monitoring marks them as failed within a minute and
retries those that `run_retries` allows. It works on one machine, as `dagster dev` and .dagster/dagster.yaml do.
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
# Tolerance: the kernel counts hundredths of a second since boot, and the system clock may have been set since then.
_CLOCKS_DIFFER_SECONDS = 60.0


class LocalRunLauncher(DefaultRunLauncher):
    """Launches runs on this machine's code server, and detects when their processes are gone."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """RUNNING, or NOT_FOUND if the run's process is gone; RUNNING also if that is unknown."""
        server = json.loads(run.tags.get(_SERVER, "{}"))
        # A command that executes a run in its own process has no server, and its machine is unknown.
        if server.get("host") not in _THIS_MACHINE:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        for entry in self._instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT):
            data = entry.dagster_event.engine_event_data if entry.dagster_event else None
            if data and "pid" in data.metadata:
                process = int(str(data.metadata["pid"].value))
                if _is_alive(process, entry.timestamp):
                    return CheckRunHealthResult(WorkerStatus.RUNNING)
                return CheckRunHealthResult(WorkerStatus.NOT_FOUND, msg=f"its process ({process}) is gone")
        return CheckRunHealthResult(WorkerStatus.RUNNING)


def _is_alive(process: int, known_at: float) -> bool:
    """Whether the process that had this id at `known_at` (seconds since 1970) is alive and not a zombie."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it exists, but belongs to another user
    try:
        state, *fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        boot = next(
            float(line.split()[1])
            for line in Path("/proc/stat").read_text(encoding="utf-8").splitlines()
            if line.startswith("btime ")
        )
    except (OSError, StopIteration, ValueError):
        return True  # not Linux: the id is all there is
    started = boot + int(fields[18]) / os.sysconf("SC_CLK_TCK")
    # After a reboot, another process may have this id.
    return state != "Z" and started <= known_at + _CLOCKS_DIFFER_SECONDS
