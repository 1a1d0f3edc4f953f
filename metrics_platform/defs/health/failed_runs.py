"""Report failed runs, checks and ticks of schedules and sensors, and their recovery.

It reads only Dagster's own storage, so that "ClickHouse is down" is still reported. It is a plain sensor: a run failure
sensor loses an event if its body raises, and handles only five runs a tick.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import dagster as dg

from metrics_platform.alerts.alert import Alert, Condition, Notification, Subject
from metrics_platform.alerts.policies import FAILED_CHECK
from metrics_platform.channel_settings import Severity
from metrics_platform.defs.daily.schedule import JOB as DAILY_JOB
from metrics_platform.defs.delivery.notify import CHECK_JOB
from metrics_platform.defs.delivery.notify import JOB as NOTIFY_JOB
from metrics_platform.defs.delivery.storage import queued
from metrics_platform.defs.health.alert_store import AlertCursor, update_alerts
from metrics_platform.defs.health.ended import EndedRun, EndedTick, ended_runs, ended_ticks
from metrics_platform.notifications import kinds
from metrics_platform.settings import Settings

# Recent runs are read again, because the clocks of machines differ.
_OVERLAP = datetime.timedelta(minutes=5)
# A tick has a minute, and reading a run takes about ten milliseconds. The next tick continues where this one ends.
_MAX_RUNS = 500
# A message about a failure of these jobs would cause another one. The journal and the UI show their failures.
_DELIVERY_JOBS = (NOTIFY_JOB, CHECK_JOB)
_MAX_CHECK_NUMBERS = 12
_CAUSE_LENGTH = 600
# Parts that differ between failures with the same cause: ids, numbers, times, memory addresses.
_VARYING = re.compile(r"0x[0-9a-f]+|\b(?=[0-9a-f-]*\d)[0-9a-f][0-9a-f-]{7,}\b|\d+", re.IGNORECASE)
_INVALID_IN_KEYS = re.compile(r"[^A-Za-z0-9._-]+")


class _Cursor(AlertCursor):
    """The position in Dagster's storage.

    Runs that ended up to `until` have been read, and recent ones are in `seen`. `ticks` has the end of the last known
    tick of each schedule and sensor, by selector id.
    """

    until: float = 0.0
    seen: tuple[str, ...] = ()
    ticks: dict[str, float] | None = None


def tick(context: dg.SensorEvaluationContext, settings: Settings, now: datetime.datetime) -> dg.SensorResult:
    """Read the runs and ticks that have ended, and enqueue notifications."""
    before = _Cursor.from_cursor(context.cursor)
    # At the very first tick, failures count from now on.
    known_until = before.until or now.timestamp()
    since = datetime.datetime.fromtimestamp(known_until, datetime.UTC) - _OVERLAP
    ended = ended_runs(context.instance, since, _MAX_RUNS + len(before.seen))
    decided = [run for run in ended if not run.is_undecided(now)]  # the others are read again
    new = [run for run in decided if run.run_id not in before.seen]
    runs = [run for run in new if run.job not in _DELIVERY_JOBS and not run.is_backfill]
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

    events = [event for notification in notifications for event in _events(notification, run_of, graph)]
    if settings.tell_success:
        events += [_success(run) for run in runs if run.succeeded and run.is_automated and run.job == DAILY_JOB]
    until = max([known_until, *(run.updated_at for run in decided)])
    recent = [run.run_id for run in decided if run.updated_at >= until - _OVERLAP.total_seconds()]
    cursor = _Cursor(until=until, seen=tuple(recent), ticks=known_ticks, alerts=alerts)
    return dg.SensorResult(
        skip_reason=_summary(events, alerts), cursor=cursor.model_dump_json(), asset_events=queued(*events)
    )


def _new_ticks(
    instance: dg.DagsterInstance, known_ticks: dict[str, float] | None, now: datetime.datetime
) -> tuple[list[EndedTick], dict[str, float]]:
    """The ticks that ended since `known_ticks` (selector id → end of its last known tick), and the new `known_ticks`.

    Without `known_ticks`, ticks count from `now` on.
    """
    since = now.timestamp() if known_ticks is None else 0.0
    ticks: list[EndedTick] = []
    latest: dict[str, float] = {}
    for name, ended in ended_ticks(instance).items():
        until = (known_ticks or {}).get(name, since)
        new = [ended_tick for ended_tick in ended if ended_tick.at.timestamp() > until]
        ticks += new
        latest[name] = max([until, *(ended_tick.at.timestamp() for ended_tick in new)])
    return sorted(ticks, key=lambda ended: ended.at), latest


# --- conditions -------------------------------------------------------------------------------------------------------


def _conditions_of_run(run: EndedRun) -> Iterator[Condition]:
    """The conditions of a run's job and of its checks. A manual run reports no failure, but it may resolve one."""
    job = Subject("failed_run", run.job)
    timed_out = run.tags.get("dagster/failure_reason") == "START_TIMEOUT"
    if run.succeeded:
        yield Condition(job, "normal", run.at)
    elif run.is_automated and (timed_out or not run.is_retried):
        # Report a start that timed out before its retries: each of them would take as long.
        cause = FAILED_CHECK if run.failed_by_checks else run.cause
        yield _failure(job, cause, run.at, origin=run.run_id, key=f"run-{run.first_run_id}")
    if run.is_retried:
        return
    failed = {evaluation.asset_check_key for evaluation in run.failed_checks}
    for evaluation in run.evaluations:
        name = _check_name(evaluation)
        subject = Subject("failed_check", name)
        if evaluation.asset_check_key not in failed:
            yield Condition(subject, "normal", run.at)
        elif run.is_automated:
            # The cause is empty: it is the same check, whatever it finds in another day or slot. Its name may be too
            # long for a key, or have other characters.
            key = f"check-{_INVALID_IN_KEYS.sub('-', name)[-60:].strip('-')}-{run.first_run_id}"
            yield _failure(subject, "", run.at, origin=run.run_id, key=key, severity="critical")


