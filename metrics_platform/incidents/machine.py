"""The state machine: incidents before a slot and its verdicts in, incidents after it and what is to be told out.

Pure: no clock, no storage, so that every rule can be tried in a table. One slot is one step; slots come in their order.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from metrics_platform.calendar import SLOT, Slot
from metrics_platform.incidents.incident import Change, Incident, Series, Verdict, incident_id


@dataclass(frozen=True)
class Rules:
    """How long things take.

    Attributes:
        calm_slots: normal slots after which an incident is over; calm_slots_again: after it has come back once.
        reopened_within: an anomaly so soon after an incident is the same incident again.
        joined_within: an anomaly so soon after a message of the same direction is told in that message;
            joined_by_others_within: one of another source than those in it.
        expires_after: an incident without any verdict for so long is over.
        reminded_after: the first reminder; the gaps double.
    """

    calm_slots: int = 2
    calm_slots_again: int = 4
    reopened_within: datetime.timedelta = datetime.timedelta(hours=2)
    joined_within: datetime.timedelta = datetime.timedelta(hours=1)
    joined_by_others_within: datetime.timedelta = SLOT
    expires_after: datetime.timedelta = datetime.timedelta(hours=24)
    reminded_after: datetime.timedelta = datetime.timedelta(hours=4)


@dataclass(frozen=True)
class Telling:
    """Something to tell.

    Attributes:
        kind: a new message, one that is changed, a reminder, or the all-clear.
        key: the notification's key; thread: the message it belongs to, of all but a new one.
        incidents: what it is about.
    """

    kind: Literal["opened", "joined", "reminder", "resolved"]
    key: str
    thread: str
    incidents: tuple[Incident, ...]


@dataclass(frozen=True)
class Step:
    """What a slot did: the incidents that changed or are open, and what is to be told.

    `said_by` are the sources whose staleness is to be told instead of an incident.
    """

    incidents: tuple[Incident, ...] = ()
    tellings: tuple[Telling, ...] = field(default=())
    said_by: tuple[str, ...] = ()


def step(
    slot: Slot,
    incidents: Iterable[Incident],
    verdicts: Mapping[Series, Verdict],
    rules: Rules,
    *,
    tells: bool,
    muted: Collection[str] = (),
    stale: Mapping[str, str] | None = None,
    sources: Mapping[str, str] | None = None,
) -> Step:
    """Take the verdicts of `slot` into the incidents, open ones and those that ended lately.

    `tells` says whether the slot is young enough for people to be told; what happened in older ones is told at the
    first young slot at which it still matters. `muted` are metrics of which nobody is told. `stale` are metrics (with
    their source) whose source is stale: that is told by itself, and an incident of such a metric that only says that
    there is nothing is a part of it. `sources` are the metrics of the catalogue, each with its source: an incident of
    any other metric is over, since nothing evaluates it any more.
    """
    said = _said_by_staleness(verdicts, stale or {})
    before = {each.incident: each for each in incidents}
    latest = {each.series: each for each in sorted(before.values(), key=lambda each: each.opened_at)}
    after = dict(before)
    for series, each in latest.items():
        if sources is not None and each.is_open and series.metric not in sources:
            after[each.incident] = replace(each, state="expired", closed_at=slot.start, change="metric_removed")
        else:
            after[each.incident] = _advance(slot, each, verdicts.get(series), rules)
    for series, verdict in verdicts.items():
        known = after[latest[series].incident] if series in latest else None
        if verdict.status == "anomalous" and (known is None or not known.is_open):
            opened = _opened(slot, verdict, rules)
            after[opened.incident] = opened
    totals = {each.series: each for each in after.values() if each.is_open and each.series.is_total}
    after = {name: _folded(each, totals, said) for name, each in after.items()}
    tellings: list[Telling] = []
    silenced: set[Series] = set()
    if tells:
        anomalous = {series for series, verdict in verdicts.items() if verdict.status == "anomalous"} - {
            series for series in verdicts if series.metric in muted
        }
        silenced = {each.series for each in after.values() if each.is_open and not each.message} & anomalous & set(said)
        anomalous -= set(said)
        tellings += _tell_openings(slot, after, anomalous, rules, sources or {})
        tellings += _tell_reminders(slot, after, anomalous, rules)
        tellings += _tell_all_clears(slot, after)
    changed = [each for name, each in sorted(after.items()) if each.is_open or each != before.get(name)]
    return Step(tuple(changed), tuple(tellings), tuple(sorted({said[series] for series in silenced})))


def _said_by_staleness(verdicts: Mapping[Series, Verdict], stale: Mapping[str, str]) -> dict[Series, str]:
    """The series that are at nothing because their source is stale, with the source."""
    return {
        series: stale[series.metric]
        for series, verdict in verdicts.items()
        if series.metric in stale and verdict.status == "anomalous" and not verdict.value
    }


def _advance(slot: Slot, incident: Incident, verdict: Verdict | None, rules: Rules) -> Incident:
    """The incident after the slot, before anything is told."""
    if incident.is_open:
        return _advance_open(slot, incident, verdict, rules)
    if verdict and verdict.status == "anomalous" and _comes_back(slot, incident, verdict, rules):
        again = replace(incident, state="open", closed_at=None, calm=0, last_at=slot.start, change="reopened")
        return _worse(slot, replace(again, needed=rules.calm_slots_again), verdict)
    return incident


def _advance_open(slot: Slot, incident: Incident, verdict: Verdict | None, rules: Rules) -> Incident:
    status = verdict.status if verdict else "unknown"
    if verdict and status == "anomalous":
        worse = _worse(slot, replace(incident, calm=0, last_at=slot.start), verdict)
        change: Change = "worsened" if worse.severity != incident.severity else "continues"
        return replace(worse, change=change if verdict.direction == incident.direction else "swung")
    if status == "normal":
        calm = incident.calm + 1
        if calm < incident.needed:
            return replace(incident, calm=calm, change="calm")
        began = slot.start - (calm - 1) * SLOT
        return replace(incident, calm=calm, state="resolved", closed_at=began, change="back_in_band")
    if slot.end - incident.last_at > rules.expires_after:
        return replace(incident, state="expired", closed_at=slot.start, change="not_judged_for_a_day")
    return replace(incident, change="not_judged")


def _comes_back(slot: Slot, incident: Incident, verdict: Verdict, rules: Rules) -> bool:
    """Whether an anomaly is the incident that ended lately."""
    ended = incident.closed_at or incident.last_at
    return verdict.direction == incident.direction and slot.start - ended <= rules.reopened_within


def _opened(slot: Slot, verdict: Verdict, rules: Rules) -> Incident:
    return Incident(
        incident=incident_id(verdict.series, slot),
        series=verdict.series,
        state="open",
        direction=verdict.direction,
        severity=verdict.severity,
        opened_at=slot.start,
        last_at=slot.start,
        needed=rules.calm_slots,
        change="opened",
        worst_change=verdict.change,
        worst_at=slot.start,
    )


def _worse(slot: Slot, incident: Incident, verdict: Verdict) -> Incident:
    """With the verdict's deviation, where it is the largest, and its severity, where it is the worst."""
    if verdict.direction != incident.direction:
        return incident
    severity = "critical" if "critical" in (incident.severity, verdict.severity) else incident.severity
    if verdict.change is None or abs(verdict.change) <= abs(incident.worst_change or 0.0):
        return replace(incident, severity=severity)
    return replace(incident, severity=severity, worst_change=verdict.change, worst_at=slot.start)


