"""What is waiting to be delivered: read from the journal and from the runs of `notify`, for `planning.plan`.

A notification is followed from the entry that asks for it to the entry that closes it. The cursor remembers only
which ones are open and up to when the journal has been read; without it, all is found again in the journal.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from metrics_platform.defs.cursor import Cursor
from metrics_platform.defs.delivery.names import JOB
from metrics_platform.defs.delivery.storage import Stored, read_keys, read_since
from metrics_platform.notifications.configured import first_channel
from metrics_platform.notifications.journal import Asked, Reopened, Sent, asked, closed, current
from metrics_platform.notifications.kinds import Event
from metrics_platform.notifications.planning import Waiting
from metrics_platform.notifications.routing import waiting_for
from metrics_platform.settings import Settings

# Entries are read again for so long: other machines' clocks differ, and a database may show a later one first.
_OVERLAP = datetime.timedelta(minutes=5)
# Where nothing is remembered, so much more than the longest wait is looked at.
_GRACE = datetime.timedelta(days=1)
# A run of `notify` that goes on for longer was killed, whatever Dagster still believes: nobody waits for it.
_LONGEST_RUN = datetime.timedelta(minutes=15)
_PARTITION = "dagster/partition"
_WAITS_FOR_A_START = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)
_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


class Remembered(Cursor):
    """The sensor's cursor."""

    read_until: float = 0.0
    open: tuple[str, ...] = ()
    reached_at: float | None = None
    checked_by: str = ""  # the process whose channels were checked last


@dataclass(frozen=True)
class Survey:
    """What waits, whether something is on its way now, and what to remember."""

    waiting: tuple[Waiting, ...]
    events: Mapping[str, Event]  # what waits, by key
    unreadable: Mapping[str, str]  # key → why: asked for, but not by words this version knows
    sending: bool
    runs: Mapping[str, int]  # by key: how many were ever asked for
    remembered: Remembered


def survey(instance: dg.DagsterInstance, remembered: Remembered, settings: Settings, now: datetime.datetime) -> Survey:
    """Look at the journal and at the runs."""
    since = remembered.read_until or (now - settings.message_max_age - _GRACE).timestamp()
    recent = list(read_since(instance, since - _OVERLAP.total_seconds()))
    touched = dict.fromkeys([*remembered.open, *(stored.key for stored in recent)])
    stored = read_keys(instance, list(touched))
    entries = {key: current(each.entry for each in found) for key, found in stored.items()}
    open_keys = [key for key in touched if asked(entries.get(key, ())) and not closed(entries[key])]
    runs = _runs(instance, open_keys)
    first = first_channel(settings)
    reached = [each.at for each in recent if isinstance(each.entry, Sent) and each.entry.channel == first]
    reached_at = max([*reached, remembered.reached_at or 0.0]) or None
    events: dict[str, Event] = {key: event for key in open_keys if (event := asked(entries[key]))}
    return Survey(
        waiting=tuple(_waiting(event, stored[key], runs[key], settings) for key, event in events.items()),
        events=events,
        unreadable=_unreadable(stored),
        sending=_is_sending(instance, now),
        runs={key: len(runs[key]) for key in open_keys},
        remembered=remembered.model_copy(
            update={
                "read_until": max([since, *(each.at for each in recent)]),
                "open": tuple(open_keys),
                "reached_at": reached_at,
            }
        ),
    )


def asked_at(stored: Iterable[Stored]) -> float | None:
    """When the notification was asked for, or asked for once more."""
    moment = None
    for each in stored:
        if isinstance(each.entry, Reopened) or (moment is None and isinstance(each.entry, Asked)):
            moment = each.at
    return moment


def _waiting(event: Event, stored: Sequence[Stored], runs: Sequence[dg.RunRecord], settings: Settings) -> Waiting:
    moment = asked_at(stored)
    assert moment is not None
    # Runs before it was asked for once more do not count.
    ended = [run for run in runs if run.dagster_run.status in _ENDED and _end(run).timestamp() >= moment]
    return waiting_for(
        event,
        current(each.entry for each in stored),
        settings,
        asked_at=_utc(moment),
        tries=len(ended),
        last_try_at=max((_end(run) for run in ended), default=None),
    )


def _unreadable(stored: Mapping[str, Sequence[Stored]]) -> dict[str, str]:
    """What cannot be read and has not been closed for it yet."""
    found = {}
    for key, entries in stored.items():
        problem = next((each.entry for each in entries if not each.readable), None)
        if problem is not None and not closed(each.entry for each in entries if each.readable):
            found[key] = getattr(problem, "text", "")
    return found


def _runs(instance: dg.DagsterInstance, keys: Sequence[str]) -> dict[str, list[dg.RunRecord]]:
    """The runs of `notify` for these notifications, by key."""
    found: dict[str, list[dg.RunRecord]] = defaultdict(list)
    if keys:
        selection = dg.RunsFilter(job_name=JOB, tags={_PARTITION: list(keys)})
        for record in instance.get_run_records(selection):
            found[record.dagster_run.tags[_PARTITION]].append(record)
    return found


def _is_sending(instance: dg.DagsterInstance, now: datetime.datetime) -> bool:
    """Whether a run of `notify` waits for its start or goes on."""
    going_on = [status for status in dg.DagsterRunStatus if status not in _ENDED]
    for record in instance.get_run_records(dg.RunsFilter(job_name=JOB, statuses=going_on)):
        started = _utc(record.start_time) if record.start_time else record.create_timestamp
        if record.dagster_run.status in _WAITS_FOR_A_START or now - started < _LONGEST_RUN:
            return True
    return False


def _end(run: dg.RunRecord) -> datetime.datetime:
    return _utc(run.end_time) if run.end_time else run.update_timestamp


def _utc(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
