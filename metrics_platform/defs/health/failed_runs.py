"""What schedules and sensors do and what went wrong in it is reported: failed runs, checks and ticks, and their end.

It looks at Dagster's own storage and nothing else, so that «ClickHouse is down» gets out. A plain sensor, not one on
failures: such a one loses an event whose body raises, and handles five runs a tick. What is told, and when again, is
decided by `health.troubles`.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import dagster as dg

from metrics_platform.defs.cursor import Cursor
from metrics_platform.defs.daily.schedule import JOB as DAILY_JOB
from metrics_platform.defs.delivery.names import CHECK_JOB
from metrics_platform.defs.delivery.names import JOB as NOTIFY_JOB
from metrics_platform.defs.delivery.storage import queued
from metrics_platform.defs.health.run_facts import EndedRun, ended_runs, numbers_of, run_of
from metrics_platform.defs.health.telling import as_set
from metrics_platform.defs.health.ticks import automation_of, happened, new_ticks
from metrics_platform.health.troubles import Failure, Rules, Success, Telling, Trouble, Troubles, take_in
from metrics_platform.notifications.kinds import (
    Automation,
    Event,
    FailedCheck,
    FailedRun,
    FailedRuns,
    FailedTick,
    Recovered,
)
from metrics_platform.notifications.kinds import Success as Done
from metrics_platform.settings import Settings

# Runs are looked at again for so long: other machines' clocks differ.
_OVERLAP = datetime.timedelta(minutes=5)
# A tick has a minute; reading a run takes some ten milliseconds. The next tick goes on where this one ends.
_MOST_RUNS = 500
# Their failures are about messages: a message about each would have no end. The journal and the UI show them.
_ABOUT_MESSAGES = (NOTIFY_JOB, CHECK_JOB)
_JOB, _CHECK = "job", "check"
_NOT_OF_KEYS = re.compile(r"[^A-Za-z0-9._-]+")


class _Remembered(Cursor):
    """The sensor's cursor: runs that ended up to this moment are taken in, and which of the last minutes' are; and when
    the last known tick of each schedule and sensor ended, by its selector id."""

    until: float = 0.0
    told: tuple[str, ...] = ()
    ticks: dict[str, float] | None = None
    troubles: Troubles = Troubles()


def tick(context: dg.SensorEvaluationContext, settings: Settings, now: datetime.datetime) -> dg.SensorResult:
    """Look, and tell what is to be told."""
    rules = Rules(again_after=datetime.timedelta(hours=settings.reminder_hours))
    remembered = _Remembered.from_cursor(context.cursor)
    # At the first tick of all, failures count from now on.
    known_until = remembered.until or now.timestamp()
    since = datetime.datetime.fromtimestamp(known_until, datetime.UTC) - _OVERLAP
    ended = ended_runs(context.instance, since, _MOST_RUNS + len(remembered.told))
    found = [each for each in ended if not each.is_undecided(now)]  # those are looked at again
    fresh = [each for each in found if each.run_id not in remembered.told]
    runs = [each for each in fresh if each.run.job_name not in _ABOUT_MESSAGES and not each.of_backfill]
    ticks, known_ticks = new_ticks(context.instance, remembered.ticks, now)
    events_of_runs = [event for run in runs for event in _happened(run)]
    events_of_ticks = [event for ended in ticks for event in happened(ended)]
    troubles, tellings = take_in(remembered.troubles, [*events_of_runs, *events_of_ticks], now, rules)
    graph = context.repository_def.asset_graph if context.repository_def else None
    teller = _Teller(context.instance, {each.run_id: each for each in runs}, graph)
    events: list[Event] = [event for telling in tellings for event in teller.events_of(telling)]
    if settings.tell_success:
        events += [_success(run) for run in runs if run.succeeded and run.by_itself and _is_nightly(run)]
    told = as_set(events, settings)
    until = max([known_until, *(each.updated_at for each in found)])
    recent = [each.run_id for each in found if each.updated_at >= until - _OVERLAP.total_seconds()]
    return dg.SensorResult(
        skip_reason=_said(told, troubles),
        cursor=_Remembered(until=until, told=tuple(recent), ticks=known_ticks, troubles=troubles).model_dump_json(),
        asset_events=queued(*told),
    )


def _happened(run: EndedRun) -> Iterator[Failure | Success]:
    """What a run says of its job and of its checks. A person's run tells nothing, but it may end a trouble."""
    job = f"{_JOB} {run.run.job_name}"
    if run.succeeded:
        yield Success(job, run.at)
    elif run.by_itself and (run.start_timed_out or not run.is_retried) and not run.failed_by_checks:
        # A start that timed out is not waited for: each retry would take as long again before anybody heard of it.
        yield Failure(job, run.cause, run.at, f"run-{run.first_run_id}", run.run_id)
    if run.is_retried:
        return
    failed = {id(evaluation) for evaluation in run.failed_checks}
    for evaluation in run.evaluations:
        asset, check = evaluation.asset_key.to_user_string(), evaluation.check_name
        subject = f"{_CHECK} {asset}:{check}"
        if id(evaluation) not in failed:
            yield Success(subject, run.at)
        elif run.by_itself:
            # Whatever it finds in another day or slot, it is the same check that fails.
            yield Failure(subject, "", run.at, _check_key(asset, check, run.first_run_id), run.run_id)


