"""Failed runs, checks and ticks of schedules and sensors, and their end.

It reads Dagster's own storage and nothing else, so that "ClickHouse is down" gets out. A plain sensor, because a run
failure sensor loses an event whose body raises, and handles five runs a tick.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick, TickStatus

from metrics_platform.alerts.alert import Alert, Condition, Notification, Subject
from metrics_platform.alerts.policies import FAILED_CHECK
from metrics_platform.channel_settings import Severity
from metrics_platform.defs.daily.schedule import JOB as DAILY_JOB
from metrics_platform.defs.delivery.notify import CHECK_JOB
from metrics_platform.defs.delivery.notify import JOB as NOTIFY_JOB
from metrics_platform.defs.delivery.notify import KEY as MESSAGES
from metrics_platform.defs.delivery.storage import queued
from metrics_platform.defs.health.alert_store import AlertCursor, update_alerts
from metrics_platform.notifications.kinds import (
    Automation,
    Event,
    FailedCheck,
    FailedRun,
    FailedRuns,
    FailedTick,
    Recovered,
    Success,
)
from metrics_platform.settings import Settings
from metrics_platform.time_windows import RANGE_END, RANGE_START

# Runs are read again for this long: the clocks of machines differ.
_OVERLAP = datetime.timedelta(minutes=5)
# A tick has a minute; reading a run takes some ten milliseconds. The next tick goes on where this one ends.
_MOST_RUNS = 500
# Sensors tick every 15 seconds at most, and every tick of `failed_run_sensor` reads them: a few are enough.
_MOST_TICKS = 20
# Dagster decides on a retry milliseconds after the failure, unless its process was killed in between.
_DECIDED_WITHIN = datetime.timedelta(minutes=1)
# A message about each of their failures would have no end. The journal and the UI show them.
_ABOUT_MESSAGES = (NOTIFY_JOB, CHECK_JOB)
# People watch the runs that they start manually. A backfill of a month must not fill a chat.
_STARTED_BY = ("dagster/schedule_name", "dagster/sensor_name")
_BACKFILL = "dagster/backfill"
_WILL_RETRY = "dagster/will_retry"
# Every schedule and sensor fails with this error while the code server restarts.
_UNREACHABLE = "DagsterUserCodeUnreachableError"
_ENDED = [TickStatus.FAILURE, TickStatus.SUCCESS, TickStatus.SKIPPED]
_KINDS: dict[InstigatorType, Automation] = {InstigatorType.SCHEDULE: "schedule", InstigatorType.SENSOR: "sensor"}
_CHECK_NUMBERS = 12
_CAUSE_LENGTH = 600
# What differs between failures of one cause: ids, numbers, times, memory addresses.
_VARYING = re.compile(r"0x[0-9a-f]+|\b(?=[0-9a-f-]*\d)[0-9a-f][0-9a-f-]{7,}\b|\d+", re.IGNORECASE)
_NOT_OF_KEYS = re.compile(r"[^A-Za-z0-9._-]+")


class _Cursor(AlertCursor):
    """Runs that ended up to `until` have been read; which of the last minutes' have been seen; and when the last known
    tick of each schedule and sensor ended, by its selector id."""

    until: float = 0.0
    seen: tuple[str, ...] = ()
    ticks: dict[str, float] | None = None


def tick(context: dg.SensorEvaluationContext, settings: Settings, now: datetime.datetime) -> dg.SensorResult:
    """Read what has ended, and enqueue notifications."""
    before = _Cursor.from_cursor(context.cursor)
    # At the very first tick, failures count from now on.
    known_until = before.until or now.timestamp()
    since = datetime.datetime.fromtimestamp(known_until, datetime.UTC) - _OVERLAP
    ended = ended_runs(context.instance, since, _MOST_RUNS + len(before.seen))
    found = [run for run in ended if not run.is_undecided(now)]  # those are read again
    fresh = [run for run in found if run.run_id not in before.seen]
    runs = [run for run in fresh if run.job not in _ABOUT_MESSAGES and _BACKFILL not in run.tags]
    ticks, known_ticks = _new_ticks(context.instance, before.ticks, now)
    conditions = [
        *(condition for run in runs for condition in _conditions_of_run(run)),
        *(condition for ended_tick in ticks for condition in _conditions_of_tick(ended_tick)),
    ]
    alerts, notifications = update_alerts(before.alerts, now, conditions, settings)
    by_id = {run.run_id: run for run in runs}
    graph = context.repository_def.asset_graph if context.repository_def else None

    def run_of(run_id: str) -> EndedRun | None:
        record = None if run_id in by_id else context.instance.get_run_record_by_id(run_id)
        return EndedRun(context.instance, record) if record else by_id.get(run_id)

    events = [event for each in notifications for event in _events(each, run_of, graph)]
    if settings.tell_success:
        events += [_success(run) for run in runs if run.succeeded and run.is_automated and run.job == DAILY_JOB]
    until = max([known_until, *(run.updated_at for run in found)])
    recent = [run.run_id for run in found if run.updated_at >= until - _OVERLAP.total_seconds()]
    cursor = _Cursor(until=until, seen=tuple(recent), ticks=known_ticks, alerts=alerts)
    return dg.SensorResult(
        skip_reason=_summary(events, alerts), cursor=cursor.model_dump_json(), asset_events=queued(*events)
    )


# --- what Dagster knows of runs ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EndedRun:
    """A run that has ended, read as far as it is asked for."""

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
        """The id of the run that this one is a retry of, else its own."""
        return self.tags.get("dagster/root_run_id", self.run_id)

    @property
    def at(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self.record.end_time or self.updated_at, datetime.UTC)

    @property
    def updated_at(self) -> float:
        """When Dagster wrote of it last, in seconds since 1970."""
        return self.record.update_timestamp.timestamp()

    @property
    def is_automated(self) -> bool:
        """Whether a schedule or a sensor started it, and neither a person nor a backfill."""
        return any(tag in self.tags for tag in _STARTED_BY) and _BACKFILL not in self.tags

    @property
    def succeeded(self) -> bool:
        return self.record.dagster_run.is_success

    @property
    def is_retried(self) -> bool:
        """Whether Dagster starts it again."""
        return self.tags.get(_WILL_RETRY) == "true"

    @property
    def never_started(self) -> bool:
        """Whether it failed before its process began."""
        return not self.succeeded and self.record.start_time is None

    def is_undecided(self, now: datetime.datetime) -> bool:
        """Whether Dagster has not said yet whether it starts it again: it marks a run as failed, and tags it then."""
        failed = self.record.dagster_run.is_failure and _WILL_RETRY not in self.tags
        return failed and self.instance.run_retries_enabled and now - self.at < _DECIDED_WITHIN

    @property
    def partition(self) -> str | None:
        """Its partition, or `first…last` of a range."""
        first, last = self.tags.get(RANGE_START), self.tags.get(RANGE_END)
        if first and last:
            return first if first == last else f"{first}…{last}"
        return self.tags.get("dagster/partition")

    @cached_property
    def step_failures(self) -> tuple[dg.DagsterEvent, ...]:
        """The failures of steps, without those that only followed from another's."""
        return tuple(self._events(dg.DagsterEventType.STEP_FAILURE))

    @cached_property
    def evaluations(self) -> tuple[dg.AssetCheckEvaluation, ...]:
        """What its checks said, the last word of each."""
        found: dict[dg.AssetCheckKey, dg.AssetCheckEvaluation] = {}
        for event in self._events(dg.DagsterEventType.ASSET_CHECK_EVALUATION):
            evaluation = event.event_specific_data
            if isinstance(evaluation, dg.AssetCheckEvaluation):
                found[evaluation.asset_check_key] = evaluation
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
        for event in self.step_failures:
            data = event.step_failure_data
            said = data.user_failure_data.description if data.user_failure_data else None
            return said or _cause_of(data.error)
        messages = [event.message or "" for event in self._events(dg.DagsterEventType.RUN_FAILURE)]
        return messages[-1] if messages else ""

    def stale_assets(self, graph: Any | None) -> tuple[str, ...]:
        """The assets it was to compute and did not, and what is computed from these: what people read comes first.

        Messages are downstream only in the lineage graph.
        """
        planned = self._asset_keys(dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
        done = self._asset_keys(dg.DagsterEventType.ASSET_MATERIALIZATION)
        stale = [key for key in planned if key not in done]
        if graph is not None:
            for key in stale:  # it grows meanwhile
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
    instance: dg.DagsterInstance, since: datetime.datetime, most: int, *, latest_first: bool = False
) -> list[EndedRun]:
    """The runs that have failed or succeeded after `since`, in the order in which they ended, at most `most`."""
    ended = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS]
    records = instance.get_run_records(
        dg.RunsFilter(statuses=ended, updated_after=since),
        limit=most,
        order_by="update_timestamp",
        ascending=not latest_first,
    )
    return [EndedRun(instance, record) for record in records]


