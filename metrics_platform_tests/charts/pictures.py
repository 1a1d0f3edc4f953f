"""Charts for the tests, and what can be asked of a drawn figure: its texts, its points, its artists."""

from __future__ import annotations

import datetime
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text

from metrics_platform.charts.model import Chart, Labels, Panel

SATURDAY = datetime.date(2026, 11, 21)
QUARTER = datetime.timedelta(minutes=15)
LAST_SLOT = datetime.datetime(2026, 11, 21, 7, 45, tzinfo=datetime.UTC)  # 10:45 in Moscow
LONG = "Сообщений, отправленных пользователями мессенджера из городов-миллионников, на одного отправителя"
LABELS = Labels(values="actual", previous="a day earlier", band="expected")


def days(count: int, last: datetime.date = SATURDAY) -> tuple[datetime.date, ...]:
    return tuple(last - datetime.timedelta(days=back) for back in reversed(range(count)))


def slots(count: int, last: datetime.datetime = LAST_SLOT) -> tuple[datetime.datetime, ...]:
    return tuple(last - back * QUARTER for back in reversed(range(count)))


def panel(values: Sequence[float | None], previous: Sequence[float | None] = (), **fields: Any) -> Panel:
    given = {"title": "Views", "times": days(len(values)), "values": tuple(values), "previous": tuple(previous)}
    return Panel(**{**given, "unit": "count", **fields})


def chart(*panels: Panel, **fields: Any) -> Chart:
    given = {"name": "test", "title": "Daily report", "labels": LABELS, "timezone": "Europe/Moscow"}
    return Chart(**{**given, "panels": panels, **fields})


def alert_panel(last: float | None = 0.0, **fields: Any) -> Panel:
    """A day of slots with a band and the day before; the last slot is marked and has the value `last`."""
    curve = [5000 + 4000 * math.sin(number / 15) for number in range(96)]
    given: dict[str, Any] = {
        "times": slots(96),
        "previous": tuple(value * 1.03 for value in curve),
        "lower": tuple(value * 0.9 for value in curve),
        "upper": tuple(value * 1.1 for value in curve),
        "marked": (LAST_SLOT, LAST_SLOT),
        "note": "no data" if last is None else f"{last:,.0f}",
    }
    return panel((*curve[:-1], last), **{**given, **fields})


def alert(last: float | None = 0.0, count: int = 1, **fields: Any) -> Chart:
    return chart(*[alert_panel(last)] * count, **{"title": "Views −100% at 10:45", **fields})


def report(count: int = 12, language: str = "en", titles: Sequence[str] = ()) -> Chart:
    """A daily report: `count` panels of seven days and the seven before."""
    panels = []
    for number in range(count):
        values = [10.0 ** (number % 8) * (20 + (number + day) % 5) for day in range(7)]
        before = [value * (0.8 + 0.07 * (number % 4)) for value in values]
        title = titles[number] if titles else f"Metric {number}"
        panels.append(panel(values, before, title=title, finding="22,104 · +3%"))
    return chart(*panels, language=language, labels=Labels(values="last 7 days", previous="7 days before"))


def drawn(one: Chart) -> Figure:
    from metrics_platform.charts.figure import exclusive_style, figure_of  # on use: every worker collects this file

    with exclusive_style():
        figure = figure_of(one)
        figure.draw_without_rendering()
    return figure


def shown_texts(figure: Figure) -> Iterator[Text]:
    """Every text that is seen, without the ticks that lie outside their axis."""
    hidden = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = axis.get_view_interval()
        outer = [tick for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]
        hidden |= {id(label) for tick in outer for label in (tick.label1, tick.label2)}
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text().strip() and id(text) not in hidden:
            yield text


def texts(figure: Figure, name: str) -> list[str]:
    return [text.get_text() for text in shown_texts(figure) if text.get_gid() == name]


def tick_texts(figure: Figure) -> list[str]:
    """The texts below the first axes."""
    shown = {id(text) for text in shown_texts(figure)}
    return [label.get_text() for label in figure.axes[0].get_xticklabels() if id(label) in shown]


def legend_texts(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """The pairs of texts that lie on each other by more than the pixel that rounding takes."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in shown_texts(figure)]
    return [
        (one, other)
        for (one, a), (other, b) in itertools.combinations(boxes, 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1
    ]


def outside(figure: Figure) -> list[str]:
    """The texts that leave the figure."""
    width, height = figure.bbox.size
    return [
        text.get_text()
        for text in shown_texts(figure)
        if (box := text.get_window_extent()).x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height
    ]


def artists(figure: Figure, name: str) -> list[Any]:
    """The artists called `name` in the first axes."""
    return [artist for artist in figure.axes[0].get_children() if artist.get_gid() == name]


def points(figure: Figure, name: str) -> list[tuple[float, float]]:
    """The points of the line called `name`; NaN is a gap."""
    return [(float(x), float(y)) for line in artists(figure, name) for x, y in np.asarray(line.get_xydata())]
