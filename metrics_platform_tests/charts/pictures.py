"""Charts for the tests, and what can be asked of a drawn figure: its texts, its series in pixels, its lines."""

from __future__ import annotations

import datetime
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from metrics_platform.charts.model import Band, Chart, Line, Mark, Panel

SATURDAY = datetime.date(2026, 11, 21)
QUARTER = datetime.timedelta(minutes=15)
LAST_SLOT = datetime.datetime(2026, 11, 21, 7, 45, tzinfo=datetime.UTC)  # 10:45 in Moscow
LONG = "Сообщений, отправленных пользователями мессенджера из городов-миллионников, на одного отправителя"

Values = Sequence[float | None]


def days(count: int, last: datetime.date = SATURDAY) -> tuple[datetime.date, ...]:
    return tuple(last - datetime.timedelta(days=back) for back in reversed(range(count)))


def slots(count: int, last: datetime.datetime = LAST_SLOT) -> tuple[datetime.datetime, ...]:
    return tuple(last - back * QUARTER for back in reversed(range(count)))


def panel(actual: Values, previous: Values | None = None, **fields: Any) -> Panel:
    lines = [Line(label="this week", values=tuple(actual), style="actual")]
    if previous is not None:
        lines.append(Line(label="the week before", values=tuple(previous), style="previous"))
    return Panel(**{"title": "Views", "times": days(len(actual)), "lines": tuple(lines), "unit": "count", **fields})


def chart(*panels: Panel, **fields: Any) -> Chart:
    return Chart(**{"name": "test", "title": "Daily report", "panels": panels, "timezone": "Europe/Moscow", **fields})


def alert(last: float | None = 0.0, **fields: Any) -> Chart:
    """A day of 15-minute slots with a band and two references; the last slot is judged and has the value `last`."""
    curve = [5000 + 4000 * math.sin(number / 15) for number in range(96)]
    shown = Panel(
        title="Views",
        times=slots(96),
        unit="count",
        lines=(
            Line(label="a week ago", values=tuple(value * 0.95 for value in curve), style="reference"),
            Line(label="yesterday", values=tuple(value * 1.03 for value in curve), style="previous"),
            Line(label="today", values=(*curve[:-1], last), style="actual"),
        ),
        band=Band(
            label="expected", lower=tuple(value * 0.9 for value in curve), upper=tuple(value * 1.1 for value in curve)
        ),
        marks=(
            Mark(start=LAST_SLOT, end=LAST_SLOT + QUARTER, label="judged", style="judged"),
            Mark(start=LAST_SLOT - 8 * QUARTER, end=LAST_SLOT - 3 * QUARTER, label="compared", style="compared"),
        ),
    )
    return chart(shown, **{"title": "Views −100%", **fields})


def report(count: int = 12, language: str = "en", titles: Sequence[str] = ()) -> Chart:
    """A daily report: so many panels of seven days and the seven before."""
    panels = []
    for number in range(count):
        actual = [10.0 ** (number % 8) * (20 + (number + day) % 5) for day in range(7)]
        title = titles[number] if titles else f"Metric {number}"
        panels.append(panel(actual, [value * (0.8 + 0.07 * (number % 4)) for value in actual], title=title))
    return chart(*panels, language=language)


def texts(figure: Figure, identity: str) -> list[str]:
    return [text.get_text() for text in figure.texts if text.get_gid() == identity]


def boxes(figure: Figure, *identities: str) -> list[tuple[str, Bbox]]:
    """Every text with its extent in pixels; of the given identities only, if there are any."""
    return [
        (f"{text.get_gid()} {text.get_text()!r}", text.get_window_extent())
        for text in figure.texts
        if not identities or text.get_gid() in identities
    ]


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """The pairs of texts that lie on each other by more than the pixel that rounding takes."""
    return [
        (one, other)
        for (one, a), (other, b) in itertools.combinations(boxes(figure), 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1
    ]


def outside(figure: Figure) -> list[str]:
    """The texts that leave the figure."""
    width, height = figure.bbox.width, figure.bbox.height
    return [name for name, box in boxes(figure) if box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height]


def series(figure: Figure, identity: str, number: int = 0) -> list[tuple[float, float]]:
    """The data points of the artists called `identity` in the `number`-th axes; NaN is a gap."""
    return [
        (float(x), float(y))
        for line in figure.axes[number].get_lines()
        if line.get_gid() == identity
        for x, y in np.asarray(line.get_xydata(), dtype=float)
    ]


def crossed(figure: Figure, box: Bbox, number: int = 0) -> list[str]:
    """The lines and dots of the `number`-th axes that pass through `box`, sampled at every pixel and less."""
    found = []
    axes = figure.axes[number]
    for line in axes.get_lines():
        name = str(line.get_gid())
        if not name.startswith(("line", "dots", "judged")):
            continue
        points = [tuple(point) for point in axes.transData.transform(line.get_xydata())]
        if not name.startswith("line"):
            points = [point for point in points for _twice in range(2)]
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            if math.isnan(y0) or math.isnan(y1):
                continue
            parts = max(1, math.ceil(max(abs(x1 - x0), abs(y1 - y0))))
            between = ((x0 + (x1 - x0) * part / parts, y0 + (y1 - y0) * part / parts) for part in range(parts + 1))
            if any(box.x0 < x < box.x1 and box.y0 < y < box.y1 for x, y in between):
                found.append(name)
                break
    return found


def artists(figure: Figure, identity: str, number: int = 0) -> list[Any]:
    """What is called `identity` in the `number`-th axes."""
    return [artist for artist in figure.axes[number].get_children() if artist.get_gid() == identity]


def drawn(one: Chart) -> Figure:
    from metrics_platform.charts.figure import figure_of  # with seaborn: on use, since every worker collects this file

    return figure_of(one)


def base_lines(figure: Figure) -> list[str]:
    """The base lines of all panels, by what they are called."""
    return [str(artist.get_gid()) for artist in figure.get_children() if "base" in str(artist.get_gid())]