def _folded(incident: Incident, totals: Mapping[Series, Incident], said: Mapping[Series, str]) -> Incident:
    """A slice is a part of the total's incident while that is open in the same direction; all are of stale data."""
    if not incident.is_open:
        return incident
    if incident.series in said:
        return replace(incident, folded_into=f"stale {said[incident.series]}")
    if incident.series.is_total:
        return replace(incident, folded_into="")
    total = totals.get(incident.series.total)
    part = total is not None and total.direction == incident.direction
    return replace(incident, folded_into=total.incident if part and total is not None else "")


def _tell_openings(
    slot: Slot,
    after: dict[str, Incident],
    anomalous: Collection[Series],
    rules: Rules,
    sources: Mapping[str, str],
) -> Iterator[Telling]:
    """Tell of what is open and anomalous now: in a message of its own, or in one that was told just before.

    What has become critical is told by changing its message; what has come back after its all-clear also by a reminder,
    for people believe that it is over.
    """
    now = [each for each in after.values() if each.is_open and each.series in anomalous]
    changed = {each.message for each in now if each.message and (each.cleared or each.change == "worsened")}
    untold = [each for each in now if not each.message and not each.folded_into]
    target = _message_to_join(slot, untold, after, rules, sources) if untold else None
    key = target.message if target else f"anomaly-{slot.key}"
    for each in untold:
        told_at = target.told_at if target else slot.start
        after[each.incident] = replace(each, message=key, told_at=told_at)
    back = {each.message: [one for one in now if one.message == each.message] for each in now if each.cleared}
    for each in now:
        if each.cleared:
            after[each.incident] = replace(each, cleared=False)
    if untold and not target:
        yield Telling("opened", key, "", tuple(_of_message(key, after)))
    elif untold:
        changed.add(key)
    for message in sorted(changed):
        members = [each for each in _of_message(message, after) if each.is_open]
        yield Telling("joined", f"{message}-{slot.key}", message, tuple(members))
    for message, members in sorted(back.items()):
        yield Telling("reminder", f"{message}-again-{slot.key}", message, tuple(members))


