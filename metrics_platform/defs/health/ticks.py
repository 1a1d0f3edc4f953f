"""The ticks of schedules and sensors that have ended, from Dagster's storage: failed or not.

A tick that raises starts no run, so nothing else would report it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick, TickStatus

from metrics_platform.alerts.alert import Condition, Subject
from metrics_platform.channel_settings import Severity
from metrics_platform.defs.health.run_facts import CAUSE_LENGTH, cause_of, without_ids
from metrics_platform.notifications.kinds import Automation

_ENDED = [TickStatus.FAILURE, TickStatus.SUCCESS, TickStatus.SKIPPED]
_KINDS: dict[InstigatorType, Automation] = {InstigatorType.SCHEDULE: "schedule", InstigatorType.SENSOR: "sensor"}
# Sensors tick every 15 seconds at most, and every tick of `failed_run_sensor` reads them: a few are enough.
_MOST_TICKS = 20
# Every schedule and sensor fails with this error while the code server restarts.
_UNREACHABLE = "DagsterUserCodeUnreachableError"


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


def conditions_of_tick(ended: EndedTick) -> Iterator[Condition]:
    """The conditions of a tick's schedule or sensor, and of its code location, which they share as their origin."""
    location = Subject("code_location", ended.location)
    kind, name = ended.automation
    subject = Subject("failed_tick", f"{kind} {name}")
    if not ended.code_is_unreachable:
        yield Condition(location, "normal", ended.at)
    elif ended.tick.consecutive_failure_count <= 1:
        return  # a code server that restarts is back by the next tick
    # Dagster tries a schedule's failed tick again under the same id.
    key = f"tick-{ended.tick.tick_id}-{int(ended.at.timestamp() * 1000)}"
    if ended.code_is_unreachable:
        yield failure(location, ended.cause, ended.at, origin=ended.location, key=key)
    if ended.failed:
        yield failure(subject, ended.cause, ended.at, origin=ended.location, key=key)
    else:
        yield Condition(subject, "normal", ended.at)


def automation_of(subject: Subject) -> tuple[Automation, str]:
    """The kind and the name of a schedule, sensor or code location."""
    if subject.kind == "code_location":
        return "code location", subject.name
    kind, _, name = subject.name.partition(" ")
    return ("schedule" if kind == "schedule" else "sensor"), name


def ended_at(tick: InstigatorTick) -> float:
    """When a tick ended, in seconds since 1970; older versions of Dagster stored only when it began."""
    return tick.end_timestamp or tick.timestamp


def failure(
    subject: Subject, cause: str, at: datetime.datetime, *, origin: str, key: str, severity: Severity = "failed"
) -> Condition:
    """The condition of a failure. Causes that differ only in ids, numbers and times are the same."""
    cause = cause[:CAUSE_LENGTH]
    return Condition(
        subject,
        "firing",
        at,
        variant=without_ids(cause),
        severity=severity,
        origin=origin,
        key=key,
        facts={"cause": cause},
    )
