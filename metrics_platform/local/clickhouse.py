"""The embedded ClickHouse: a genuine ClickHouse server for one machine, from a Python wheel.

`serve` runs it in this process (`metrics-platform clickhouse`), `running_server` as a child process for the demo and
tests. Clients find its URL in the file `url` of its directory.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from metrics_platform.local.clickhouse_directory import EmbeddedServerError, ServerDirectory
from metrics_platform.local.clickhouse_engine import TESTED_VERSION, installed_version, run

_STOP_SECONDS = 20  # queries drain for 5 s, then logs are flushed; after that it is killed


def serve(path: Path, port: int, *, outlive_parent: bool = False, parent_pid: int | None = None) -> int:
    """Serve the directory `path` on 127.0.0.1:`port` (0: a free port) in this process.

    Prints `READY http://127.0.0.1:<port>` on standard output when it answers, everything else on standard error. Stops
    on SIGTERM, on SIGINT and SIGHUP unless they were ignored at the start, and, without `outlive_parent`, when the
    process `parent_pid` (by default the parent) ends.

    Returns:
        2 if it cannot run, after a message with the reason. Once the engine has started, this function does not return:
        the process exits with 0 (stopped), 1 (the engine failed) or 128 + the signal (a second request to stop).
    """
    directory = ServerDirectory(path.expanduser().resolve())
    try:
        version = installed_version()
        port = _free_port(port)
        with directory.locked(port, version):
            _check_port(port)
            if version != TESTED_VERSION:
                _print_message(f"chdb-core {version} is not the tested version, {TESTED_VERSION}")
            passwords = directory.passwords()
            directory.prepare_engine(port, passwords)
            run(directory, port, passwords, None if outlive_parent else parent_pid or os.getppid())
    except EmbeddedServerError as error:
        _print_message(str(error))
        return 2


@dataclass(frozen=True)
class EmbeddedServer:
    """A server that runs as a child of this process. Its URLs have passwords and are not in its repr."""

    path: Path
    port: int
    pid: int
    url: str = field(repr=False)
    """Of the user `platform`, which has all rights that the platform needs; its database is `metrics`."""
    readonly_url: str = field(repr=False)
    """Of the user `readonly`, for BI tools."""
    _process: subprocess.Popen[bytes] = field(repr=False)
    _messages: IO[bytes] = field(repr=False)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def messages(self) -> str:
        """Its standard error so far, without passwords."""
        return _read_all(self._messages)

    def stop(self) -> int:
        """Stop it and wait; returns its exit code."""
        return _stop(self._process)

    def kill(self) -> int:
        """Kill it, as a power cut would; returns its exit code."""
        self._process.kill()
        return self._process.wait()


@contextmanager
def running_server(path: Path, port: int = 0, timeout_seconds: float = 120) -> Iterator[EmbeddedServer]:
    """Run a server on the directory `path` (created if absent) as a child process in a `with` block.

    It ends with the block, or when this process is killed. Ctrl-C in a terminal does not reach it, so that this process
    can finish its queries first.

    Raises:
        EmbeddedServerError: it cannot run, or does not answer within `timeout_seconds`.
    """
    installed_version()  # before POSIX calls on a platform without wheels
    path = path.expanduser().resolve()
    command = [sys.executable, "-m", "metrics_platform.cli", "clickhouse", f"--path={path}", f"--port={port}"]
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(  # noqa: S603  (our own command)
            [*command, f"--parent-pid={os.getpid()}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=messages,
            start_new_session=True,
        )
        try:
            yield _when_ready(process, path, messages, timeout_seconds)
        finally:
            _stop(process)


def _when_ready(
    process: subprocess.Popen[bytes], path: Path, messages: IO[bytes], timeout_seconds: float
) -> EmbeddedServer:
    assert process.stdout is not None
    with process.stdout as output, selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        in_time = selector.select(timeout_seconds)
        line = output.readline().decode() if in_time else ""
    if not line.startswith("READY "):
        _stop(process)
        why = "it did not start" if in_time else f"it did not answer within {timeout_seconds:g} s"
        raise EmbeddedServerError(f"the embedded ClickHouse: {why}.\n{_read_all(messages)}".strip())
    directory = ServerDirectory(path)
    return EmbeddedServer(
        path=path,
        port=int(line.rpartition(":")[2]),
        pid=process.pid,
        url=directory.url.read_text(encoding="utf-8").strip(),
        readonly_url=directory.readonly_url.read_text(encoding="utf-8").strip(),
        _process=process,
        _messages=messages,
    )


def _stop(process: subprocess.Popen[bytes]) -> int:
    process.terminate()
    try:
        return process.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _read_all(messages: IO[bytes]) -> str:
    # The child writes at the same file position, so reading must not move it.
    return os.pread(messages.fileno(), 1_000_000, 0).decode(errors="replace")


def _free_port(port: int) -> int:
    if not 0 <= port <= 65535:
        raise EmbeddedServerError(f"{port} is not a port. --port takes 1 to 65535, or 0 for a free one.")
    if port:
        return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _check_port(port: int) -> None:
    """Refuse a busy port, which would look like a ready server."""
    taken = port_is_taken(port)
    try:
        with socket.socket() as probe:
            # Like the engine: otherwise closed connections of the last server would block the port for a minute.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise EmbeddedServerError(
                f"port {port} on 127.0.0.1 cannot be opened: {error.strerror}. Choose another with --port."
            ) from error
        taken = True
    if taken:
        raise EmbeddedServerError(
            f"port {port} on 127.0.0.1 is taken by another program; "
            f"lsof -nP -iTCP:{port} -sTCP:LISTEN shows which.\nStop that one, or choose another port with --port."
        )


def _print_message(text: str) -> None:
    sys.stderr.write(f"metrics-platform clickhouse: {text}\n")


# How many ports to try, starting with the preferred one.
_TRIED = 50


def port_is_taken(port: int) -> bool:
    """Whether a program listens on this machine's port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def next_free_port(preferred: int) -> int:
    """The preferred port or the next free one after it; 0, which means any, where none of the next 50 is free."""
    ports = range(preferred, min(preferred + _TRIED, 65_536))
    return next((port for port in ports if not port_is_taken(port)), 0)
