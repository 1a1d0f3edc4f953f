"""Whether a source still gets events: told when it goes stale, when it gets worse, again after hours, and at its end.

Pure: what was known before and the latest event in, what is known now and what is to be told out.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

Level = Literal["fresh", "warning", "critical"]
# A reminder of what is still stale comes after METRICS_REMINDER_HOURS, then at doubled gaps, at most so long.
_LONGEST_GAP = datetime.timedelta(hours=24)
# Events flow again where a later one is seen after the first new one; or where that one alone has lasted so long (a
# source that is loaded once a night gets no later one).
_LASTED = datetime.timedelta(hours=1)


@dataclass(frozen=True)
class Limits:
    """How old the latest event may be."""

    warning: datetime.timedelta
    critical: datetime.timedelta

    def level(self, latest: datetime.datetime | None, now: datetime.datetime) -> Level:
        """How stale a source is whose latest event is this; without any event it is as stale as can be."""
        if latest is None or now - latest >= self.critical:
            return "critical"
        return "warning" if now - latest >= self.warning else "fresh"

    def exceeded(self, level: Level) -> datetime.timedelta:
        """The limit that a level is about."""
        return self.critical if level == "critical" else self.warning


class Staleness(BaseModel):
    """What is known of one source: the sensor's memory.

    Attributes:
        level: as told last.
        since: its latest event when it went stale; None: fresh, or there was no event at all.
        key: the notification that told of it first; empty: it is fresh.
        told_at: when people were told last; reminders: how often they were reminded.
        new: the first event seen since; new_at: when it was seen.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    level: Level = "fresh"
    since: AwareDatetime | None = None
    key: str = ""
    told_at: AwareDatetime | None = None
    reminders: int = 0
    new: AwareDatetime | None = None
    new_at: AwareDatetime | None = None


@dataclass(frozen=True)
class Telling:
    """What is to be told of a source; `thread` is the message it answers, empty: none."""

    kind: Literal["stale", "worse", "still", "fresh"]
    key: str
    thread: str
    level: Level


def judge(
    table: str,
    before: Staleness,
    latest: datetime.datetime | None,
    now: datetime.datetime,
    *,
    limits: Limits,
    reminded_after: datetime.timedelta,
) -> tuple[Staleness, Telling | None]:
    """What is known at `now` of a source whose latest event is `latest`, and what is to be told."""
    level = limits.level(latest, now)
    if not before.key:
        if level == "fresh":
            return Staleness(), None
        key = stale_key(table, latest)
        return Staleness(level=level, since=latest, key=key, told_at=now), Telling("stale", key, "", level)
    if level == "fresh":
        return _coming_back(table, before, latest, now)
    still = before.model_copy(update={"new": None, "new_at": None})
    if level == "critical" and before.level == "warning":
        worse = still.model_copy(update={"level": level, "told_at": now})
        return worse, Telling("worse", f"{before.key}-critical", before.key, level)
    gap = min(reminded_after * 2**before.reminders, max(_LONGEST_GAP, reminded_after))
    if before.told_at is None or now - before.told_at < gap:
        return still, None
    number = before.reminders + 1
    reminded = still.model_copy(update={"told_at": now, "reminders": number})
    return reminded, Telling("still", f"{before.key}-reminder-{number}", before.key, before.level)


def stale_key(table: str, latest: datetime.datetime | None) -> str:
    """The key of the message that a source whose latest event is this is stale."""
    return f"stale-{table}-{latest.astimezone(datetime.UTC):%Y-%m-%dT%H%M%S}" if latest else f"stale-{table}-never"


def _coming_back(
    table: str, before: Staleness, latest: datetime.datetime | None, now: datetime.datetime
) -> tuple[Staleness, Telling | None]:
    """A single event is no flow: one an hour would end and begin the same alert every hour."""
    if before.new is None or before.new_at is None or latest is None:
        return before.model_copy(update={"new": latest, "new_at": now}), None
    if latest <= before.new and now - before.new_at < _LASTED:
        return before, None
    return Staleness(), Telling("fresh", f"fresh-{before.key.removeprefix('stale-')}", before.key, "fresh")
