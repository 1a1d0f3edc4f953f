"""Which slots a run of the monitor computes: those of its tags, or the complete slots of its days."""

from __future__ import annotations

import datetime

import dagster as dg

from metrics_platform.settings import Settings
from metrics_platform.time_windows import Slot, SlotRange, day_of_key, slot_at, slots_of
from metrics_platform.warehouse.slots import last_complete_slot

# Tags of a check: the first and the last slot that are due, as instants in UTC. A run without them was started by a
# person, or is a backfill, and computes its days.
FIRST_SLOT, LAST_SLOT = "metrics/first_slot", "metrics/last_slot"
_FORMAT = "%Y-%m-%dT%H:%MZ"


class NoCompleteSlotError(RuntimeError):
    """None of the slots of a run's days is complete yet."""


def tags_of(slots: SlotRange) -> dict[str, str]:
    """The tags of a run that computes these slots."""
    return {FIRST_SLOT: f"{slots.start:{_FORMAT}}", LAST_SLOT: f"{slots.last.start:{_FORMAT}}"}


def is_check(context: dg.AssetExecutionContext) -> bool:
    """Whether a run is a check of due slots, and not of whole days."""
    return FIRST_SLOT in context.run.tags


def slots_of_run(context: dg.AssetExecutionContext, settings: Settings, lag: datetime.timedelta) -> SlotRange:
    """The slots that the run computes.

    Raises:
        NoCompleteSlotError: no slot of the run's days has ended.
    """
    tags = context.run.tags
    if FIRST_SLOT in tags:
        return SlotRange.of(_slot(tags[FIRST_SLOT]), _slot(tags[LAST_SLOT]))
    last = last_complete_slot(settings, lag, datetime.datetime.now(datetime.UTC))
    keys = sorted(context.partition_keys)
    first_day, last_day = (day_of_key(key, settings.zone) for key in (keys[0], keys[-1]))
    end = slots_of(last_day, last.end).end if last else first_day.start
    if end <= first_day.start:
        raise NoCompleteSlotError(
            f"No slot of {keys[0]} is complete yet. The 15-minute check computes each as soon as it is."
        )
    return SlotRange(first_day.start, end)


def _slot(text: str) -> Slot:
    return slot_at(datetime.datetime.strptime(text, _FORMAT).replace(tzinfo=datetime.UTC))
