"""Failures that come again: told at once, counted while they last, told again after hours, and an all-clear.

Pure: failures and successes in their order in, troubles and what is to be told out; no clock, no storage. A *trouble*
is one subject (a job, a check of an asset) that fails for one cause, from its first failure until it succeeds again.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

# What differs from failure to failure of one cause: ids, numbers, times, places in memory.
_VARYING = re.compile(r"0x[0-9a-f]+|\b(?=[0-9a-f-]*\d)[0-9a-f][0-9a-f-]{7,}\b|\d+", re.IGNORECASE)
_CAUSE_LENGTH = 600


@dataclass(frozen=True)
class Failure:
    """Something failed: `key` is the notification's key where it is told by itself, `run_id` where to look."""

    subject: str
    cause: str
    at: datetime.datetime
    key: str
    run_id: str


@dataclass(frozen=True)
class Success:
    """Something succeeded."""

    subject: str
    at: datetime.datetime


class Trouble(BaseModel):
    """A subject that fails for one cause.

    Attributes:
        name: a hash of subject and cause.
        key: the notification that told of it first; empty: told together with others, or not yet; own_key: the one that
            would.
        failures: how often it has failed; told: how many of these people know of.
        told_at: when people were told last; tellings: how often they were told again.
        calm: successes since it failed last; needed: after how many it is over.
        over_at: since when it is over; None: it is not.
        run_id: the run of its last failure.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    name: str
    subject: str
    cause: str
    key: str = ""
    own_key: str = ""
    first_at: AwareDatetime
    last_at: AwareDatetime
    failures: int = 1
    told: int = 0
    told_at: AwareDatetime | None = None
    tellings: int = 0
    calm: int = 0
    needed: int = 1
    over_at: AwareDatetime | None = None
    run_id: str = ""


class Troubles(BaseModel):
    """What is known of them: the sensor's memory.

    Attributes:
        loud_at: when a trouble was told by itself, of the last hour.
        flood_at: when those that are told together were told last; flood_tellings: how often in this flood.
        flood_since: when the first of them failed that nobody has been told of.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    troubles: tuple[Trouble, ...] = ()
    loud_at: tuple[AwareDatetime, ...] = ()
    flood_since: AwareDatetime | None = None
    flood_at: AwareDatetime | None = None
    flood_tellings: int = 0


@dataclass(frozen=True)
class Rules:
    """How long things take.

    Attributes:
        again_after: a trouble that has failed again is told again after so long; gaps double up to again_at_least.
        reopened_within: a failure so soon after the all-clear is the same trouble: it takes four times the successes.
        loud: so many troubles within an hour are told by themselves, the others together; loud_of_subject: so many of
            one subject, until they are over.
        gathered_for: a flood is told when it has been gathered for so long, then at doubled gaps.
        flood_gap, flood_gap_most: these gaps; what people know nothing of yet waits for the first of them at most.
        forgotten_after: a trouble that has neither failed nor succeeded for so long is no longer followed.
        most: so many are remembered.
    """

    again_after: datetime.timedelta = datetime.timedelta(hours=4)
    again_at_least: datetime.timedelta = datetime.timedelta(hours=20)
    reopened_within: datetime.timedelta = datetime.timedelta(hours=2)
    loud: int = 5
    loud_of_subject: int = 2
    gathered_for: datetime.timedelta = datetime.timedelta(minutes=5)
    flood_gap: datetime.timedelta = datetime.timedelta(hours=1)
    flood_gap_most: datetime.timedelta = datetime.timedelta(hours=8)
    forgotten_after: datetime.timedelta = datetime.timedelta(days=8)
    most: int = 200


@dataclass(frozen=True)
class Telling:
    """Something to tell.

    Attributes:
        kind: the first failure of a cause, that it fails again, several together, or that it is over.
        key: the notification's key; thread: the message it answers; empty: none.
        troubles: what it is about, as they stand after it.
        failures: how many failures people have not been told of before.
        since: of several together, when the first of these was.
        at: when it happened.
    """

    kind: Literal["first", "again", "together", "over"]
    key: str
    thread: str
    troubles: tuple[Trouble, ...]
    failures: int
    at: datetime.datetime
    since: datetime.datetime | None = None
    counts: tuple[int, ...] = field(default=())  # of several together: each one's part of `failures`


