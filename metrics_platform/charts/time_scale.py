"""The axis of time: where each point stands, where a line is broken, the ticks with their texts, the weekends.

Days stand in the middle of themselves, and so do slots: the value of 10:45–11:00 stands between the two. Distances are
elapsed time, so a day of 23 hours is shorter; the texts are what clocks in the product's zone show.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from metrics_platform.calendar import first_instant
from metrics_platform.charts.model import Mark, Panel
from metrics_platform.formats import Formats

MAX_TICKS = 8
_HOUR = datetime.timedelta(hours=1)
_DAY = datetime.timedelta(days=1)
_MINUTES = (1, 5, 15, 30, 60, 120, 180, 240, 360, 720)
# Of a week: every day, every second, every third, or its two ends.
_DAYS = (1, 2, 3, 6, 7, 14, 28, 42, 56, 91, 182, 364, 728, 1820, 3640, 18_200, 80_000)
# Two neighbours further apart than this many of the shortest distance have something missing between them.
_GAP = 1.5
# In half the width of the picture a weekend is then five pixels wide; of more they would be a grey haze.
_MOST_DAYS_WITH_WEEKENDS = 200


@dataclass(frozen=True)
class Tick:
    """A tick of the time axis: its position on the axis, its text, and whether a day begins there."""

    position: float
    text: str
    starts_day: bool = False


@dataclass(frozen=True)
class TimeScale:
    """Positions on a time axis: days as ordinals, moments as hours since the first of them.

    `positions` are the points', `gap_after` says of each point whether something is missing before the next one,
    `origin` is the moment of position 0 (None where the axis is of days), `zone` the zone of dates and clocks.
    """

    positions: tuple[float, ...]
    gap_after: tuple[bool, ...]
    start: float
    end: float
    origin: datetime.datetime | None
    zone: ZoneInfo

    def span_of(self, mark: Mark) -> tuple[float, float]:
        """The two positions between which `mark` lies."""
        return self._position(mark.start), self._position(mark.end)

    def _position(self, moment: datetime.datetime) -> float:
        if self.origin is not None:
            return (moment - self.origin) / _HOUR
        local = moment.astimezone(self.zone).replace(tzinfo=None)
        midnight = datetime.datetime.combine(local.date(), datetime.time.min)
        return local.date().toordinal() - 0.5 + (local - midnight) / _DAY

    def weekends(self) -> list[tuple[float, float]]:
        """The Saturdays and Sundays of an axis of days, as spans; none on an axis of moments or of many months."""
        if self.origin is not None or self.end - self.start > _MOST_DAYS_WITH_WEEKENDS:
            return []
        days = range(round(self.start + 0.5), round(self.end - 0.5) + 1)
        return [(day - 0.5, day + 0.5) for day in days if datetime.date.fromordinal(day).isoweekday() > 5]


def time_scale(panel: Panel, zone: ZoneInfo) -> TimeScale:
    """The time axis of `panel`."""
    moments = [time for time in panel.times if isinstance(time, datetime.datetime)]
    if not moments:
        days = [float(time.toordinal()) for time in panel.times]
        return TimeScale(tuple(days), _gaps(days), days[0] - 0.5, days[-1] + 0.5, None, zone)
    hours = [(moment - moments[0]) / _HOUR for moment in moments]
    step = min((later - earlier for earlier, later in itertools.pairwise(hours)), default=1.0)
    middles = tuple(hour + step / 2 for hour in hours)
    return TimeScale(middles, _gaps(hours), 0.0, hours[-1] + step, moments[0], zone)


def ticks_of(scale: TimeScale, formats: Formats, fits: Callable[[list[Tick]], bool]) -> list[Tick]:
    """The densest ticks, at most eight, whose texts fit side by side; `fits` judges that."""
    best: list[Tick] = []
    for ticks in _candidates(scale, formats):
        if not ticks:
            break
        if len(ticks) <= MAX_TICKS and fits(ticks):
            return ticks
        best = ticks
    return best[-1:]


def _gaps(positions: list[float]) -> tuple[bool, ...]:
    distances = [later - earlier for earlier, later in itertools.pairwise(positions)]
    usual = min(distances, default=0.0)
    return (*(distance > _GAP * usual for distance in distances), False)


def _candidates(scale: TimeScale, formats: Formats) -> Iterator[list[Tick]]:
    """Ever sparser ticks, up to where there is only one; the densest that could never be shown are left out."""
    length = scale.end - scale.start
    if scale.origin is None:
        for days in _DAYS:
            if length / days <= 4 * MAX_TICKS:
                yield _days_back(scale, days, formats)
        return
    for minutes in _MINUTES:
        if length * 60 / minutes <= 4 * MAX_TICKS:
            yield list(_clock_ticks(scale, scale.origin, minutes, formats)) or [_first_moment(scale, formats)]
    for days in _DAYS:
        if length / 24 / days <= 4 * MAX_TICKS:
            yield list(_midnights(scale, scale.origin, days, formats))


def _days_back(scale: TimeScale, days: int, formats: Formats) -> list[Tick]:
    """Every so many days back from the last one: the reported day always has its tick."""
    last = round(scale.positions[-1])
    positions = reversed(range(last, round(scale.positions[0]) - 1, -days))
    return [Tick(position, formats.day_short(datetime.date.fromordinal(position))) for position in positions]


def _first_moment(scale: TimeScale, formats: Formats) -> Tick:
    assert scale.origin is not None
    return Tick(scale.positions[0], formats.time(scale.origin.astimezone(scale.zone)))


def _first_and_last(scale: TimeScale, origin: datetime.datetime) -> tuple[datetime.date, datetime.date]:
    """The dates in the zone on which an axis of moments starts and ends."""
    return origin.astimezone(scale.zone).date(), (origin + scale.end * _HOUR).astimezone(scale.zone).date()


def _clock_ticks(scale: TimeScale, origin: datetime.datetime, minutes: int, formats: Formats) -> Iterator[Tick]:
    """Where clocks show a multiple of `minutes`; at midnight the text is the day that begins."""
    first, last = _first_and_last(scale, origin)
    for ordinal in range(first.toordinal(), last.toordinal() + 1):
        date = datetime.date.fromordinal(ordinal)
        for minute in range(0, 1440, minutes):
            local = datetime.datetime.combine(date, datetime.time(*divmod(minute, 60)), tzinfo=scale.zone)
            instant = local.astimezone(datetime.UTC)
            position = (instant - origin) / _HOUR
            # A time of day that the clocks skip has no place on the axis.
            exists = instant.astimezone(scale.zone).time() == local.time()
            if exists and scale.start <= position <= scale.end:
                yield Tick(position, formats.time(local) if minute else formats.day_short(date), minute == 0)


def _midnights(scale: TimeScale, origin: datetime.datetime, days: int, formats: Formats) -> Iterator[Tick]:
    """Every so many days back from the last one, its first instant."""
    first, last = (date.toordinal() for date in _first_and_last(scale, origin))
    for ordinal in reversed(range(last, first - 1, -days)):
        date = datetime.date.fromordinal(ordinal)
        position = (first_instant(date, scale.zone) - origin) / _HOUR
        if scale.start <= position <= scale.end:
            yield Tick(position, formats.day_short(date), starts_day=True)