def _cause_of(error: Any) -> str:
    """The text of the exception that all others came from; `error` is as Dagster stores it, or None."""
    while error is not None and error.cause is not None:
        error = error.cause
    return re.sub(r"\s+\Z", "", error.message) if error else ""


def without_ids(cause: str) -> str:
    """A cause without what differs between its failures."""
    return _VARYING.sub("#", cause)


# --- what Dagster knows of ticks --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EndedTick:
    """A tick that has ended, of a schedule or sensor `automation`: its kind and name."""

    state: InstigatorState
    tick: InstigatorTick

    @property
    def at(self) -> datetime.datetime:
        """When it ended; older versions of Dagster stored only when it began."""
        return datetime.datetime.fromtimestamp(self.tick.end_timestamp or self.tick.timestamp, datetime.UTC)

    @property
    def failed(self) -> bool:
        return self.tick.is_failure

    @property
    def cause(self) -> str:
        """The exception that all others came from."""
        return "The code server does not answer." if self.code_is_unreachable else _cause_of(self.tick.error)

    @property
    def automation(self) -> tuple[Automation, str]:
        return _KINDS[self.state.instigator_type], self.state.name

    @property
    def code_is_unreachable(self) -> bool:
        """Whether it failed because the code server did not answer: then all others fail, too."""
        return self.failed and self.tick.error is not None and self.tick.error.cls_name == _UNREACHABLE


