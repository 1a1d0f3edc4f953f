"""Draw a `Chart` as a PNG.

matplotlib is imported with the first drawing: that takes a second, and most processes that import charts never draw.
"""

from __future__ import annotations

from metrics_platform.charts.heat_map import heat_map_png
from metrics_platform.charts.model import Drawable, HeatMap


def draw(chart: Drawable) -> bytes:
    """The PNG of `chart`: 1280 px wide on white, legible without zooming on a phone that shows it 390 px wide.

    The same chart gives the same bytes. No figure stays open. Threads may draw at the same time.
    """
    if isinstance(chart, HeatMap):
        return heat_map_png(chart)
    from metrics_platform.charts.figure import png_of  # noqa: PLC0415

    return png_of(chart)


def smaller(png: bytes, width: int) -> bytes:
    """The picture at most `width` pixels wide, in 128 colours: a quarter of the bytes, for a page that shows it small.

    Bytes that are not a picture are returned unchanged.
    """
    import io  # noqa: PLC0415

    from PIL import Image  # noqa: PLC0415

    try:
        with Image.open(io.BytesIO(png)) as image:
            size = (width, max(1, round(image.height * width / image.width))) if image.width > width else image.size
            # Takes half the time and half the bytes of the default method; no difference is seen with few colours.
            method = Image.Quantize.FASTOCTREE
            shrunk = image.convert("RGB").resize(size, Image.Resampling.LANCZOS).quantize(128, method)
    except OSError:
        return png
    written = io.BytesIO()
    shrunk.save(written, "PNG", optimize=True)
    return written.getvalue()
