"""What Dagster's storage knows of runs that have ended (cause, steps, checks, what is stale), and of ticks."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick, TickStatus

from metrics_platform.defs.delivery.notify import KEY as MESSAGES
from metrics_platform.notifications.kinds import Automation
from metrics_platform.time_windows import RANGE_END, RANGE_START

_ATTEMPT, _WILL_RETRY, _MOST_RETRIES = "dagster/retry_number", "dagster/will_retry", "dagster/max_retries"
_FIRST_RUN = "dagster/root_run_id"
_BACKFILL = "dagster/backfill"
_FAILURE_REASON, _START_TIMEOUT = "dagster/failure_reason", "START_TIMEOUT"
# People watch the runs that they start manually. A backfill of a month must not fill a chat.
_STARTED_BY = ("dagster/schedule_name", "dagster/sensor_name")
_CHECK_NUMBERS = 12
CAUSE_LENGTH = 600
# What differs between failures of one cause: ids, numbers, times, memory addresses.
_VARYING = re.compile(r"0x[0-9a-f]+|\b(?=[0-9a-f-]*\d)[0-9a-f][0-9a-f-]{7,}\b|\d+", re.IGNORECASE)
# Dagster decides on a retry milliseconds after the failure, unless its process was killed in between.
_DECIDED_WITHIN = datetime.timedelta(minutes=1)
_ENDED = [TickStatus.FAILURE, TickStatus.SUCCESS, TickStatus.SKIPPED]
_KINDS: dict[InstigatorType, Automation] = {InstigatorType.SCHEDULE: "schedule", InstigatorType.SENSOR: "sensor"}
# Sensors tick every 15 seconds at most, and every tick of `failed_run_sensor` reads them: a few are enough.
_MOST_TICKS = 20
# Every schedule and sensor fails with this error while the code server restarts.
_UNREACHABLE = "DagsterUserCodeUnreachableError"


@dataclass(frozen=True)
class EndedRun:
    """A run that has ended, read as far as it is asked for."""

    instance: dg.DagsterInstance
    record: dg.RunRecord

    @property
    def run(self) -> dg.DagsterRun:
        """The run itself."""
        return self.record.dagster_run

    @property
    def run_id(self) -> str:
        """Its id."""
        return self.run.run_id

    @property
    def first_run_id(self) -> str:
        """The id of the run that this one is a retry of, else its own."""
        return self.run.tags.get(_FIRST_RUN, self.run_id)

    @property
    def at(self) -> datetime.datetime:
        """When it ended."""
        seconds = self.record.end_time or self.updated_at
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC)

    @property
    def updated_at(self) -> float:
        """When Dagster wrote of it last, in seconds since 1970."""
        return self.record.update_timestamp.timestamp()

    @property
    def is_automated(self) -> bool:
        """Whether a schedule or a sensor started it, and neither a person nor a backfill."""
        return any(tag in self.run.tags for tag in _STARTED_BY) and not self.of_backfill

    @property
    def of_backfill(self) -> bool:
        """Whether it belongs to a backfill."""
        return _BACKFILL in self.run.tags

    @property
    def succeeded(self) -> bool:
        """Whether it did what it was to do."""
        return self.run.status == dg.DagsterRunStatus.SUCCESS

    @property
    def is_retried(self) -> bool:
        """Whether Dagster starts it again."""
        return self.run.tags.get(_WILL_RETRY) == "true"

    @property
    def never_started(self) -> bool:
        """Whether it failed before its process began."""
        return not self.succeeded and self.record.start_time is None

    @property
    def start_timed_out(self) -> bool:
        """Whether it did not start in time (`start_timeout_seconds`)."""
        return self.run.tags.get(_FAILURE_REASON) == _START_TIMEOUT

    def is_undecided(self, now: datetime.datetime) -> bool:
        """Whether Dagster has not said yet whether it starts it again: it marks a run as failed, and tags it then."""
        failed = self.run.status == dg.DagsterRunStatus.FAILURE and _WILL_RETRY not in self.run.tags
        return failed and self.instance.run_retries_enabled and now - self.at < _DECIDED_WITHIN

    @property
    def attempt(self) -> int:
        """Which try it was, from 1."""
        return int(self.run.tags.get(_ATTEMPT, 0)) + 1

    @property
    def attempts(self) -> int:
        """Of how many tries at most."""
        return max(self.attempt, int(self.run.tags.get(_MOST_RETRIES, 0)) + 1)

    @property
    def partition(self) -> str | None:
        """Its partition, or `first…last` of a range."""
        first, last = self.run.tags.get(RANGE_START), self.run.tags.get(RANGE_END)
        if first and last:
            return first if first == last else f"{first}…{last}"
        return self.run.tags.get("dagster/partition")

    @cached_property
    def step_failures(self) -> tuple[dg.DagsterEvent, ...]:
        """The failures of steps, without those that only followed from another's."""
        return tuple(self._events(dg.DagsterEventType.STEP_FAILURE))

    @cached_property
    def evaluations(self) -> tuple[dg.AssetCheckEvaluation, ...]:
        """What its checks said, the last word of each."""
        found: dict[tuple[str, str], dg.AssetCheckEvaluation] = {}
        for event in self._events(dg.DagsterEventType.ASSET_CHECK_EVALUATION):
            evaluation = event.event_specific_data
            if isinstance(evaluation, dg.AssetCheckEvaluation):
                found[evaluation.asset_key.to_user_string(), evaluation.check_name] = evaluation
        return tuple(found.values())

    @property
    def failed_checks(self) -> tuple[dg.AssetCheckEvaluation, ...]:
        """The checks with severity ERROR that failed: its data are wrong."""
        return tuple(e for e in self.evaluations if not e.passed and e.severity == dg.AssetCheckSeverity.ERROR)

    @property
    def failed_by_checks(self) -> bool:
        """Whether it failed for its data alone: every step that failed did so with a check of its own."""
        assets = {evaluation.asset_key.to_python_identifier() for evaluation in self.failed_checks}
        steps = {str(event.step_key) for event in self.step_failures}
        return bool(steps) and steps <= assets

    @property
    def cause(self) -> str:
        """Why it failed: what the step says, else the exception that all others came from, else Dagster's words."""
        if self.step_failures:
            return _cause(self.step_failures[0])
        messages = [event.message or "" for event in self._events(dg.DagsterEventType.RUN_FAILURE)]
        return messages[-1] if messages else ""

    def stale_assets(self, graph: Any | None) -> tuple[str, ...]:
        """The assets it was to compute and did not, and what is computed from these: what people read comes first.

        Messages are downstream only in the lineage graph.
        """
        planned = self._asset_keys(dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
        done = set(self._asset_keys(dg.DagsterEventType.ASSET_MATERIALIZATION))
        stale = [key for key in planned if key not in done]
        waiting = list(stale)
        while graph is not None and waiting:
            key = waiting.pop(0)
            if not graph.has(key):
                continue
            for child in sorted(graph.get(key).child_keys):
                if child != MESSAGES and child not in {*stale, *done} and graph.get(child).is_materializable:
                    stale.append(child)
                    waiting.append(child)
        if graph is not None:
            order = {key: number for number, key in enumerate(graph.toposorted_asset_keys)}
            stale.sort(key=lambda key: -order.get(key, 0))
        return tuple(key.to_user_string() for key in stale)

    def _asset_keys(self, kind: dg.DagsterEventType) -> list[dg.AssetKey]:
        return list(dict.fromkeys(event.asset_key for event in self._events(kind) if event.asset_key is not None))

    def _events(self, kind: dg.DagsterEventType) -> Iterator[dg.DagsterEvent]:
        for entry in self.instance.all_logs(self.run_id, of_type=kind):
            if entry.dagster_event is not None:
                yield entry.dagster_event


def numbers_of(evaluation: dg.AssetCheckEvaluation) -> tuple[tuple[str, str], ...]:
    """What a check found, as names and values; what has no short text is left out."""
    found = []
    for name, value in evaluation.metadata.items():
        plain = getattr(value, "value", None)
        if isinstance(plain, bool) or not isinstance(plain, int | float | str) or "\n" in str(plain):
            continue
        found.append((name, f"{plain:,}" if isinstance(plain, int | float) else plain))
    return tuple(each for each in found if len(each[1]) <= 80)[:_CHECK_NUMBERS]


def ended_runs(
    instance: dg.DagsterInstance, since: datetime.datetime, most: int, *, latest_first: bool = False
) -> Sequence[EndedRun]:
    """The runs that have failed or succeeded after `since`, in the order in which they ended, at most `most`."""
    ended = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS]
    records = instance.get_run_records(
        dg.RunsFilter(statuses=ended, updated_after=since),
        limit=most,
        order_by="update_timestamp",
        ascending=not latest_first,
    )
    return [EndedRun(instance, record) for record in records]


