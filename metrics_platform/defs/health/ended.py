"""Read ended runs and ticks from Dagster's own storage, and from nothing else: ClickHouse may be down."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick, TickStatus

from metrics_platform.defs.delivery.notify import KEY as MESSAGES
from metrics_platform.notifications import kinds
from metrics_platform.time_windows import RANGE_END, RANGE_START

# Each tick of `failed_run_sensor` reads the latest ticks, so a few are enough.
_MAX_TICKS = 20
# Dagster decides on a retry milliseconds after the failure, unless its process was killed in between.
_RETRY_DECISION = datetime.timedelta(minutes=1)
# People watch the runs that they start manually. A backfill of a month must not fill a chat.
_STARTED_BY = ("dagster/schedule_name", "dagster/sensor_name")
_WILL_RETRY = "dagster/will_retry"
# Every schedule and sensor fails with this error while the code server restarts.
_UNREACHABLE = "DagsterUserCodeUnreachableError"
_ENDED = [TickStatus.FAILURE, TickStatus.SUCCESS, TickStatus.SKIPPED]
_KINDS: dict[InstigatorType, kinds.Automation] = {InstigatorType.SCHEDULE: "schedule", InstigatorType.SENSOR: "sensor"}


@dataclass(frozen=True)
class EndedRun:
    """A run that has ended. Its events are read on demand."""

    instance: dg.DagsterInstance
    record: dg.RunRecord

    @property
    def tags(self) -> dict[str, str]:
        return dict(self.record.dagster_run.tags)

    @property
    def run_id(self) -> str:
        return self.record.dagster_run.run_id

    @property
    def job(self) -> str:
        return self.record.dagster_run.job_name

    @property
    def first_run_id(self) -> str:
        """The id of the original run if this one is a retry, otherwise its own."""
        return self.tags.get("dagster/root_run_id", self.run_id)

    @property
    def at(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self.record.end_time or self.updated_at, datetime.UTC)

    @property
    def updated_at(self) -> float:
        """When Dagster last updated it, in seconds since 1970."""
        return self.record.update_timestamp.timestamp()

    @property
    def is_automated(self) -> bool:
        """Whether a schedule or a sensor started it, not a user or a backfill."""
        return any(tag in self.tags for tag in _STARTED_BY) and not self.is_backfill

    @property
    def is_backfill(self) -> bool:
        return "dagster/backfill" in self.tags

    @property
    def succeeded(self) -> bool:
        return self.record.dagster_run.is_success

    @property
    def is_retried(self) -> bool:
        """Whether Dagster retries it."""
        return self.tags.get(_WILL_RETRY) == "true"

    @property
    def never_started(self) -> bool:
        """Whether it failed before its process began."""
        return not self.succeeded and self.record.start_time is None

    def is_undecided(self, now: datetime.datetime) -> bool:
        """Whether Dagster may still decide to retry it: it marks a run as failed first, and tags it afterwards."""
        failed = self.record.dagster_run.is_failure and _WILL_RETRY not in self.tags
        return failed and self.instance.run_retries_enabled and now - self.at < _RETRY_DECISION

    @property
    def partition(self) -> str | None:
        """Its partition, or `first…last` of a range."""
        first, last = self.tags.get(RANGE_START), self.tags.get(RANGE_END)
        if first and last:
            return first if first == last else f"{first}…{last}"
        return self.tags.get("dagster/partition")

    @cached_property
    def step_failures(self) -> tuple[dg.DagsterEvent, ...]:
        """The failed steps, without those that only failed because of another step."""
        return tuple(self._events(dg.DagsterEventType.STEP_FAILURE))

    @cached_property
    def evaluations(self) -> tuple[dg.AssetCheckEvaluation, ...]:
        """The latest evaluation of each of its checks."""
        latest: dict[dg.AssetCheckKey, dg.AssetCheckEvaluation] = {}
        for event in self._events(dg.DagsterEventType.ASSET_CHECK_EVALUATION):
            evaluation = event.event_specific_data
            if isinstance(evaluation, dg.AssetCheckEvaluation):
                latest[evaluation.asset_check_key] = evaluation
        return tuple(latest.values())

    @property
    def failed_checks(self) -> tuple[dg.AssetCheckEvaluation, ...]:
        """The failed checks with severity ERROR: its data is wrong."""
        return tuple(
            evaluation
            for evaluation in self.evaluations
            if not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.ERROR
        )

    @property
    def failed_by_checks(self) -> bool:
        """Whether it failed only because of its data: every failed step has a failed check."""
        assets = {evaluation.asset_key.to_python_identifier() for evaluation in self.failed_checks}
        steps = {str(event.step_key) for event in self.step_failures}
        return bool(steps) and steps <= assets

    @property
    def cause(self) -> str:
        """Why it failed: the step's own description, else the root exception, else Dagster's message."""
        for event in self.step_failures:
            data = event.step_failure_data
            description = data.user_failure_data.description if data.user_failure_data else None
            return description or _root_cause(data.error)
        messages = [event.message or "" for event in self._events(dg.DagsterEventType.RUN_FAILURE)]
        return messages[-1] if messages else ""

    def stale_assets(self, graph: Any | None) -> tuple[str, ...]:
        """The planned assets that were not computed, and the assets downstream of them, the most downstream first.

        Messages do not count: they are downstream only for the lineage graph.
        """
        planned = self._asset_keys(dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
        done = self._asset_keys(dg.DagsterEventType.ASSET_MATERIALIZATION)
        stale = [key for key in planned if key not in done]
        if graph is not None:
            for key in stale:  # the list grows during the loop
                for child in sorted(graph.get(key).child_keys) if graph.has(key) else ():
                    if child != MESSAGES and child not in {*stale, *done} and graph.get(child).is_materializable:
                        stale.append(child)
            order = {key: number for number, key in enumerate(graph.toposorted_asset_keys)}
            stale.sort(key=lambda key: -order.get(key, 0))
        return tuple(key.to_user_string() for key in stale)

    def _asset_keys(self, kind: dg.DagsterEventType) -> list[dg.AssetKey]:
        return list(dict.fromkeys(event.asset_key for event in self._events(kind) if event.asset_key is not None))

    def _events(self, kind: dg.DagsterEventType) -> Iterator[dg.DagsterEvent]:
        for entry in self.instance.all_logs(self.run_id, of_type=kind):
            if entry.dagster_event is not None:
                yield entry.dagster_event


def ended_runs(
    instance: dg.DagsterInstance, since: datetime.datetime, limit: int, *, latest_first: bool = False
) -> list[EndedRun]:
    """At most `limit` runs that failed or succeeded after `since`, in the order in which they ended."""
    ended = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS]
    records = instance.get_run_records(
        dg.RunsFilter(statuses=ended, updated_after=since),
        limit=limit,
        order_by="update_timestamp",
        ascending=not latest_first,
    )
    return [EndedRun(instance, record) for record in records]


def _root_cause(error: Any) -> str:
    """The text of the root exception. `error` is as Dagster stores it, or None."""
    while error is not None and error.cause is not None:
        error = error.cause
    return re.sub(r"\s+\Z", "", error.message) if error else ""


@dataclass(frozen=True)
class EndedTick:
    """A tick that has ended, of a schedule or sensor `automation`: its kind and name."""

    state: InstigatorState
    tick: InstigatorTick

    @property
    def at(self) -> datetime.datetime:
        """When it ended. Older versions of Dagster stored only the start."""
        return datetime.datetime.fromtimestamp(self.tick.end_timestamp or self.tick.timestamp, datetime.UTC)

    @property
    def failed(self) -> bool:
        return self.tick.is_failure

    @property
    def cause(self) -> str:
        """The root exception."""
        return "The code server does not answer." if self.is_unreachable else _root_cause(self.tick.error)

    @property
    def automation(self) -> tuple[kinds.Automation, str]:
        return _KINDS[self.state.instigator_type], self.state.name

    @property
    def is_unreachable(self) -> bool:
        """Whether it failed because the code server did not answer. Then all other ticks fail, too."""
        return self.failed and self.tick.error is not None and self.tick.error.cls_name == _UNREACHABLE


def ended_ticks(instance: dg.DagsterInstance, limit: int = _MAX_TICKS) -> dict[str, list[EndedTick]]:
    """The latest ticks that have ended, oldest first, by the selector id of each schedule and sensor that is on."""
    by_selector: dict[str, list[EndedTick]] = {}
    for state in instance.all_instigator_state():
        if state.is_running and state.instigator_type in _KINDS:
            ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=limit, statuses=_ENDED)
            by_selector[state.selector_id] = sorted(
                (EndedTick(state, tick) for tick in ticks), key=lambda ended: ended.at
            )
    return by_selector
