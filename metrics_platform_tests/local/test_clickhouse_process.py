"""The embedded ClickHouse as a process: how it starts, how it ends, what it says when it cannot, what survives."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from metrics_platform.local.clickhouse import EmbeddedServer, EmbeddedServerError, running_server, serve
from metrics_platform_tests.local.test_clickhouse import ask, rows

COMMAND = [sys.executable, "-m", "metrics_platform.local.clickhouse"]
PREFIX = "metrics-platform clickhouse: "


@pytest.fixture(autouse=True)
def _signals_as_in_a_terminal() -> Iterator[None]:
    """Children inherit what is ignored, and a test run in the background ignores SIGINT or SIGHUP."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@contextmanager
def started(path: Path, *options: str, command: list[str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """The command as a child of this process, after its first line on standard output."""
    process = subprocess.Popen(
        [*(command or COMMAND), f"--path={path}", "--port=0", *options],
        stdin=subprocess.PIPE,  # open and full of what the engine would take for data
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdin is not None
        process.stdin.write("1,2\n")
        process.stdin.flush()
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready.startswith("READY http://127.0.0.1:"), process.communicate()
        yield process
    finally:
        process.kill()
        process.wait()


def refused(path: Path, port: int = 0) -> str:
    """What the command says when it ends by itself with exit code 2, within seconds."""
    before = time.monotonic()
    ended = subprocess.run(
        [*COMMAND, f"--path={path}", f"--port={port}"], capture_output=True, text=True, timeout=30, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert time.monotonic() - before < 10
    assert ended.stderr.startswith(PREFIX)
    assert len(ended.stderr.splitlines()) <= 2
    return ended.stderr


def url_of(path: Path) -> str:
    return (path / "url").read_text().strip()


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def wait_for_end(server: EmbeddedServer) -> None:
    wait_until(lambda: not server.running)


def wait_for_growth(entries: list[int], by: int) -> None:
    goal = len(entries) + by
    wait_until(lambda: len(entries) >= goal)


def ended(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


# ── starting ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_line_says_that_it_is_ready_and_the_address_is_written_before(tmp_path: Path) -> None:
    with started(tmp_path / "data") as process:
        assert rows(url_of(tmp_path / "data"), "SELECT 1") == ["1"]
        process.terminate()
        output, messages = process.communicate(timeout=10)
    assert (process.returncode, output) == (0, "")
    assert messages.splitlines()[-1] == f"{PREFIX}stopped: SIGTERM"


def test_passwords_tables_and_the_query_log_live_on_in_the_same_directory(tmp_path: Path) -> None:
    path = tmp_path / "a place & its «name»"
    with running_server(path) as first:
        rows(first.url, "CREATE TABLE metrics.kept (id UInt64) ENGINE = MergeTree ORDER BY id")
        rows(first.url, "INSERT INTO metrics.kept VALUES (7)")
        rows(first.url, "DROP DATABASE default")
    with running_server(path, port=first.port) as second:
        assert (second.url, second.readonly_url) == (first.url, first.readonly_url)
        assert rows(second.readonly_url, "SELECT id FROM metrics.kept") == ["7"]
        logged = "SELECT count() > 0 FROM system.query_log WHERE query LIKE 'INSERT INTO metrics.kept%'"
        assert rows(second.url, logged) == ["1"]
        assert "default" in rows(second.url, "SHOW DATABASES")


def test_damaged_address_files_get_new_passwords(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as first:
        pass
    (tmp_path / "data" / "url").write_text("http://platform:short")
    with running_server(tmp_path / "data") as second:
        assert rows(second.url, "SELECT currentUser()") == ["platform"]
        assert first.url.split("@")[0] != second.url.split("@")[0]


def test_a_relative_path_is_taken_from_where_the_person_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with running_server(Path("here")) as server:
        assert server.path == tmp_path / "here"
        assert rows(server.url, "SELECT path FROM system.disks") == [f"{tmp_path}/here/data/"]


# ── what cannot run says so ───────────────────────────────────────────────────────────────────────────────────


def test_a_second_server_on_the_directory_names_the_first(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        said = refused(tmp_path / "data")
        assert f"pid {server.pid}, port {server.port}" in said
        with pytest.raises(EmbeddedServerError, match=f"pid {server.pid}"), running_server(tmp_path / "data"):
            pass
        assert rows(server.url, "SELECT 1") == ["1"]


def test_two_first_starts_at_once_leave_one_server(tmp_path: Path) -> None:
    command = [*COMMAND, f"--path={tmp_path / 'data'}", "--port=0"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    wait_until(lambda: any(process.poll() is not None for process in both))
    loser, winner = sorted(both, key=lambda process: process.poll() is None)
    assert winner.poll() is None
    winner.terminate()
    assert "a server already runs on" in loser.communicate()[1]
    assert (loser.returncode, winner.wait(timeout=20)) == (2, 0)
    winner.communicate()


@pytest.mark.parametrize("reuse", [0, 1])
def test_a_busy_port_is_named(tmp_path: Path, reuse: int) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"port {port} on 127.0.0.1 is taken" in refused(tmp_path / "data", port)


def test_the_port_of_another_server_is_busy_and_that_server_is_not_taken_for_ours(tmp_path: Path) -> None:
    with running_server(tmp_path / "one") as server:
        assert f"port {server.port} on 127.0.0.1 is taken" in refused(tmp_path / "two", server.port)


@pytest.fixture
def serve_in_vain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[Path, int], str]:
    """What `serve` says before it returns 2 in this process, which the engine must not take over."""

    def say(path: Path, port: int) -> str:
        assert serve(path, port) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.startswith(PREFIX)
        return output.err

    monkeypatch.setattr("metrics_platform.local.clickhouse.run", lambda *_: pytest.fail("the engine was started"))
    return say


def test_a_port_out_of_range(tmp_path: Path, serve_in_vain: Callable[[Path, int], str]) -> None:
    for port in (-1, 65536):
        assert f"{port} is no port" in serve_in_vain(tmp_path / "data", port)


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path, serve_in_vain: Callable[[Path, int], str]) -> None:
    (tmp_path / "config.xml").write_text("<clickhouse/>")
    assert "was not made by this command" in serve_in_vain(tmp_path, 0)
    assert [entry.name for entry in tmp_path.iterdir()] == ["config.xml"]


def test_a_directory_that_cannot_be_written(tmp_path: Path, serve_in_vain: Callable[[Path, int], str]) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "below", Path("/proc/metrics-platform")):
        said = serve_in_vain(path, 0)
        assert str(path) in said
        assert "--path" in said


def test_data_of_a_newer_engine_are_left_alone(tmp_path: Path, serve_in_vain: Callable[[Path, int], str]) -> None:
    written = json.dumps({"chdb-core": "99.1.0"})
    (tmp_path / "engine.json").write_text(written)
    assert "written by chdb-core 99.1.0" in serve_in_vain(tmp_path, 0)
    assert (tmp_path / "engine.json").read_text() == written
    assert not (tmp_path / "data").exists()


def test_an_engine_that_does_not_start_gives_its_own_reason(tmp_path: Path) -> None:
    with running_server(tmp_path / "data"):
        pass
    (tmp_path / "data" / "data" / "metadata" / "default.sql").write_text("garbage")
    reason = r"(?s)did not start.*SYNTAX_ERROR.*clickhouse\.log"
    with pytest.raises(EmbeddedServerError, match=reason), running_server(tmp_path / "data"):
        pass


def no_package(name: str) -> str:
    raise importlib.metadata.PackageNotFoundError(name)


@pytest.mark.parametrize(
    ("version", "said"),
    [(no_package, "not for Windows or Alpine"), (lambda name: "26.5.0", "chdb-core 26.5.0 is too old")],
)
def test_a_machine_without_the_wheel_hears_of_the_alternative(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    serve_in_vain: Callable[[Path, int], str],
    version: Callable[[str], str],
    said: str,
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", version)
    message = serve_in_vain(tmp_path / "data", 0)
    assert said in message
    assert "METRICS_CLICKHOUSE_URL" in message
    with pytest.raises(EmbeddedServerError, match="METRICS_CLICKHOUSE_URL"), running_server(tmp_path / "data"):
        pass
    assert not (tmp_path / "data").exists()


def test_a_library_that_does_not_load_is_said(tmp_path: Path) -> None:
    script = (
        "import importlib.util, pathlib, sys\n"
        "from metrics_platform.local.clickhouse import serve\n"
        "importlib.util.find_spec = lambda name: None\n"
        f"sys.exit(serve(pathlib.Path({str(tmp_path / 'data')!r}), 0))"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert (process.returncode, process.stdout) == (2, "")
    assert "does not load here" in process.stderr
    assert "METRICS_CLICKHOUSE_URL" in process.stderr


def test_a_server_that_is_not_ready_in_time_is_stopped(tmp_path: Path) -> None:
    in_vain = running_server(tmp_path / "data", timeout_seconds=0.001)
    with pytest.raises(EmbeddedServerError, match=r"did not answer within 0\.001 s"), in_vain:
        pass
    with running_server(tmp_path / "data"):
        pass


# ── ending ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_idle_server_stops_at_once_and_forgets_nothing(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        with running_server(tmp_path / "data") as server:
            rows(server.url, f"SELECT 'before {number.name}'")
            before = time.monotonic()
            os.kill(server.pid, number)
            wait_for_end(server)
            assert time.monotonic() - before < 3  # 0.03 s on an idle machine
            assert server.stop() == 0
            assert f"stopped: {number.name}" in server.messages
    with running_server(tmp_path / "data") as server:
        kept = "SELECT count() FROM system.query_log WHERE startsWith(query, 'SELECT \\'before SIG') AND type = 2"
        assert rows(server.url, kept) == ["3"]


class Background:
    """A query on a thread of its own, running when this returns; `answer` is None when the connection broke."""

    def __init__(self, url: str, query: str) -> None:
        self.answer: str | None = None
        self._thread = threading.Thread(target=self._ask, args=(url, query))
        self._thread.start()
        wait_until(lambda: rows(url, "SELECT count() FROM system.processes") == ["2"])

    def _ask(self, url: str, query: str) -> None:
        with contextlib.suppress(requests.ConnectionError):
            self.answer = ask(url, query).text

    def wait(self) -> str | None:
        self._thread.join(timeout=30)
        return self.answer


def test_a_running_query_ends_before_the_server(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        query = Background(server.url, "SELECT sum(sleepEachRow(0.5)) FROM numbers(3) SETTINGS max_block_size = 1")
        assert server.stop() == 0
        assert query.wait() == "0"
        assert "waiting up to 5 s" in server.messages


def test_a_query_without_end_does_not_hold_it_up(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        query = Background(server.url, "SELECT sum(sleepEachRow(1)) FROM numbers(60) SETTINGS max_block_size = 1")
        before = time.monotonic()
        assert server.stop() == 0
        assert 4 < time.monotonic() - before < 10
        assert query.wait() is None


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        query = Background(server.url, "SELECT sum(sleepEachRow(1)) FROM numbers(60) SETTINGS max_block_size = 1")
        os.kill(server.pid, signal.SIGINT)
        wait_until(lambda: "waiting" in server.messages)
        before = time.monotonic()
        os.kill(server.pid, signal.SIGINT)
        wait_for_end(server)
        assert time.monotonic() - before < 3
        assert server.stop() == 128 + signal.SIGINT
        query.wait()


def test_the_death_of_the_engine_ends_the_process_with_the_reason(tmp_path: Path) -> None:
    script = (
        "import argparse, pathlib\n"
        "from metrics_platform.local import clickhouse, clickhouse_engine\n"
        "clickhouse_engine.KEEP_LISTENING = 'SYSTEM START LISTEN HTTP; SELECT sleep(1) FORMAT Null; SELECT wrong'\n"
        "clickhouse.main()"
    )
    with started(tmp_path / "data", command=[sys.executable, "-c", script]) as process:
        output, messages = process.communicate(timeout=20)
    assert (process.returncode, output) == (1, "")
    assert "the engine stopped" in messages
    assert "UNKNOWN_IDENTIFIER" in messages
    assert str(tmp_path / "data" / "logs" / "clickhouse.log") in messages


PARENT_WITH_POPEN = f"""
import subprocess, sys, time
child = subprocess.Popen({COMMAND!r} + sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""
PARENT_WITH_RUNNING_SERVER = """
import pathlib, sys, time
from metrics_platform.local.clickhouse import running_server
with running_server(pathlib.Path(sys.argv[1].removeprefix('--path='))) as server:
    print(server.pid, flush=True)
    time.sleep(60)
"""


def child_of_a_killed_parent(script: str, path: Path, *options: str) -> int:
    """The pid of a ready server whose parent has just been killed with SIGKILL."""
    parent = subprocess.Popen(
        [sys.executable, "-c", script, f"--path={path}", "--port=0", *options], stdout=subprocess.PIPE, text=True
    )
    try:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not ended(pid)
    finally:
        parent.kill()
        parent.communicate()
    return pid


@pytest.mark.parametrize("script", [PARENT_WITH_POPEN, PARENT_WITH_RUNNING_SERVER])
def test_no_orphan_stays_when_the_parent_is_killed(tmp_path: Path, script: str) -> None:
    pid = child_of_a_killed_parent(script, tmp_path / "data")
    wait_until(lambda: ended(pid), seconds=5)
    with running_server(tmp_path / "data") as server:
        assert rows(server.url, "SELECT 1") == ["1"]


def test_a_server_that_may_outlive_its_parent_does(tmp_path: Path) -> None:
    pid = child_of_a_killed_parent(PARENT_WITH_POPEN, tmp_path / "data", "--outlive-parent")
    time.sleep(1.5)
    assert rows(url_of(tmp_path / "data"), "SELECT 1") == ["1"]
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: ended(pid))


def test_a_server_without_parent_from_the_start_stays(tmp_path: Path) -> None:
    arguments = f"--path={tmp_path / 'data'} --port=0"
    # Started at once the shell might still be there: the wait makes it an orphan before it looks.
    shell = f"(sleep 0.3; exec {' '.join(COMMAND)} {arguments}) </dev/null >/dev/null 2>&1 & echo $!"
    pid = int(subprocess.run(["sh", "-c", shell], stdout=subprocess.PIPE, text=True, check=True).stdout)
    wait_until((tmp_path / "data" / "url").exists)
    time.sleep(1.5)
    assert rows(url_of(tmp_path / "data"), "SELECT 1") == ["1"]
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: ended(pid))


def test_a_hangup_that_is_ignored_from_the_start_stays_ignored(tmp_path: Path) -> None:
    nohup = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *COMMAND]
    with started(tmp_path / "data", command=nohup) as process:
        process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        assert rows(url_of(tmp_path / "data"), "SELECT 1") == ["1"]
        process.terminate()
        assert process.wait(timeout=10) == 0


# ── what survives ─────────────────────────────────────────────────────────────────────────────────────────────


def test_no_acknowledged_insert_is_lost_to_kill_9(tmp_path: Path) -> None:
    acknowledged: list[int] = []
    chance = random.Random(20260101)

    def insert_until_it_breaks(url: str) -> None:
        for batch in range(len(acknowledged), 100_000):
            try:
                answer = ask(url, f"INSERT INTO metrics.batches SELECT {batch}, number FROM numbers(100)")
            except requests.ConnectionError:
                return
            assert answer.status == 200, answer.text
            acknowledged.append(batch)

    for _ in range(3):
        with running_server(tmp_path / "data") as server:
            rows(
                server.url,
                "CREATE TABLE IF NOT EXISTS metrics.batches (batch UInt64, id UInt64) ENGINE = MergeTree ORDER BY id",
            )
            writer = threading.Thread(target=insert_until_it_breaks, args=(server.url,))
            writer.start()
            wait_for_growth(acknowledged, by=5)
            time.sleep(chance.uniform(0.1, 0.5))
            assert server.kill() == -signal.SIGKILL
            writer.join()
    with running_server(tmp_path / "data") as server:
        complete = "SELECT batch FROM metrics.batches GROUP BY batch HAVING uniqExact(id) = 100"
        assert set(acknowledged) <= {int(batch) for batch in rows(server.url, complete)}
