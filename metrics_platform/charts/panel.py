"""One panel: spans, grid, band, lines with their gaps, the texts of the ticks, and the value beside the last point."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from matplotlib.axes import Axes

from metrics_platform.charts import style
from metrics_platform.charts.label import Interval, Point, nearest_free, taken_heights
from metrics_platform.charts.legend import numbered
from metrics_platform.charts.model import Band, Line, Panel
from metrics_platform.charts.page import Page, torn
from metrics_platform.charts.texts import WORDS, height_of, width_of
from metrics_platform.charts.time_scale import Tick, TimeScale, ticks_of
from metrics_platform.charts.value_scale import ValueScale, value_text
from metrics_platform.formats import Formats

# With more points than this, dots would make a caterpillar of the line.
_MOST_DOTS = 31
_LABELLED_LINES = 3
_CLEARANCE = 14  # between a line's middle and a value beside it
_BELOW_AXIS = 26  # from the base line to the texts of the time axis; the lowest value's text reaches 20 below it
_BETWEEN_TICKS = 24
_LEFT_OF_AXIS = 14
_LEAST_SPAN_WIDTH = 12  # a slot of 15 minutes is narrower on a chart of a week
TICK_ROW = _BELOW_AXIS + style.TEXT_SIZE * style.LINE_HEIGHT


@dataclass(frozen=True)
class Frame:
    """Where a panel's axes lie on the page, and how far its texts may reach out to the left and right (pixels)."""

    left: float
    top: float
    width: float
    height: float
    room_left: float
    room_right: float

    @property
    def bottom(self) -> float:
        """The y of the base line."""
        return self.top + self.height


def headroom(panel: Panel, height: float) -> float:
    """The share of `height` (pixels) to be left free above the lines for the values of the last points."""
    count = min(_LABELLED_LINES, sum(line.style == "actual" for line in panel.lines)) or 1
    return min(0.6, (count * height_of(style.TEXT_SIZE) + 2 * _CLEARANCE) / height)


def value_texts_width(scale: ValueScale) -> float:
    """The width in pixels that the texts of the value axis take beside the axes."""
    widest = max((width_of(text, style.TEXT_SIZE) for text in scale.texts), default=0.0)
    return widest + _LEFT_OF_AXIS if widest else 0.0