def _check_key(asset: str, check: str, run_id: str) -> str:
    """A notification's key: asset keys may hold what a key may not, and names may be longer than it."""
    return f"check-{_NOT_OF_KEYS.sub('-', f'{asset}-{check}')[-60:].strip('-')}-{run_id}"


class _Teller:
    """Makes notifications of what is to be told; `runs` are those of this tick, others are looked up."""

    def __init__(self, instance: dg.DagsterInstance, runs: dict[str, EndedRun], graph: Any | None) -> None:
        self._instance = instance
        self._runs = runs
        self._graph = graph

    def events_of(self, telling: Telling) -> Iterator[Event]:
        """The notification; none where the run has been deleted since."""
        if telling.kind == "together":
            yield _together(telling)
            return
        (trouble,) = telling.troubles
        if telling.kind == "over":
            yield _recovered(telling, trouble)
            return
        repeats = telling.failures if telling.kind == "again" else telling.failures - 1
        if automation := automation_of(trouble.subject):
            yield _failed_tick(telling, trouble, automation, repeats)
            return
        run = self._runs.get(trouble.run_id) or run_of(self._instance, trouble.run_id)
        if run is None:
            return
        if trouble.subject.startswith(f"{_CHECK} "):
            yield from self._failed_check(telling, trouble, run, repeats)
        else:
            yield self._failed_run(telling, run, repeats)

    def _failed_run(self, telling: Telling, run: EndedRun, repeats: int) -> FailedRun:
        return FailedRun(
            key=telling.key,
            thread=telling.thread or None,
            occurred_at=telling.at,
            run_id=run.run_id,
            job=run.run.job_name,
            steps=tuple(str(event.step_key) for event in run.step_failures),
            partition=run.partition,
            attempt=run.attempt,
            attempts=run.attempts,
            cause=run.cause,
            killed=not run.step_failures and not run.never_started,
            never_started=run.never_started,
            impact=run.stale_assets(self._graph),
            repeats=repeats,
        )

    @staticmethod
    def _failed_check(telling: Telling, trouble: Trouble, run: EndedRun, repeats: int) -> Iterator[FailedCheck]:
        asset, check = _check_of(trouble)
        for evaluation in run.failed_checks:
            if (evaluation.asset_key.to_user_string(), evaluation.check_name) != (asset, check):
                continue
            yield FailedCheck(
                key=telling.key,
                thread=telling.thread or None,
                occurred_at=telling.at,
                run_id=run.run_id,
                asset=asset,
                check=check,
                partition=run.partition,
                description=evaluation.description or "",
                blocking=bool(evaluation.blocking) or not run.succeeded,
                numbers=numbers_of(evaluation),
                repeats=repeats,
            )


def _failed_tick(telling: Telling, trouble: Trouble, automation: tuple[Automation, str], repeats: int) -> FailedTick:
    kind, name = automation
    return FailedTick(
        key=telling.key,
        thread=telling.thread or None,
        occurred_at=telling.at,
        automation=kind,
        name=name,
        cause=trouble.cause,
        repeats=repeats,
    )


def _together(telling: Telling) -> FailedRuns:
    subjects: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    for trouble, count in zip(telling.troubles, telling.counts, strict=True):
        subjects[_named(trouble)] += count
        if trouble.cause:
            causes[trouble.cause.strip().partition("\n")[0]] += count
    return FailedRuns(
        key=telling.key,
        occurred_at=telling.at,
        failures=telling.failures,
        since=telling.since or telling.at,
        subjects=tuple(subjects.most_common(20)),
        causes=tuple(causes.most_common(20)),
    )


def _recovered(telling: Telling, trouble: Trouble) -> Recovered:
    asset, check = _check_of(trouble) if trouble.subject.startswith(f"{_CHECK} ") else (None, None)
    automation, name = automation_of(trouble.subject) or (None, None)
    return Recovered(
        key=telling.key,
        thread=telling.thread,
        occurred_at=telling.at,
        job=None if check or automation else trouble.subject.partition(" ")[2],
        asset=asset,
        check=check,
        automation=automation,
        name=name,
        failures=trouble.failures,
        failed_since=trouble.first_at,
        failed_until=trouble.last_at,
    )


def _check_of(trouble: Trouble) -> tuple[str, str]:
    asset, _, check = trouble.subject.partition(" ")[2].rpartition(":")
    return asset, check


def _named(trouble: Trouble) -> str:
    return trouble.subject.removeprefix(f"{_JOB} ")


def _is_nightly(run: EndedRun) -> bool:
    return run.run.job_name == DAILY_JOB


def _success(run: EndedRun) -> Done:
    return Done(
        key=f"success-{run.first_run_id}",
        occurred_at=run.at,
        run_id=run.run_id,
        job=run.run.job_name,
        partition=run.partition,
        took=run.took,
        warnings=run.warnings,
    )


def _said(told: list[Event], troubles: Troubles) -> str:
    """What the tick shows."""
    if told:
        return f"Told: {', '.join(event.key for event in told)}."
    lasting: Counter[str] = Counter()
    for each in troubles.troubles:
        if each.over_at is None:
            lasting[_named(each)] += each.failures
    if lasting:
        named = ", ".join(f"{name} ({count} times)" for name, count in lasting.most_common(5))
        return f"Nothing new; not over yet: {named}."
    return "No tick and no run of a schedule or a sensor has failed. (Runs started by hand are not reported.)"
