"""The delivery as the daemon drives it, in this process: ticks of `notify_sensor`, and the runs they ask for.

What the daemon does with a tick's result is done here in its order: events are stored, partitions added, runs made
once for each run key, the cursor kept last. Everything is real but the daemon's loop: Dagster's storage, the job, and
HTTP to whatever the settings name.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from metrics_platform.defs import build_definitions
from metrics_platform.defs.delivery.storage import DagsterJournal, Stored, asking, journal_of
from metrics_platform.defs.resources import TelegramResource
from metrics_platform.notifications.journal import Closed, Entry, closed
from metrics_platform.notifications.kinds import Event
from metrics_platform.settings import Settings

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class PostOffice:
    """The delivery of some settings on a Dagster instance."""

    settings: Settings
    instance: dg.DagsterInstance
    budget_seconds: float = 0.0  # how long a run tries by itself; the tests of the channels look at that
    cursor: str | None = None
    reasons: list[str] = field(default_factory=list)
    runs: list[dg.ExecuteInProcessResult] = field(default_factory=list)
    _definitions: dg.Definitions | None = None

    @property
    def definitions(self) -> dg.Definitions:
        """What Dagster has loaded; `restart` loads it again."""
        if self._definitions is None:
            self._definitions = build_definitions(self.settings)
        return self._definitions

    def ask(self, *events: Event) -> None:
        """What a sensor of another feature does."""
        for event in asking(*events):
            self.instance.report_runless_asset_event(event)

    def result_of_a_tick(self) -> dg.SensorResult:
        """What the sensor wants; nothing is done about it."""
        context = dg.build_sensor_context(self.instance, cursor=self.cursor, definitions=self.definitions)
        result = self.definitions.resolve_sensor_def("notify_sensor")(context)
        assert isinstance(result, dg.SensorResult)
        return result

    def tick(self) -> list[dg.ExecuteInProcessResult]:
        """A tick and the runs of `notify` it asks for."""
        result = self.result_of_a_tick()
        if result.skip_reason:
            self.reasons.append(str(result.skip_reason.skip_message))
        self.store(result)
        runs = [self.run(request) for request in result.run_requests or [] if request.job_name == "notify"]
        self.cursor = result.cursor
        done = [run for run in runs if run is not None]
        self.runs += done
        return done

    def store(self, result: dg.SensorResult) -> None:
        """The part of a tick that the daemon does before it makes runs."""
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        for request in result.dynamic_partitions_requests or []:
            if isinstance(request, dg.AddDynamicPartitionsRequest):
                self.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
            else:
                for key in request.partition_keys:
                    self.instance.delete_dynamic_partition(request.partitions_def_name, key)

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult | None:
        """A run for a request, unless there was one with its run key."""
        assert request.run_key and request.partition_key
        if self.instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": request.run_key})):
            return None
        return self.notify(request.partition_key, tags={"dagster/run_key": request.run_key}, config=request.run_config)

    def notify(
        self, key: str, *, tags: dict[str, str] | None = None, config: Any = None, **options: Any
    ) -> dg.ExecuteInProcessResult:
        """A run of `notify` for one message; `options` as in its launchpad."""
        ops = (config or {}).get("ops") or {"notifications": {"config": options}}
        telegram = TelegramResource.for_settings(self.settings).model_dump()
        resources = {"telegram": {"config": {**telegram, "budget_seconds": self.budget_seconds}}}
        return self.definitions.resolve_job_def("notify").execute_in_process(
            instance=self.instance,
            partition_key=key,
            tags=tags,
            run_config={**_QUIET, "ops": ops, "resources": resources},
            raise_on_error=False,
        )

    def until_quiet(self, most: int = 200) -> None:
        """Ticks until nothing is due."""
        for _ in range(most):
            before = len(self.reasons)
            ran = self.tick()
            if not ran and len(self.reasons) > before and "burst" not in self.reasons[-1].lower():
                return
        raise AssertionError(f"still busy after {most} ticks: {self.reasons[-5:]}")

    @property
    def journal(self) -> DagsterJournal:
        """The journal."""
        return journal_of(self.instance)

    def entries(self, key: str) -> list[Entry]:
        """What is stored of a notification."""
        return [stored.entry for stored in self.journal.stored(key)]

    def stored(self, key: str) -> list[Stored]:
        """The same with when it was stored."""
        return self.journal.stored(key)

    def outcome(self, key: str) -> Closed | None:
        """How a notification ended."""
        return closed(self.journal.entries(key))


def metadata_of(run: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """What a run shows: of its materialisation, or of its failure."""
    for event in run.all_events:
        if event.is_step_failure and event.step_failure_data.user_failure_data:
            return dict(event.step_failure_data.user_failure_data.metadata)
        if event.is_step_materialization:
            return dict(event.step_materialization_data.materialization.metadata)
    raise AssertionError("the run shows nothing")


@contextmanager
def notify_process(office: PostOffice, key: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run of `notify` in a process of its own, as Dagster's launcher starts one; killed at the end."""
    settings = office.settings
    assert settings.telegram_bot_token is not None
    environment = {
        **os.environ,
        "DAGSTER_HOME": office.instance.root_directory,
        "METRICS_DATA_DIR": str(settings.data_dir),
        "TELEGRAM_BOT_TOKEN": settings.telegram_bot_token.get_secret_value(),
        "TELEGRAM_CHAT_ID": str(settings.telegram_chat_id),
        "TELEGRAM_API_BASE": settings.telegram_api_base,
    }
    tags = json.dumps({"dagster/partition": key, "dagster/run_key": f"{key}#1"})
    command = ["job", "execute", "-m", "metrics_platform.definitions", "-j", "notify", "--tags", tags]
    process = subprocess.Popen(
        [sys.executable, "-m", "dagster", *command],
        cwd=office.instance.root_directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until(holds: Callable[[], Any], seconds: float = 60) -> None:
    """Wait for something another process does."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)