class PanelDrawing:
    """A panel being drawn into its frame on a page."""

    def __init__(
        self, page: Page, panel: Panel, frame: Frame, *, values: ValueScale, times: TimeScale, formats: Formats
    ) -> None:
        self._page = page
        self._panel = panel
        self._frame = frame
        self._values = values
        self._times = times
        self._formats = formats
        self._axes: Axes = page.axes(frame.left, frame.top, frame.width, frame.height)
        self._axes.set_xlim(times.start, times.end)
        self._axes.set_ylim(values.bottom, values.top)

    def draw(self) -> None:
        """Draws all of it, from what lies behind to what lies in front."""
        self._draw_spans()
        self._draw_value_axis()
        self._draw_time_axis()
        if self._panel.band is not None:
            self._draw_band(self._panel.band)
        for number, line in numbered(self._panel.lines):
            self._draw_line(number, line)
        self._draw_judged_points()
        self._draw_labels()

    # Positions on the page

    def _x(self, position: float) -> float:
        start, end = self._times.start, self._times.end
        return self._frame.left + (position - start) / (end - start) * self._frame.width

    def _y(self, value: float) -> float:
        bottom, top = self._values.bottom, self._values.top
        return self._frame.bottom - (value - bottom) / (top - bottom) * self._frame.height

    # What lies behind

    def _draw_spans(self) -> None:
        for start, end in self._times.weekends():
            self._fill(start, end, "weekend", order=0)
        for mark in sorted(self._panel.marks, key=lambda mark: mark.style):
            start, end = self._times.span_of(mark)
            missing = _LEAST_SPAN_WIDTH - (self._x(end) - self._x(start))
            if missing > 0:
                widening = missing / 2 / self._frame.width * (self._times.end - self._times.start)
                start, end = start - widening, end + widening
            self._fill(start, end, mark.style, order=1)

    def _fill(self, start: float, end: float, kind: style.FillKind, order: int) -> None:
        start, end = max(start, self._times.start), min(end, self._times.end)
        if start < end:
            color, alpha = style.fill_of(kind)
            self._axes.axvspan(start, end, color=color, alpha=alpha, linewidth=0, zorder=order, gid=kind)

    # The axes

    def _draw_value_axis(self) -> None:
        for tick, text in zip(self._values.ticks, self._values.texts, strict=True):
            self._axes.axhline(tick, color=style.GRID, linewidth=2, zorder=1.5, gid="grid")
            self._page.text(
                self._frame.left - _LEFT_OF_AXIS, self._y(tick), text, "value tick", align="right", color=style.MUTED
            )
        left, right, bottom = self._frame.left, self._frame.left + self._frame.width, self._frame.bottom
        if self._values.broken:
            # Below the axes, whose weekends would cover half of it.
            self._page.stroke(*torn(left, right, bottom + 6), "torn base", color=style.MUTED, width=3)
        else:
            self._page.stroke((left, right), (bottom, bottom), "base", color=style.MUTED, width=3)

    def _draw_time_axis(self) -> None:
        ticks = ticks_of(self._times, self._formats, self._ticks_fit)
        middle = self._frame.bottom + _BELOW_AXIS + style.TEXT_SIZE / 2
        for tick in ticks:
            x = self._x(tick.position)
            below = (self._frame.bottom, self._frame.bottom + 12)
            self._page.stroke((x, x), below, "tick", color=style.MUTED, width=3)
            if tick.starts_day:
                self._axes.axvline(tick.position, color=style.GRID, linewidth=3, zorder=1.5, gid="midnight")
            left, right = self._extent(tick)
            self._page.text((left + right) / 2, middle, tick.text, "time tick", align="center", color=style.MUTED)

    def _extent(self, tick: Tick) -> Interval:
        """From where to where a tick's text reaches: around its tick, but within the panel's place."""
        half = width_of(tick.text, style.TEXT_SIZE) / 2
        least = self._frame.left - self._frame.room_left + half
        most = self._frame.left + self._frame.width + self._frame.room_right - half
        middle = max(least, min(self._x(tick.position), most))
        return middle - half, middle + half

    def _ticks_fit(self, ticks: list[Tick]) -> bool:
        extents = [self._extent(tick) for tick in ticks]
        return all(later[0] - earlier[1] >= _BETWEEN_TICKS for earlier, later in itertools.pairwise(extents))

    # The data

    def _draw_band(self, band: Band) -> None:
        color, alpha = style.fill_of("band")
        pairs = list(zip(band.lower, band.upper, strict=True))
        known = [None if lower is None or upper is None else (lower, upper) for lower, upper in pairs]
        for run in self._runs(known):
            positions = [self._times.positions[index] for index in run]
            lower, upper = zip(*(cast("Interval", known[index]) for index in run), strict=True)
            if len(run) == 1:  # an area of one point has no width
                self._axes.vlines(positions, lower, upper, color=color, alpha=alpha, linewidth=24, zorder=2, gid="band")
            else:
                self._axes.fill_between(
                    positions, lower, upper, color=color, alpha=alpha, linewidth=0, zorder=2, gid="band"
                )

    def _draw_line(self, number: int, line: Line) -> None:
        stroke = style.stroke_of(line.style, number)
        identity = f"line {line.style} {number}"
        runs = self._runs(line.values)
        positions, values = self._with_gaps(line, runs)
        # The axis ends above the highest value, so nothing needs clipping, and a line along zero keeps its full width.
        self._axes.plot(
            positions,
            values,
            color=stroke.color,
            linewidth=stroke.width,
            linestyle=(0, tuple(dash / stroke.width for dash in stroke.dashes)) if stroke.dashes else "-",
            solid_joinstyle="round",
            zorder=stroke.order,
            clip_on=False,
            gid=identity,
        )
        dots = self._dots(line, runs)
        if dots:
            self._axes.plot(
                [self._times.positions[index] for index in dots],
                [cast("float", line.values[index]) for index in dots],
                linestyle="",
                marker="o",
                markersize=stroke.marker_size,
                color=stroke.color,
                markeredgewidth=0,
                zorder=stroke.order,
                clip_on=False,
                gid=f"dots {line.style} {number}",
            )

    def _runs(self, values: Sequence[object | None]) -> list[list[int]]:
        """The indices of values that follow each other with nothing missing between them."""
        runs: list[list[int]] = []
        connected = False
        for index, value in enumerate(values):
            if value is not None:
                if not connected:
                    runs.append([])
                runs[-1].append(index)
            connected = value is not None and not self._times.gap_after[index]
        return runs

    def _with_gaps(self, line: Line, runs: list[list[int]]) -> tuple[list[float], list[float]]:
        positions: list[float] = []
        values: list[float] = []
        for run in runs:
            positions += [*(self._times.positions[index] for index in run), math.nan]
            values += [*(cast("float", line.values[index]) for index in run), math.nan]
        return positions, values

    def _dots(self, line: Line, runs: list[list[int]]) -> list[int]:
        """Which points get a dot: all where they are few, those without neighbours, and the last one."""
        alone = [run[0] for run in runs if len(run) == 1]
        if line.style != "actual" or not runs:
            return alone
        if len(line.values) <= _MOST_DOTS:
            return [index for run in runs for index in run]
        return sorted({*alone, runs[-1][-1]})

    def _draw_judged_points(self) -> None:
        judged = [index for index in range(len(self._times.positions)) if self._is_judged(index)]
        points = [
            (self._times.positions[index], value)
            for line in self._panel.lines
            if line.style == "actual"
            for index in judged
            if (value := line.values[index]) is not None
        ]
        if points:
            self._axes.plot(
                *zip(*points, strict=True),
                linestyle="",
                marker="o",
                markersize=23,
                color=style.judged_color(),
                markeredgecolor="white",
                markeredgewidth=3,
                zorder=6,
                clip_on=False,
                gid="judged point",
            )

    def _is_judged(self, index: int) -> bool:
        spans = (self._times.span_of(mark) for mark in self._panel.marks if mark.style == "judged")
        return any(start <= self._times.positions[index] < end for start, end in spans)

    # The values beside the last points

    def _draw_labels(self) -> None:
        no_data = WORDS[self._formats.language]["no data"]
        if all(value is None for line in self._panel.lines for value in line.values):
            middle = (self._frame.left + self._frame.width / 2, self._frame.top + self._frame.height / 2)
            self._page.text(*middle, no_data, "no data", align="center", color=style.MUTED, halo=True)
            return
        actual = [(number, line) for number, line in numbered(self._panel.lines) if line.style == "actual"]
        boxes: list[tuple[Interval, Interval]] = []
        for number, line in actual[:_LABELLED_LINES]:
            value = line.values[-1]
            if value is None:
                self._place(no_data, style.MUTED, "no data", self._frame.bottom, boxes)
            else:
                color = style.judged_color() if self._is_judged(-1) else style.stroke_of("actual", number).color
                self._place(value_text(value, self._panel.unit, self._formats), color, "value", self._y(value), boxes)

    def _place(self, text: str, color: str, identity: str, y: float, boxes: list[tuple[Interval, Interval]]) -> None:
        """Puts a text at the right end of the axes, as near to `y` as no line and no other such text is."""
        bold = identity == "value"
        width, height = width_of(text, style.TEXT_SIZE, bold=bold), height_of(style.TEXT_SIZE)
        end = self._frame.left + self._frame.width
        middle = min(self._x(self._times.positions[-1]), end - width / 2)
        left, right = middle - width / 2, middle + width / 2
        taken = [
            interval
            for line in self._panel.lines
            for interval in taken_heights(self._pixels(line), left, right, _CLEARANCE)
        ]
        taken += [rows for columns, rows in boxes if columns[0] < right and columns[1] > left]
        # Heights here grow upwards, so that «the upper one» of two places is the greater.
        place = nearest_free(
            -y, height, [(low, high) for low, high in taken], (-self._frame.bottom + 4, -self._frame.top)
        )
        if place is None or width > self._frame.width:  # absurd numbers, whose ticks say enough
            return
        boxes.append(((left, right), (place - height / 2, place + height / 2)))
        self._page.text(middle, -place, text, identity, align="center", color=color, bold=bold, halo=True)

    def _pixels(self, line: Line) -> list[Point]:
        positions, values = self._with_gaps(line, self._runs(line.values))
        return [(self._x(position), -self._y(value)) for position, value in zip(positions, values, strict=True)]
