"""Probes of the sources: the latest event, the rows of the last complete day and of the latest slots."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from metrics_platform.alerts.alert import Condition
from metrics_platform.alerts.volume import (
    WEEKS,
    Limits,
    Volume,
    combined,
    evaluate_volume,
    silent_slots,
    stale_condition,
    staleness,
    usual_rows,
    volume_condition,
)
from metrics_platform.incidents.store import last_processed_slot
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, Slot, day_of
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import tables_are_there
from metrics_platform.warehouse.source_rows import (
    Rows,
    SourceRows,
    latest_event,
    rows_of_days,
    rows_of_slots,
    weeks_before,
)
from metrics_platform.warehouse.tables import MONITOR_TABLES

FRESH, DAY_VOLUME, SLOT_VOLUME = "is_fresh", "day_volume", "slot_volume"
_HOUR = datetime.timedelta(hours=1)
_DAY = datetime.timedelta(days=1)
# Slots in a row that must be unusual; they are notified as one period.
_SLOTS_IN_A_ROW = 4
# A monitor that has been silent for longer has no latest slots.
_LATEST = _HOUR
# After a pause of the sensor, at most this many slots are caught up on.
_MOST_SLOTS = 12


class Probed(NamedTuple):
    """What a probe found: the condition of a source, and what its check shows.

    Attributes:
        check: the check's name; description, metadata: its text and its numbers.
        latest_event: of FRESH, the source's latest event.
    """

    check: str
    condition: Condition
    description: str
    metadata: Mapping[str, Any]
    latest_event: datetime.datetime | None = None

    @property
    def source(self) -> str:
        """The source."""
        return self.condition.subject.name


def why_no_events(settings: Settings, now: datetime.datetime) -> str | None:
    """Why no events are expected at `now`; None: they are, between METRICS_START_DATE and METRICS_END_DATE."""
    today = now.astimezone(settings.zone).date()
    if settings.start_date <= today and (settings.end_date is None or today <= settings.end_date):
        return None
    return (
        f"No events are expected now: METRICS_START_DATE is {settings.start_date}, METRICS_END_DATE "
        f"{settings.end_date or 'not set'}."
    )


def probe_sources(
    warehouse: Warehouse,
    sources: Mapping[str, SourceRows],
    settings: Settings,
    after: datetime.datetime | None,
    now: datetime.datetime,
) -> list[Probed]:
    """What every probe finds of these sources; of slots, of those after `after`. Errors as of `latest_event`."""
    freshness = [_probe_freshness(warehouse, rows, settings, now) for rows in sources.values()]
    volumes = [*_probe_day(warehouse, settings, now), *_probe_slots(warehouse, settings, after, now)]
    return [*freshness, *(probed for probed in volumes if probed.source in sources)]


def _probe_freshness(warehouse: Warehouse, rows: SourceRows, settings: Settings, now: datetime.datetime) -> Probed:
    """How fresh a source is; errors as of `latest_event`."""
    name, table = rows.source.name, rows.source.table
    limits = Limits(*rows.source.stale_limits)
    latest = latest_event(warehouse, rows, settings, now)
    beginning = day_of(settings.start_date, settings.zone).start
    # In its first hours a product is not late with its first event.
    since = latest if latest is not None or now - beginning >= limits.critical else beginning
    is_short = since is None or now - since < limits.warning
    usual = {} if is_short or since is None else _usual_rows(warehouse, name, since, settings, now)
    condition = stale_condition(name, latest, since, staleness(since, now, limits, usual), limits, now)
    warning, critical = (limit.total_seconds() / 60 for limit in limits)
    metadata: dict[str, Any] = {"warning after (min)": warning, "critical after (min)": critical}
    if latest is None:
        return Probed(FRESH, condition, f"{table} has no event since {settings.start_date}.", metadata)
    local, age = latest.astimezone(settings.zone), (now - latest).total_seconds() / 60
    shown = f"{local:%Y-%m-%d %H:%M:%S}"
    said = (
        f"Latest event of {table}: {shown} {settings.timezone}, {age:,.0f} min ago "
        f"(limit {critical if condition.severity == 'critical' else warning:,.0f} min)."
    )
    return Probed(FRESH, condition, said, {"latest event": shown, "age (min)": round(age, 1), **metadata}, latest)


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


def _probe_day(warehouse: Warehouse, settings: Settings, now: datetime.datetime) -> Iterator[Probed]:
    """The rows of each source on the last complete day; nothing where that has not been computed."""
    yesterday = now.astimezone(settings.zone).date() - _DAY
    day = day_of(yesterday, settings.zone)
    before = [yesterday - week * 7 * _DAY for week in range(1, WEEKS + 1)]
    found = rows_of_days(warehouse, [yesterday, *(date for date in before if date >= settings.start_date)])
    if day.hours == 0:
        return
    for source, rows in found.get(yesterday, {}).items():
        volume = evaluate_volume(rows, [found[date][source] for date in before if source in found.get(date, {})])
        condition = volume_condition(source, day.key, day.start, day.end, volume)
        yield _volume(DAY_VOLUME, condition, volume, f"{day.date:%Y-%m-%d}")


def _probe_slots(
    warehouse: Warehouse, settings: Settings, after: datetime.datetime | None, now: datetime.datetime
) -> Iterator[Probed]:
    """The rows of each source in the slots after `after` that the monitor has processed, oldest first.

    A slot that is unusual is described by the hour up to it.
    """
    last = last_processed_slot(warehouse) if tables_are_there(warehouse, MONITOR_TABLES) else None
    if last is None or now - last.end > _LATEST:
        return
    first = max(last.start - (_MOST_SLOTS - 1) * SLOT, after + SLOT if after else last.start)
    start = first - (_SLOTS_IN_A_ROW - 1) * SLOT
    slots = [Slot(start + number * SLOT) for number in range((last.end - start) // SLOT)]
    before = {slot: weeks_before(slot, settings.zone, WEEKS) for slot in slots}
    rows = rows_of_slots(warehouse, {*slots, *(each for weeks in before.values() for each in weeks)})
    volumes = {slot: dict(_volumes(slot, before[slot], rows)) for slot in slots if slot in rows}
    for slot in slots:
        for source, volume in volumes.get(slot, {}).items() if slot.start >= first else ():
            yield _hour(source, slot, volume, volumes, settings)


def _volumes(slot: Slot, before: list[Slot], rows: Mapping[Slot, Rows]) -> Iterator[tuple[str, Volume]]:
    for source, count in rows[slot].items():
        yield source, evaluate_volume(count, [rows[each][source] for each in before if source in rows.get(each, {})])


def _hour(
    source: str, slot: Slot, volume: Volume, volumes: Mapping[Slot, Mapping[str, Volume]], settings: Settings
) -> Probed:
    start = slot.start
    if volume.status == "unusual":
        slots = [Slot(slot.start - number * SLOT) for number in range(_SLOTS_IN_A_ROW)]
        found = [volumes[each][source] for each in slots if source in volumes.get(each, {})]
        start, volume = slot.end - len(found) * SLOT, combined(found)
    condition = volume_condition(source, slot.key, start, slot.end, volume)
    first, end = start.astimezone(settings.zone), slot.end.astimezone(settings.zone)
    return _volume(SLOT_VOLUME, condition, volume, f"{first:%Y-%m-%d %H:%M} – {end:%H:%M}")


def _volume(check: str, condition: Condition, volume: Volume, when: str) -> Probed:
    metadata: dict[str, Any] = {"period": when, "rows": volume.rows, "weeks compared": volume.weeks}
    if volume.expected is None or volume.lower is None or volume.upper is None:
        said = f"{volume.rows:,} rows on {when}; only {volume.weeks} week(s) before to compare with."
        return Probed(check, condition, said, metadata)
    said = f"{volume.rows:,} rows on {when}, usual {volume.expected:,.0f} ({volume.lower:,.0f} – {volume.upper:,.0f})."
    metadata |= {"expected": volume.expected, "lower": round(volume.lower, 1), "upper": round(volume.upper, 1)}
    if volume.change is not None:
        metadata["deviation (%)"] = round(100 * volume.change, 1)
    return Probed(check, condition, said, metadata)
