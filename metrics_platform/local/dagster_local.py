"""Dagster beside an embedded ClickHouse, for the example and the demo: its settings, its runs, its own UI."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from types import FrameType
from typing import Any

import requests

from metrics_platform.settings import CHANNEL_PREFIXES, PREFIX

# Dagster's webserver, daemon and code server stop one after the other.
_STOP_SECONDS = 45
_START_SECONDS = 120
_REQUEST_SECONDS = 30
_LAST_LINES = 15
_PROGRAM = "metrics-platform"
_BEGAN_IN = Path.cwd()
# The code location has the name it has everywhere (pyproject.toml, the project's workspace.yaml).
_WORKSPACE = """\
load_from:
  - python_module:
      module_name: metrics_platform.definitions
      location_name: metrics_platform
"""


class DagsterError(RuntimeError):
    """Dagster cannot run here, or a run of it failed; the text says what to do."""


class _LocationError(DagsterError):
    """The code location cannot be loaded: no waiting helps."""


def shown(path: Path) -> str:
    """The path as short as a person would write it, who is where this process began."""
    try:
        return str(path.relative_to(_BEGAN_IN))
    except ValueError:
        return str(path)


def this_command() -> str:
    """How a person has called this program, to be called again."""
    program = Path(sys.argv[0])
    return str(shown(program) if program.is_absolute() else program) if program.name == _PROGRAM else _PROGRAM


@contextmanager
def own_settings(directory: Path, settings: Mapping[str, str]) -> Iterator[None]:
    """The environment of a platform that lives in `directory`, for this process and for Dagster's.

    Nothing of the person's own settings is in it: they may name a ClickHouse or a chat that is not to be touched. So
    for the time being `directory` is the working directory, too: the platform and Dagster read .env where they are.
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


def run_job(job: str, ops: dict[str, Any] | None = None, **options: Any) -> None:
    """Run a job of the code location in this process; `options` as of Dagster's `execute_in_process`.

    Raises:
        DagsterError: it failed; with the causes.
    """
    import dagster as dg  # noqa: PLC0415

    from metrics_platform.definitions import defs  # noqa: PLC0415

    _let_databases_be_lazy()
    logging.getLogger("dagster").setLevel(logging.ERROR)
    with dg.DagsterInstance.get() as instance:
        result = defs.resolve_job_def(job).execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}, "ops": ops or {}},
            **options,
        )
    if not result.success:
        causes = [
            str(getattr(event.step_failure_data.error, "message", ""))
            for event in result.all_events
            if event.is_step_failure
        ]
        raise DagsterError(f"{job} failed: " + "; ".join(causes))


