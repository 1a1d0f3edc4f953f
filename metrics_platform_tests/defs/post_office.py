"""The delivery as the daemon drives it, in this process: ticks of `notify_sensor`, and the runs they start.

What the daemon does with a tick's result is done here in its order: events are stored, then runs are made, and the
cursor is kept last. Everything is real but the daemon's loop: Dagster's storage, the job, and HTTP to whatever the
settings name.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing.process import BaseProcess
from typing import Any

import dagster as dg

from metrics_platform.defs import build_definitions
from metrics_platform.defs.delivery.notify import KEY
from metrics_platform.defs.delivery.storage import event_log, history_of, queued
from metrics_platform.defs.resources import TelegramResource
from metrics_platform.notifications.history import Closed, Entry, Queued
from metrics_platform.notifications.kinds import Event
from metrics_platform.settings import Settings
from metrics_platform_tests.defs.running import QUIET
from metrics_platform_tests.faults.run_day import processes


@dataclass
class PostOffice:
    """The delivery of some settings on a Dagster instance."""

    settings: Settings
    instance: dg.DagsterInstance
    budget_seconds: float = 0.0  # how long a step is retried; the tests of the channels look at that
    cursor: str | None = None
    reasons: list[str] = field(default_factory=list)
    runs: list[dg.ExecuteInProcessResult] = field(default_factory=list)
    _definitions: dg.Definitions | None = None

    @property
    def definitions(self) -> dg.Definitions:
        """What Dagster has loaded."""
        if self._definitions is None:
            self._definitions = build_definitions(self.settings)
        return self._definitions

    def queue(self, *events: Event) -> None:
        """What a sensor of another feature does."""
        for event in queued(*events):
            self.instance.report_runless_asset_event(event)

    def result_of_a_tick(self) -> dg.SensorResult:
        """What the sensor wants; nothing is done about it."""
        context = dg.build_sensor_context(self.instance, cursor=self.cursor, definitions=self.definitions)
        result = self.definitions.resolve_sensor_def("notify_sensor")(context)
        assert isinstance(result, dg.SensorResult)
        return result

    def tick(self) -> list[dg.ExecuteInProcessResult]:
        """A tick, and the run of `notify` that it starts."""
        result = self.result_of_a_tick()
        if result.skip_reason:
            self.reasons.append(str(result.skip_reason.skip_message))
        runs = [self.notify(request) for request in result.run_requests or [] if request.job_name == "notify"]
        self.cursor = result.cursor
        self.runs += runs
        return runs

    def notify(self, request: dg.RunRequest | None = None) -> dg.ExecuteInProcessResult:
        """A run of `notify`, as requested; without a request, as a user launches it."""
        config = request.run_config if request else {}
        return self.definitions.resolve_job_def("notify").execute_in_process(
            instance=self.instance, run_config={**QUIET, **config, **self._resources}, raise_on_error=False
        )

    def materialize(self, key: str, **config: Any) -> dg.ExecuteInProcessResult:
        """Materialise the partition of one message, as a user does."""
        self.instance.add_dynamic_partitions("notifications", [key])
        return self.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            asset_selection=[KEY],
            instance=self.instance,
            partition_key=key,
            run_config={**QUIET, "ops": {"notifications": {"config": config}}, **self._resources},
            raise_on_error=False,
        )

    @property
    def _resources(self) -> dict[str, Any]:
        telegram = TelegramResource.for_settings(self.settings).model_dump()
        return {"resources": {"telegram": {"config": {**telegram, "budget_seconds": self.budget_seconds}}}}

    def until_quiet(self) -> None:
        """Ticks until nothing is due."""
        for _ in range(20):
            if not self.tick() and self.reasons:
                return
        raise AssertionError(f"still busy: {self.reasons[-5:]}")

    def entries(self, key: str) -> list[Entry]:
        """What is stored of a message."""
        return [stored.entry for stored in history_of(self.instance, key).stored]

    def outcome(self, key: str) -> Closed | None:
        """How a message ended."""
        return history_of(self.instance, key).closed

    def shown(self, key: str) -> dict[str, Any]:
        """The metadata of a message's latest materialisation."""
        selection = dg.AssetRecordsFilter(KEY, asset_partitions=[key])
        (record, *_) = self.instance.fetch_materializations(selection, limit=1).records
        assert record.asset_materialization is not None
        return dict(record.asset_materialization.metadata)

    def shown_failure(self, key: str) -> tuple[str, dict[str, Any]]:
        """The description and the metadata of a message's latest failed attempt."""
        selection = dg.AssetRecordsFilter(KEY, asset_partitions=[key])
        for record in self.instance.fetch_observations(selection, limit=20).records:
            found = record.asset_observation
            if found and "attempts" in found.metadata:
                return str(found.description), dict(found.metadata)
        raise AssertionError("no failed attempt is shown")


@dataclass
class SensorTicks:
    """A sensor of `defs/health`, tick by tick."""

    office: PostOffice
    module: str
    cursor: str | None = None
    summary: str = ""
    shown: list[dg.AssetCheckEvaluation] = field(default_factory=list)

    def tick(self, now: datetime.datetime) -> list[Any]:
        """The notifications that a tick queues."""
        instance = self.office.instance
        context = dg.build_sensor_context(instance, cursor=self.cursor, definitions=self.office.definitions)
        result = import_module(f"metrics_platform.defs.health.{self.module}").tick(context, self.office.settings, now)
        reason = result if isinstance(result, dg.SkipReason) else result.skip_reason
        self.summary = str(reason.skip_message) if reason else ""
        if isinstance(result, dg.SkipReason):
            return []
        for event in result.asset_events:
            instance.report_runless_asset_event(event)
        self.cursor = result.cursor
        self.shown = [event for event in result.asset_events if isinstance(event, dg.AssetCheckEvaluation)]
        messages = [event for event in result.asset_events if isinstance(event, dg.AssetObservation)]
        return [history_of(instance, str(message.partition)).event for message in messages]

    @property
    def queued(self) -> list[Any]:
        """Every notification that was ever queued."""
        stored = event_log(self.office.instance).since(0.0)
        return [entry.entry.notification for entry in stored if isinstance(entry.entry, Queued)]


def failure_of(run: dg.ExecuteInProcessResult) -> str:
    """The text of a run's failure."""
    (event,) = [event for event in run.all_events if event.is_step_failure]
    assert event.step_failure_data.user_failure_data is not None
    return str(event.step_failure_data.user_failure_data.description)


@contextmanager
def notify_process(office: PostOffice) -> Iterator[BaseProcess]:
    """A run of `notify` in a process of its own, forked as Dagster's launcher does; killed at the end."""
    waiting = TelegramResource.for_settings(office.settings).budget_seconds
    arguments = (office.settings, office.instance.root_directory, waiting)
    process = processes.Process(target=_notify, args=arguments, daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def _notify(settings: Settings, home: str, budget_seconds: float) -> None:
    with dg.DagsterInstance.from_config(home) as instance:
        PostOffice(settings, instance, budget_seconds).notify()


def wait_until(holds: Callable[[], Any], seconds: float = 600) -> None:
    """Wait for something another process does."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)
