"""The whole picture: title, subtitle and legend above the panels, in one column or two; and a heat map.

Places are pixels. matplotlib's constrained layout takes twice the time, and its legend would cover the title.
"""

from __future__ import annotations

import datetime
import io
import math
import re
import textwrap
import threading
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

import font_roboto
import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.dates import AutoDateLocator, date2num, num2date
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager, get_font
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from PIL import Image

from metrics_platform.catalog_entries import Unit
from metrics_platform.charts.model import Chart, Drawable, HeatMap, Panel, Values
from metrics_platform.formats import Formats, formats_for

WIDTH = 1280
_MARGIN = 40
_INNER = WIDTH - 2 * _MARGIN
_TITLE, _TEXT, _TICK = 54, 40, 36
_LINE = 1.32  # of the text's size
_GAP = 48  # between two columns
_TICKS_HEIGHT = 92  # the ticks' texts and the gap below them
_PLOTS = {1: 470, 2: 340, 3: 270}  # the height of axes by the number of panels
_PLOT = 240  # … of more panels
_MAX_IN_ONE_COLUMN = 3
_ROW = 84  # of a heat map

# matplotlib's settings and font caches belong to the process, not to a thread.
_DRAWING_LOCK = threading.Lock()


@contextmanager
def exclusive_style() -> Iterator[None]:
    """Within it, no other thread draws, and matplotlib's settings are those of `house.mplstyle`."""
    settings: Any = _settings()
    with _DRAWING_LOCK, matplotlib.rc_context(settings):
        yield


@lru_cache(maxsize=1)
def _settings() -> dict[str, Any]:
    for name in ("Roboto", "RobotoBold"):
        fontManager.addfont(font_roboto.font_files[name])
    with resources.as_file(resources.files("metrics_platform.charts") / "house.mplstyle") as file:
        settings = matplotlib.rc_params_from_file(file, use_default_template=True)
    return {name: value for name, value in settings.items() if not name.startswith(("backend", "savefig"))}


def png_of(chart: Drawable) -> bytes:
    with exclusive_style():
        canvas: Any = figure_of(chart).canvas  # its methods have no types
        canvas.draw()
        pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        # Figures are cycles, freed when the collector comes by; their pixels, megabytes each, are freed now.
        canvas.renderer = None
    image = io.BytesIO()
    pixels.save(image, "PNG", compress_level=2)  # a third faster than the default for a tenth more bytes
    return image.getvalue()


def figure_of(chart: Drawable) -> Figure:
    """The figure of `chart` with everything on it, before it becomes pixels. Call it within `exclusive_style`."""
    if isinstance(chart, HeatMap):
        return _heat_map(chart)
    formats, zone = formats_for(chart.language), ZoneInfo(chart.timezone)
    rows = _rows(chart.panels)
    plot_height = _PLOTS.get(len(chart.panels), _PLOT)
    scales = {
        id(panel): value_axis(panel, formats, max_intervals=4 if plot_height > _PLOT else 3) for panel in chart.panels
    }
    label_width = _MARGIN / 2 + max(width_of(text, _TEXT) for scale in scales.values() for text in scale.texts)
    gap = 30 if len(chart.panels) > 1 else 12
    page = _Page(chart, gap + sum(_heading(row) + plot_height + _TICKS_HEIGHT for row in rows), _legend_entries(chart))
    page.y += gap
    for row in rows:
        top = page.y + _heading(row)
        for cell in row:
            page.write(cell.left, page.y, cell.title, "panel title", fontweight="bold")
            page.write(cell.left, page.y + _height(cell.title), cell.finding, "finding", color=MUTED)
            axes = page.axes(cell.left, top, cell.width - label_width, plot_height)
            scale, no_data = scales[id(cell.panel)], clean(chart.labels.no_data)
            _draw_panel(axes, cell.panel, scale, no_data=no_data, zone=zone, formats=formats)
        page.y = top + plot_height + _TICKS_HEIGHT
    return page.figure


