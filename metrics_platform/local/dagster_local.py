"""Dagster with an embedded ClickHouse, for the demo: its settings, its runs and its UI."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import as_file, files
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import requests

from metrics_platform.settings import CHANNEL_PREFIXES, PREFIX

# Dagster's webserver, daemon and code server stop one after the other. What a busy machine does not finish in time is
# killed, which is safe: the next start cancels the runs that were going on.
_STOP_SECONDS = 15
_REQUEST_SECONDS = 10
_LAST_LINES = 15
# The code location's name, as in pyproject.toml and the project's workspace.yaml.
_LOCATION = "metrics_platform"
_WORKSPACE = f"""\
load_from:
  - python_module:
      module_name: metrics_platform.definitions
      location_name: {_LOCATION}
"""

_Result = TypeVar("_Result")

_STATUS = """{
  instance { daemonHealth { daemonStatus(daemonType: "SCHEDULER") { healthy } } }
  workspaceOrError { ... on Workspace { locationEntries { loadStatus locationOrLoadError {
    ... on PythonError { message errorChain { error { message } } } } } } }
}"""


class DagsterError(RuntimeError):
    """Dagster cannot run here, or a run failed. The text says what to do."""


@contextmanager
def isolated_environment(directory: Path, settings: Mapping[str, str]) -> Iterator[None]:
    """Give this process and Dagster's the environment of a platform that lives in `directory`, for a `with` block.

    It has none of the user's own settings, which may name their ClickHouse or their chat. `directory` becomes the
    working directory, because the platform and Dagster read .env from there.
    """
    before, was_in = dict(os.environ), Path.cwd()
    for name in [name for name in os.environ if name.startswith((PREFIX, *CHANNEL_PREFIXES))]:
        del os.environ[name]
    home = directory / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    with as_file(files("metrics_platform.local") / "dagster.yaml") as configuration:
        shutil.copyfile(configuration, home / "dagster.yaml")
    os.environ.update({"METRICS_DATA_DIR": str(directory), "DAGSTER_HOME": str(home), **settings})
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(was_in)
        os.environ.clear()
        os.environ.update(before)


def in_background(work: Callable[..., _Result], *args: Any, **options: Any) -> Future[_Result]:
    """Call `work` in a daemon thread: unlike an executor, it does not delay an interrupt."""
    future: Future[_Result] = Future()

    def call() -> None:
        try:
            future.set_result(work(*args, **options))
        except BaseException as error:  # noqa: BLE001  (raised where the result is waited for)
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return future


def run_job(job: str, ops: dict[str, Any] | None = None, **options: Any) -> None:
    """Run a job of the code location in this process, with options of Dagster's `execute_in_process`.

    The run has its own thread: in the main thread, Dagster would replace the signal handlers and swallow a Ctrl-C. An
    interrupted run is cancelled, not failed: Dagster would start it again.

    Raises:
        DagsterError: it failed; with the causes.
    """
    import dagster as dg  # noqa: PLC0415
    from dagster._core.instance.ref import InstanceRef  # noqa: PLC0415
    from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager  # noqa: PLC0415
    from dagster._core.utils import make_new_run_id  # noqa: PLC0415

    from metrics_platform.definitions import defs  # noqa: PLC0415

    _relax_sqlite()
    logging.getLogger("dagster").setLevel(logging.ERROR)
    # Captured logs would redirect this process's output into files, and tails of them would outlive an interrupt.
    no_capture = {"compute_logs": {"module": NoOpComputeLogManager.__module__, "class": NoOpComputeLogManager.__name__}}
    home = InstanceRef.from_dir(os.environ["DAGSTER_HOME"], overrides=no_capture)
    with dg.DagsterInstance.from_ref(home) as instance:
        # Without its code location, a run is missing in the UI's timeline and cannot be executed again there.
        create_run = partial(instance.create_run_for_job, remote_job_origin=_origin(job))
        instance.create_run_for_job = create_run  # type: ignore[method-assign]
        run_id = make_new_run_id()
        try:
            result = in_background(
                defs.resolve_job_def(job).execute_in_process,
                instance=instance,
                raise_on_error=False,
                run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}, "ops": ops or {}},
                run_id=run_id,
                **options,
            ).result()
        except KeyboardInterrupt:
            if (run := instance.get_run_by_id(run_id)) and not run.is_finished:
                instance.report_run_canceling(run)
            raise
    if not result.success:
        causes = [
            str(getattr(event.step_failure_data.error, "message", ""))
            for event in result.all_events
            if event.is_step_failure
        ]
        raise DagsterError(f"{job} failed: " + "; ".join(causes))


def _origin(job: str) -> Any:
    """The job's place in the code location, as Dagster's own processes name it."""
    from dagster._core.remote_origin import (  # noqa: PLC0415
        RegisteredCodeLocationOrigin,
        RemoteJobOrigin,
        RemoteRepositoryOrigin,
    )

    return RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(_LOCATION), "__repository__"), job)


@cache
def _relax_sqlite() -> None:
    """Let this process write to Dagster's SQLite files without waiting for the disk, which halves the time of a run.

    The files stay consistent because of their write-ahead log; a power cut may lose the last second.
    """
    import sqlalchemy  # noqa: PLC0415

    @sqlalchemy.event.listens_for(sqlalchemy.Engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        if type(connection).__module__.startswith("sqlite3"):
            connection.execute("PRAGMA synchronous = NORMAL")


@dataclass
class DagsterUI:
    """A `dagster dev` that runs as a child of this process; `url` is where its UI answers."""

    url: str
    log: Path
    _process: subprocess.Popen[bytes]

    def wait_until_ready(self) -> None:
        """Wait until it answers, has loaded the code location and its scheduler ticks, without a time limit.

        Raises:
            DagsterError: its process has ended, or the code location cannot be loaded; with the reason.
        """
        while self._problem():
            time.sleep(0.5)

    def check(self) -> None:
        """Raise DagsterError if its process has ended."""
        if self._process.poll() is not None:
            raise DagsterError(f"Dagster has ended with exit code {self._process.returncode}. {self._last_words()}")

    def ask(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the data of a GraphQL query.

        Raises:
            DagsterError: an error in the answer.
            requests.RequestException: no answer.
        """
        with requests.Session() as session:
            session.trust_env = False  # no proxy for ports of this machine
            body = {"query": query, "variables": dict(variables or {})}
            answer = session.post(f"{self.url}/graphql", json=body, timeout=_REQUEST_SECONDS)
            answer.raise_for_status()
        content = answer.json()
        if content.get("errors"):
            raise DagsterError("; ".join(str(error.get("message")) for error in content["errors"]))
        return dict(content["data"])

    def _problem(self) -> str:
        """Why it is not ready; empty if it is. Raises DagsterError if waiting does not help."""
        self.check()
        try:
            data = self.ask(_STATUS)
        except requests.RequestException:
            return "its webserver does not answer"
        except DagsterError as error:  # such as a locked database while its processes start
            return str(error)
        locations = data["workspaceOrError"].get("locationEntries", [])
        for location in locations:
            if message := (location["locationOrLoadError"] or {}).get("message"):
                causes = [link["error"]["message"] for link in location["locationOrLoadError"]["errorChain"]]
                raise DagsterError(f"Dagster cannot load metrics_platform: {(causes or [message])[-1]}")
        if not locations or any(location["loadStatus"] != "LOADED" for location in locations):
            return "it is loading the platform"
        healthy = data["instance"]["daemonHealth"]["daemonStatus"]["healthy"]
        return "" if healthy else "its scheduler does not tick"

    def _last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
        return "\n".join([f"The end of {self.log}:", *lines])