def ended_ticks(instance: dg.DagsterInstance, most: int = _MOST_TICKS) -> dict[str, list[EndedTick]]:
    """The latest ticks that have ended, oldest first, by the selector id of each schedule and sensor that is on."""
    found: dict[str, list[EndedTick]] = {}
    for state in instance.all_instigator_state():
        if state.is_running and state.instigator_type in _KINDS:
            ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=most, statuses=_ENDED)
            found[state.selector_id] = sorted((EndedTick(state, tick) for tick in ticks), key=lambda ended: ended.at)
    return found


def _new_ticks(
    instance: dg.DagsterInstance, known: dict[str, float] | None, now: datetime.datetime
) -> tuple[list[EndedTick], dict[str, float]]:
    """The ticks that have ended since `known` (selector id → when its last known tick ended), and the new `known`.

    Without a `known`, ticks count from `now` on.
    """
    since = now.timestamp() if known is None else 0.0
    ticks: list[EndedTick] = []
    latest: dict[str, float] = {}
    for name, ended in ended_ticks(instance).items():
        until = (known or {}).get(name, since)
        fresh = [each for each in ended if each.at.timestamp() > until]
        ticks += fresh
        latest[name] = max([until, *(each.at.timestamp() for each in fresh)])
    return sorted(ticks, key=lambda ended: ended.at), latest


# --- conditions -------------------------------------------------------------------------------------------------------


