"""Run the engine in this process: the `chdb-core` library on a worker thread, until there is a reason to stop.

The engine takes over the process (working directory, standard streams, signals). Only `os._exit` ends it, because the
engine's threads cannot be joined.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import importlib
import importlib.metadata
import importlib.util
import os
import queue
import signal
import sys
import threading
import time
import types
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple, NoReturn

from metrics_platform.local.clickhouse_directory import EmbeddedServerError, Passwords, ServerDirectory

# The version that was tested; pyproject.toml pins the same.
TESTED_VERSION = "26.9.0"
_OLDEST_RELEASE = (26, 7)  # the first whose listener stays up
_ALTERNATIVE = (
    "Any other ClickHouse (24.8 or newer, a server or the cloud) does as well: "
    "set METRICS_CLICKHOUSE_URL=http(s)://user:password@host:port/database."
)

# The second query never ends, which keeps the engine running.
KEEP_LISTENING = (
    "SYSTEM START LISTEN HTTP; "
    "SELECT sleepEachRow(1) FROM system.numbers "
    "SETTINGS max_block_size = 1, max_threads = 1, log_queries = 0 FORMAT Null"
)
_READY_SECONDS = 300  # enough for a full directory on a slow disk; a failed start ends much earlier
_DRAIN_SECONDS = 5
_POLL_SECONDS = 0.5
_STARTING_POLL_SECONDS = 0.02


class Stop(NamedTuple):
    """Why the process ends, and its exit code. With 0 the engine is alive and is shut down cleanly."""

    reason: str
    exit_code: int = 0


def installed_version() -> str:
    """The version of chdb-core that is installed here.

    Raises:
        EmbeddedServerError: there is none, or one without the listener this server is built on.
    """
    try:
        version = importlib.metadata.version("chdb-core")
    except importlib.metadata.PackageNotFoundError:
        raise EmbeddedServerError(
            "the embedded ClickHouse needs the package chdb-core, which is not installed. Its wheels exist for Linux "
            f"with glibc and for macOS (not for Windows or Alpine); there: pip install chdb-core=={TESTED_VERSION}\n"
            f"{_ALTERNATIVE}"
        ) from None
    if tuple(int(number) for number in version.split(".")[:2]) < _OLDEST_RELEASE:
        raise EmbeddedServerError(
            f"chdb-core {version} is too old for the embedded ClickHouse: pip install chdb-core=={TESTED_VERSION}\n"
            f"{_ALTERNATIVE}"
        )
    return version


def run(directory: ServerDirectory, port: int, passwords: Passwords, parent_pid: int | None) -> NoReturn:
    """Run the engine on `directory`, which is prepared and locked, until a signal or the end of `parent_pid`.

    Raises:
        EmbeddedServerError: the library does not load here.
    """
    # Block them before the library starts its first thread, so that the engine's handlers never receive them.
    signals = _signals_to_stop_on()
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    os.environ["TZ"] = "UTC"  # the engine ignores <timezone>
    library = _load_library()
    process = _Process(directory, port, passwords, parent_pid)
    process.start(library, signals)
    process.leave(process.wait_until_ready() or process.serve())


@dataclass
class _Process:
    """This process with the engine in it: its streams, its signals and the reasons to stop."""

    _directory: ServerDirectory
    _port: int
    _passwords: Passwords
    _parent_pid: int | None
    _stops: queue.SimpleQueue[Stop] = field(default_factory=queue.SimpleQueue, init=False)
    _stdout: int = field(default_factory=partial(os.dup, 1), init=False)
    _stderr: int = field(default_factory=partial(os.dup, 2), init=False)

    def start(self, library: types.ModuleType, signals: set[signal.Signals]) -> None:
        _give_streams_to_engine(self._directory.output)
        os.umask(0o077)
        os.chdir(self._directory.run)  # the engine reads ./config.xml
        threading.Thread(target=self._wait_for_signals, args=(signals,), daemon=True).start()
        threading.Thread(target=self._run_engine, args=(library,), daemon=True).start()

    def _run_engine(self, library: types.ModuleType) -> None:
        reason = ": its thread died"
        try:
            # The format named here is the one of every HTTP answer that names none: TSV, as of any server.
            answer = library.query(KEEP_LISTENING, "TabSeparated", path=str(self._directory.data))
            reason = f": {answer.error_message()}" if answer.has_error() else ""
        except RuntimeError as error:
            reason = f": {error}"
        finally:
            self._stops.put(self._failure(f"the engine stopped{reason}"))

    def _failure(self, reason: str) -> Stop:
        lines = (reason, self._directory.last_output(), f"Its log: {self._directory.log}")
        return Stop("\n".join(filter(None, lines)), exit_code=1)

    def _wait_for_signals(self, signals: set[signal.Signals]) -> None:
        self._stops.put(Stop(signal.Signals(signal.sigwait(signals)).name))
        os._exit(128 + signal.sigwait(signals))  # a second request: exit immediately; the storage is crash-safe

    def _next_stop(self, seconds: float) -> Stop | None:
        with contextlib.suppress(queue.Empty):
            return self._stops.get(timeout=seconds)
        if self._parent_pid is not None and os.getppid() != self._parent_pid:
            return Stop(f"the process that started it (pid {self._parent_pid}) is gone")
        return None

    def wait_until_ready(self) -> Stop | None:
        """Wait until a server on our own data answers: another program may have taken the port."""
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            if stop := self._next_stop(_STARTING_POLL_SECONDS):
                return stop
            with contextlib.suppress(OSError, http.client.HTTPException, EmbeddedServerError):
                path = self._query("SELECT path FROM system.disks WHERE name = 'default'")
                if Path(path) == self._directory.data:
                    return None
        return self._failure(f"the engine did not answer within {_READY_SECONDS} s")

    def serve(self) -> Stop:
        """Publish the address, wait for a reason to stop, and let running queries end."""
        try:
            self._directory.write_urls(self._port, self._passwords)
        except EmbeddedServerError as error:
            return Stop(str(error), exit_code=1)
        self._announce()
        while (stop := self._next_stop(_POLL_SECONDS)) is None:
            pass
        if stop.exit_code == 0:
            try:
                self._drain()
            except (OSError, http.client.HTTPException, EmbeddedServerError) as error:
                self.print_message(f"left without waiting for queries and logs: {error}")
        return stop

    def _announce(self) -> None:
        self.print_message(f"users: platform, its address is in {self._directory.url}")
        self.print_message(f"       readonly, for BI tools, in {self._directory.readonly_url}")
        with contextlib.suppress(OSError):  # the parent may have closed the pipe
            os.write(self._stdout, f"READY http://127.0.0.1:{self._port}\n".encode())

    def print_message(self, text: str) -> None:
        """Print a message to the original standard error, which is no longer descriptor 2."""
        with contextlib.suppress(OSError):
            os.write(self._stderr, f"metrics-platform clickhouse: {text}\n".encode())

    def leave(self, stop: Stop) -> NoReturn:
        self.print_message(f"stopped: {stop.reason}" if stop.exit_code == 0 else stop.reason)
        os._exit(stop.exit_code)

    def _drain(self) -> None:
        """Wait for running queries, then flush the logs. The listener stays open, as do the queries' connections."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        reported = False
        while int(self._query("SELECT count() FROM system.processes WHERE user NOT IN ('', 'launcher')")):
            if time.monotonic() > deadline:
                break
            if not reported:
                self.print_message(
                    f"waiting up to {_DRAIN_SECONDS} s for running queries (a second signal ends it at once)"
                )
                reported = True
            time.sleep(0.05)
        self._query("SYSTEM FLUSH LOGS")

    def _query(self, query: str) -> str:
        """ClickHouse's answer to the user `launcher`, without the client library, which is slow to import.

        Raises:
            EmbeddedServerError: ClickHouse, or another server on this port, refused.
            OSError, http.client.HTTPException: no answer, or not one in HTTP.
        """
        headers = {"X-ClickHouse-User": "launcher", "X-ClickHouse-Key": self._passwords.launcher}
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        with contextlib.closing(connection):
            connection.request("POST", "/?database=system&default_format=TSVRaw", body=query, headers=headers)
            response = connection.getresponse()
            text = response.read().decode(errors="replace").strip()
        if response.status != http.client.OK:
            raise EmbeddedServerError(text)
        return text