@contextmanager
def running_dagster(directory: Path, port: int) -> Iterator[DagsterUI]:
    """Run `dagster dev` for the time of a `with` block, with the settings of `isolated_environment`.

    It works in `directory`, which has no .env of the user's, and logs into dagster.log there. Ctrl-C in a terminal does
    not reach it: the end of the block stops it in order. On Linux it also ends when this process is killed.
    """
    import dagster as dg  # noqa: PLC0415

    # Create its databases first: two processes that create them at the same time corrupt them.
    with dg.DagsterInstance.get():
        pass
    workspace = directory / "workspace.yaml"
    workspace.write_text(_WORKSPACE, encoding="utf-8")
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(workspace)]
    log = directory / "dagster.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  (our own command)
            [*command, "-h", "127.0.0.1", "-p", str(port), "--log-level", "warning"],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_parent(),  # noqa: PLW1509  (none of our threads holds a lock that it needs)
        )
    try:
        yield DagsterUI(f"http://localhost:{port}", log, process)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        # All remaining processes of its session, such as a run in progress.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _end_with_parent() -> Callable[[], None]:
    """Prepare a child process: it reacts to SIGINT, and Linux sends it one when its parent ends."""
    import ctypes  # noqa: PLC0415

    library = ctypes.CDLL(None) if sys.platform.startswith("linux") else None

    def prepare() -> None:
        # A child inherits ignored signals, for example in the background of a script.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if library:
            library.prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG

    return prepare


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Leave the `with` block in order on SIGINT, SIGTERM and SIGHUP, so that child processes end with this one.

    SIGINT and SIGHUP stay ignored if they were ignored at the start (nohup, the background of a script).

    Yields:
        An event that is set on the first signal: a library may swallow the KeyboardInterrupt itself.
    """
    stop_requested = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        stop_requested.set()
        signal.default_int_handler(number, frame)

    ignored = [number for number in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_IGN]
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}.difference(ignored)
    before = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield stop_requested
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
