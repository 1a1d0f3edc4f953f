"""A heat map: shares by row and column, such as the retention of weekly cohorts."""

from __future__ import annotations

import math

from metrics_platform.charts.model import HeatMap
from metrics_platform.formats import formats_for

_WIDTH, _MARGIN, _GAP, _ROW, _TEXT = 1280, 40, 16, 84, 36


def heat_map_png(chart: HeatMap) -> bytes:
    """The PNG of `chart`, 1280 px wide."""
    import numpy as np  # noqa: PLC0415  (heavy, and few processes draw)
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.font_manager import FontProperties  # noqa: PLC0415
    from seaborn import heatmap  # noqa: PLC0415

    from metrics_platform.charts.figure import exclusive_style, png_bytes  # noqa: PLC0415

    formats = formats_for(chart.language)
    values = np.array([[math.nan if value is None else value for value in row] for row in chart.values])
    texts = [["" if value is None else formats.percent(value, 0) for value in row] for row in chart.values]
    head, axis = 190, 90
    height = head + axis + _ROW * len(chart.rows) + _MARGIN
    with exclusive_style():
        figure = Figure(figsize=(_WIDTH / 72, height / 72))
        renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
        font = FontProperties(size=_TEXT)
        names = (chart.corner, *chart.rows)
        left = _MARGIN + _GAP + max(renderer.get_text_width_height_descent(name, font, False)[0] for name in names)
        axes = figure.add_axes(
            (
                left / _WIDTH,
                _MARGIN / height,
                (_WIDTH - left - _MARGIN) / _WIDTH,
                _ROW * len(chart.rows) / height,
            )
        )
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
            annot_kws={"fontsize": _TEXT},
            xticklabels=list(chart.columns),
            yticklabels=list(chart.rows),
        )
        axes.tick_params(labeltop=True, labelbottom=False, labelleft=True, labelright=False, length=0, labelsize=_TEXT)
        axes.grid(visible=False)
        axes.set_yticklabels(axes.get_yticklabels(), rotation=0)
        figure.text(_MARGIN / _WIDTH, 1 - 85 / height, chart.title, fontsize=54, fontweight="bold")
        figure.text(_MARGIN / _WIDTH, 1 - 150 / height, chart.subtitle, fontsize=40, color="#595959")
        figure.text(_MARGIN / _WIDTH, 1 - 250 / height, chart.corner, fontsize=_TEXT, color="#595959")
        return png_bytes(figure)
