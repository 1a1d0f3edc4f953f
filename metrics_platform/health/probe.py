"""Probes of the sources: whether events arrive, and whether the last day and the latest slots have as many as usual.

The decisions are pure functions of the time and the rows. A period is never part of its own baseline. A period that was
not computed is missing; one without events counts as zero.
"""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from metrics_platform.alerts.alert import Condition, Subject
from metrics_platform.incidents.store import last_processed_slot
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, Slot, day_of, slot_at
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import tables_exist
from metrics_platform.warehouse.source_rows import (
    SourceRows,
    latest_event,
    rows_of_days,
    rows_of_slots,
    weeks_before,
)
from metrics_platform.warehouse.tables import MONITOR_TABLES

# How many weeks a period is compared with, and how many a baseline needs. More would lag behind growth.
WEEKS = 5
MIN_WEEKS = 3
# Half of the band's width, in robust deviations. It is at least this share of the usual rows, and at least the random
# variation of a count (in square roots of it).
_DEVIATIONS = 4.0
_MIN_SHARE = 0.25
_CHANCE = 5.0
_MAD_TO_SIGMA = 1.4826
# A silence in which fewer events than this are missing may be chance.
_MIN_MISSING = 5
# Only this much of a silence is examined slot by slot.
MAX_SILENCE = datetime.timedelta(days=3)
_HOUR = datetime.timedelta(hours=1)
_DAY = datetime.timedelta(days=1)

Level = Literal["fresh", "warning", "critical"]


@dataclass(frozen=True)
class Volume:
    """The rows of a period, compared with `weeks` earlier weeks. Without enough history there is no band."""

    status: Literal["normal", "unusual", "not_enough_history"]
    rows: int
    weeks: int
    expected: float | None = None
    lower: float | None = None
    upper: float | None = None

    @property
    def change(self) -> float | None:
        """The deviation as a share of the usual rows."""
        return self.rows / self.expected - 1 if self.expected else None

    @property
    def direction(self) -> str:
        return "up" if self.rows > (self.expected or 0.0) else "down"

    @property
    def severity(self) -> Literal["critical", "warning"]:
        """Critical if at least half of the rows are missing."""
        return "critical" if self.expected and self.rows <= self.expected / 2 else "warning"


def evaluate_volume(rows: int, same_weekday: Sequence[int]) -> Volume:
    """Evaluate a period by the rows of the same period in earlier weeks, as far as they are known."""
    if len(same_weekday) < MIN_WEEKS:
        return Volume("not_enough_history", rows, len(same_weekday))
    usual = statistics.median(same_weekday)
    deviation = _MAD_TO_SIGMA * statistics.median(abs(count - usual) for count in same_weekday)
    tolerance = max(_DEVIATIONS * deviation, _MIN_SHARE * usual, _CHANCE * max(usual, 1.0) ** 0.5)
    lower, upper = max(0.0, usual - tolerance), usual + tolerance
    # If earlier weeks vary a lot, the band starts at zero, but a period without any rows is still unusual.
    is_outage = rows == 0 and usual > _CHANCE**2
    status: Literal["normal", "unusual"] = "unusual" if is_outage or not lower <= rows <= upper else "normal"
    return Volume(status, rows, len(same_weekday), float(usual), lower, upper)


def volume_condition(
    source: str, name: str, start: datetime.datetime, end: datetime.datetime, volume: Volume
) -> Condition:
    """The condition of a source at the end of the period `[start, end)`. `name` is its day or its last slot."""
    subject = Subject("odd_day" if end - start > _HOUR else "odd_hour", source)
    if volume.status != "unusual":
        return Condition(subject, "normal" if volume.status == "normal" else "unknown", end)
    return Condition(
        subject,
        "firing",
        end,
        variant=volume.direction,
        severity=volume.severity,
        origin=source,
        change=volume.change,
        since=start,
        key=f"volume-{source}-{name}",
        facts={
            "period_start": start.isoformat(),
            "period_end": end.isoformat(),
            "rows": volume.rows,
            "expected": volume.expected or 0.0,
            "lower": volume.lower or 0.0,
            "upper": volume.upper or 0.0,
        },
    )


def combine(volumes: Sequence[Volume]) -> Volume:
    """Combine several periods: add up the rows and the bands of those that have a band."""
    with_band = [volume for volume in volumes if volume.expected is not None]
    return Volume(
        "unusual",
        sum(volume.rows for volume in with_band),
        min((volume.weeks for volume in with_band), default=0),
        sum(volume.expected or 0.0 for volume in with_band),
        sum(volume.lower or 0.0 for volume in with_band),
        sum(volume.upper or 0.0 for volume in with_band),
    )


class Limits(NamedTuple):
    """How long events may be missing at times when they are usual. A limit of a day or more counts every hour."""

    warning: datetime.timedelta
    critical: datetime.timedelta


def usual_rows(weeks: Sequence[int], days: Sequence[int]) -> int | None:
    """The rows that a slot had at least, in all but one of the earlier weeks (or else days).

    None: not enough history.
    """
    return next((sorted(counts)[1] for counts in (weeks, days) if len(counts) >= MIN_WEEKS), None)


