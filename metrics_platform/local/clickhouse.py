"""The embedded ClickHouse: a genuine ClickHouse server for one machine, out of a Python wheel. `serve` runs it in
this process until it is asked to stop (`metrics-platform clickhouse`); `running_server` runs it as a child of this
process, for the demo and tests. Other processes find it by the file `url` in its directory, and
nothing but that URL tells it from a ClickHouse elsewhere."""

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
from metrics_platform.local.ports import port_is_taken

_STOP_SECONDS = 20  # queries drain for 5 s, then logs are flushed; whoever takes longer is killed


def serve(path: Path, port: int, *, outlive_parent: bool = False, parent_pid: int | None = None) -> int:
    """Serve the directory `path` on 127.0.0.1:`port` (0: a free port) in this process.

    Prints `READY http://127.0.0.1:<port>` on standard output when it answers, everything else on standard error.
    It stops on SIGTERM, and on SIGINT and SIGHUP unless they were ignored when it started. It also stops when the
    process that started it is gone: `parent_pid`, or else the parent at this moment (a server that is an orphan by now
    stays). With `outlive_parent` it then goes on.

    Returns:
        2 when it cannot run, after a message that says why. Once the engine is started this function does not
        return: it ends the process with 0 (stopped in order), 1 (the engine failed) or 128 + the signal (asked to
        stop a second time).
    """
    directory = ServerDirectory(path.expanduser().resolve())
    try:
        version = installed_version()
        port = _free_port(port)
        with directory.held(port, version):
            _check_port(port)
            if version != TESTED_VERSION:
                _say(f"chdb-core {version} is not the tested version, {TESTED_VERSION}")
            passwords = directory.passwords()
            directory.prepare_engine(port, passwords)
            run(directory, port, passwords, None if outlive_parent else parent_pid or os.getppid())
    except EmbeddedServerError as error:
        _say(str(error))
        return 2


@dataclass(frozen=True)
class EmbeddedServer:
    """A server that runs as a child of this process. Its URLs have passwords and are not in its repr."""

    path: Path
    port: int
    pid: int
    url: str = field(repr=False)
    """Of the user `platform`, who may do what a data platform does; its database is `metrics`."""
    readonly_url: str = field(repr=False)
    """Of the user `readonly`, for BI tools."""
    _process: subprocess.Popen[bytes] = field(repr=False)
    _messages: IO[bytes] = field(repr=False)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def messages(self) -> str:
        """What it has said on standard error so far: no passwords."""
        return _read_all(self._messages)

    def stop(self) -> int:
        """Stop it in order and wait; returns its exit code (of an earlier end, if it has ended)."""
        return _stop(self._process)

    def kill(self) -> int:
        """End it at once, as a power cut would: for tests of what survives. Returns its exit code."""
        self._process.kill()
        return self._process.wait()


@contextmanager
def running_server(path: Path, port: int = 0, timeout_seconds: float = 30) -> Iterator[EmbeddedServer]:
    """Run a server on the directory `path` as a child process for the time of a `with` block.

    Args:
        path: its directory; created if absent.
        port: of its HTTP interface on 127.0.0.1; 0: a free one.
        timeout_seconds: how long it may take to answer.

    It ends with the block, or when this process is killed. Ctrl-C in a terminal does not reach it, so
    that this process can finish its queries first.

    Raises:
        EmbeddedServerError: it cannot run or does not answer in time; with its own message.
    """
    installed_version()  # before anything POSIX is tried on a platform without wheels
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
    # The child writes at the same file position, so the reader must not move it: it reads a descriptor of its own.
    return os.pread(messages.fileno(), 1_000_000, 0).decode(errors="replace")


def _free_port(port: int) -> int:
    if not 0 <= port <= 65535:
        raise EmbeddedServerError(f"{port} is no port; --port takes 1 to 65535, or 0 for a free one.")
    if port:
        return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _check_port(port: int) -> None:
    """A busy port would look like a ready server: the other program answers on it."""
    taken = port_is_taken(port)
    try:
        with socket.socket() as probe:
            # As the engine does; otherwise the last server's closed connections would block the port for a minute.
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


def _say(text: str) -> None:
    sys.stderr.write(f"metrics-platform clickhouse: {text}\n")