def _conditions_of_tick(ended: EndedTick) -> Iterator[Condition]:
    """The conditions of a tick's schedule or sensor and of its code location, which is the origin of both."""
    name = ended.state.origin.repository_origin.code_location_origin.location_name
    location, subject = Subject("code_location", name), Subject("failed_tick", " ".join(ended.automation))
    if not ended.is_unreachable:
        yield Condition(location, "normal", ended.at)
    elif ended.tick.consecutive_failure_count <= 1:
        return  # if the code server is restarting, it is back by the next tick
    # Dagster retries a schedule's failed tick with the same id.
    key = f"tick-{ended.tick.tick_id}-{int(ended.at.timestamp() * 1000)}"
    if ended.is_unreachable:
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


def without_ids(cause: str) -> str:
    """A cause without the parts that differ between failures."""
    return _VARYING.sub("#", cause)


def _check_name(evaluation: dg.AssetCheckEvaluation) -> str:
    return f"{evaluation.asset_key.to_user_string()}:{evaluation.check_name}"


# --- messages ---------------------------------------------------------------------------------------------------------


def _events(
    notification: Notification, run_of: Callable[[str], EndedRun | None], graph: Any | None
) -> Iterator[kinds.Event]:
    """The notification; none if the run has been deleted."""
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
        yield kinds.FailedTick(**common, **_subject_fields(alert), cause=str(alert.facts.get("cause", "")))
    elif (run := run_of(alert.origin)) is not None:
        common |= {"run_id": run.run_id, "partition": run.partition}
        is_run = alert.subject.kind == "failed_run"
        yield from [_failed_run(run, graph, common)] if is_run else _failed_checks(alert, run, common)