def silent_slots(latest: datetime.datetime, now: datetime.datetime) -> list[Slot]:
    """The slots that a silence touches, at most those of the last MAX_SILENCE."""
    first = slot_at(max(latest, now - MAX_SILENCE))
    return [Slot(first.start + number * SLOT) for number in range(-(-(now - first.start) // SLOT))]


def staleness(
    latest: datetime.datetime | None, now: datetime.datetime, limits: Limits, usual: Mapping[Slot, int | None]
) -> Level:
    """How stale a source is. Without any event it is critical.

    `usual` are the usual rows of its silent slots, as far as they are known. Slots that are usually empty do not count.
    """
    if latest is None:
        return "critical"
    time, events = datetime.timedelta(0), 0.0
    for slot in silent_slots(latest, now):
        silent = min(slot.end, now) - max(slot.start, latest)
        rows = usual.get(slot)
        if rows is None or rows > 0:
            time += silent
            events += _MIN_MISSING if rows is None else rows * (silent / SLOT)
    if events < _MIN_MISSING:
        time = datetime.timedelta(0)

    def exceeds(limit: datetime.timedelta) -> bool:
        return (now - latest if limit >= _DAY else time) >= limit

    return "critical" if exceeds(limits.critical) else "warning" if exceeds(limits.warning) else "fresh"


def stale_condition(  # noqa: PLR0917
    source: str,
    latest: datetime.datetime | None,
    since: datetime.datetime | None,
    level: Level,
    limits: Limits,
    now: datetime.datetime,
) -> Condition:
    """The condition of a source. `latest` is its latest event, `since` the start of its silence; None: never."""
    subject = Subject("stale_data", source)
    if level == "fresh":
        # Two probes in a row must be normal. This time advances with a new event, or after an hour.
        return Condition(subject, "normal", max(latest or now, now - _HOUR))
    limit = limits.critical if level == "critical" else limits.warning
    stamp = f"{latest.astimezone(datetime.UTC):%Y-%m-%dT%H%M%S}" if latest else "never"
    return Condition(
        subject,
        "firing",
        since or datetime.datetime.fromtimestamp(0, datetime.UTC),
        severity=level,
        origin=source,
        key=f"stale-{source}-{stamp}",
        facts={"last_event_at": latest.isoformat() if latest else None, "limit_seconds": limit.total_seconds()},
    )


# --- reading ----------------------------------------------------------------------------------------------------------

FRESH, DAY_VOLUME, SLOT_VOLUME = "is_fresh", "day_volume", "slot_volume"
# How many slots in a row must be unusual. They are notified as one period.
_SLOTS_IN_A_ROW = 4
# After a pause of the sensor, at most this many slots are evaluated.
_MAX_SLOTS = 12


class ProbeResult(NamedTuple):
    """The result of a probe: the condition of a source, and its check's name, text and numbers."""

    check: str
    condition: Condition
    description: str
    metadata: Mapping[str, Any]
    # The source's latest event, for the check FRESH.
    latest_event: datetime.datetime | None = None

    @property
    def source(self) -> str:
        return self.condition.subject.name


def why_no_events(settings: Settings, now: datetime.datetime) -> str | None:
    """Why no events are expected at `now`; None between METRICS_START_DATE and METRICS_END_DATE."""
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
) -> list[ProbeResult]:
    """Probe these sources, and their slots after `after`. Raises the errors of `latest_event`."""
    freshness = [_probe_freshness(warehouse, rows, settings, now) for rows in sources.values()]
    volumes = [*_probe_day(warehouse, settings, now), *_probe_slots(warehouse, settings, after, now)]
    return [*freshness, *(result for result in volumes if result.source in sources)]


def _probe_freshness(warehouse: Warehouse, rows: SourceRows, settings: Settings, now: datetime.datetime) -> ProbeResult:
    name, table = rows.source.name, rows.source.table
    limits = Limits(*rows.source.stale_limits)
    latest = latest_event(warehouse, rows, settings, now)
    beginning = day_of(settings.start_date, settings.zone).start
    # In its first hours, a product without events is not stale.
    since = latest if latest is not None or now - beginning >= limits.critical else beginning
    is_short = since is None or now - since < limits.warning
    usual = {} if is_short or since is None else _usual_rows(warehouse, name, since, settings, now)
    condition = stale_condition(name, latest, since, staleness(since, now, limits, usual), limits, now)
    warning, critical = (limit.total_seconds() / 60 for limit in limits)
    metadata: dict[str, Any] = {"warning after (min)": warning, "critical after (min)": critical}
    if latest is None:
        return ProbeResult(FRESH, condition, f"{table} has no event since {settings.start_date}.", metadata)
    local, age = latest.astimezone(settings.zone), (now - latest).total_seconds() / 60
    latest_text = f"{local:%Y-%m-%d %H:%M:%S}"
    description = (
        f"Latest event of {table}: {latest_text} {settings.timezone}, {age:,.0f} min ago "
        f"(limit {critical if condition.severity == 'critical' else warning:,.0f} min)."
    )
    return ProbeResult(
        FRESH, condition, description, {"latest event": latest_text, "age (min)": round(age, 1), **metadata}, latest
    )


def _usual_rows(
    warehouse: Warehouse, source: str, since: datetime.datetime, settings: Settings, now: datetime.datetime
) -> Mapping[Slot, int | None]:
    """The usual rows of the slots of a silence."""
    slots = silent_slots(since, now)
    weeks = {slot: weeks_before(slot, settings.zone, WEEKS) for slot in slots}
    days = {slot: [Slot(slot.start - number * _DAY) for number in range(1, 8)] for slot in slots}
    rows_by_slot = rows_of_slots(
        warehouse, {slot for groups in (weeks, days) for group in groups.values() for slot in group}
    )
    rows = {slot: counts[source] for slot, counts in rows_by_slot.items() if source in counts and slot.end <= since}

    def known_rows(slots: list[Slot]) -> list[int]:
        return [rows[slot] for slot in slots if slot in rows]

    return {slot: usual_rows(known_rows(weeks[slot]), known_rows(days[slot])) for slot in slots}


def _probe_day(warehouse: Warehouse, settings: Settings, now: datetime.datetime) -> Iterator[ProbeResult]:
    """The rows of each source on the last complete day; nothing if that was not computed."""
    yesterday = now.astimezone(settings.zone).date() - _DAY
    day = day_of(yesterday, settings.zone)
    before = [yesterday - week * 7 * _DAY for week in range(1, WEEKS + 1)]
    rows_by_day = rows_of_days(warehouse, [yesterday, *(date for date in before if date >= settings.start_date)])
    if day.hours == 0:
        return
    for source, rows in rows_by_day.get(yesterday, {}).items():
        volume = evaluate_volume(
            rows, [rows_by_day[date][source] for date in before if source in rows_by_day.get(date, {})]
        )
        condition = volume_condition(source, day.key, day.start, day.end, volume)
        yield _volume_result(DAY_VOLUME, condition, volume, f"{day.date:%Y-%m-%d}")


def _probe_slots(
    warehouse: Warehouse, settings: Settings, after: datetime.datetime | None, now: datetime.datetime
) -> Iterator[ProbeResult]:
    """The rows of each source in the slots after `after` that the monitor has processed, oldest first.

    An unusual slot is described by the hour that ends with it.
    """
    last = last_processed_slot(warehouse) if tables_exist(warehouse, MONITOR_TABLES) else None
    # If the monitor is further behind, it has no recent slots.
    if last is None or now - last.end > _HOUR:
        return
    first = max(last.start - (_MAX_SLOTS - 1) * SLOT, after + SLOT if after else last.start)
    start = first - (_SLOTS_IN_A_ROW - 1) * SLOT
    slots = [Slot(start + number * SLOT) for number in range((last.end - start) // SLOT)]
    before = {slot: weeks_before(slot, settings.zone, WEEKS) for slot in slots}
    rows = rows_of_slots(warehouse, {*slots, *(week for weeks in before.values() for week in weeks)})
    volumes = {
        (source, slot): evaluate_volume(
            count, [rows[week][source] for week in before[slot] if source in rows.get(week, {})]
        )
        for slot in slots
        for source, count in rows.get(slot, {}).items()
    }
    for (source, slot), volume in volumes.items():
        if slot.start < first:
            continue
        start = slot.start
        if volume.status == "unusual":
            hour = [(source, Slot(slot.start - number * SLOT)) for number in range(_SLOTS_IN_A_ROW)]
            recent = [volumes[key] for key in hour if key in volumes]
            start, volume = slot.end - len(recent) * SLOT, combine(recent)  # noqa: PLW2901
        condition = volume_condition(source, slot.key, start, slot.end, volume)
        local_start, end = start.astimezone(settings.zone), slot.end.astimezone(settings.zone)
        yield _volume_result(SLOT_VOLUME, condition, volume, f"{local_start:%Y-%m-%d %H:%M} – {end:%H:%M}")


def _volume_result(check: str, condition: Condition, volume: Volume, period: str) -> ProbeResult:
    metadata: dict[str, Any] = {"period": period, "rows": volume.rows, "weeks compared": volume.weeks}
    if volume.expected is None or volume.lower is None or volume.upper is None:
        description = f"{volume.rows:,} rows on {period}; only {volume.weeks} week(s) before to compare with."
        return ProbeResult(check, condition, description, metadata)
    description = (
        f"{volume.rows:,} rows on {period}, usual {volume.expected:,.0f} ({volume.lower:,.0f} – {volume.upper:,.0f})."
    )
    metadata |= {"expected": volume.expected, "lower": round(volume.lower, 1), "upper": round(volume.upper, 1)}
    if volume.change is not None:
        metadata["deviation (%)"] = round(100 * volume.change, 1)
    return ProbeResult(check, condition, description, metadata)
