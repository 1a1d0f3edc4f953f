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


def smaller(png: bytes, width: int) -> bytes:
    """The picture at most `width` pixels wide, in 128 colours: a quarter of the bytes, for a page that shows it small.

    Bytes that are no picture come back as they are.
    """
    import io  # noqa: PLC0415

    from PIL import Image  # noqa: PLC0415

    try:
        with Image.open(io.BytesIO(png)) as image:
            size = (width, max(1, round(image.height * width / image.width))) if image.width > width else image.size
            # Half the time and half the bytes of the default method, and no worse to look at, with so few colours.
            method = Image.Quantize.FASTOCTREE
            shrunk = image.convert("RGB").resize(size, Image.Resampling.LANCZOS).quantize(128, method)
    except OSError:
        return png
    written = io.BytesIO()
    shrunk.save(written, "PNG", optimize=True)
    return written.getvalue()