def run_of(instance: dg.DagsterInstance, run_id: str) -> EndedRun | None:
    """One run; None where it has been deleted since."""
    records = instance.get_run_records(dg.RunsFilter(run_ids=[run_id]), limit=1)
    return EndedRun(instance, records[0]) if records else None


def _cause(event: dg.DagsterEvent) -> str:
    """What the step says of its failure, else the exception that all others came from."""
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    return cause_of(data.error)


def without_ids(cause: str) -> str:
    """A cause without what differs between its failures."""
    return _VARYING.sub("#", cause)


def cause_of(error: Any) -> str:
    """The text of the exception that all others came from; `error` is as Dagster stores it, or None."""
    while error is not None and error.cause is not None:
        error = error.cause
    return re.sub(r"\s+\Z", "", error.message) if error else ""


@dataclass(frozen=True)
class EndedTick:
    """A tick that has ended."""

    state: InstigatorState
    tick: InstigatorTick

    @property
    def at(self) -> datetime.datetime:
        """When it ended."""
        return datetime.datetime.fromtimestamp(ended_at(self.tick), datetime.UTC)

    @property
    def failed(self) -> bool:
        """Whether it raised."""
        return self.tick.status == TickStatus.FAILURE

    @property
    def cause(self) -> str:
        """The exception that all others came from."""
        return "The code server does not answer." if self.code_is_unreachable else cause_of(self.tick.error)

    @property
    def automation(self) -> tuple[Automation, str]:
        """What ticked: its kind and name."""
        return _KINDS[self.state.instigator_type], self.state.name

    @property
    def location(self) -> str:
        """The code location it belongs to."""
        return self.state.origin.repository_origin.code_location_origin.location_name

    @property
    def code_is_unreachable(self) -> bool:
        """Whether it failed because the code server did not answer: then all others fail, too."""
        return self.failed and self.tick.error is not None and self.tick.error.cls_name == _UNREACHABLE