def _conditions_of_run(run: EndedRun) -> Iterator[Condition]:
    """The conditions of a run's job and of its checks. A person's run reports no failure, but it may end one."""
    job = Subject("failed_run", run.job)
    timed_out = run.tags.get("dagster/failure_reason") == "START_TIMEOUT"
    if run.succeeded:
        yield Condition(job, "normal", run.at)
    elif run.is_automated and (timed_out or not run.is_retried):
        # A start that timed out is reported before its retries: each would take as long again.
        cause = FAILED_CHECK if run.failed_by_checks else run.cause
        yield _failure(job, cause, run.at, origin=run.run_id, key=f"run-{run.first_run_id}")
    if run.is_retried:
        return
    failed = {evaluation.asset_check_key for evaluation in run.failed_checks}
    for evaluation in run.evaluations:
        name = _name_of(evaluation)
        subject = Subject("failed_check", name)
        if evaluation.asset_check_key not in failed:
            yield Condition(subject, "normal", run.at)
        elif run.is_automated:
            # Whatever it finds in another day or slot, it is the same check that fails. Its name may hold characters
            # that a key may not, and be too long for it.
            key = f"check-{_NOT_OF_KEYS.sub('-', name)[-60:].strip('-')}-{run.first_run_id}"
            yield _failure(subject, "", run.at, origin=run.run_id, key=key, severity="critical")


def _conditions_of_tick(ended: EndedTick) -> Iterator[Condition]:
    """The conditions of a tick's schedule or sensor, and of its code location, which they share as their origin."""
    name = ended.state.origin.repository_origin.code_location_origin.location_name
    location, subject = Subject("code_location", name), Subject("failed_tick", " ".join(ended.automation))
    if not ended.code_is_unreachable:
        yield Condition(location, "normal", ended.at)
    elif ended.tick.consecutive_failure_count <= 1:
        return  # a code server that restarts is back by the next tick
    # Dagster tries a schedule's failed tick again under the same id.
    key = f"tick-{ended.tick.tick_id}-{int(ended.at.timestamp() * 1000)}"
    if ended.code_is_unreachable:
        yield _failure(location, ended.cause, ended.at, origin=name, key=key)
    if ended.failed:
        yield _failure(subject, ended.cause, ended.at, origin=name, key=key)
    else:
        yield Condition(subject, "normal", ended.at)


def _failure(
    subject: Subject, cause: str, at: datetime.datetime, *, origin: str, key: str, severity: Severity = "failed"
) -> Condition:
    """The condition of a failure. Causes that differ only in ids, numbers and times are the same."""
    cause = cause[:_CAUSE_LENGTH]
    facts = {"cause": cause}
    return Condition(subject, "firing", at, without_ids(cause), severity, origin, key=key, facts=facts)


def _name_of(evaluation: dg.AssetCheckEvaluation) -> str:
    return f"{evaluation.asset_key.to_user_string()}:{evaluation.check_name}"


# --- messages ---------------------------------------------------------------------------------------------------------


def _events(notification: Notification, run_of: Callable[[str], EndedRun | None], graph: Any | None) -> Iterator[Event]:
    """The notification; none where the run has been deleted since."""
    alert = notification.alerts[0]
    common: dict[str, Any] = {
        "key": notification.key,
        "thread": notification.thread or None,
        "occurred_at": alert.last_at,
    }
    if notification.kind == "batch":
        yield _batch(notification)
        return
    if notification.kind == "resolved":
        yield _recovered(alert, common)
        return
    common["repeats"] = notification.new_counts[0] - (not notification.thread)
    if alert.subject.kind in {"failed_tick", "code_location"}:
        yield FailedTick(**common, **_about(alert), cause=str(alert.facts.get("cause", "")))
    elif (run := run_of(alert.origin)) is not None:
        common |= {"run_id": run.run_id, "partition": run.partition}
        is_run = alert.subject.kind == "failed_run"
        yield from [_failed_run(run, graph, common)] if is_run else _failed_checks(alert, run, common)


def _about(alert: Alert) -> dict[str, Any]:
    """What an alert is about, as the fields of its message."""
    kind, name = alert.subject.kind, alert.subject.name
    if kind == "failed_run":
        return {"job": name}
    if kind == "failed_check":
        asset, _, check = name.rpartition(":")
        return {"asset": asset, "check": check}
    automation, _, own = ("code location", "", name) if kind == "code_location" else name.partition(" ")
    return {"automation": automation, "name": own}


