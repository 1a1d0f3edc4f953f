"""The embedded ClickHouse as a process: how it starts, and what it says when it cannot."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from metrics_platform.local.clickhouse import EmbeddedServerError, running_server, serve
from metrics_platform.local.clickhouse_directory import ServerDirectory
from metrics_platform_tests.local import COMMAND, HANGS, PREFIX, rows, wait_until

Refused = Callable[[Path, int], str]


def refused(path: Path, port: int = 0) -> str:
    """What the command prints before it ends with exit code 2."""
    ended = subprocess.run(
        [*COMMAND, f"--path={path}", f"--port={port}"], capture_output=True, text=True, timeout=HANGS, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(PREFIX)
    assert len(ended.stderr.splitlines()) <= 2
    return ended.stderr


def test_passwords_tables_and_the_query_log_live_on_in_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a place & its 'name'"
    with running_server(path) as first:
        rows(first.url, "CREATE TABLE metrics.verdicts (id UInt64) ENGINE = MergeTree ORDER BY id")
        rows(first.url, "INSERT INTO metrics.verdicts VALUES (7)")
        rows(first.url, "DROP DATABASE default")
    with running_server(path, port=first.port) as second:
        assert (second.url, second.readonly_url) == (first.url, first.readonly_url)
        assert rows(second.readonly_url, "SELECT id FROM metrics.verdicts") == ["7"]
        logged = "SELECT count() > 0 FROM system.query_log WHERE query LIKE 'INSERT INTO metrics.verdicts%'"
        assert rows(second.url, logged) == ["1"]
        assert "default" in rows(second.url, "SHOW DATABASES")
    (path / "url").write_text("http://platform:short")
    monkeypatch.chdir(tmp_path)
    with running_server(Path(path.name)) as third:  # a relative path, and a damaged address
        assert rows(third.url, "SELECT currentUser()") == ["platform"]
        assert rows(third.url, "SELECT path FROM system.disks FORMAT TSVRaw") == [f"{path}/data/"]
        assert first.url.split("@")[0] != third.url.split("@")[0]


def test_a_second_server_on_the_directory_names_the_first(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        said = refused(tmp_path / "data")
        assert f"pid {server.pid}, port {server.port}" in said
        assert f"port {server.port} on 127.0.0.1 is taken" in refused(tmp_path / "two", server.port)
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
    assert (loser.returncode, winner.wait(timeout=HANGS)) == (2, 0)
    winner.communicate()


def test_the_first_files_of_another_server_are_recognised(tmp_path: Path) -> None:
    for name in ("lock", ".engine.json.4711"):
        (tmp_path / name).touch()
    with ServerDirectory(tmp_path).locked(8123, "26.9.0"):
        assert (tmp_path / "engine.json").exists()


@pytest.fixture
def refused_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """What `serve` says before it returns 2 in this process, which the engine must not take over."""

    def say(path: Path, port: int) -> str:
        assert serve(path, port) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.startswith(PREFIX)
        return output.err

    monkeypatch.setattr("metrics_platform.local.clickhouse.run", lambda *_: pytest.fail("the engine was started"))
    return say


def test_a_port_out_of_range(tmp_path: Path, refused_here: Refused) -> None:
    for port in (-1, 65536):
        assert f"{port} is not a port" in refused_here(tmp_path / "data", port)


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path, refused_here: Refused) -> None:
    (tmp_path / "config.xml").write_text("<clickhouse/>")
    assert "was not made by this command" in refused_here(tmp_path, 0)
    assert [entry.name for entry in tmp_path.iterdir()] == ["config.xml"]


def test_a_directory_that_cannot_be_written(tmp_path: Path, refused_here: Refused) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "below", Path("/proc/metrics-platform")):
        said = refused_here(path, 0)
        assert str(path) in said
        assert "--path" in said


@pytest.mark.parametrize("name", ["lock", "engine.json", "url", "readonly_url", "data", "run", "logs"])
def test_a_link_in_place_of_a_file_is_refused(tmp_path: Path, refused_here: Refused, name: str) -> None:
    ours, theirs = tmp_path / "data", tmp_path / "theirs"
    ours.mkdir()
    (ours / "engine.json").write_text("{}")
    theirs.write_text("years of work")
    (ours / name).unlink(missing_ok=True)
    (ours / name).symlink_to(theirs)
    said = refused_here(ours, 0)
    assert f"{ours / name} is a symbolic link" in said and "--path" in said
    assert theirs.read_text() == "years of work"


def test_a_lock_that_becomes_a_link_after_the_check_is_not_followed(
    tmp_path: Path, refused_here: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("years of work")
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(ServerDirectory, "_check_ours", lambda directory: (directory.root / "lock").symlink_to(theirs))
    assert "cannot be used" in refused_here(tmp_path / "data", 0)
    assert theirs.read_text() == "years of work"


def test_a_directory_of_another_user_is_refused(
    tmp_path: Path, refused_here: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    said = refused_here(tmp_path, 0)
    assert "belongs to another user" in said and "--path" in said
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_every_user_may_write_to_is_refused(tmp_path: Path, refused_here: Refused) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o777)
    said = refused_here(tmp_path / "data", 0)
    assert "every user may write" in said and "chmod o-w" in said


def test_data_of_a_newer_engine_are_left_alone(tmp_path: Path, refused_here: Refused) -> None:
    written = json.dumps({"chdb-core": "99.1.0"})
    (tmp_path / "engine.json").write_text(written)
    assert "written by chdb-core 99.1.0" in refused_here(tmp_path, 0)
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
def test_a_machine_without_the_wheel_is_offered_the_alternative(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refused_here: Refused,
    version: Callable[[str], str],
    said: str,
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", version)
    message = refused_here(tmp_path / "data", 0)
    assert said in message
    assert "METRICS_CLICKHOUSE_URL" in message
    with pytest.raises(EmbeddedServerError, match="METRICS_CLICKHOUSE_URL"), running_server(tmp_path / "data"):
        pass
    assert not (tmp_path / "data").exists()


def test_a_library_that_does_not_load_is_reported(tmp_path: Path) -> None:
    script = (
        "import importlib.util, pathlib, sys\n"
        "from metrics_platform.local.clickhouse import serve\n"
        "importlib.util.find_spec = lambda name: None\n"
        f"sys.exit(serve(pathlib.Path({str(tmp_path / 'data')!r}), 0))"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=HANGS, check=False)
    assert (process.returncode, process.stdout) == (2, "")
    assert "does not load here" in process.stderr
    assert "METRICS_CLICKHOUSE_URL" in process.stderr


def test_a_server_that_is_not_ready_in_time_is_stopped(tmp_path: Path) -> None:
    too_short = running_server(tmp_path / "data", timeout_seconds=0.001)
    with pytest.raises(EmbeddedServerError, match=r"did not answer within 0\.001 s"), too_short:
        pass
    with running_server(tmp_path / "data"):
        pass