def _signals_to_stop_on() -> set[signal.Signals]:
    """SIGTERM, and of SIGINT and SIGHUP those that are not ignored (by nohup, or in a shell's background job).

    Dagster ignores SIGTERM in processes that ignore SIGINT, and their children inherit that.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    return {number for number in wanted if signal.getsignal(number) is not signal.SIG_IGN}


def _give_streams_to_engine(output: Path) -> None:
    """Replace descriptors 0 to 2: the engine would read stdin as data and print on stdout."""
    sys.stdout.flush()
    sys.stderr.flush()
    null = os.open(os.devnull, os.O_RDONLY)
    printed = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    os.dup2(null, 0)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    os.close(null)
    os.close(printed)


def _load_library() -> types.ModuleType:
    """Import `chdb._chdb` without `chdb/__init__.py`, which opens and closes an engine of its own."""
    spec = importlib.util.find_spec("chdb")
    places = list(spec.submodule_search_locations or []) if spec else []
    package = types.ModuleType("chdb")
    package.__path__ = places
    sys.modules["chdb"] = package
    try:
        if sys.platform == "linux":
            # Like chdb: its allocator must not be mixed with that of libraries loaded before it.
            for library in (file for place in places for file in Path(place).glob("_chdb*.so")):
                ctypes.CDLL(str(library), mode=sys.getdlopenflags() | os.RTLD_DEEPBIND)
        return importlib.import_module("chdb._chdb")
    except (ImportError, OSError) as error:
        raise EmbeddedServerError(f"the library of chdb-core does not load here: {error}\n{_ALTERNATIVE}") from error
