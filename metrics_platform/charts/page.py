"""A white page on which things are put at pixels: x from its left edge, y from its top edge.

matplotlib's own automatic layout knows neither a legend of several panels nor two charts of one width on a phone, so
the layout is the house's own, and every text is placed and measured in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.transforms import IdentityTransform

from metrics_platform.charts import style

_BEHIND = -1  # axes have 0: a line of zeros lies on the base line, not below it


class Page:
    """A figure of a given height in pixels (and the house's width) and the ways to put something on it.

    Everything is given an `identity` (matplotlib's `gid`), so that what a figure shows can be asked of it.
    """

    def __init__(self, height: float) -> None:
        self.height = round(height)
        size = (style.WIDTH / style.DOTS_PER_INCH, self.height / style.DOTS_PER_INCH)
        self.figure = Figure(figsize=size, dpi=style.DOTS_PER_INCH, facecolor="white")
        FigureCanvasAgg(self.figure)  # it makes itself the figure's canvas

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Bare axes: no ticks, no spines; what they show is drawn by the panel."""
        bottom = self.height - top - height
        box = (left / style.WIDTH, bottom / self.height, width / style.WIDTH, height / self.height)
        axes = self.figure.add_axes(box)
        axes.set_axis_off()
        axes.margins(0)
        return axes

    def text(
        self,
        x: float,
        y: float,
        text: str,
        identity: str,
        *,
        align: str = "left",
        color: str = style.INK,
        size: float = style.TEXT_SIZE,
        bold: bool = False,
        halo: bool = False,
    ) -> None:
        """One line of text, its middle at height `y`."""
        artist = self.figure.text(
            x,
            self.height - y,
            text,
            transform=IdentityTransform(),
            ha=align,
            va="center_baseline",
            color=color,
            fontsize=size,
            fontweight="bold" if bold else "normal",
            gid=identity,
        )
        if halo:
            artist.set_path_effects([withStroke(linewidth=9, foreground="white")])

    def paragraph(
        self,
        x: float,
        top: float,
        lines: Sequence[str],
        identity: str,
        *,
        color: str = style.INK,
        size: float = style.TEXT_SIZE,
        bold: bool = False,
    ) -> float:
        """Lines of text, one below the other; returns the y where they end."""
        for number, line in enumerate(lines):
            middle = top + (number + 0.5) * size * style.LINE_HEIGHT
            self.text(x, middle, line, identity, color=color, size=size, bold=bold)
        return top + len(lines) * size * style.LINE_HEIGHT

    def stroke(
        self,
        xs: Sequence[float],
        ys: Sequence[float],
        identity: str,
        *,
        color: str,
        width: float,
        dashes: tuple[float, ...] = (),
    ) -> None:
        """A line through points of the page, behind the data."""
        line = Line2D(
            list(xs),
            [self.height - y for y in ys],
            transform=IdentityTransform(),
            color=color,
            linewidth=width,
            linestyle=(0, tuple(dash / width for dash in dashes)) if dashes else "-",
            zorder=_BEHIND,
            gid=identity,
        )
        self.figure.add_artist(line)

    def box(
        self, left: float, top: float, width: float, height: float, *, color: str, alpha: float, identity: str
    ) -> None:
        """A filled rectangle, behind the data."""
        corner = (left, self.height - top - height)
        box = Rectangle(
            corner,
            width,
            height,
            transform=IdentityTransform(),
            facecolor=color,
            alpha=alpha,
            linewidth=0,
            zorder=_BEHIND,
            gid=identity,
        )
        self.figure.add_artist(box)


def torn(left: float, right: float, y: float) -> tuple[list[float], list[float]]:
    """The points of a zigzag: the base line of an axis that does not start at zero."""
    count = max(2, round((right - left) / 16))
    xs = [left + (right - left) * number / count for number in range(count + 1)]
    return xs, [y + (5 if number % 2 else -5) for number in range(count + 1)]
