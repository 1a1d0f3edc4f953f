"""A tick of `notify_sensor`: what is waiting is read, `planning.plan` decides, and Dagster is asked for that."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from typing import Any

import dagster as dg

from metrics_platform.channel_settings import SEVERITIES, Severity
from metrics_platform.defs.delivery.assets import NotifyConfig
from metrics_platform.defs.delivery.names import ASSET, CHECK_JOB, JOB, PARTITIONS
from metrics_platform.defs.delivery.storage import asking, observation, outdated_partitions
from metrics_platform.defs.delivery.waiting import Remembered, Survey, survey
from metrics_platform.notifications.configured import configured, first_channel
from metrics_platform.notifications.journal import Closed
from metrics_platform.notifications.kinds import Digest, Event
from metrics_platform.notifications.planning import Plan, Situation, digest_key, plan
from metrics_platform.settings import Settings

# Dagster lists partitions; older ones are taken off its list, their entries stay in its event log.
MOST_PARTITIONS = 2000
# Of this process: the channels are checked once after each start of the code location.
_STARTED = uuid.uuid4().hex


def tick(context: dg.SensorEvaluationContext, settings: Settings, now: datetime.datetime) -> dg.SensorResult:
    """Ask for the run that delivers the message that is to go first, and close what is given up."""
    found = survey(context.instance, Remembered.from_cursor(context.cursor), settings, now)
    for key, why in found.unreadable.items():
        context.log.error(f"{key} is given up. {why}")
    decision = plan(found.waiting, _situation(found, settings, now))
    return _result(context, found, decision, now, settings)


def _situation(found: Survey, settings: Settings, now: datetime.datetime) -> Situation:
    reached = found.remembered.reached_at
    return Situation(
        now=now,
        sending=found.sending,
        first_channel=first_channel(settings),
        has_fallback=len(configured(settings)) > 1,
        fallback_after=settings.fallback_after,
        max_age=settings.message_max_age,
        reached_at=datetime.datetime.fromtimestamp(reached, datetime.UTC) if reached else None,
    )


def _result(
    context: dg.SensorEvaluationContext, found: Survey, decision: Plan, now: datetime.datetime, settings: Settings
) -> dg.SensorResult:
    events = [observation(key, Closed(outcome="given_up", text=why)) for key, why in found.unreadable.items()]
    events += [
        observation(key, Closed(outcome="given_up", text=_why_given_up(found.events[key], settings)))
        for key in decision.give_up
    ]
    partitions: list[Any] = []
    if decision.digest:
        events += asking(_digest([found.events[key] for key in decision.digest]))
    requests = _check_request(found.remembered)
    if decision.send:
        requests.append(_run_request(decision.send, found, only_fallback=decision.only_fallback))
        partitions.append(PARTITIONS.build_add_request([decision.send]))
        outdated = outdated_partitions(context.instance, MOST_PARTITIONS, found.remembered.open)
        if outdated:
            partitions.append(PARTITIONS.build_delete_request(outdated))
    return dg.SensorResult(
        run_requests=requests or None,
        skip_reason=None if requests else dg.SkipReason(f"{decision.reason[:1].upper()}{decision.reason[1:]}."),
        cursor=found.remembered.model_copy(update={"checked_by": _STARTED}).model_dump_json(),
        dynamic_partitions_requests=partitions or None,
        asset_events=events,
    )


def _run_request(key: str, found: Survey, *, only_fallback: bool) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{key}#{found.runs.get(key, 0) + 1}",
        job_name=JOB,
        partition_key=key,
        run_config=dg.RunConfig(ops={ASSET: NotifyConfig(only_fallback=only_fallback)}),
    )


def _check_request(remembered: Remembered) -> list[dg.RunRequest]:
    """The channels' check, at the first tick of this process."""
    if remembered.checked_by == _STARTED:
        return []
    return [dg.RunRequest(run_key=f"{CHECK_JOB}-{_STARTED}", job_name=CHECK_JOB)]


def _why_given_up(event: Event, settings: Settings) -> str:
    if isinstance(event, Digest):
        return "Its messages were told one by one, or given up."
    hours = settings.message_max_age_hours
    return f"Not delivered within {hours} h (METRICS_MESSAGE_MAX_AGE_HOURS): too old."


def _digest(events: Sequence[Event]) -> Digest:
    """One message of several: as severe as the worst of them, as late as the earliest."""
    found = {event.severity for event in events}
    worst: Severity = next(severity for severity in SEVERITIES if severity in found)
    keys = tuple(event.key for event in events)
    first = min(event.occurred_at for event in events)
    return Digest(key=digest_key(keys), occurred_at=first, severity=worst, notifications=keys)