def _weight(trouble: Trouble) -> int:
    """Where there are too many: those stay that people wait for the end of, then those they have not been told of."""
    if trouble.key and trouble.over_at is None:
        return 3
    if trouble.failures > trouble.told:
        return 2
    return int(trouble.over_at is None)


def _is_told_by_itself(trouble: Trouble) -> bool:
    """Whether it gets a message of its own where no flood came: it lasts, and nobody knows of it."""
    return bool(trouble.own_key) and not trouble.told and trouble.over_at is None


def fingerprint(subject: str, cause: str) -> str:
    """A hash of subject and cause, the same where only ids, numbers and times differ."""
    text = _VARYING.sub("#", cause[:_CAUSE_LENGTH])
    return hashlib.sha256(f"{subject}\n{text}".encode()).hexdigest()[:12]


def take_in(
    before: Troubles, happened: Sequence[Failure | Success], now: datetime.datetime, rules: Rules
) -> tuple[Troubles, list[Telling]]:
    """Take what happened, in its order, into the troubles; what is to be told at `now`."""
    book = _Book({each.name: each for each in before.troubles}, before, now, rules)
    for each in happened:
        if isinstance(each, Success):
            book.succeed(each)
        else:
            book.fail(each)
    book.remind()
    book.tell_flood()
    return book.closed(), book.tellings


