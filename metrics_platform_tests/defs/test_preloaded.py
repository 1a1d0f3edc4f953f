"""What fork servers load before they fork runs and their steps."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metrics_platform import preloaded

_LOADS = """
import json, sys, threading
import metrics_platform.preloaded, psutil
process, loaded = psutil.Process(), set(sys.modules)
opened = [file.path for file in process.open_files()] + [str(socket) for socket in process.net_connections()]
threads = [thread.name for thread in threading.enumerate()]
import dagster, clickhouse_connect
with dagster.DagsterInstance.get():
    later = sorted(set(sys.modules) - loaded)
print(json.dumps({"threads": threads, "opened": opened, "later": later}))
"""
_IN_A_RUN = """
import dagster, json, psutil, sys
process, loaded = psutil.Process(), set(sys.modules)
with dagster.DagsterInstance.get():
    later = sorted(set(sys.modules) - loaded)
print(json.dumps({"missing": sorted(set(names) - loaded), "later": later, "threads": process.num_threads()}))
"""
_FORKS = f"""
import dagster._grpc.server as server
import metrics_platform.definitions
from metrics_platform.definitions import LOADED_ONCE
code_server = object.__new__(server.DagsterApiServer)
process = code_server._mp_ctx.Process(target=exec, args=({_IN_A_RUN!r}, {{"names": LOADED_ONCE}}))
process.start()
process.join()
"""


def _printed_by(code: str, folder: Path) -> Any:
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "DAGSTER_HOME": str(folder), "PYTHONPATH": str(Path(preloaded.__file__).parents[1])},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(answer.stdout)


def test_every_name_that_is_loaded_before_steps_is_there_in_the_dagster_we_pin() -> None:
    missing = {name for name in preloaded._ON_USE if importlib.util.find_spec(name) is None}
    assert missing <= {"dagster_postgres"}  # only where it is installed


def test_preloading_opens_nothing_and_leaves_steps_little_to_load(tmp_path: Path) -> None:
    found = _printed_by(_LOADS, tmp_path)
    assert found["threads"] == ["MainThread"]
    assert found["opened"] == []
    assert len(found["later"]) < 60  # without it: 623


@pytest.mark.skipif(sys.platform != "linux", reason="only there are runs forked")
def test_a_run_is_a_fork_that_has_everything_loaded_and_no_thread_of_its_parent(tmp_path: Path) -> None:
    found = _printed_by(_FORKS, tmp_path)
    assert (found["missing"], found["threads"]) == ([], 1)
    assert len(found["later"]) < 60