def _message_to_join(
    slot: Slot,
    untold: list[Incident],
    after: Mapping[str, Incident],
    rules: Rules,
    source_of: Mapping[str, str],
) -> Incident | None:
    """An incident whose message takes in new ones: open, young, of the same direction, and not less severe.

    That the other service fails, too, is news that makes a sound, unless both have failed at once.
    """
    directions = {each.direction for each in untold}
    sources = {source_of.get(each.series.metric, "") for each in untold}
    critical = any(each.severity == "critical" for each in untold)
    told_of = {
        message: {source_of.get(each.series.metric, "") for each in _of_message(message, after)}
        for message in {each.message for each in after.values() if each.message}
    }
    young = [
        each
        for each in after.values()
        if each.is_open
        and each.message
        and each.told_at is not None
        and slot.start - each.told_at < rules.joined_within
        and (sources <= told_of[each.message] or slot.start - each.told_at <= rules.joined_by_others_within)
        and {each.direction} == directions
        and (each.severity == "critical" or not critical)
    ]
    return max(young, key=lambda each: each.message, default=None)


def _tell_reminders(
    slot: Slot, after: dict[str, Incident], anomalous: Collection[Series], rules: Rules
) -> Iterator[Telling]:
    """Tell again of what is open, after some hours and then at doubled gaps."""
    for message in sorted({each.message for each in after.values() if each.is_open and each.message}):
        members = [each for each in _of_message(message, after) if each.is_open]
        out = [each for each in members if each.series in anomalous]
        told_at = min(each.told_at for each in members if each.told_at is not None)
        reminders = max(each.reminders for each in members)
        passed = sum(slot.start >= told_at + rules.reminded_after * (2**number - 1) for number in range(1, 12))
        if not out or passed <= reminders:
            continue
        # Those that fell into slots without verdicts are not made up for.
        for each in members:
            after[each.incident] = replace(each, reminders=passed)
        yield Telling("reminder", f"{message}-reminder-{passed}", message, tuple(out))


def _tell_all_clears(slot: Slot, after: dict[str, Incident]) -> Iterator[Telling]:
    """Tell that all of a message is over."""
    waiting = {each.message for each in after.values() if each.message and not each.is_open and not each.cleared}
    for message in sorted(waiting):
        members = _of_message(message, after)
        if any(each.is_open for each in members):
            continue
        for each in members:
            after[each.incident] = replace(each, cleared=True)
        told = tuple(each for each in members if not each.cleared)
        yield Telling("resolved", f"{message}-resolved-{slot.key}", message, told)


def _of_message(message: str, after: Mapping[str, Incident]) -> list[Incident]:
    """The incidents that a message tells of, the whole product's first."""
    members = [each for each in after.values() if each.message == message]
    return sorted(members, key=lambda each: (not each.series.is_total, each.opened_at, each.series))
