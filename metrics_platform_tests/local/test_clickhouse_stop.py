"""The embedded ClickHouse as a process: how it ends, and what survives that."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests

from metrics_platform.local.clickhouse import running_server
from metrics_platform_tests.local import COMMAND, HANGS, ask, ended, rows, started, url_of, wait_until

pytestmark = pytest.mark.usefixtures("signals_as_in_a_terminal")


def test_a_server_stops_on_each_signal_and_keeps_its_data(tmp_path: Path) -> None:
    for number in (signal.SIGINT, signal.SIGHUP):
        with running_server(tmp_path / "data") as server:
            rows(server.url, f"SELECT 'before {number.name}'")
            os.kill(server.pid, number)
            wait_until(lambda: not server.running)
            assert server.stop() == 0
            assert f"stopped: {number.name}" in server.messages
    with running_server(tmp_path / "data") as server:
        kept = "SELECT count() FROM system.query_log WHERE startsWith(query, 'SELECT \\'before SIG') AND type = 2"
        assert rows(server.url, kept) == ["2"]


_ENDLESS = "SELECT sum(sleepEachRow(1)) FROM numbers(600) SETTINGS max_block_size = 1"


class Background:
    """A query on a thread of its own, running when this returns; `answer` is None when the connection broke."""

    def __init__(self, url: str, query: str) -> None:
        self.answer: str | None = None
        self._thread = threading.Thread(target=self._ask, args=(url, query))
        self._thread.start()
        wait_until(lambda: rows(url, "SELECT count() FROM system.processes") == ["2"])

    def _ask(self, url: str, query: str) -> None:
        with contextlib.suppress(requests.RequestException):
            self.answer = ask(url, query).text

    def wait(self) -> str | None:
        self._thread.join(timeout=HANGS)
        return self.answer


def test_a_running_query_ends_before_the_server(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        query = Background(server.url, "SELECT sum(sleepEachRow(0.3)) FROM numbers(3) SETTINGS max_block_size = 1")
        assert server.stop() == 0
        assert query.wait() == "0"
        assert "waiting up to 5 s" in server.messages


_SHORT_DRAIN = (
    "import sys\n"
    "from metrics_platform import cli\n"
    "from metrics_platform.local import clickhouse_engine\n"
    "clickhouse_engine._DRAIN_SECONDS = 0.5\n"
    "cli.main(['clickhouse', *sys.argv[1:]])"
)


def test_a_query_without_end_is_waited_for_only_briefly(tmp_path: Path) -> None:
    with started(tmp_path / "data", command=[sys.executable, "-c", _SHORT_DRAIN]) as process:
        query = Background(url_of(tmp_path / "data"), _ENDLESS)
        process.terminate()
        assert process.wait(timeout=HANGS) == 0
        assert query.wait() is None


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        query = Background(server.url, _ENDLESS)
        os.kill(server.pid, signal.SIGINT)
        wait_until(lambda: "waiting" in server.messages)
        os.kill(server.pid, signal.SIGINT)
        wait_until(lambda: not server.running)
        assert server.stop() == 128 + signal.SIGINT
        query.wait()


def test_the_death_of_the_engine_ends_the_process_with_the_reason(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from metrics_platform import cli\n"
        "from metrics_platform.local import clickhouse_engine\n"
        "clickhouse_engine.KEEP_LISTENING = 'SYSTEM START LISTEN HTTP; SELECT sleep(1) FORMAT Null; SELECT wrong'\n"
        "cli.main(['clickhouse', *sys.argv[1:]])"
    )
    with started(tmp_path / "data", command=[sys.executable, "-c", script]) as process:
        output, messages = process.communicate(timeout=HANGS)
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
        pid = int(parent.stdout.readline())
        assert not ended(pid)
    finally:
        parent.kill()
        parent.communicate()
    return pid


def test_no_orphan_stays_when_the_parent_is_killed(tmp_path: Path) -> None:
    pid = child_of_a_killed_parent(PARENT_WITH_RUNNING_SERVER, tmp_path / "data")
    wait_until(lambda: ended(pid))
    with running_server(tmp_path / "data") as server:
        assert rows(server.url, "SELECT 1") == ["1"]


def test_a_server_that_may_outlive_its_parent_does(tmp_path: Path) -> None:
    pid = child_of_a_killed_parent(PARENT_WITH_POPEN, tmp_path / "data", "--outlive-parent")
    time.sleep(1.5)
    assert rows(url_of(tmp_path / "data"), "SELECT 1") == ["1"]
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: ended(pid))


def test_ignored_signals_stay_ignored_except_sigterm(tmp_path: Path) -> None:
    ignoring = ["sh", "-c", 'trap "" TERM INT HUP; exec "$@"', "sh", *COMMAND]
    with started(tmp_path / "data", command=ignoring) as process:
        for number in (signal.SIGINT, signal.SIGHUP):
            process.send_signal(number)
        time.sleep(0.7)
        assert rows(url_of(tmp_path / "data"), "SELECT 1") == ["1"]
        process.terminate()
        assert process.wait(timeout=HANGS) == 0
        assert "stopped: SIGTERM" in process.stderr.read()


def test_no_acknowledged_insert_is_lost_to_kill_9(tmp_path: Path) -> None:
    acknowledged: list[int] = []

    def insert_until_it_breaks(url: str) -> None:
        for batch in range(100_000):
            try:
                answer = ask(url, f"INSERT INTO metrics.batches SELECT {batch}, number FROM numbers(100)")
            except requests.RequestException:
                return
            assert answer.status == 200, answer.text
            acknowledged.append(batch)

    with running_server(tmp_path / "data") as server:
        rows(server.url, "CREATE TABLE metrics.batches (batch UInt64, id UInt64) ENGINE = MergeTree ORDER BY id")
        writer = threading.Thread(target=insert_until_it_breaks, args=(server.url,))
        writer.start()
        wait_until(lambda: len(acknowledged) >= 20)
        assert server.kill() == -signal.SIGKILL
        writer.join()
    with running_server(tmp_path / "data") as server:
        complete = "SELECT batch FROM metrics.batches GROUP BY batch HAVING uniqExact(id) = 100"
        assert set(acknowledged) <= {int(batch) for batch in rows(server.url, complete)}
