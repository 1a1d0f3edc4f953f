"""The one door to the pictures: a `Chart` in, the bytes of a PNG out.

What draws is imported on the first drawing: matplotlib and seaborn take a second, and most processes of the platform
that know charts never draw one.
"""

from __future__ import annotations

from metrics_platform.charts.model import Chart


def draw(chart: Chart) -> bytes:
    """The PNG of `chart`: 1280 px wide on white, legible without zooming on a phone that shows it 390 px wide.

    The same chart gives the same bytes. Any `Chart` can be drawn; no drawing leaves a figure open.
    """
    from metrics_platform.charts.figure import png_of  # noqa: PLC0415

    return png_of(chart)
