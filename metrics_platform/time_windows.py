"""Days and slots of the product, as UTC instants and as Dagster partitions.

A day is the half-open interval from the first instant of its date in the product's zone to the first instant of the
next date. It has 23 or 25 hours where the zone shifts, begins after 00:00 where midnight does not exist, and is empty
where the zone skipped the whole date. A slot is 15 minutes in UTC, so clocks that are set back show its local time
twice. Everything is derived from the partition's key, never from a clock.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

SLOT = datetime.timedelta(minutes=15)
# Dagster's own key format of partitions shorter than a day.
SLOT_KEY_FORMAT = "%Y-%m-%d-%H:%M"
# Dagster's tags for a run of consecutive partitions: the first and the last key.
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
_ONE_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Day:
    """One day of the product: its date and its half-open interval `[start, end)` in UTC, whole seconds."""

    date: datetime.date
    start: datetime.datetime
    end: datetime.datetime

    @property
    def key(self) -> str:
        """The partition's key, YYYY-MM-DD."""
        return self.date.isoformat()

    @property
    def hours(self) -> float:
        """The length of the day in hours: 24, except where the zone shifts."""
        return (self.end - self.start).total_seconds() / 3600


@dataclass(frozen=True)
class Slot:
    """One slot of 15 minutes, `[start, end)` in UTC. Create it with `slot_at`, which aligns it."""

    start: datetime.datetime

    @property
    def end(self) -> datetime.datetime:
        """The first instant after it."""
        return self.start + SLOT

    @property
    def key(self) -> str:
        """The partition's key, YYYY-MM-DD-HH:MM in UTC."""
        return self.start.strftime(SLOT_KEY_FORMAT)


@dataclass(frozen=True)
class SlotRange:
    """Consecutive slots: the half-open interval `[start, end)` in UTC."""

    start: datetime.datetime
    end: datetime.datetime

    @classmethod
    def of(cls, first: Slot, last: Slot) -> SlotRange:
        """From `first` to `last`, both included; raises ValueError if `last` is before `first`."""
        if last.start < first.start:
            raise ValueError(f"{last.key} is before {first.key}")
        return cls(first.start, last.end)

    def __str__(self) -> str:
        """The range for display. The end has a date only if it differs from the start's."""
        end = f"{self.end:%H:%M}" if self.start.date() == self.end.date() else f"{self.end:%Y-%m-%d %H:%M}"
        return f"{self.start:%Y-%m-%d %H:%M} – {end} UTC"

    def __len__(self) -> int:
        """The number of slots."""
        return (self.end - self.start) // SLOT

    def __iter__(self) -> Iterator[Slot]:
        """The slots, oldest first."""
        return (Slot(self.start + number * SLOT) for number in range(len(self)))

    @property
    def last(self) -> Slot:
        """The last slot."""
        return Slot(self.end - SLOT)

    def by_day(self, zone: ZoneInfo) -> Iterator[tuple[Day, SlotRange]]:
        """Split the slots by day of the product, oldest first."""
        start = self.start
        while start < self.end:
            day = day_of(start.astimezone(zone).date(), zone)
            if day.end <= start:  # clocks went back from the next date into this one
                day = day_of(day.date + _ONE_DAY, zone)
            end = min(self.end, day.end)
            yield day, SlotRange(start, end)
            start = end


def slot_at(instant: datetime.datetime) -> Slot:
    """The slot that contains the aware `instant`; raises ValueError if it has no offset."""
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no time zone")
    utc = instant.astimezone(datetime.UTC)
    return Slot(utc.replace(minute=utc.minute - utc.minute % 15, second=0, microsecond=0))


def day_of(date: datetime.date, zone: ZoneInfo) -> Day:
    """The day of `date` in `zone`."""
    return Day(date, first_instant(date, zone), first_instant(date + _ONE_DAY, zone))


def day_of_key(key: str, zone: ZoneInfo) -> Day:
    """The day of a partition key (YYYY-MM-DD) in `zone`; raises ValueError on anything else."""
    return day_of(datetime.date.fromisoformat(key), zone)


def slots_of(day: Day, until: datetime.datetime | None = None) -> SlotRange:
    """The slots of a day that have ended at `until`; empty for a day that the zone skipped."""
    end = day.end if until is None else min(day.end, slot_at(until).start)
    return SlotRange(day.start, max(day.start, end))


def first_instant(date: datetime.date, zone: ZoneInfo) -> datetime.datetime:
    """The first instant, in UTC, at which clocks in `zone` show `date` or, where they skip it, a later date.

    Where midnight happens twice, the earlier one counts. Where it does not exist, the instant computed with the offset
    before the shift is at or after the shift: search back to the shift.
    """
    midnight = datetime.datetime.combine(date, datetime.time.min, tzinfo=zone)
    instant = midnight.astimezone(datetime.UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == midnight.replace(tzinfo=None):
        return instant
    # Midnight does not exist: bisect for the second at which the clocks jump over it.
    low, high = instant - _ONE_DAY, instant
    while high - low > datetime.timedelta(seconds=1):
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if middle.astimezone(zone).date() >= date:
            high = middle
        else:
            low = middle
    return high