def materialize(asset: str, partitions: str) -> None:
    """Materialise an asset in a process of its own, in one run; `partitions` as 2026-01-01...2026-01-31.

    Raises:
        DagsterError: it failed; with its last words.
    """
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "metrics_platform.definitions"]
    result = subprocess.run(  # noqa: S603  (our own command)
        [*command, "--select", asset, "--partition-range", partitions],
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise DagsterError(f"{asset} failed:\n" + "\n".join(result.stderr.splitlines()[-_LAST_LINES:]))


def _environment() -> dict[str, str]:
    """Ours, in which the code that this process has is found, also where it is not installed."""
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


@cache
def _let_databases_be_lazy() -> None:
    """Of this process, Dagster's SQLite files need not survive a power cut: thousands of events come in half the time.

    They stay whole (they have a write-ahead log); what the last second wrote may be lost.
    """
    import sqlalchemy  # noqa: PLC0415

    @sqlalchemy.event.listens_for(sqlalchemy.Engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        if type(connection).__module__.startswith("sqlite3"):
            connection.execute("PRAGMA synchronous = NORMAL")


def port_is_taken(port: int) -> bool:
    """Whether a program answers on the port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def check_port(port: int) -> None:
    """Raises DagsterError where another program answers on the port, before anything else is begun."""
    if port_is_taken(port):
        raise DagsterError(
            f"Port {port}, for Dagster's UI, is taken by another program (another `dagster dev`, perhaps). End that, "
            f"or choose another port: --port {port + 1}."
        )


@dataclass
class DagsterUI:
    """A `dagster dev` that runs as a child of this process; `url` is where its UI answers."""

    url: str
    log: Path
    _process: subprocess.Popen[bytes]

    def wait_until_ready(self) -> None:
        """Until it answers and has loaded the code location.

        Raises:
            DagsterError: it has ended, or takes longer than two minutes; with its last words.
        """
        give_up = time.monotonic() + _START_SECONDS
        while time.monotonic() < give_up:
            self.check()
            try:
                if self.locations():
                    return
            except _LocationError:
                raise
            except (requests.RequestException, DagsterError):
                pass
            time.sleep(0.3)
        raise DagsterError(f"Dagster did not answer within {_START_SECONDS} s. {self._last_words()}")

    def wait(self) -> None:
        """Until it ends."""
        self._process.wait()

    def check(self) -> None:
        """Raises DagsterError where its process has ended."""
        if self._process.poll() is not None:
            raise DagsterError(f"Dagster has ended with exit code {self._process.returncode}. {self._last_words()}")

    def locations(self) -> list[dict[str, Any]]:
        """The loaded repositories: `name`, `location`, `schedules` by name. Empty while they are being loaded.

        Raises:
            DagsterError: the code location cannot be loaded; with the reason.
            requests.RequestException: no answer.
        """
        entries = self.ask(
            "{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename "
            "... on PythonError { message errorChain { error { message } } } "
            "... on RepositoryLocation { repositories { name location { name } schedules { name } } } } } } } }"
        )["workspaceOrError"].get("locationEntries", [])
        found = [entry["locationOrLoadError"] for entry in entries if entry["locationOrLoadError"]]
        for each in found:
            if "message" in each:
                causes = [link["error"]["message"] for link in each["errorChain"]]
                raise _LocationError(f"Dagster cannot load metrics_platform: {(causes or [each['message']])[-1]}")
        return [repository for each in found for repository in each["repositories"]]

    def turn_on_schedules(self) -> None:
        """Turn on every schedule of the code location; those that are on stay so.

        Raises:
            DagsterError, requests.RequestException: it does not answer, or refuses.
        """
        for repository in self.locations():
            for schedule in repository["schedules"]:
                selector = {**_selector(repository), "scheduleName": schedule["name"]}
                answer = self.ask(
                    "mutation($selector: ScheduleSelector!) { startSchedule(scheduleSelector: $selector) "
                    "{ __typename ... on PythonError { message } } }",
                    {"selector": selector},
                )["startSchedule"]
                if answer["__typename"] != "ScheduleStateResult":
                    raise DagsterError(f"{schedule['name']} cannot be turned on: {answer.get('message', answer)}")

    def launch(
        self, job: str, tags: Mapping[str, str], *, assets: Sequence[str] = (), config: Mapping[str, Any] | None = None
    ) -> str:
        """Put a run of the job, or of some of its assets, into Dagster's queue; returns its id.

        Raises:
            DagsterError, requests.RequestException: it does not answer, or refuses.
        """
        repository = self.locations()[0]
        answer = self.ask(
            "mutation($parameters: ExecutionParams!) { launchRun(executionParams: $parameters) { __typename "
            "... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }",
            {
                "parameters": {
                    "selector": {
                        **_selector(repository),
                        "pipelineName": job,
                        "assetSelection": [{"path": [name]} for name in assets] or None,
                    },
                    "runConfigData": dict(config or {}),
                    "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
                }
            },
        )["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            raise DagsterError(f"{job} cannot be run: {answer.get('message', answer)}")
        return str(answer["run"]["runId"])

    def ask(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The data of a GraphQL query.

        Raises:
            DagsterError: an answer that says why not.
            requests.RequestException: no answer.
        """
        body = {"query": query, "variables": dict(variables or {})}
        # It is on this machine: past the environment's proxy.
        proxies: Any = {"http": None, "https": None, "all": None}
        answer = requests.post(f"{self.url}/graphql", json=body, timeout=_REQUEST_SECONDS, proxies=proxies)
        answer.raise_for_status()
        content = answer.json()
        if content.get("errors"):
            raise DagsterError("; ".join(str(each.get("message")) for each in content["errors"]))
        return dict(content["data"])

    def _last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
        return "\n".join([f"The end of {self.log}:", *lines])


def _selector(repository: Mapping[str, Any]) -> dict[str, str]:
    return {"repositoryName": repository["name"], "repositoryLocationName": repository["location"]["name"]}


@contextmanager
def running_dagster(directory: Path, port: int) -> Iterator[DagsterUI]:
    """Run `dagster dev` for the time of a `with` block, on what the environment of `own_settings` says.

    It works in `directory`, where no .env of the person's lies, and what it says goes into dagster.log there. Ctrl-C in
    a terminal does not reach it: it is ended in order at the end of the block. Where the system can (Linux), it also
    ends when this process is killed.
    """
    import dagster as dg  # noqa: PLC0415

    # Its databases are made here: two processes that make them at once end in a broken one.
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
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_parent(),  # noqa: PLW1509  (no thread of ours holds a lock that it would need)
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
        # Whatever is left of its session: a run that was being worked on, at the worst.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _end_with_parent() -> Callable[[], None] | None:
    """What a child does before it begins: ask Linux for SIGINT when its parent is gone, and heed SIGINT at all."""

    def restore() -> None:
        # What is ignored (in the background of a script, say), a child would ignore as well.
        signal.signal(signal.SIGINT, signal.default_int_handler)

    if not sys.platform.startswith("linux"):
        return restore
    import ctypes  # noqa: PLC0415

    library = ctypes.CDLL(None)

    def ask() -> None:
        restore()
        library.prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG

    return ask


@contextmanager
def ended_by_signals() -> Iterator[threading.Event]:
    """Whichever way this process is asked to end, its children end with it, in order: it is as Ctrl-C.

    SIGINT and SIGHUP stay ignored where they were when it started, as under nohup or in the background of a script.
    What it yields says that it was asked to: an interrupt that comes while a library loads or cleans up can get lost.
    """
    asked = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        asked.set()
        signal.default_int_handler(number, frame)

    ignored = [each for each in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(each) is signal.SIG_IGN]
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}.difference(ignored)
    before = {each: signal.signal(each, interrupt) for each in signals}
    try:
        yield asked
    except KeyboardInterrupt:
        pass
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