def _heat_map(chart: HeatMap) -> Figure:
    from seaborn import heatmap  # noqa: PLC0415  (with pandas: only Mondays need it)

    formats, rows = formats_for(chart.language), len(chart.rows)
    values = np.array(chart.values, dtype=float)
    texts = [["" if value is None else formats.percent(value, 0) for value in row] for row in chart.values]
    page = _Page(chart, 12 + 1.5 * _TEXT + _ROW * rows + _MARGIN)
    page.y += 12
    left = _MARGIN * 1.4 + max(width_of(name, _TICK) for name in (chart.corner, *chart.rows))
    page.write(_MARGIN, page.y, chart.corner, "corner", _TICK, color=MUTED)
    axes = page.axes(left, page.y + 1.5 * _TEXT, WIDTH - _MARGIN - left, _ROW * rows)
    heatmap(
        values,
        ax=axes,
        annot=np.array(texts),
        fmt="",
        cmap="Blues",
        vmin=0,
        vmax=max(float(np.nanmax(values)) * 1.25, 0.01) if np.isfinite(values).any() else 1,
        cbar=False,
        linewidths=4,
        annot_kws={"fontsize": _TICK},
        xticklabels=list(chart.columns),
        yticklabels=list(chart.rows),
    )
    axes.tick_params(labeltop=True, labelbottom=False, labelleft=True, labelright=False, length=0)
    axes.tick_params(axis="y", rotation=0)
    axes.grid(visible=False)
    return page.figure


@dataclass(frozen=True)
class _Cell:
    """A panel in its column, with the lines above its axes."""

    panel: Panel
    left: float
    width: float
    title: str
    finding: str


class _Page:
    """A figure of the height that the header and `height` pixels below it take; `y` is where the header ends."""

    def __init__(self, chart: Drawable, height: float, entries: Sequence[tuple[Artist, str]] = ()) -> None:
        title, subtitle = fit(chart.title, _INNER, _TITLE, "bold"), fit(chart.subtitle, _INNER, _TEXT)
        in_a_row = _entries_in_a_row([label for _, label in entries])
        below_title = _MARGIN + _height(title, _TITLE)
        legend = below_title + _height(subtitle) + 20
        self.y = legend + math.ceil(len(entries) / in_a_row) * 1.3 * _TEXT
        self.height = round(self.y + height)
        self.figure = Figure(figsize=(WIDTH / 72, self.height / 72))
        FigureCanvasAgg(self.figure)  # it makes itself the figure's canvas
        self.write(_MARGIN, _MARGIN, title, "title", _TITLE, fontweight="bold")
        self.write(_MARGIN, below_title, subtitle, "subtitle", color=MUTED)
        if entries:
            corner = (_MARGIN / WIDTH, 1 - legend / self.height)
            self.figure.legend(*zip(*entries, strict=True), loc="upper left", bbox_to_anchor=corner, ncols=in_a_row)

    def write(self, x: float, top: float, text: str, name: str, size: float = _TEXT, **style: Any) -> None:
        """Lines of text, the first one's upper edge at `top`; `name` is what tests find it by."""
        for number, line in enumerate(text.split("\n") if text else []):
            baseline = top + (number * _LINE + 0.95) * size
            self.figure.text(x / WIDTH, 1 - baseline / self.height, line, fontsize=size, gid=name, **style)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        box = (left / WIDTH, 1 - (top + height) / self.height, width / WIDTH, height / self.height)
        return self.figure.add_axes(box)


