"""Runs whose process is gone are known to be gone; nothing else is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.events import EngineEventData
from dagster._core.launcher import WorkerStatus

from metrics_platform.run_launcher import LocalRunLauncher

ROOT = Path(__file__).parents[1]
LAUNCHER = yaml.safe_load((ROOT / ".dagster" / "dagster.yaml").read_text(encoding="utf-8"))["run_launcher"]


@dg.job
def _anything() -> None:
    """A job."""


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    home = tmp_path_factory.mktemp("dagster")
    (home / "dagster.yaml").write_text(yaml.safe_dump({"run_launcher": LAUNCHER}), encoding="utf-8")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def _run(instance: dg.DagsterInstance, process: int | None, host: str | None = "localhost") -> dg.DagsterRun:
    tags = {".dagster/grpc_info": json.dumps({"host": host, "socket": "/tmp/s"})} if host else {}
    run = instance.create_run_for_job(_anything, tags=tags, status=dg.DagsterRunStatus.STARTED)
    if process is not None:
        instance.report_engine_event("Started process for run", run, EngineEventData({"pid": str(process)}))
        instance.report_engine_event("Executing a step in process", run, EngineEventData({"pid": str(os.getpid())}))
    return run


def _status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Any:
    assert isinstance(instance.run_launcher, LocalRunLauncher)
    assert instance.run_launcher.supports_check_run_worker_health
    return instance.run_launcher.check_run_worker_health(run).status


def _ended() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_a_run_is_lost_once_its_process_has_ended(instance: dg.DagsterInstance) -> None:
    assert _status(instance, _run(instance, os.getpid())) == WorkerStatus.RUNNING
    assert _status(instance, _run(instance, _ended())) == WorkerStatus.NOT_FOUND


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells")
def test_a_zombie_process_is_lost(instance: dg.DagsterInstance) -> None:
    process = subprocess.Popen(["true"])
    try:
        while "State:\tZ" not in Path(f"/proc/{process.pid}/status").read_text():
            time.sleep(0.01)
        assert _status(instance, _run(instance, process.pid)) == WorkerStatus.NOT_FOUND
    finally:
        process.wait()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells")
def test_a_process_that_reuses_the_id_after_a_reboot_is_another_one(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _run(instance, os.getpid())
    logs = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    long_ago = [log._replace(timestamp=log.timestamp - 864_000) for log in logs]
    monkeypatch.setattr(type(instance), "all_logs", lambda *_args, **_options: long_ago)
    assert _status(instance, run) == WorkerStatus.NOT_FOUND


def test_a_run_of_another_machine_or_without_a_known_process_is_left_alone(instance: dg.DagsterInstance) -> None:
    for run in (_run(instance, _ended(), None), _run(instance, _ended(), "code.example.com"), _run(instance, None)):
        assert _status(instance, run) == WorkerStatus.RUNNING
