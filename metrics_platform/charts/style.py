"""How charts look: sizes in pixels of a picture 1280 px wide, colours, strokes.

A phone shows the picture 390 px wide, so everything here shrinks by 3.3: the smallest text, 40 px, is then 12 px, which
is what phones themselves use for captions. Colours are seaborn's colour-blind palette; no two things differ in colour
alone. A figure has 72 dots per inch, at which a point of matplotlib is a pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import matplotlib.style
import seaborn

from metrics_platform.charts.model import LineStyle
from metrics_platform.charts.texts import FAMILY

FillKind = Literal["band", "judged", "compared", "weekend"]

WIDTH = 1280
DOTS_PER_INCH = 72
MARGIN = 40
TITLE_SIZE = 50
TEXT_SIZE = 40
LINE_HEIGHT = 1.25  # of the text size

INK = "#1a1a1a"
MUTED = "#595959"
GRID = "#dedede"


@dataclass(frozen=True)
class Stroke:
    """How a line is drawn; lengths in pixels, `dashes` in pixels on and off (empty: solid)."""

    color: str
    width: float
    dashes: tuple[float, ...]
    marker_size: float
    order: int


@lru_cache(maxsize=1)
def _palette() -> list[str]:
    return [str(color) for color in seaborn.color_palette("colorblind").as_hex()]


def judged_color() -> str:
    """Vermillion: what is judged."""
    return _palette()[3]


def stroke_of(style: LineStyle, number: int) -> Stroke:
    """The stroke of the `number`-th line (from 0) of its style in a panel.

    Further actual lines take the palette's other colours; further previous and reference lines other dashes.
    """
    if style == "actual":
        palette = _palette()
        # Blue, green, orange, purple, brown, sky blue, yellow: vermillion is the judged slot's, grey the comparison's.
        color = palette[(0, 2, 1, 4, 5, 9, 8)[number % 7]]
        return Stroke(color, 7, (), 15, 5)
    if style == "previous":
        return Stroke("#6e6e6e", 5, (20, 10 + 8 * number), 9, 4)
    return Stroke("#969696", 4.5, (4.5, 8 + 8 * number), 8, 3)


def fill_of(kind: FillKind) -> tuple[str, float]:
    """The colour and the opacity of what is filled; the band has the actual line's hue, lightly."""
    match kind:
        case "band":
            return _palette()[0], 0.18
        case "judged":
            return judged_color(), 0.35
        case "compared":
            return "#bdbdbd", 0.5
        case "weekend":
            return "#e9e9f0", 1.0


@contextmanager
def house_style() -> Iterator[None]:
    """Within it, matplotlib's settings are the house's, whatever the process or a `matplotlibrc` has set."""
    settings: dict[str, Any] = {
        **seaborn.axes_style("white"),
        "font.family": FAMILY,
        "text.parse_math": False,  # a title with two dollar signs is no formula
        "figure.dpi": DOTS_PER_INCH,
        "figure.facecolor": "white",
    }
    with matplotlib.style.context(["default", settings]):
        yield