def _rows(panels: Sequence[Panel]) -> list[list[_Cell]]:
    """The panels row by row; an odd one out comes first, as the headline: over the full width."""
    columns = 1 if len(panels) <= _MAX_IN_ONE_COLUMN else 2
    width = (_INNER - (columns - 1) * _GAP) / columns
    lead = len(panels) % columns
    rows = [[_cell(panel, _MARGIN, _INNER, alone=len(panels) == 1) for panel in panels[:lead]]] if lead else []
    for first in range(lead, len(panels), columns):
        row = panels[first : first + columns]
        lefts = [_MARGIN + number * (width + _GAP) for number in range(columns)]
        rows.append([_cell(panel, left, width, len(panels) == 1) for panel, left in zip(row, lefts, strict=True)])
    return rows


def _cell(panel: Panel, left: float, width: float, alone: bool) -> _Cell:
    """The panel of a picture of its own has no lines above it: the picture's title names it."""
    title, finding = ("", "") if alone else (panel.title, panel.finding)
    return _Cell(panel, left, width, fit(title, width, _TEXT, "bold"), fit(finding, width, _TEXT, lines=1))


def _heading(row: list[_Cell]) -> float:
    """The height of the lines above a row's axes, with the gap below them."""
    return max(_height(cell.title) + _height(cell.finding) for cell in row) + 26


def _height(text: str, size: float = _TEXT) -> float:
    return (text.count("\n") + 1) * size * _LINE if text else 0.0


def _legend_entries(chart: Chart) -> list[tuple[Artist, str]]:
    """The sample and the text of everything that has a label and is in a panel."""
    labels, panels = chart.labels, chart.panels
    entries: list[tuple[Artist, str, bool]] = [
        (Line2D([], [], color=VALUES), labels.values, True),
        (Line2D([], [], color=PREVIOUS, linewidth=5), labels.previous, any(panel.previous for panel in panels)),
        (Patch(color=BAND), labels.band, any(panel.lower for panel in panels)),
        (Patch(color=MARKED, alpha=0.3), labels.marked, any(panel.marked for panel in panels)),
    ]
    return [(handle, text) for handle, label, used in entries if used and (text := clean(label))]


def _entries_in_a_row(texts: list[str]) -> int:
    """How many of the legend's entries fit beside each other."""
    width = sum(width_of(text, _TEXT) + 2.35 * _TEXT for text in texts)  # the style's sample and gaps
    return max(1, len(texts) if width <= _INNER else math.ceil(len(texts) / 2))


# --- one panel --------------------------------------------------------------------------------------------------------

INK, MUTED = "#1a1a1a", "#595959"
VALUES, PREVIOUS, BAND, MARKED = "C0", "C1", "C2", "C3"  # the style's colour cycle

# A variation below this share of the highest value would not be seen on an axis that starts at zero.
_VISIBLE: dict[Unit, float] = {"count": 0.3, "share": 0.4, "ratio": 0.4}
# An axis that does not start at zero still spans this share of the highest value, so that noise looks like noise.
_MIN_SPAN = 0.1
# A band that is wider than this many times the highest value leaves the picture, or it would flatten the lines.
_MAX_BAND = 2.0
_ZERO = 1e-9  # a smaller value is zero to every reader
_WEEK = 7  # days

# Pixels
_WIDE = 800  # axes over the full width of the picture
_NOTE_HEIGHT = 56
_MIN_MARK = 14  # a slot is narrower
_CLOCK_EDGE, _DATE_EDGE = 8, 30  # the text of a tick further left would leave the picture
_CLOCK_TICK, _DATE_TICK = 108, 180
_WEEKDAYS = 380  # seven of them; only values of very many figures leave less room


@dataclass(frozen=True)
class ValueAxis:
    """The ticks of the values, ascending, with their texts; the axis reaches from the first one to `top`."""

    ticks: tuple[float, ...]
    texts: tuple[str, ...]
    top: float


