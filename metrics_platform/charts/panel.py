"""One panel on its axes: the lines with their gaps, the expected band, the marked points, and both axes' ticks."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, date2num, num2date
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from metrics_platform.catalog_entries import Unit
from metrics_platform.charts.model import Panel, Values
from metrics_platform.charts.text import cleaned, width_of
from metrics_platform.formats import Formats

INK, MUTED = "#1a1a1a", "#595959"
VALUES, PREVIOUS, BAND, MARKED = "C0", "C1", "C2", "C3"  # the style's colour cycle

# A variation below this share of the highest value would not be seen on an axis that starts at zero.
_VISIBLE: dict[Unit, float] = {"count": 0.3, "share": 0.4, "ratio": 0.4}
# An axis that does not start at zero still spans this share of the highest value, so that noise looks like noise.
_LEAST_SPAN = 0.1
# A band that is wider than this many times the highest value leaves the picture, or it would flatten the lines.
_WIDEST_BAND = 2.0
_NOTHING = 1e-9  # a smaller value is zero to every reader
_WEEK = 7  # days

# Pixels
_ROOMY = 800  # axes over the full width of the picture
_NOTE_HEIGHT = 56
_LEAST_MARK = 14  # a slot is narrower
_CLOCK_EDGE, _DATE_EDGE = 8, 30  # the text of a tick further left would leave the picture
_CLOCK_TICK, _DATE_TICK = 108, 180
_WEEKDAYS = 380  # seven of them; only values of very many figures leave less room


@dataclass(frozen=True)
class ValueAxis:
    """The ticks of the values, ascending, with their texts; the axis reaches from the first one to `top`."""

    ticks: tuple[float, ...]
    texts: tuple[str, ...]
    top: float


def value_axis(panel: Panel, formats: Formats, most: int) -> ValueAxis:
    """The axis of `panel`'s values with at most `most` intervals, from zero unless the variation would not be seen."""
    low, high = _extent(panel)
    locator = MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10], integer=panel.unit == "count")
    ticks = [float(tick) for tick in locator.tick_values(low, high)]
    step, top = ticks[1] - ticks[0], ticks[-1]
    if panel.unit == "share" and high <= 1:
        ticks = [tick for tick in ticks if tick <= 1 + 1e-9]
    return ValueAxis(tuple(ticks), tuple(tick_text(tick, step, panel.unit, formats) for tick in ticks), top)


