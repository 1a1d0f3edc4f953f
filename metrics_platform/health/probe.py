"""Probes of the sources: the latest event, the rows of the last complete day and of the latest slots."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from metrics_platform.alerts.alert import Condition, Subject
from metrics_platform.alerts.volume import (
    WEEKS,
    Level,
    Limits,
    Volume,
    combined,
    evaluate_volume,
    silent_slots,
    staleness,
    usual_rows,
)
from metrics_platform.incidents.store import last_processed_slot
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, Slot, day_of
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import tables_are_there
from metrics_platform.warehouse.source_rows import SourceRows
from metrics_platform.warehouse.sources import Rows, latest_event, rows_of_days, rows_of_slots, weeks_before
from metrics_platform.warehouse.tables import MONITOR_TABLES

_HOUR = datetime.timedelta(hours=1)
_DAY = datetime.timedelta(days=1)
# Slots in a row that must be unusual; they are notified as one period.
_SLOTS_IN_A_ROW = 4
# A monitor that has been silent for longer has no latest slots.
_LATEST = _HOUR
# After a pause of the sensor, at most this many slots are caught up on.
_MOST_SLOTS = 12


@dataclass(frozen=True)
class Freshness:
    """How fresh a source is.

    Attributes:
        latest: its latest event; None: it has none.
        since: the start of its silence: the latest event, or the start of a product that is too young to be late. None:
            there never was an event.
    """

    source: str
    latest: datetime.datetime | None
    since: datetime.datetime | None
    level: Level
    limits: Limits

    def condition(self, now: datetime.datetime) -> Condition:
        """The condition of the source at `now`."""
        subject = Subject("stale_data", self.source)
        if self.level == "fresh":
            # A second event, or an hour, shows that events flow again. A single one an hour does not.
            return Condition(subject, "normal", max(self.latest or now, now - _HOUR))
        latest = f"{self.latest.astimezone(datetime.UTC):%Y-%m-%dT%H%M%S}" if self.latest else "never"
        return Condition(
            subject,
            "firing",
            self.since or datetime.datetime.fromtimestamp(0, datetime.UTC),
            severity=self.level,
            origin=self.source,
            key=f"stale-{self.source}-{latest}",
            facts={
                "last_event_at": self.latest.isoformat() if self.latest else None,
                "limit_seconds": self.limits.exceeded(self.level).total_seconds(),
            },
        )


@dataclass(frozen=True)
class Period:
    """The rows of a source in the period `[start, end)`, evaluated. `name` is that of the day or the last slot."""

    source: str
    name: str
    start: datetime.datetime
    end: datetime.datetime
    volume: Volume

    def condition(self) -> Condition:
        """The condition of the source at the end of the period."""
        subject = Subject("odd_day" if self.end - self.start > _HOUR else "odd_hour", self.source)
        volume = self.volume
        if volume.status != "unusual":
            return Condition(subject, "normal" if volume.status == "normal" else "unknown", self.end)
        return Condition(
            subject,
            "firing",
            self.end,
            variant=volume.direction,
            severity=volume.severity,
            origin=self.source,
            change=volume.change,
            since=self.start,
            key=f"volume-{self.source}-{self.name}",
            facts={
                "period_start": self.start.isoformat(),
                "period_end": self.end.isoformat(),
                "rows": volume.rows,
                "expected": volume.expected or 0.0,
                "lower": volume.lower or 0.0,
                "upper": volume.upper or 0.0,
            },
        )


def why_no_events(settings: Settings, now: datetime.datetime) -> str | None:
    """Why no events are expected at `now`; None: they are, between METRICS_START_DATE and METRICS_END_DATE."""
    today = now.astimezone(settings.zone).date()
    if settings.start_date <= today and (settings.end_date is None or today <= settings.end_date):
        return None
    return (
        f"No events are expected now: METRICS_START_DATE is {settings.start_date}, METRICS_END_DATE "
        f"{settings.end_date or 'not set'}."
    )


def probe_freshness(warehouse: Warehouse, rows: SourceRows, settings: Settings, now: datetime.datetime) -> Freshness:
    """How fresh a source is; errors as of `latest_event`."""
    source = rows.source.name
    limits = Limits(*rows.source.stale_limits)
    latest = latest_event(warehouse, rows, settings, now)
    beginning = day_of(settings.start_date, settings.zone).start
    # In its first hours a product is not late with its first event.
    since = latest if latest is not None or now - beginning >= limits.critical else beginning
    if since is None or now - since < limits.warning:
        return Freshness(source, latest, since, staleness(since, now, limits, {}), limits)
    usual = _usual_rows(warehouse, source, since, settings, now)
    return Freshness(source, latest, since, staleness(since, now, limits, usual), limits)


def _usual_rows(
    warehouse: Warehouse, source: str, since: datetime.datetime, settings: Settings, now: datetime.datetime
) -> Mapping[Slot, int | None]:
    """The rows that the slots of a silence usually have."""
    slots = silent_slots(since, now)
    weeks = {slot: weeks_before(slot, settings.zone, WEEKS) for slot in slots}
    days = {slot: [Slot(slot.start - number * _DAY) for number in range(1, 8)] for slot in slots}
    found = rows_of_slots(warehouse, {slot for groups in (weeks, days) for group in groups.values() for slot in group})
    rows = {slot: counts[source] for slot, counts in found.items() if source in counts and slot.end <= since}

    def known(slots: list[Slot]) -> list[int]:
        return [rows[slot] for slot in slots if slot in rows]

    return {slot: usual_rows(known(weeks[slot]), known(days[slot])) for slot in slots}


def probe_day(warehouse: Warehouse, settings: Settings, now: datetime.datetime) -> dict[str, Period]:
    """The rows of each source on the last complete day; nothing where that has not been computed."""
    yesterday = now.astimezone(settings.zone).date() - _DAY
    day = day_of(yesterday, settings.zone)
    before = [yesterday - week * 7 * _DAY for week in range(1, WEEKS + 1)]
    found = rows_of_days(warehouse, [yesterday, *(date for date in before if date >= settings.start_date)])
    if yesterday not in found or day.hours == 0:
        return {}
    periods = {}
    for source, rows in found[yesterday].items():
        volume = evaluate_volume(rows, [found[date][source] for date in before if source in found.get(date, {})])
        periods[source] = Period(source, day.key, day.start, day.end, volume)
    return periods


def probe_slots(
    warehouse: Warehouse, settings: Settings, after: datetime.datetime | None, now: datetime.datetime
) -> list[dict[str, Period]]:
    """The slots after `after` that the monitor has processed, oldest first, by source.

    A slot that is unusual is described by the hour up to it.
    """
    if not tables_are_there(warehouse, MONITOR_TABLES):
        return []
    last = last_processed_slot(warehouse)
    if last is None or now - last.end > _LATEST:
        return []
    first = max(last.start - (_MOST_SLOTS - 1) * SLOT, after + SLOT if after else last.start)
    start = first - (_SLOTS_IN_A_ROW - 1) * SLOT
    slots = [Slot(start + number * SLOT) for number in range((last.end - start) // SLOT)]
    before = {slot: weeks_before(slot, settings.zone, WEEKS) for slot in slots}
    rows = rows_of_slots(warehouse, {*slots, *(each for weeks in before.values() for each in weeks)})
    volumes = {slot: dict(_volumes(slot, before[slot], rows)) for slot in slots if slot in rows}
    return [
        {source: _hour(source, slot, volumes) for source in volumes[slot]}
        for slot in slots
        if slot.start >= first and slot in volumes
    ]


def _volumes(slot: Slot, before: list[Slot], rows: Mapping[Slot, Rows]) -> Iterator[tuple[str, Volume]]:
    for source, count in rows[slot].items():
        yield source, evaluate_volume(count, [rows[each][source] for each in before if source in rows.get(each, {})])


def _hour(source: str, slot: Slot, volumes: Mapping[Slot, Mapping[str, Volume]]) -> Period:
    volume = volumes[slot][source]
    if volume.status != "unusual":
        return Period(source, slot.key, slot.start, slot.end, volume)
    slots = [Slot(slot.start - number * SLOT) for number in range(_SLOTS_IN_A_ROW)]
    found = [volumes[each][source] for each in slots if source in volumes.get(each, {})]
    return Period(source, slot.key, slot.end - len(found) * SLOT, slot.end, combined(found))