def value_axis(panel: Panel, formats: Formats, max_intervals: int) -> ValueAxis:
    """The axis of `panel`'s values, with at most `max_intervals`. It starts at zero if the variation stays visible."""
    low, high = _value_range(panel)
    locator = MaxNLocator(nbins=max_intervals, steps=[1, 2, 2.5, 5, 10], integer=panel.unit == "count")
    ticks = [float(tick) for tick in locator.tick_values(low, high)]
    step, top = ticks[1] - ticks[0], ticks[-1]
    if panel.unit == "share" and high <= 1:
        ticks = [tick for tick in ticks if tick <= 1 + 1e-9]
    return ValueAxis(tuple(ticks), tuple(_tick_text(tick, step, panel.unit, formats) for tick in ticks), top)


def _tick_text(value: float, step: float, unit: Unit, formats: Formats) -> str:
    """20.5%, 2.5K or 1.25: with the decimals that multiples of `step` need."""
    if unit == "share":
        return formats.percent(value, _decimals(step * 100)) if abs(value) < 100 else f"{formats.compact(value * 100)}%"
    if abs(value) < 1000:
        return formats.number(value, _decimals(step))
    return formats.compact(value, _decimals(step / 1000 ** int(math.log10(abs(value)) // 3)))


def _draw_panel(axes: Axes, panel: Panel, scale: ValueAxis, *, no_data: str, zone: ZoneInfo, formats: Formats) -> None:
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
    if not _without_none((*panel.values, *panel.previous)):
        axes.text(0.5, 0.5, no_data, transform=axes.transAxes, ha="center", va="center", color=MUTED, gid="no data")


def _value_range(panel: Panel) -> tuple[float, float]:
    """The lowest and the highest value that the axis shows."""
    lines, band = _without_none((*panel.values, *panel.previous)), _without_none((*panel.lower, *panel.upper))
    if max(map(abs, (*lines, *band)), default=0.0) < _ZERO:
        return 0.0, 0.1 if panel.unit == "share" else 1.0
    low, high = min(lines or band), max(lines or band)
    if band:
        high = max(high, min(max(band), _MAX_BAND * high) if high > 0 else max(band))
        low = min(low, max(min(band), 0.0) if low >= 0 else min(band))
    variation = (high - low) / high if low > 0 else 1.0
    if 0 < variation < _VISIBLE[panel.unit]:
        return max(0.0, min(low - 0.1 * (high - low), high * (1 - _MIN_SPAN))), high
    return min(low, 0.0), max(high, 0.0)


def _without_none(values: Iterable[float | None]) -> list[float]:
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
    max_ticks = min(8, int(axes.bbox.width / _CLOCK_TICK) + 1)
    axes.xaxis.set_major_locator(locator(zone, minticks=3, maxticks=max_ticks))
    axes.xaxis.set_major_formatter(text)


def _day_axis(axes: Axes, dates: np.ndarray, formats: Formats) -> None:
    """Every day by its weekday where that fits, else dates whole weeks back; the last day, the newest, in bold."""
    first, last = dates[0], dates[-1]
    is_wide = axes.bbox.width > _WIDE
    weekdays = last - first < (2 * _WEEK if is_wide else _WEEK if axes.bbox.width > _WEEKDAYS else 1)
    step = 1 if weekdays else _WEEK * math.ceil((last - first) / _WEEK / max(1, int(axes.bbox.width / _DATE_TICK)))
    start, end = axes.get_xlim()
    edge = 0.0 if weekdays else _DATE_EDGE / axes.bbox.width * (end - start)
    ticks = np.arange(last, start + edge - 0.5, -step)[::-1]
    days = [_moment(tick, datetime.UTC).date() for tick in ticks]
    narrow = not is_wide or len(days) > _WEEK
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
    positions = np.flatnonzero(dots).tolist()
    axes.plot(x, y, marker="o", markevery=positions, clip_on=False, zorder=3, gid=name, **style)


def _draw_mark(axes: Axes, times: np.ndarray, step: float, panel: Panel) -> None:
    """Shade the marked times and colour their points; a single one gets the note, where there is room."""
    assert panel.marked is not None
    inside = [index for index, time in enumerate(panel.times) if panel.marked[0] <= time <= panel.marked[1]]
    if not inside:
        return
    first, last = inside[0], inside[-1]
    start, end = times[first], times[last] + step
    missing = _MIN_MARK / axes.bbox.width * (times[-1] + step - times[0]) - (end - start)
    axes.axvspan(start - max(0.0, missing), end, color=MARKED, alpha=0.15, linewidth=0, zorder=0.5, gid="mark")
    x, y = times[first : last + 1] + step / 2, np.array(panel.values[first : last + 1], dtype=float)
    axes.plot(x, y, color=MARKED, marker="o", markevery=[0, -1], clip_on=False, zorder=4, gid="marked")
    if first == last and panel.note and axes.bbox.width > _WIDE:
        _draw_note(axes, times[first] + step / 2, panel, first)


def _draw_note(axes: Axes, middle: float, panel: Panel, index: int) -> None:
    """Write the note left of the marked point, on the side to which it left what was expected, if there is room."""
    value = panel.values[index]
    bottom, top = axes.get_ylim()
    usual = next((values[index] for values in (panel.lower, panel.previous) if values), None)
    fell = value is None or (usual is not None and value < usual)
    highest = top if value is None else value
    below = fell and highest - _NOTE_HEIGHT * (top - bottom) / axes.bbox.height > bottom
    axes.annotate(
        clean(panel.note),
        (middle, highest),
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


# --- texts ------------------------------------------------------------------------------------------------------------

FAMILIES = ("Roboto", "DejaVu Sans")
_MAX_LENGTH = 300  # characters of any text: far more than the two lines that a title gets
_MAX_COLUMNS = 80  # characters on a line: at no size do more of them fit
_EMOJI = 0x1F000  # DejaVu Sans has some of them, in black and white
# A no-break space holds a number and its unit together; any other white space is one space.
_WHITE_SPACE = re.compile(r"[^\S\u00a0\u202f]+")


def clean(text: str) -> str:
    """`text` on one line, without emoji and control characters; a letter that the fonts lack is U+FFFD."""
    return _WHITE_SPACE.sub(" ", "".join(map(_supported_character, _WHITE_SPACE.sub(" ", text[:_MAX_LENGTH])))).strip()


@lru_cache(maxsize=1024)
def width_of(text: str, size: float, weight: str = "normal") -> float:
    """The width in pixels of a line of text."""
    font = FontProperties(family=list(FAMILIES), size=size, weight=weight)
    return float(_renderer().get_text_width_height_descent(text, font, False)[0])


def fit(text: str, width: float, size: float, weight: str = "normal", lines: int = 2) -> str:
    """`text`, cleaned, on at most this many lines of `width` pixels; an ellipsis replaces what does not fit."""
    text = clean(text)
    columns = min(len(text), _MAX_COLUMNS) or 1
    while columns > 1:
        wrapped = textwrap.wrap(text, columns, max_lines=lines, placeholder="…")
        widest = max(wrapped, key=lambda line: width_of(line, size, weight), default="")
        if (widest_width := width_of(widest, size, weight)) <= width:
            return "\n".join(wrapped)
        columns = min(columns - 1, int(columns * width / widest_width) + 2)
    return text[:1]


def _supported_character(character: str) -> str:
    kind = unicodedata.category(character)[0]
    if kind != "C" and ord(character) < _EMOJI and ord(character) in _characters():
        return character
    return "\N{REPLACEMENT CHARACTER}" if kind in "LN" else ""


@lru_cache(maxsize=1)
def _characters() -> frozenset[int]:
    paths = [fontManager.findfont(FontProperties(family=family)) for family in FAMILIES]
    return frozenset().union(*(get_font(path).get_charmap() for path in paths))


@lru_cache(maxsize=1)
def _renderer() -> Any:  # its methods have no types
    make: Any = RendererAgg
    return make(1, 1, 72)
