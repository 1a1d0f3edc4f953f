"""What a chart shows, as plain frozen data: one or several metrics over days or slots.

Everything is checked here, where the chart is made: any `Chart` can be drawn. Charts carry no wording of their own.
"""

from __future__ import annotations

import datetime
import itertools
import math
import re
import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass

from metrics_platform.catalog_entries import Unit
from metrics_platform.formats import Language

Values = tuple[float | None, ...]
Times = tuple[datetime.datetime, ...] | tuple[datetime.date, ...]

MAX_PANELS = 24  # twelve rows of two; Telegram takes photos of up to 10,000 px, width and height together
# A larger number is a fault of its source (an unsigned underflow is 1.8e19) and would flatten all others.
MAX_VALUE = 1e15


@dataclass(frozen=True)
class Labels:
    """The words of a picture: what its lines, its band and its marked points are; an empty one is left out."""

    values: str = ""
    previous: str = ""
    band: str = ""
    marked: str = ""
    no_data: str = "no data"


@dataclass(frozen=True)
class Panel:
    """One metric on one axis: a value for each of `times`, None where it is unknown, which is drawn as a gap.

    Attributes:
        title: the metric's name.
        finding: the line below the title, such as the value and its change.
        times: dates, or the starts of slots (aware); ascending.
        previous: what `values` are compared with (an earlier week or day), at the same times.
        lower: the expected interval, with `upper`.
        marked: the first and the last of the times that stand out.
        note: what is written beside the marked point where it is a single one, such as its value.
    """

    title: str
    unit: Unit
    times: Times
    values: Values
    finding: str = ""
    previous: Values = ()
    lower: Values = ()
    upper: Values = ()
    marked: tuple[datetime.date, datetime.date] | None = None
    note: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError for anything that cannot be drawn, naming the field."""
        _check_times(self.times)
        for name in ("values", "previous", "lower", "upper"):
            _check_values(f"{name} of panel {self.title!r}", getattr(self, name), len(self.times), name == "values")
        if bool(self.lower) != bool(self.upper):
            raise ValueError(f"panel {self.title!r} has one bound: give both lower and upper, or neither")


@dataclass(frozen=True)
class Chart:
    """One picture: a title that states the finding, and a panel for each metric.

    `name` is a slug for file names. Slots are shown in `timezone` (IANA name), numbers as `language` writes them.
    """

    name: str
    title: str
    panels: tuple[Panel, ...]
    subtitle: str = ""
    labels: Labels = Labels()
    timezone: str = "UTC"
    language: Language = "en"

    def __post_init__(self) -> None:
        """Raise ValueError for anything that cannot be drawn, naming the field."""
        if not re.fullmatch(r"[a-z0-9]+([_-][a-z0-9]+)*", self.name) or len(self.name) > 100:
            raise ValueError(f"name {self.name!r} is not a slug: use up to 100 of a-z, 0-9, - and _")
        if not 1 <= len(self.panels) <= MAX_PANELS:
            raise ValueError(f"panels: {len(self.panels)} given, from 1 to {MAX_PANELS} fit a picture")
        try:
            zoneinfo.ZoneInfo(self.timezone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"timezone {self.timezone!r} is not in the IANA database") from None


def _check_times(times: Times) -> None:
    if not times:
        raise ValueError("times are empty: a panel has at least one")
    if len({isinstance(time, datetime.datetime) for time in times}) > 1:
        raise ValueError("times mix dates and datetimes: use one of them")
    for time in times:
        if isinstance(time, datetime.datetime) and time.utcoffset() is None:
            raise ValueError(f"times: {time} has no time zone")
    for earlier, later in itertools.pairwise(times):
        if later <= earlier:
            raise ValueError(f"times: {later} comes after {earlier}, sort them in ascending order")


def _check_values(name: str, values: Iterable[float | None], count: int, required: bool) -> None:
    known = tuple(values)
    if len(known) != count and (known or required):
        raise ValueError(f"{name}: {len(known)} values for {count} times")
    for value in known:
        if value is not None and not (math.isfinite(value) and abs(value) <= MAX_VALUE):
            raise ValueError(f"{name}: {value} is not a number within ±{MAX_VALUE:g}; use None for unknown")


@dataclass(frozen=True)
class HeatMap:
    """Shares (0…1, None where unknown) in `rows` by `columns`; `corner` is written above the rows' names."""

    name: str
    title: str
    subtitle: str
    corner: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    language: Language = "en"

    def __post_init__(self) -> None:
        """Raise ValueError where the shape does not fit."""
        if not self.rows or not self.columns:
            raise ValueError("a heat map needs at least one row and one column")
        if len(self.values) != len(self.rows) or any(len(row) != len(self.columns) for row in self.values):
            raise ValueError("values must have one row per name in `rows`, and one value per name in `columns`")


Drawable = Chart | HeatMap