def tick_text(value: float, step: float, unit: Unit, formats: Formats) -> str:
    """20.5%, 2.5K or 1.25: with the decimals that multiples of `step` need."""
    if unit == "share":
        return formats.percent(value, _decimals(step * 100)) if abs(value) < 100 else f"{formats.compact(value * 100)}%"
    if abs(value) < 1000:
        return formats.number(value, _decimals(step))
    return formats.compact(value, _decimals(step / 1000 ** int(math.log10(abs(value)) // 3)))


def draw_panel(axes: Axes, panel: Panel, scale: ValueAxis, *, no_data: str, zone: ZoneInfo, formats: Formats) -> None:
    """Draw `panel` on `axes`, whose place and size are final; without any value it says `no_data`."""
    to_numbers: Any = date2num
    times: np.ndarray = np.array(to_numbers(panel.times), dtype=float)
    by_the_clock = isinstance(panel.times[0], datetime.datetime)
    step = float(np.diff(times).min()) if by_the_clock and len(times) > 1 else 1.0  # days
    axes.set_xlim(times[0], times[-1] + step)
    axes.set_ylim(scale.ticks[0], scale.top)
    axes.set_yticks(scale.ticks, scale.texts)
    for line in axes.get_ygridlines():
        line.set_clip_on(False)  # or half of the highest one would be cut off
    if scale.ticks[0] <= 0:
        axes.axhline(0, color=INK, linewidth=3, zorder=1.5, gid="zero")
    if by_the_clock:
        _clock_axis(axes, zone, formats)
    else:
        _day_axis(axes, times, formats)
    if panel.lower:
        x, lower, upper = _with_gaps(times, step, panel.lower, panel.upper)
        # The edge makes a bound without neighbours visible: its area has no width.
        axes.fill_between(x, lower, upper, color=BAND, linewidth=4, zorder=1, gid="band")
    if panel.previous:
        _draw_line(axes, *_with_gaps(times, step, panel.previous), name="previous", color=PREVIOUS, linewidth=5)
    _draw_line(axes, *_with_gaps(times, step, panel.values), name="values", color=VALUES)
    if panel.marked is not None:
        _draw_mark(axes, times, step, panel)
    if not _known((*panel.values, *panel.previous)):
        axes.text(0.5, 0.5, no_data, transform=axes.transAxes, ha="center", va="center", color=MUTED, gid="no data")


def _extent(panel: Panel) -> tuple[float, float]:
    """The lowest and the highest value that the axis shows."""
    lines, band = _known((*panel.values, *panel.previous)), _known((*panel.lower, *panel.upper))
    if max(map(abs, (*lines, *band)), default=0.0) < _NOTHING:
        return 0.0, 0.1 if panel.unit == "share" else 1.0
    low, high = min(lines or band), max(lines or band)
    if band:
        high = max(high, min(max(band), _WIDEST_BAND * high) if high > 0 else max(band))
        low = min(low, max(min(band), 0.0) if low >= 0 else min(band))
    variation = (high - low) / high if low > 0 else 1.0
    if 0 < variation < _VISIBLE[panel.unit]:
        return max(0.0, min(low - 0.1 * (high - low), high * (1 - _LEAST_SPAN))), high
    return min(low, 0.0), max(high, 0.0)


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _decimals(step: float) -> int:
    """How many decimals it takes to write multiples of `step`."""
    return next((digits for digits in range(9) if math.isclose(round(step, digits), step, rel_tol=1e-6)), 9)


def _clock_axis(axes: Axes, zone: ZoneInfo, formats: Formats) -> None:
    """Times of day in the zone; midnight is the day that begins, as a weekday where there is a week at most."""
    start, end = axes.get_xlim()

    def text(position: float, _index: float) -> str:
        if (position - start) * axes.bbox.width < _CLOCK_EDGE * (end - start):
            return ""
        local = _moment(position, zone)
        if local.time() != datetime.time.min:
            return formats.time(local)
        return formats.weekday(local.date()) if end - start <= _WEEK else formats.day_short(local.date())

    locator: Any = AutoDateLocator  # its methods have no types
    most = min(8, int(axes.bbox.width / _CLOCK_TICK) + 1)
    axes.xaxis.set_major_locator(locator(zone, minticks=3, maxticks=most))
    axes.xaxis.set_major_formatter(text)


def _day_axis(axes: Axes, dates: np.ndarray, formats: Formats) -> None:
    """Every day by its weekday where that fits, else dates whole weeks back; the last day, the newest, in bold."""
    first, last = dates[0], dates[-1]
    roomy = axes.bbox.width > _ROOMY
    weekdays = last - first < (2 * _WEEK if roomy else _WEEK if axes.bbox.width > _WEEKDAYS else 1)
    step = 1 if weekdays else _WEEK * math.ceil((last - first) / _WEEK / max(1, int(axes.bbox.width / _DATE_TICK)))
    start, end = axes.get_xlim()
    edge = 0.0 if weekdays else _DATE_EDGE / axes.bbox.width * (end - start)
    ticks = np.arange(last, start + edge - 0.5, -step)[::-1]
    days = [_moment(tick, datetime.UTC).date() for tick in ticks]
    narrow = not roomy or len(days) > _WEEK
    texts = [formats.weekday(day, narrow=narrow) if weekdays else formats.day_short(day) for day in days]
    axes.set_xticks(ticks + 0.5, texts)
    axes.get_xticklabels()[-1].set(fontweight="bold", color=INK)


def _moment(position: float, zone: datetime.tzinfo) -> datetime.datetime:
    convert: Any = num2date
    moment: datetime.datetime = convert(position, zone)
    return moment


def _with_gaps(times: np.ndarray, step: float, *columns: Values) -> tuple[np.ndarray, ...]:
    """The middles of days or slots, and the columns; NaN for what is unknown and wherever times are missing."""
    jumps = np.flatnonzero(np.diff(times) > 1.5 * step) + 1
    arrays = [times + step / 2, *(np.array(column, dtype=float) for column in columns)]
    return tuple(np.insert(array, jumps, np.nan) for array in arrays)


def _draw_line(axes: Axes, x: np.ndarray, y: np.ndarray, *, name: str, **style: Any) -> None:
    """A line with gaps; a value without neighbours is a dot, and so is the last of `values`."""
    known = np.concatenate(([False], ~np.isnan(y), [False]))
    dots = known[1:-1] & ~known[:-2] & ~known[2:]
    if name == "values":
        dots[-1] = known[-2]
    # The axis reaches above the highest value; without clipping, a line along zero keeps its full width.
    where = np.flatnonzero(dots).tolist()
    axes.plot(x, y, marker="o", markevery=where, clip_on=False, zorder=3, gid=name, **style)


def _draw_mark(axes: Axes, times: np.ndarray, step: float, panel: Panel) -> None:
    """Shade the marked times and colour their points; a single one gets the note, where there is room."""
    assert panel.marked is not None
    inside = [index for index, time in enumerate(panel.times) if panel.marked[0] <= time <= panel.marked[1]]
    if not inside:
        return
    first, last = inside[0], inside[-1]
    start, end = times[first], times[last] + step
    missing = _LEAST_MARK / axes.bbox.width * (times[-1] + step - times[0]) - (end - start)
    axes.axvspan(start - max(0.0, missing), end, color=MARKED, alpha=0.15, linewidth=0, zorder=0.5, gid="mark")
    x, y = times[first : last + 1] + step / 2, np.array(panel.values[first : last + 1], dtype=float)
    axes.plot(x, y, color=MARKED, marker="o", markevery=[0, -1], clip_on=False, zorder=4, gid="marked")
    if first == last and panel.note and axes.bbox.width > _ROOMY:
        _draw_note(axes, times + step / 2, panel, first)


def _draw_note(axes: Axes, middles: np.ndarray, panel: Panel, index: int) -> None:
    """Write the note left of the marked point: on the side to which it left what was expected, if no line is there."""
    note, value = cleaned(panel.note), panel.values[index]
    bottom, top = axes.get_ylim()
    lowest, highest = (bottom, top) if value is None else (value, value)
    height = _NOTE_HEIGHT * (top - bottom) / axes.bbox.height
    width = (width_of(note, 40, "bold") + 20) / axes.bbox.width * np.diff(axes.get_xlim())[0]
    near = (middles[index] - width < middles) & (middles < middles[index])
    lines = np.array([values for values in (panel.values, panel.previous) if values], dtype=float)[:, near]
    under = ((highest - height < lines) & (lines < highest)).sum()
    over = ((lowest < lines) & (lines < lowest + height)).sum()
    usual = next((values[index] for values in (panel.lower, panel.previous) if values), None)
    fell = value is None or (usual is not None and value < usual)
    below = highest - height > bottom and (under, not fell) <= (over, fell)
    axes.annotate(
        note,
        (middles[index], highest if below else lowest),
        xytext=(-20, -8 if below else 6),
        textcoords="offset points",
        ha="right",
        va="top" if below else "bottom",
        color=MARKED,
        fontweight="bold",
        path_effects=[withStroke(linewidth=8, foreground="white")],
        zorder=5,
        gid="note",
    )