def _failed_run(run: EndedRun, graph: Any | None, common: dict[str, Any]) -> FailedRun:
    attempt = int(run.tags.get("dagster/retry_number", 0)) + 1
    return FailedRun(
        **common,
        job=run.job,
        steps=tuple(str(event.step_key) for event in run.step_failures),
        attempt=attempt,
        attempts=max(attempt, int(run.tags.get("dagster/max_retries", 0)) + 1),
        cause=run.cause,
        killed=not run.step_failures and not run.never_started,
        never_started=run.never_started,
        impact=run.stale_assets(graph),
    )


def _failed_checks(alert: Alert, run: EndedRun, common: dict[str, Any]) -> Iterator[FailedCheck]:
    for evaluation in run.failed_checks:
        if alert.subject.name == _name_of(evaluation):
            yield FailedCheck(
                **common,
                **_about(alert),
                severity="warning" if alert.severity == "warning" else "critical",
                description=evaluation.description or "",
                blocking=bool(evaluation.blocking) or not run.succeeded,
                numbers=tuple(_numbers_of(evaluation))[:_CHECK_NUMBERS],
            )


def _numbers_of(evaluation: dg.AssetCheckEvaluation) -> Iterator[tuple[str, str]]:
    """What a check found, as names and values; what has no short text is left out."""
    for name, value in evaluation.metadata.items():
        plain = getattr(value, "value", None)
        if isinstance(plain, bool) or not isinstance(plain, int | float | str) or "\n" in str(plain):
            continue
        text = f"{plain:,}" if isinstance(plain, int | float) else plain
        if len(text) <= 80:
            yield name, text


def _batch(notification: Notification) -> FailedRuns:
    subjects: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    counted = list(zip(notification.alerts, notification.new_counts, strict=True))
    for alert, count in counted:
        subjects[_named(alert)] += count
        if cause := str(alert.facts.get("cause", "")).strip():
            causes[cause.partition("\n")[0]] += count
    return FailedRuns(
        key=notification.key,
        occurred_at=max(alert.last_at for alert in notification.alerts),
        failures=sum(notification.new_counts),
        since=min(alert.opened_at if count == alert.count else alert.last_at for alert, count in counted),
        subjects=tuple(subjects.most_common(20)),
        causes=tuple(causes.most_common(20)),
    )


def _recovered(alert: Alert, common: dict[str, Any]) -> Recovered:
    return Recovered(
        **{**common, "occurred_at": alert.normal_at or alert.last_at},
        failures=alert.count,
        failed_since=alert.opened_at,
        failed_until=alert.last_at,
        **_about(alert),
    )


def _named(alert: Alert) -> str:
    prefix = {"failed_check": "check ", "code_location": "code location "}.get(alert.subject.kind, "")
    return prefix + alert.subject.name


def _success(run: EndedRun) -> Success:
    started = run.record.start_time or run.record.create_timestamp.timestamp()
    return Success(
        key=f"success-{run.first_run_id}",
        occurred_at=run.at,
        run_id=run.run_id,
        job=run.job,
        partition=run.partition,
        took=datetime.timedelta(seconds=max(0.0, run.at.timestamp() - started)),
        warnings=sum(not evaluation.passed for evaluation in run.evaluations),
    )


def _summary(events: Iterable[Event], alerts: Iterable[Alert]) -> str:
    if keys := [event.key for event in events]:
        return f"Queued: {', '.join(keys)}."
    lasting: Counter[str] = Counter()
    for alert in alerts:
        if alert.is_open:
            lasting[_named(alert)] += alert.count
    if lasting:
        named = ", ".join(f"{name} ({count} times)" for name, count in lasting.most_common(5))
        return f"Nothing new. Still failing: {named}."
    return "No tick and no run of a schedule or a sensor has failed. (Runs started manually are not reported.)"