def running_automations(instance: dg.DagsterInstance) -> list[InstigatorState]:
    """The schedules and sensors that are on."""
    return [state for state in instance.all_instigator_state() if state.is_running and state.instigator_type in _KINDS]


def ended_ticks(instance: dg.DagsterInstance, state: InstigatorState, most: int = _MOST_TICKS) -> list[EndedTick]:
    """The latest ticks of a schedule or sensor that have ended, oldest first."""
    found = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=most, statuses=_ENDED)
    return sorted((EndedTick(state, tick) for tick in found), key=lambda ended: ended.at)


def new_ticks(
    instance: dg.DagsterInstance, known: dict[str, float] | None, now: datetime.datetime
) -> tuple[list[EndedTick], dict[str, float]]:
    """The ticks that have ended since `known` (selector id → when its last known tick ended), and the new `known`.

    Without a `known`, ticks count from `now` on.
    """
    since = now.timestamp() if known is None else 0.0
    ticks: list[EndedTick] = []
    latest: dict[str, float] = {}
    for state in running_automations(instance):
        until = (known or {}).get(state.selector_id, since)
        fresh = [ended for ended in ended_ticks(instance, state) if ended.at.timestamp() > until]
        ticks += fresh
        latest[state.selector_id] = max([until, *(ended.at.timestamp() for ended in fresh)])
    return sorted(ticks, key=lambda ended: ended.at), latest


def ended_at(tick: InstigatorTick) -> float:
    """When a tick ended, in seconds since 1970; older versions of Dagster stored only when it began."""
    return tick.end_timestamp or tick.timestamp
