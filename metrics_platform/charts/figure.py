"""The whole picture: header, legend and panels laid out on a page; a page of one panel, or of two columns of them."""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from matplotlib.figure import Figure

from metrics_platform.charts import style
from metrics_platform.charts.legend import Entry, draw_legend, entries_of, height_of_legend
from metrics_platform.charts.model import Chart, Panel
from metrics_platform.charts.page import Page
from metrics_platform.charts.panel import TICK_ROW, Frame, PanelDrawing, headroom, value_texts_width
from metrics_platform.charts.texts import cleaned, wrapped
from metrics_platform.charts.time_scale import TimeScale, time_scale
from metrics_platform.charts.value_scale import ValueScale, value_scale
from metrics_platform.formats import Formats, formats_for

_GAP = 44  # between two columns
_ROW_GAP = 24
_LEGEND_GAP = 14  # above and below the legend
_TITLE_GAP = 26  # between a panel's title and its axes; the highest value's text reaches 20 above them
_PLOT_HEIGHTS = {1: 440, 2: 360}
_PLOT_HEIGHT = 224  # of more than two panels

# matplotlib's settings and font caches belong to the process, not to a thread.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class _Cell:
    """A panel in its place: the column's left edge and width, its title's lines and its two axes."""

    panel: Panel
    left: float
    width: float
    title: list[str]
    values: ValueScale
    times: TimeScale


@dataclass(frozen=True)
class _Header:
    title: list[str]
    subtitle: list[str]
    legend: list[Entry]

    @property
    def height(self) -> float:
        """The height in pixels, with what separates it from the panels."""
        texts = len(self.title) * style.TITLE_SIZE + len(self.subtitle) * style.TEXT_SIZE
        return texts * style.LINE_HEIGHT + _LEGEND_GAP + height_of_legend(self.legend) + _LEGEND_GAP


def png_of(chart: Chart) -> bytes:
    """The PNG of `chart`; see `metrics_platform.charts.draw`."""
    with _ONE_AT_A_TIME, style.house_style():
        figure = _drawn(chart)
        canvas: Any = figure.canvas  # an Agg canvas, whose methods have no types
        image = io.BytesIO()
        canvas.print_png(image, metadata={"Software": None, "Title": chart.name})
        # Figures are cycles, freed when the collector comes by; their pixels, megabytes each, are freed now.
        canvas.renderer = None
        figure.clear()
    return image.getvalue()


def figure_of(chart: Chart) -> Figure:
    """The figure of `chart` with everything on it, before it becomes pixels."""
    with _ONE_AT_A_TIME, style.house_style():
        return _drawn(chart)


def _drawn(chart: Chart) -> Figure:
    formats = formats_for(chart.language)
    rows = _rows(chart, formats)
    cells = [cell for row in rows for cell in row]
    header = _header(chart, cells)
    plot_height = _PLOT_HEIGHTS.get(len(cells), _PLOT_HEIGHT)
    row_heights = [_title_height(row) + plot_height + TICK_ROW for row in rows]
    page = Page(2 * style.MARGIN + header.height + sum(row_heights) + _ROW_GAP * (len(rows) - 1))
    top = _draw_header(page, header)
    for row, height in zip(rows, row_heights, strict=True):
        for cell, inset in zip(row, _insets(rows, row), strict=True):
            page.paragraph(cell.left, top, cell.title, "panel title", bold=True)
            frame = Frame(
                left=cell.left + inset,
                top=top + _title_height(row),
                width=cell.width - inset,
                height=plot_height,
                room_left=inset,
                room_right=_GAP / 2 - 6,
            )
            PanelDrawing(page, cell.panel, frame, values=cell.values, times=cell.times, formats=formats).draw()
        top += height + _ROW_GAP
    return page.figure


def _rows(chart: Chart, formats: Formats) -> list[list[_Cell]]:
    """The panels row by row; where one is left over, it has the last row for itself."""
    panels = list(chart.panels)
    columns = 1 if len(panels) <= 2 else 2
    width = (style.WIDTH - 2 * style.MARGIN - (columns - 1) * _GAP) / columns
    full = style.WIDTH - 2 * style.MARGIN
    rows = []
    for first in range(0, len(panels), columns):
        row = panels[first : first + columns]
        cell_width = width if len(row) == columns else full
        rows.append(
            [
                _cell(chart, panel, style.MARGIN + number * (width + _GAP), cell_width, formats)
                for number, panel in enumerate(row)
            ]
        )
    return rows


def _cell(chart: Chart, panel: Panel, left: float, width: float, formats: Formats) -> _Cell:
    height = _PLOT_HEIGHTS.get(len(chart.panels), _PLOT_HEIGHT)
    most_ticks = min(6, int(height / (1.4 * style.TEXT_SIZE)))
    values = value_scale(panel, formats, most_ticks, headroom(panel, height))
    if values.unit:
        title = wrapped(cleaned(panel.title), width, style.TEXT_SIZE, bold=True, suffix=f", {values.unit}")
    elif len(chart.panels) == 1 and panel.title in chart.title:
        title = []  # «Views −41%» above a single panel says already that these are views
    else:
        title = wrapped(cleaned(panel.title), width, style.TEXT_SIZE, bold=True)
    return _Cell(panel, left, width, title, values, time_scale(panel, ZoneInfo(chart.timezone)))


def _header(chart: Chart, cells: list[_Cell]) -> _Header:
    width = style.WIDTH - 2 * style.MARGIN
    return _Header(
        title=wrapped(cleaned(chart.title), width, style.TITLE_SIZE, bold=True),
        subtitle=wrapped(cleaned(chart.subtitle), width, style.TEXT_SIZE),
        legend=entries_of(
            chart,
            weekends=any(cell.times.weekends() for cell in cells),
            broken=any(cell.values.broken for cell in cells),
        ),
    )


def _draw_header(page: Page, header: _Header) -> float:
    """Draws the header; returns the y where the panels begin."""
    top = float(style.MARGIN)
    bottom = page.paragraph(style.MARGIN, top, header.title, "title", size=style.TITLE_SIZE, bold=True)
    bottom = page.paragraph(style.MARGIN, bottom, header.subtitle, "subtitle", color=style.MUTED)
    draw_legend(page, bottom + _LEGEND_GAP, header.legend)
    return top + header.height


def _title_height(row: list[_Cell]) -> float:
    lines = max(len(cell.title) for cell in row)
    return lines * style.TEXT_SIZE * style.LINE_HEIGHT + _TITLE_GAP


def _insets(rows: list[list[_Cell]], row: list[_Cell]) -> list[float]:
    """How far the axes of a row's cells start right of the cells: for all cells of a column alike."""
    return [
        max(value_texts_width(cell.values) for cells in rows for cell in cells[number : number + 1])
        for number in range(len(row))
    ]
