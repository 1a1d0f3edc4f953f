"""Whether the morning report has arrived: where it has not some time after it was due, that is told."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import dagster as dg

from metrics_platform.defs.cursor import Cursor
from metrics_platform.defs.delivery.storage import history_of, queued
from metrics_platform.defs.health.run_facts import EndedRun
from metrics_platform.defs.health.telling import as_set
from metrics_platform.defs.report.schedule import JOB, report_due_at, why_no_report
from metrics_platform.notifications.kinds import ReportNotDelivered
from metrics_platform.notifications.routing import fallback, first_channel
from metrics_platform.settings import Settings

_ONE_DAY = datetime.timedelta(days=1)
# Ticks further apart than this mean that the platform was off: what it has missed is given its time first.
_PAUSE = datetime.timedelta(minutes=5)
_SCHEDULE = "daily_report_schedule"
_PARTITION = "dagster/partition"


class _Remembered(Cursor):
    """The sensor's cursor: the last tick, since when it has ticked without a pause, the last day that is settled."""

    ticked_at: float = 0.0
    since: float = 0.0
    settled: datetime.date | None = None


@dataclass(frozen=True)
class _State:
    """How the report of a day stands: delivered, to be waited for, or missing; why; and what to answer."""

    stands: str
    why: str
    thread: str | None = None


def tick(context: dg.SensorEvaluationContext, settings: Settings, now: datetime.datetime) -> dg.SensorResult:
    """Look, and tell what is to be told."""
    remembered = _after_tick(context.cursor, now)
    decision = _decide(context.instance, remembered, now, settings)
    told = as_set([decision.event] if decision.event else [], settings)
    kept = remembered.model_copy(update={"settled": decision.settled or remembered.settled})
    return dg.SensorResult(skip_reason=decision.said, cursor=kept.model_dump_json(), asset_events=queued(*told))


@dataclass(frozen=True)
class _Decision:
    """What a tick says, what it tells, and the day that nothing more is to be said of."""

    said: str
    event: ReportNotDelivered | None = None
    settled: datetime.date | None = None


def _decide(
    instance: dg.DagsterInstance, remembered: _Remembered, now: datetime.datetime, settings: Settings
) -> _Decision:
    due = _last_due(now, settings)
    day = due.astimezone(settings.zone).date() - _ONE_DAY
    if remembered.settled == day:
        return _Decision(f"The report of {day} is settled.")
    if reason := why_no_report(day, settings):
        return _Decision(reason)
    if not _was_on(instance, due):
        return _Decision(f"{_SCHEDULE} is off, or was at {due:%Y-%m-%d %H:%M}: no report was expected then.")
    state = _state_of(instance, day, settings)
    if state.stands == "delivered":
        return _Decision(f"The report of {day} is delivered.", settled=day)
    # After a downtime the schedule makes up for the report: it has its time from then on.
    watched_from = max(due, datetime.datetime.fromtimestamp(remembered.since, datetime.UTC))
    late = watched_from + datetime.timedelta(minutes=settings.report_grace_minutes)
    if now < late or state.stands == "on its way":
        return _Decision(f"The report of {day} is not there yet (told from {late:%H:%M} UTC on): {state.why}")
    event = ReportNotDelivered(
        key=f"no-report-{day}", thread=state.thread, occurred_at=now, date=day, due_at=due, reason=state.why
    )
    return _Decision(f"Told: the report of {day} has not arrived. {state.why}", event, day)


def _after_tick(cursor: str | None, now: datetime.datetime) -> _Remembered:
    """What is remembered, with this tick."""
    before = _Remembered.from_cursor(cursor)
    paused = now.timestamp() - before.ticked_at > _PAUSE.total_seconds()
    return before.model_copy(
        update={"ticked_at": now.timestamp(), "since": now.timestamp() if paused else before.since}
    )


def _last_due(now: datetime.datetime, settings: Settings) -> datetime.datetime:
    """When the latest report was due."""
    today = now.astimezone(settings.zone).date()
    due = report_due_at(today, settings)
    return due if due <= now else report_due_at(today - _ONE_DAY, settings)


def _was_on(instance: dg.DagsterInstance, due: datetime.datetime) -> bool:
    """Whether the schedule is on, and was when the report was due."""
    for state in instance.all_instigator_state():
        if state.name == _SCHEDULE and state.instigator_type.value == "SCHEDULE" and state.is_running:
            since = getattr(state.instigator_data, "start_timestamp", None)
            return since is None or since <= due.timestamp()
    return False


def _state_of(instance: dg.DagsterInstance, day: datetime.date, settings: Settings) -> _State:
    """How the report stands, by its journal; where nobody has asked for it yet, by its run."""
    history = history_of(instance, f"report-{day}")
    event, end = history.event, history.closed
    if event is None:
        return _state_of_run(instance, day)
    if end is not None:
        return _State("missing" if end.outcome == "given_up" else "delivered", end.text)
    other = fallback(event, settings)
    if history.is_sent(first_channel(settings)) or (other is not None and history.is_sent(other)):
        return _State("delivered", "")
    failure = history.failures.get(first_channel(settings))
    failed = failure.entry if failure else None
    if failed is not None and failed.reason in ("misconfigured", "refused"):
        return _State("missing", failed.text)
    # When it is back, the report comes, marked as late: no message could come before it to say so.
    return _State("on its way", failed.text if failed else "it waits for its turn.")


def _state_of_run(instance: dg.DagsterInstance, day: datetime.date) -> _State:
    selection = dg.RunsFilter(job_name=JOB, tags={_PARTITION: day.isoformat()})
    records = instance.get_run_records(selection, limit=1)
    if not records:
        return _State("missing", f"{_SCHEDULE} has not started a run for it: see its ticks under Automation.")
    run = EndedRun(instance, records[0])
    if run.run.status == dg.DagsterRunStatus.FAILURE:
        told = f"run-{run.first_run_id}"
        thread = told if history_of(instance, told).event else None
        return _State("missing", f"Its run has failed. {run.cause}".strip(), thread)
    if run.succeeded:
        return _State("missing", "Its run has written it and was not asked to send it (config `send: true`).")
    return _State("missing", f"Its run is {run.run.status.value.lower().replace('_', ' ')}.")