class _Book:
    """The troubles while events are taken in."""

    def __init__(self, troubles: dict[str, Trouble], before: Troubles, now: datetime.datetime, rules: Rules) -> None:
        self.troubles = troubles
        self.before = before
        self.now = now
        self.rules = rules
        self.tellings: list[Telling] = []
        self.loud_at = [at for at in before.loud_at if now - at < datetime.timedelta(hours=1)]
        self.flood = (before.flood_since, before.flood_at, before.flood_tellings)

    def fail(self, failure: Failure) -> None:
        """One more failure: of a trouble that is known, of one that comes back, or of a new one."""
        name = fingerprint(failure.subject, failure.cause)
        known = self.troubles.get(name)
        if known is not None and known.run_id == failure.run_id:
            return  # a run that somebody has tagged since is not another failure
        if known is not None and known.over_at is None:
            self._put(known, failures=known.failures + 1, calm=0, last_at=failure.at, run_id=failure.run_id)
        elif known is not None and known.over_at and failure.at - known.over_at <= self.rules.reopened_within:
            again = self._put(
                known, failures=known.failures + 1, calm=0, last_at=failure.at, run_id=failure.run_id, over_at=None,
                needed=min(known.needed * 4, 96),
            )  # fmt: skip
            # People believe that it is over.
            if again.key:
                self._tell_again(again)
        else:
            new = Trouble(
                name=name,
                subject=failure.subject,
                cause=failure.cause[:_CAUSE_LENGTH],
                first_at=failure.at,
                last_at=failure.at,
                run_id=failure.run_id,
                own_key=failure.key,
            )
            self.troubles[name] = new
            if len(self.loud_at) < self.rules.loud and len(self._told_of(new.subject)) < self.rules.loud_of_subject:
                self._tell_first(new)

    def succeed(self, success: Success) -> None:
        """One success: every trouble of the subject is nearer to its end."""
        for trouble in list(self.troubles.values()):
            if trouble.subject != success.subject or trouble.over_at or success.at < trouble.last_at:
                continue
            calm = trouble.calm + 1
            if calm < trouble.needed:
                self._put(trouble, calm=calm)
                continue
            told = trouble.failures if trouble.key else trouble.told
            over = self._put(trouble, calm=calm, over_at=success.at, told=told)
            if over.key:
                key = f"{over.key}-over-{over.failures}"
                self.tellings.append(Telling("over", key, over.key, (over,), over.failures, success.at))

    def remind(self) -> None:
        """Tell again of what has failed again, when it is time."""
        for trouble in list(self.troubles.values()):
            if not trouble.key or trouble.over_at or trouble.failures <= trouble.told or trouble.told_at is None:
                continue
            gap = min(self.rules.again_after * 2**trouble.tellings, self.rules.again_at_least)
            if self.now - trouble.told_at >= gap:
                self._tell_again(trouble)

    def tell_flood(self) -> None:
        """Tell together of those that are not told by themselves."""
        since, told_at, tellings = self.flood
        news = [each for each in self.troubles.values() if not each.key and each.failures > each.told]
        if not news:
            quiet = told_at is not None and self.now - told_at > self.rules.flood_gap_most
            self.flood = (None, None, 0) if quiet else (None, told_at, tellings)
            return
        since = since or self.now
        gap = min(self.rules.flood_gap * 2 ** max(0, tellings - 1), self.rules.flood_gap_most)
        if any(not self._told_of(each.subject) and not each.told for each in news):
            gap = self.rules.flood_gap
        if len(news) >= self.rules.most // 2:
            gap = self.rules.gathered_for  # more is not remembered
        if self.now - since < self.rules.gathered_for or (told_at is not None and self.now - told_at < gap):
            self.flood = (since, told_at, tellings)
            return
        if len(news) <= self.rules.loud_of_subject and all(_is_told_by_itself(each) for each in news):
            for each in news:  # no flood after all: each has its message, with all there is to say
                self._tell_first(each)
            self.flood = (None, self.now, tellings + 1)
            return
        news.sort(key=lambda each: (each.told - each.failures, each.first_at, each.name))
        counts = tuple(each.failures - each.told for each in news)
        first = min(each.first_at if each.told == 0 else max(each.first_at, told_at or each.first_at) for each in news)
        for each in news:
            self._put(each, told=each.failures, told_at=self.now)
        key = f"failures-{self.now.astimezone(datetime.UTC):%Y-%m-%dT%H%M%S}"
        self.tellings.append(
            Telling("together", key, "", tuple(news), sum(counts), max(each.last_at for each in news), first, counts)
        )
        self.flood = (None, self.now, tellings + 1)

    def closed(self) -> Troubles:
        """What is to be remembered."""
        kept = [each for each in self.troubles.values() if not self._is_forgotten(each)]
        kept.sort(key=lambda each: (_weight(each), each.last_at))
        since, told_at, tellings = self.flood
        return Troubles(
            troubles=tuple(kept[-self.rules.most :]),
            loud_at=tuple(self.loud_at),
            flood_since=since,
            flood_at=told_at,
            flood_tellings=tellings,
        )

    def _told_of(self, subject: str) -> list[Trouble]:
        """What is not over of a subject, and told by itself."""
        return [each for each in self.troubles.values() if each.subject == subject and each.key and not each.over_at]

    def _is_forgotten(self, trouble: Trouble) -> bool:
        if trouble.over_at is not None and trouble.failures <= trouble.told:
            return self.now - trouble.over_at > self.rules.reopened_within
        return self.now - trouble.last_at > self.rules.forgotten_after

    def _tell_first(self, trouble: Trouble) -> None:
        self.loud_at.append(self.now)
        told = self._put(trouble, key=trouble.own_key, told=trouble.failures, told_at=self.now)
        self.tellings.append(Telling("first", told.key, "", (told,), trouble.failures, trouble.last_at))

    def _tell_again(self, trouble: Trouble) -> None:
        new = trouble.failures - trouble.told
        told = self._put(trouble, told=trouble.failures, told_at=self.now, tellings=trouble.tellings + 1)
        key = f"{trouble.key}-again-{told.failures}"
        self.tellings.append(Telling("again", key, trouble.key, (told,), new, trouble.last_at))

    def _put(self, trouble: Trouble, **changes: object) -> Trouble:
        changed = trouble.model_copy(update=changes)
        self.troubles[trouble.name] = changed
        return changed
