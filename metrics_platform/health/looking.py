"""Looking at a source: its latest event, the rows of its last complete day and of its latest slots, each judged."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from metrics_platform.calendar import SLOT, Slot, day_of
from metrics_platform.catalog import Catalog, Source
from metrics_platform.health.freshness import Level, Limits
from metrics_platform.health.volume import WEEKS, Judgement, judge
from metrics_platform.incidents.store import incidents_before, last_slot_taken_in
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import tables_are_there
from metrics_platform.warehouse.source_rows import SourceRows
from metrics_platform.warehouse.sources import (
    latest_event,
    rows_of_days,
    rows_of_slots,
    weeks_before,
)
from metrics_platform.warehouse.tables import MONITOR_TABLES

_WEEK = datetime.timedelta(days=7)
# Of a monitor that has been silent for longer there are no latest slots.
_LATEST = datetime.timedelta(hours=1)
# After a pause of the sensor so many slots are made up for.
_MOST_SLOTS = 12


@dataclass(frozen=True)
class Freshness:
    """How fresh a source is.

    Attributes:
        latest: its latest event; None: it has none.
        since: from when on its silence counts: the latest event, or the beginning of a product that is too young to be
            late; None: there never was an event.
    """

    latest: datetime.datetime | None
    since: datetime.datetime | None
    level: Level
    limits: Limits


@dataclass(frozen=True)
class Volume:
    """How many rows a source has in a period `[start, end)`, judged."""

    start: datetime.datetime
    end: datetime.datetime
    judgement: Judgement


def why_no_events(settings: Settings, now: datetime.datetime) -> str | None:
    """Why no events are to be expected at `now`; None: they are, between METRICS_START_DATE and METRICS_END_DATE."""
    today = now.astimezone(settings.zone).date()
    if settings.start_date <= today and (settings.end_date is None or today <= settings.end_date):
        return None
    return (
        f"No events are expected now: METRICS_START_DATE is {settings.start_date}, METRICS_END_DATE "
        f"{settings.end_date or 'not set'}."
    )


def limits_of(source: Source) -> Limits:
    """The limits of a source."""
    return Limits(*source.stale_limits)


def look_at_freshness(warehouse: Warehouse, rows: SourceRows, settings: Settings, now: datetime.datetime) -> Freshness:
    """How fresh a source is; errors as of `latest_event`."""
    limits = limits_of(rows.source)
    latest = latest_event(warehouse, rows, settings, now)
    beginning = day_of(settings.start_date, settings.zone).start
    # In its first hours a product is not late with its first event.
    since = latest if latest is not None or now - beginning >= limits.critical else beginning
    return Freshness(latest, since, limits.level(since, now), limits)


def look_at_yesterday(warehouse: Warehouse, settings: Settings, now: datetime.datetime) -> dict[str, Volume]:
    """The rows of each source on the last complete day; nothing where that has not been computed."""
    yesterday = now.astimezone(settings.zone).date() - datetime.timedelta(days=1)
    day = day_of(yesterday, settings.zone)
    before = [yesterday - week * _WEEK for week in range(1, WEEKS + 1)]
    found = rows_of_days(warehouse, [yesterday, *(date for date in before if date >= settings.start_date)])
    if yesterday not in found or day.hours == 0:
        return {}
    return {
        source: Volume(
            day.start,
            day.end,
            judge(rows, [found[date][source] for date in before if source in found.get(date, {})]),
        )
        for source, rows in found[yesterday].items()
    }


def look_at_slots(
    warehouse: Warehouse, settings: Settings, after: datetime.datetime | None, now: datetime.datetime
) -> list[tuple[Slot, dict[str, Judgement]]]:
    """The slots after `after` that the monitor has taken in, oldest first, each judged for each source."""
    if not tables_are_there(warehouse, MONITOR_TABLES):
        return []
    last = last_slot_taken_in(warehouse)
    if last is None or now - last.end > _LATEST:
        return []
    first = max(last.start - (_MOST_SLOTS - 1) * SLOT, after + SLOT if after else last.start)
    slots = [Slot(first + number * SLOT) for number in range((last.end - first) // SLOT)]
    before = {slot: weeks_before(slot, settings.zone, WEEKS) for slot in slots}
    rows = rows_of_slots(warehouse, {*slots, *(each for weeks in before.values() for each in weeks)})
    return [
        (
            slot,
            {
                source: judge(count, [rows[each][source] for each in before[slot] if source in rows.get(each, {})])
                for source, count in rows[slot].items()
            },
        )
        for slot in slots
        if slot in rows
    ]


def is_told_by_an_incident(warehouse: Warehouse, source: str, slot: Slot, catalog: Catalog) -> bool:
    """Whether people know already: an incident of one of the source's metrics is open, and told."""
    metrics = {metric.name for metric in catalog.metrics.values() if metric.source == source}
    return any(
        each.is_open and each.message and each.series.is_total and each.series.metric in metrics
        for each in incidents_before(warehouse, Slot(slot.end))
    )
