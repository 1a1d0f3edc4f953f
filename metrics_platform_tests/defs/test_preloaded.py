"""What the fork server of a run loads before it forks steps."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from metrics_platform import preloaded

_LOADS = """
import json, sys, threading
import metrics_platform.preloaded, psutil
process, loaded = psutil.Process(), set(sys.modules)
opened = [each.path for each in process.open_files()] + [str(each) for each in process.net_connections()]
threads = [each.name for each in threading.enumerate()]
import dagster, clickhouse_connect
with dagster.DagsterInstance.get():
    later = sorted(set(sys.modules) - loaded)
print(json.dumps({"threads": threads, "opened": opened, "later": later}))
"""


def test_every_name_that_is_loaded_before_steps_is_there_in_the_dagster_we_pin() -> None:
    missing = {name for name in preloaded._ON_USE if importlib.util.find_spec(name) is None}
    assert missing <= {"dagster_postgres"}  # only where it is installed


def test_preloading_opens_nothing_and_leaves_steps_little_to_load(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", _LOADS],
        env={**os.environ, "DAGSTER_HOME": str(tmp_path), "PYTHONPATH": str(Path(preloaded.__file__).parents[1])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(answer.stdout)
    assert found["threads"] == ["MainThread"]
    assert found["opened"] == []
    assert len(found["later"]) < 60  # without it: 623
