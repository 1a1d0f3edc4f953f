"""What a chart says, before anything is drawn: lines, an expected band, marks and panels, as plain frozen data.

A message carries a `Chart` from where the numbers are known to where the picture is sent, through JSON if need be, so
everything is checked here, at the place that made it; what is valid here can be drawn. Every moment is kept in UTC, so
that a chart read back from JSON equals the one written, also in the hour that the clocks repeat.
"""

from __future__ import annotations

import datetime
import itertools
import math
import zoneinfo
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from metrics_platform.catalog_entries import Unit
from metrics_platform.formats import Language

LineStyle = Literal["actual", "previous", "reference"]
MarkStyle = Literal["judged", "compared"]
Times = tuple[datetime.datetime, ...] | tuple[datetime.date, ...]

MAX_PANELS = 12
# Two months of 15-minute slots; on the width of a phone even a tenth of it is one point per pixel.
MAX_POINTS = 6000
# Beyond it a number is a fault of its source (an unsigned underflow is 1.8e19), and no axis would show the others.
MAX_VALUE = 1e15
_FIRST_YEAR, _LAST_YEAR = 1970, 2199  # what a Date of ClickHouse holds and more; no zone conversion overflows in them


def _in_utc(moment: datetime.datetime) -> datetime.datetime:
    """`moment` in UTC, as a plain datetime (a pandas Timestamp is one, too)."""
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueError(f"{moment} is outside the years {_FIRST_YEAR}–{_LAST_YEAR}")
    utc = moment.astimezone(datetime.UTC)
    return datetime.datetime.combine(utc.date(), utc.time(), tzinfo=datetime.UTC)


def _time(value: Any) -> datetime.datetime | datetime.date:
    """One of `Panel.times`: a date, or an aware moment in UTC; from JSON, the ISO text of either."""
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None or value.utcoffset() is None:
            raise ValueError(f"{value} has no time zone")
        return _in_utc(value)
    if isinstance(value, datetime.date):
        if not _FIRST_YEAR <= value.year <= _LAST_YEAR:
            raise ValueError(f"{value} is outside the years {_FIRST_YEAR}–{_LAST_YEAR}")
        return value
    raise ValueError(f"{value!r} is neither a date nor a datetime")


def _parsed(text: str) -> datetime.datetime | datetime.date:
    """The date (YYYY-MM-DD) or the moment that `text` writes."""
    try:
        return datetime.date.fromisoformat(text) if len(text) == 10 else datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither a date nor a datetime in ISO 8601") from None


def _plausible(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} is not finite; what is missing is None")
    if abs(value) > MAX_VALUE:
        raise ValueError(f"{value:g} is beyond ±{MAX_VALUE:g}")
    return value


Value = Annotated[float, AfterValidator(_plausible)] | None
Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Line(_Frozen):
    """A series, one value for each of the panel's times; None is missing, and drawn as a gap, never as 0.

    `actual` is what the panel is about, `previous` what it is compared with first (the seven days before, the same
    time yesterday), `reference` what it is compared with second (a week ago).
    """

    label: str
    values: tuple[Value, ...]
    style: LineStyle


class Band(_Frozen):
    """The expected interval at each of the panel's times; None on either side is no band there."""

    label: str
    lower: tuple[Value, ...]
    upper: tuple[Value, ...]

    @model_validator(mode="after")
    def _upper_is_not_below_lower(self) -> Band:
        for position, (lower, upper) in enumerate(zip(self.lower, self.upper, strict=False)):
            if lower is not None and upper is not None and lower > upper:
                raise ValueError(f"lower[{position}]: {lower:g} is above upper[{position}], {upper:g}")
        return self


class Mark(_Frozen):
    """A vertical span `[start, end)`: the `judged` slot, or an interval it was `compared` with."""

    start: Moment
    end: Moment
    label: str
    style: MarkStyle

    @model_validator(mode="after")
    def _end_is_after_start(self) -> Mark:
        if self.end <= self.start:
            raise ValueError(f"end: {self.end} is not after start, {self.start}")
        return self


class Panel(_Frozen):
    """One metric on one axis: lines over days or over the starts of slots, all of the same length.

    `times` are dates or aware datetimes, strictly ascending. A `count` is written as a number of things, a `share`
    (0…1) as per cent, a `ratio` as a number with decimals.
    """

    title: str
    times: Times
    lines: Annotated[tuple[Line, ...], Field(min_length=1)]
    unit: Unit
    band: Band | None = None
    marks: tuple[Mark, ...] = ()

    @field_validator("times", mode="before")
    @classmethod
    def _times_are_of_one_kind(cls, value: Any) -> Times:
        # Before the union, in which a naive midnight would become a date in silence, and a date a naive midnight.
        if not isinstance(value, tuple | list):
            raise ValueError(f"{value!r} is not a tuple of dates or datetimes")
        if not 1 <= len(value) <= MAX_POINTS:
            raise ValueError(f"{len(value)} times; a panel has 1 to {MAX_POINTS}")
        times = tuple(_time(item) for item in value)
        moments = tuple(time for time in times if isinstance(time, datetime.datetime))
        if moments and len(moments) < len(times):
            raise ValueError(f"dates and datetimes are mixed: {times[0]} … {times[-1]}")
        for earlier, later in itertools.pairwise(times):
            if later <= earlier:
                raise ValueError(f"{later} does not come after {earlier}; times are strictly ascending")
        return moments or times

    @model_validator(mode="after")
    def _series_are_as_long_as_times(self) -> Panel:
        series = {f"lines[{number}].values": line.values for number, line in enumerate(self.lines)}
        if self.band is not None:
            series |= {"band.lower": self.band.lower, "band.upper": self.band.upper}
        for field, values in series.items():
            if len(values) != len(self.times):
                raise ValueError(f"{field}: {len(values)} values for {len(self.times)} times in panel {self.title!r}")
        return self


class Chart(_Frozen):
    """One picture: a title and one panel, or several below a common title and legend.

    `name` is a slug for file names and message parts. Moments are shown in `timezone` (IANA name).
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+([_-][a-z0-9]+)*$", max_length=100)]
    title: str
    subtitle: str = ""
    panels: Annotated[tuple[Panel, ...], Field(min_length=1, max_length=MAX_PANELS)]
    timezone: str = "UTC"
    language: Language = "en"

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        try:
            zoneinfo.ZoneInfo(value)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{value!r} is no time zone of the IANA database") from None
        return value
