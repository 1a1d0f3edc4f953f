"""Dagster beside an embedded ClickHouse: settings of its own, an orderly end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
import yaml

from metrics_platform.local.dagster_local import (
    DagsterError,
    DagsterUI,
    isolated_environment,
    run_job,
    stop_on_signals,
)
from metrics_platform.settings import load_settings
from metrics_platform_tests.telegram.http_server import Answer, LoopbackServer, Request


@pytest.mark.usefixtures("signals_as_in_a_terminal")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_any_stop_signal_leaves_the_block_in_order(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    left = []
    with stop_on_signals() as asked, contextlib.ExitStack() as stack:
        stack.callback(left.append, "in order")
        os.kill(os.getpid(), number)
        time.sleep(10)
        left.append("not at all")
    assert left == ["in order"]
    assert asked.is_set()
    assert signal.getsignal(number) == before


@pytest.mark.usefixtures("signals_as_in_a_terminal")
def test_ignored_signals_stay_ignored_except_sigterm() -> None:
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    went_on = False
    with stop_on_signals() as asked:
        for number in (signal.SIGINT, signal.SIGHUP):
            os.kill(os.getpid(), number)
        went_on = not asked.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    assert went_on and asked.is_set()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.mark.usefixtures("signals_as_in_a_terminal")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_a_run_stops_the_demo_and_cancels_the_run(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end = threading.Event()

    @dg.op
    def interrupted() -> None:
        os.kill(os.getpid(), number)
        may_end.wait(20)

    @dg.job(name="slow")
    def slow() -> None:
        interrupted()

    monkeypatch.setattr("metrics_platform.definitions.defs", dg.Definitions(jobs=[slow]))
    threads, children = set(threading.enumerate()), psutil.Process().children()
    with isolated_environment(tmp_path, {}), dg.DagsterInstance.get() as instance:
        with stop_on_signals() as asked:
            run_job("slow")
        assert asked.is_set() and not may_end.is_set()
        assert psutil.Process().children() == children
        (run,) = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.CANCELING
        may_end.set()
        for thread in set(threading.enumerate()) - threads:
            thread.join()


@pytest.mark.usefixtures("signals_as_in_a_terminal")
def test_an_interrupt_that_a_library_swallows_is_noticed() -> None:
    with stop_on_signals() as asked:
        with contextlib.suppress(KeyboardInterrupt):  # as a library may
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
        assert asked.is_set()


def test_the_users_settings_are_hidden_and_restored_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_CLICKHOUSE_URL", "http://theirs:8123/metrics")
    monkeypatch.setenv("TELEGRAM_CHAT_ID", "-1001")
    before = dict(os.environ)
    with isolated_environment(tmp_path, {"METRICS_LANGUAGE": "ru"}):
        ours = {name: value for name, value in os.environ.items() if name.startswith(("METRICS_", "TELEGRAM_"))}
        assert ours == {"METRICS_LANGUAGE": "ru", "METRICS_DATA_DIR": str(tmp_path)}
        assert os.environ["DAGSTER_HOME"] == str(tmp_path / "dagster")
    assert dict(os.environ) == before
    assert yaml.safe_load((tmp_path / "dagster" / "dagster.yaml").read_text())["concurrency"]["pools"]


def test_the_env_file_of_the_users_directory_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.mkdir()
    (theirs / ".env").write_text(
        "METRICS_CLICKHOUSE_URL=http://production:8123/metrics\nMETRICS_START_DATE=2026-11-24\n"
    )
    monkeypatch.chdir(theirs)
    assert load_settings().clickhouse_url is not None
    with isolated_environment(ours, {"METRICS_START_DATE": "2026-10-23"}):
        # As code that knows nothing of this room reads them: Dagster's definitions, and what Dagster's commands load.
        assert load_settings().clickhouse_url is None
        assert str(load_settings().start_date) == "2026-10-23"
        read = subprocess.run(
            [sys.executable, "-m", "dagster", "asset", "list", "-m", "metrics_platform.definitions"],
            env={**os.environ, "METRICS_TIMEZONE": "Europe/Moskow"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert "METRICS_TIMEZONE" in read.stderr + read.stdout  # it has read its settings, and
    assert "production" not in read.stderr + read.stdout
    assert Path.cwd() == theirs


def _status(*, ticks: bool, loaded: bool = True) -> dict[str, Any]:
    location = {"loadStatus": "LOADED" if loaded else "LOADING", "locationOrLoadError": {} if loaded else None}
    return {
        "instance": {"daemonHealth": {"daemonStatus": {"healthy": ticks}}},
        "workspaceOrError": {"locationEntries": [location]},
    }


Script = list[Callable[[], dict[str, Any]]]


@pytest.fixture
def script() -> Script:
    """What the webserver answers, in turn. The last one is given again and again: a busy machine may lose a request."""
    return []


@pytest.fixture
def dagster(tmp_path: Path, script: Script) -> Iterator[DagsterUI]:
    """A Dagster whose process runs and whose webserver follows the script."""

    def answer(_: Request) -> Answer:
        given = (script.pop(0) if len(script) > 1 else script[0])()
        return Answer(body=json.dumps(given if "errors" in given else {"data": given}).encode())

    process = subprocess.Popen(["sleep", "600"])
    server = LoopbackServer(answer)
    yield DagsterUI(f"http://127.0.0.1:{server.port}", tmp_path / "dagster.log", process)
    server.stop()
    process.kill()
    process.wait()


def test_dagster_is_ready_once_it_has_loaded_and_its_scheduler_ticks(dagster: DagsterUI, script: Script) -> None:
    locked = {"errors": [{"message": "database is locked"}]}
    states = [_status(ticks=False), _status(ticks=True, loaded=False), locked, _status(ticks=True)]
    script += [lambda state=state: state for state in states]
    dagster.wait_until_ready()
    assert len(script) == 1


def test_dagster_is_reached_past_a_proxy(dagster: DagsterUI, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    script += [lambda: {"version": "1"}]
    assert dagster.ask("{ version }") == {"version": "1"}


def test_code_that_cannot_be_loaded_is_an_error_and_not_waited_for(dagster: DagsterUI, script: Script) -> None:
    broken = _status(ticks=True)
    error = {"message": "outer", "errorChain": [{"error": {"message": "METRICS_TIMEZONE = 'x'"}}]}
    broken["workspaceOrError"]["locationEntries"][0]["locationOrLoadError"] = error
    script += [lambda: broken]
    with pytest.raises(DagsterError, match="cannot load metrics_platform: METRICS_TIMEZONE"):
        dagster.wait_until_ready()


def test_a_dagster_that_has_ended_is_not_waited_for(dagster: DagsterUI) -> None:
    dagster.log.write_text("no space left on device\n")
    dagster._process.kill()
    dagster._process.wait()
    with pytest.raises(DagsterError, match="no space left"):
        dagster.wait_until_ready()


@pytest.mark.end_to_end
def test_dagsters_processes_end_with_their_parent(tmp_path: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux tells a child of its parent's death")
    script = (
        "import os, time; from pathlib import Path\n"
        "from metrics_platform.local.dagster_local import isolated_environment, running_dagster\n"
        f"home = Path({str(tmp_path)!r})\n"
        "with isolated_environment(home, {}), running_dagster(home, 39_997) as dagster:\n"
        "    print(dagster._process.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    time.sleep(3)  # until it heeds the signal
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(100):
        if not Path(f"/proc/{child}").exists() or "zombie" in Path(f"/proc/{child}/status").read_text():
            return
        time.sleep(0.2)
    os.killpg(child, signal.SIGKILL)
    raise AssertionError("it lives on")