def _subject_fields(alert: Alert) -> dict[str, Any]:
    """The subject of an alert, as fields of its message."""
    kind, name = alert.subject.kind, alert.subject.name
    if kind == "failed_run":
        return {"job": name}
    if kind == "failed_check":
        asset, _, check = name.rpartition(":")
        return {"asset": asset, "check": check}
    automation, _, own_name = ("code location", "", name) if kind == "code_location" else name.partition(" ")
    return {"automation": automation, "name": own_name}


def _failed_run(run: EndedRun, graph: Any | None, common: dict[str, Any]) -> kinds.FailedRun:
    attempt = int(run.tags.get("dagster/retry_number", 0)) + 1
    return kinds.FailedRun(
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


def _failed_checks(alert: Alert, run: EndedRun, common: dict[str, Any]) -> Iterator[kinds.FailedCheck]:
    for evaluation in run.failed_checks:
        if alert.subject.name == _check_name(evaluation):
            yield kinds.FailedCheck(
                **common,
                **_subject_fields(alert),
                severity="warning" if alert.severity == "warning" else "critical",
                description=evaluation.description or "",
                blocking=bool(evaluation.blocking) or not run.succeeded,
                numbers=tuple(_numbers_of(evaluation))[:_MAX_CHECK_NUMBERS],
            )


def _numbers_of(evaluation: dg.AssetCheckEvaluation) -> Iterator[tuple[str, str]]:
    """The metadata of a check as names and values, without long texts."""
    for name, value in evaluation.metadata.items():
        plain = getattr(value, "value", None)
        if isinstance(plain, bool) or not isinstance(plain, int | float | str) or "\n" in str(plain):
            continue
        text = f"{plain:,}" if isinstance(plain, int | float) else plain
        if len(text) <= 80:
            yield name, text


def _batch(notification: Notification) -> kinds.FailedRuns:
    subjects: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    counted = list(zip(notification.alerts, notification.new_counts, strict=True))
    for alert, count in counted:
        subjects[_display_name(alert)] += count
        if cause := str(alert.facts.get("cause", "")).strip():
            causes[cause.partition("\n")[0]] += count
    return kinds.FailedRuns(
        key=notification.key,
        occurred_at=max(alert.last_at for alert in notification.alerts),
        failures=sum(notification.new_counts),
        since=min(alert.opened_at if count == alert.count else alert.last_at for alert, count in counted),
        subjects=tuple(subjects.most_common(20)),
        causes=tuple(causes.most_common(20)),
    )


def _recovered(alert: Alert, common: dict[str, Any]) -> kinds.Recovered:
    return kinds.Recovered(
        **{**common, "occurred_at": alert.normal_at or alert.last_at},
        failures=alert.count,
        failed_since=alert.opened_at,
        failed_until=alert.last_at,
        **_subject_fields(alert),
    )


def _display_name(alert: Alert) -> str:
    prefix = {"failed_check": "check ", "code_location": "code location "}.get(alert.subject.kind, "")
    return prefix + alert.subject.name


def _success(run: EndedRun) -> kinds.Success:
    started = run.record.start_time or run.record.create_timestamp.timestamp()
    return kinds.Success(
        key=f"success-{run.first_run_id}",
        occurred_at=run.at,
        run_id=run.run_id,
        job=run.job,
        partition=run.partition,
        took=datetime.timedelta(seconds=max(0.0, run.at.timestamp() - started)),
        warnings=sum(not evaluation.passed for evaluation in run.evaluations),
    )


def _summary(events: Iterable[kinds.Event], alerts: Iterable[Alert]) -> str:
    if keys := [event.key for event in events]:
        return f"Queued: {', '.join(keys)}."
    failing: Counter[str] = Counter()
    for alert in alerts:
        if alert.is_open:
            failing[_display_name(alert)] += alert.count
    if failing:
        named = ", ".join(f"{name} ({count} times)" for name, count in failing.most_common(5))
        return f"Nothing new. Still failing: {named}."
    return "No tick and no run of a schedule or a sensor has failed. (Runs started manually are not reported.)"
