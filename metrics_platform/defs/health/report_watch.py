"""Watch the morning report. If it has not arrived some time after it was due, send an alert."""

from __future__ import annotations

import datetime
from typing import Literal, NamedTuple

import dagster as dg

from metrics_platform.alerts.alert import Condition, Subject
from metrics_platform.defs.delivery.storage import history_of, queued
from metrics_platform.defs.health.alert_store import AlertCursor, update_alerts
from metrics_platform.defs.health.ended import EndedRun
from metrics_platform.defs.report.assets import JOB, report_due_at, why_no_report
from metrics_platform.notifications.kinds import ReportNotDelivered
from metrics_platform.settings import Settings

_ONE_DAY = datetime.timedelta(days=1)
# If ticks are further apart than this, the platform was off, and a missed report still has time to arrive.
_PAUSE = datetime.timedelta(minutes=5)
_SCHEDULE = "daily_report_schedule"


class _Cursor(AlertCursor):
    """The last tick, the start of the ticks without a pause, and the last day with a delivered report."""

    ticked_at: float = 0.0
    since: float = 0.0
    settled: datetime.date | None = None


class _State(NamedTuple):
    """The state of a day's report, the reason, and the message to reply to."""

    name: Literal["not expected", "delivered", "on its way", "missing"]
    reason: str = ""
    thread: str | None = None


def tick(context: dg.SensorEvaluationContext, settings: Settings, now: datetime.datetime) -> dg.SensorResult:
    """Check the report, and enqueue a notification if it is missing."""
    before = _Cursor.from_cursor(context.cursor)
    paused = now.timestamp() - before.ticked_at > _PAUSE.total_seconds()
    since = now.timestamp() if paused else before.since
    due = report_due_at(now.astimezone(settings.zone).date(), settings)
    if due > now:
        due = report_due_at(due.date() - _ONE_DAY, settings)
    day = due.date() - _ONE_DAY
    subject = Subject("report_not_delivered", day.isoformat())
    state = _State("delivered") if before.settled == day else _state_of(context.instance, day, due, settings)
    # After a downtime, the schedule catches up on the report, so its grace period starts then.
    late = max(due, datetime.datetime.fromtimestamp(since, datetime.UTC))
    late += datetime.timedelta(minutes=settings.report_grace_minutes)
    conditions = []
    if state.name == "delivered":
        conditions.append(Condition(subject, "normal", now))
        summary = f"The report of {day} is delivered."
    elif state.name == "not expected":
        summary = state.reason
    elif now < late or state.name == "on its way":
        at = f"{late.astimezone(datetime.UTC):%H:%M} UTC"
        summary = f"The report of {day} has not arrived (reported from {at} on): {state.reason}"
    else:
        conditions.append(Condition(subject, "firing", due, severity="failed", key=f"no-report-{day}"))
        summary = f"The report of {day} is missing. {state.reason}"
    existing = [alert for alert in before.alerts if alert.subject == subject]
    alerts, notifications = update_alerts(existing, now, conditions, settings)
    events = [
        ReportNotDelivered(
            key=notification.key,
            thread=state.thread,
            occurred_at=now,
            date=day,
            due_at=notification.alerts[0].opened_at,
            reason=state.reason,
        )
        for notification in notifications
    ]
    settled = day if state.name == "delivered" else before.settled
    cursor = _Cursor(ticked_at=now.timestamp(), since=since, settled=settled, alerts=alerts)
    return dg.SensorResult(skip_reason=summary, cursor=cursor.model_dump_json(), asset_events=queued(*events))


def _state_of(instance: dg.DagsterInstance, day: datetime.date, due: datetime.datetime, settings: Settings) -> _State:
    """The state of the report by its journal or, before it is enqueued, by its run."""
    if reason := why_no_report(day, settings) or _why_schedule_was_off(instance, due):
        return _State("not expected", reason)
    history = history_of(instance, f"report-{day}")
    event, end = history.event, history.closed
    if event is None:
        return _state_of_run(instance, day)
    if end is not None:
        return _State("missing" if end.outcome == "given_up" else "delivered", end.text)
    names = (settings.first_channel, *settings.fallbacks(event.kind, event.severity))
    if any(map(history.is_sent, names)):
        return _State("delivered")
    failure = history.failures.get(settings.first_channel)
    failed = failure.entry if failure else None
    if failed is not None and failed.reason in ("misconfigured", "refused"):
        return _State("missing", failed.text)
    # When the channel is back, the report is sent, marked as late. No alert could arrive earlier.
    return _State("on its way", failed.text if failed else "it waits for its turn.")


def _why_schedule_was_off(instance: dg.DagsterInstance, due: datetime.datetime) -> str:
    """Why the schedule did not run; empty if it is on, and was on when the report was due."""
    for state in instance.all_instigator_state():
        if state.name == _SCHEDULE and state.instigator_type.value == "SCHEDULE" and state.is_running:
            since = getattr(state.instigator_data, "start_timestamp", None)
            if since is None or since <= due.timestamp():
                return ""
    return f"{_SCHEDULE} is off, or was at {due:%Y-%m-%d %H:%M}: no report was expected then."


def _state_of_run(instance: dg.DagsterInstance, day: datetime.date) -> _State:
    selection = dg.RunsFilter(job_name=JOB, tags={"dagster/partition": day.isoformat()})
    records = instance.get_run_records(selection, limit=1)
    if not records:
        return _State("missing", f"{_SCHEDULE} has not started a run for it: see its ticks under Automation.")
    run = EndedRun(instance, records[0])
    if records[0].dagster_run.is_failure:
        alert = f"run-{run.first_run_id}"
        thread = alert if history_of(instance, alert).event else None
        return _State("missing", f"Its run has failed. {run.cause}".strip(), thread)
    if run.succeeded:
        return _State("missing", "Its run has written it and was not asked to send it (config `send: true`).")
    return _State("missing", f"Its run is {records[0].dagster_run.status.value.lower().replace('_', ' ')}.")
