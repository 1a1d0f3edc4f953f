"""The whole picture: title, subtitle and legend above the panels, in one column or two.

Places are pixels. matplotlib's constrained layout takes twice the time, and its legend would cover the title.
"""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
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
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from PIL import Image

from metrics_platform.charts.model import Chart, Panel
from metrics_platform.charts.panel import BAND, MARKED, MUTED, PREVIOUS, VALUES, draw_panel, value_axis
from metrics_platform.charts.text import cleaned, fitted, width_of
from metrics_platform.formats import formats_for

WIDTH = 1280
_MARGIN = 40
_INNER = WIDTH - 2 * _MARGIN
_TITLE, _TEXT = 54, 40
_LINE = 1.32  # of the text's size
_GAP = 48  # between two columns
_BELOW = 92  # the ticks' texts and the gap below them
_PLOTS = {1: 470, 2: 340, 3: 270}  # the height of axes by the number of panels
_PLOT = 240  # … of more panels
_MOST_IN_ONE_COLUMN = 3

# matplotlib's settings and font caches belong to the process, not to a thread.
_ONE_AT_A_TIME = threading.Lock()


def png_of(chart: Chart) -> bytes:
    """The PNG of `chart`; see `metrics_platform.charts.draw`."""
    with exclusive_style():
        return png_bytes(figure_of(chart))


@contextmanager
def exclusive_style() -> Iterator[None]:
    """Within it, no other thread draws, and matplotlib's settings are those of `house.mplstyle`."""
    with _ONE_AT_A_TIME, house_style():
        yield


def png_bytes(figure: Figure) -> bytes:
    """The PNG of a figure with an Agg canvas."""
    canvas: Any = figure.canvas  # its methods have no types
    canvas.draw()
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    # Figures are cycles, freed when the collector comes by; their pixels, megabytes each, are freed now.
    canvas.renderer = None
    image = io.BytesIO()
    pixels.save(image, "PNG", compress_level=2)  # a third faster than the default for a tenth more bytes
    return image.getvalue()


def house_style() -> AbstractContextManager[None]:
    """Within it, matplotlib's settings are those of `house.mplstyle`, whatever the process has set."""
    settings: Any = _settings()
    return matplotlib.rc_context(settings)


@lru_cache(maxsize=1)
def _settings() -> dict[str, Any]:
    for name in ("Roboto", "RobotoBold"):
        fontManager.addfont(font_roboto.font_files[name])
    with resources.as_file(resources.files("metrics_platform.charts") / "house.mplstyle") as file:
        settings = matplotlib.rc_params_from_file(file, use_default_template=True)
    return {name: value for name, value in settings.items() if not name.startswith(("backend", "savefig"))}


def figure_of(chart: Chart) -> Figure:
    """The figure of `chart` with everything on it, before it becomes pixels. Call it within `exclusive_style`."""
    formats, zone = formats_for(chart.language), ZoneInfo(chart.timezone)
    rows = _rows(chart.panels)
    plot = _PLOTS.get(len(chart.panels), _PLOT)
    scales = {id(panel): value_axis(panel, formats, most=4 if plot > _PLOT else 3) for panel in chart.panels}
    beside = _MARGIN / 2 + max(width_of(text, _TEXT) for scale in scales.values() for text in scale.texts)
    page = _Page(chart, sum(_heading(row) + plot + _BELOW for row in rows))
    for row in rows:
        top = page.y + _heading(row)
        for cell in row:
            page.write(cell.left, page.y, cell.title, "panel title", fontweight="bold")
            page.write(cell.left, page.y + _height(cell.title), cell.finding, "finding", color=MUTED)
            axes = page.axes(cell.left, top, cell.width - beside, plot)
            scale, no_data = scales[id(cell.panel)], cleaned(chart.labels.no_data)
            draw_panel(axes, cell.panel, scale, no_data=no_data, zone=zone, formats=formats)
        page.y = top + plot + _BELOW
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
    """A figure of the height that the header and `height` pixels below it take; `y` is where the panels begin."""

    def __init__(self, chart: Chart, height: float) -> None:
        title, subtitle = fitted(chart.title, _INNER, _TITLE, "bold"), fitted(chart.subtitle, _INNER, _TEXT)
        entries = _legend_entries(chart)
        in_a_row = _entries_in_a_row([label for _, label in entries])
        below_title = _MARGIN + _height(title, _TITLE)
        legend = below_title + _height(subtitle) + 20
        self.y = legend + math.ceil(len(entries) / in_a_row) * 1.3 * _TEXT + (30 if len(chart.panels) > 1 else 12)
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
        """Axes at these pixels."""
        box = (left / WIDTH, 1 - (top + height) / self.height, width / WIDTH, height / self.height)
        return self.figure.add_axes(box)


def _rows(panels: Sequence[Panel]) -> list[list[_Cell]]:
    """The panels row by row; an odd one out comes first, as the headline: over the full width."""
    columns = 1 if len(panels) <= _MOST_IN_ONE_COLUMN else 2
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
    return _Cell(panel, left, width, fitted(title, width, _TEXT, "bold"), fitted(finding, width, _TEXT, lines=1))


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
    return [(handle, text) for handle, label, used in entries if used and (text := cleaned(label))]


def _entries_in_a_row(texts: list[str]) -> int:
    """How many of the legend's entries fit beside each other."""
    width = sum(width_of(text, _TEXT) + 2.35 * _TEXT for text in texts)  # the style's sample and gaps
    return max(1, len(texts) if width <= _INNER else math.ceil(len(texts) / 2))
