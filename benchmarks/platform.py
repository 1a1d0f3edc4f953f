"""A whole platform for the time of a benchmark: ClickHouse, `dagster dev`, a Bot API server on loopback."""

from __future__ import annotations

import datetime
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.measure import MIB
from benchmarks.source import create_source
from metrics_platform.local.clickhouse import running_server
from metrics_platform.local.dagster_local import DagsterUI, isolated_environment, running_dagster
from metrics_platform.settings import Settings, load_settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform_tests.telegram.bot_api import BotApi, bot_api_server

_POLL_SECONDS = 0.1
_RUN_SECONDS = 1200


@dataclass(frozen=True)
class Run:
    """A run that has succeeded; `seconds`: from its launch to its end."""

    id: str
    seconds: float


@dataclass(frozen=True)
class Platform:
    """What runs, and how to speak to it."""

    settings: Settings
    warehouse: Warehouse
    dagster: DagsterUI
    telegram: BotApi
    clickhouse_pid: int

    def run(self, job: str, tags: Mapping[str, str]) -> Run:
        """Launch a run as a person does, through Dagster's queue, and wait for its end.

        Raises:
            RuntimeError: it did not succeed.
        """
        began = time.time()
        run_id = self._launch(job, tags)
        query = "query($run: ID!) { runOrError(runId: $run) { ... on Run { status endTime } } }"
        while time.time() - began < _RUN_SECONDS:
            run = self.dagster.ask(query, {"run": run_id})["runOrError"]
            if run["status"] == "SUCCESS":
                return Run(run_id, float(run["endTime"]) - began)
            if run["status"] in ("FAILURE", "CANCELED"):
                break
            time.sleep(_POLL_SECONDS)
        raise RuntimeError(f"The run {run_id} of {job} is {run['status']}; see {self.dagster.log}")

    def _launch(self, job: str, tags: Mapping[str, str]) -> str:
        parameters = {
            "selector": {
                "repositoryLocationName": "metrics_platform",
                "repositoryName": "__repository__",
                "pipelineName": job,
            },
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        answer = self.dagster.ask(
            "mutation($parameters: ExecutionParams!) { launchRun(executionParams: $parameters) { __typename "
            "... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }",
            {"parameters": parameters},
        )["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            raise RuntimeError(f"{job} cannot be run: {answer.get('message', answer)}")
        return str(answer["run"]["runId"])

    def step_seconds(self, run: Run) -> float:
        """What the steps of a run took together, from the start to the end of each."""
        answer = self.dagster.ask(
            "query($run: ID!) { runOrError(runId: $run) { ... on Run { stepStats { startTime endTime } } } }",
            {"run": run.id},
        )
        return float(sum(step["endTime"] - step["startTime"] for step in answer["runOrError"]["stepStats"]))

    def memory(self) -> dict[str, float]:
        """The memory (MiB) of each process; what processes share is divided among them (PSS, on Linux)."""
        found: dict[str, float] = {"ClickHouse": _mib(psutil.Process(self.clickhouse_pid))}
        for process in psutil.Process().children(recursive=True):
            try:
                command = " ".join(process.cmdline())
                if name := _role(command):
                    found[name] = found.get(name, 0.0) + _mib(process)
            except psutil.NoSuchProcess:  # a run that has ended meanwhile
                continue
        return found


@contextmanager
def running_platform(start_date: datetime.date, **settings: str) -> Iterator[Platform]:
    """A platform with empty sources from `start_date` on, its schedules off; it ends with the block."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder) / "clickhouse") as server,
        bot_api_server(rate_limits=True, clock=time.time) as telegram,
        isolated_environment(
            Path(folder),
            {
                "METRICS_CLICKHOUSE_URL": server.url,
                "METRICS_FEED_TABLE": "source.feed_actions",
                "METRICS_MESSAGES_TABLE": "source.message_actions",
                "METRICS_START_DATE": start_date.isoformat(),
                "METRICS_TIMEZONE": "UTC",
                "METRICS_SCHEDULES_ON": "false",
                "TELEGRAM_BOT_TOKEN": telegram.token,
                "TELEGRAM_CHAT_ID": str(telegram.private),
                "TELEGRAM_API_BASE": telegram.base,
                **settings,
            },
        ),
    ):
        loaded = load_settings(env_file=None)
        warehouse = create_source(loaded)
        with running_dagster(Path(folder), _free_port()) as dagster:
            dagster.wait_until_ready()
            yield Platform(loaded, warehouse, dagster, telegram, server.pid)


def _role(command: str) -> str:
    for part, role in (
        ("dagster_webserver", "Dagster's webserver"),
        ("dagster-webserver", "Dagster's webserver"),
        ("dagster._daemon", "Dagster's daemon"),
        ("api grpc", "code location"),
        ("code-server", "code location"),
        ("dagster dev", "dagster dev"),
        ("api execute_run", "runs"),
        ("forkserver", "runs"),
    ):
        if part in command:
            return role
    return "others" if "dagster" in command else ""


def _mib(process: psutil.Process) -> float:
    memory = process.memory_full_info()
    return float(getattr(memory, "pss", memory.rss)) / MIB


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
