"""What a chart shows, as plain frozen data: one or several metrics over days or slots.

Charts carry no wording of their own. matplotlib is imported with the first drawing: that takes a second, and most
processes that import charts never draw.
"""

from __future__ import annotations

import datetime
import io
from dataclasses import dataclass

from metrics_platform.catalog_entries import Unit
from metrics_platform.formats import Language

Values = tuple[float | None, ...]


@dataclass(frozen=True)
class Labels:
    """The words of a picture: what its lines, its band and its marked points are; an empty one is left out."""

    values: str = ""
    previous: str = ""
    band: str = ""
    marked: str = ""
    no_data: str = "no data"


@dataclass(frozen=True)
class Panel:
    """One metric on one axis: a value for each of `times`, None where it is unknown, which is drawn as a gap.

    Attributes:
        finding: the line below the title, such as the value and its change.
        times: dates, or the starts of slots (aware); ascending, at least one.
        previous: what `values` are compared with (an earlier week or day), at the same times, or empty.
        lower: the expected interval, with `upper`; both or neither may be empty.
        marked: the first and the last of the times that stand out.
        note: what is written beside the marked point where it is a single one, such as its value.
    """

    title: str
    unit: Unit
    times: tuple[datetime.datetime, ...] | tuple[datetime.date, ...]
    values: Values
    finding: str = ""
    previous: Values = ()
    lower: Values = ()
    upper: Values = ()
    marked: tuple[datetime.date, datetime.date] | None = None
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """One picture: a title that states the finding, and a panel for each metric (24 of them fit Telegram's photos).

    `name` is a slug for file names. Slots are shown in `timezone` (IANA name), numbers as `language` writes them.
    """

    name: str
    title: str
    panels: tuple[Panel, ...]
    subtitle: str = ""
    labels: Labels = Labels()
    timezone: str = "UTC"
    language: Language = "en"


@dataclass(frozen=True)
class HeatMap:
    """Shares (0…1, None where unknown) in `rows` by `columns`; `corner` is written above the rows' names."""

    name: str
    title: str
    subtitle: str
    corner: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[Values, ...]
    language: Language = "en"


Drawable = Chart | HeatMap


def draw(chart: Drawable) -> bytes:
    """The PNG of `chart`: 1280 px wide on white, legible without zooming on a phone that shows it 390 px wide.

    The same chart gives the same bytes. No figure stays open. Threads may draw at the same time.
    """
    from metrics_platform.charts.figure import png_of  # noqa: PLC0415

    return png_of(chart)


def shrink(png: bytes, width: int) -> bytes:
    """The picture at most `width` pixels wide, in 128 colours: a quarter of the bytes, for a page that shows it."""
    from PIL import Image  # noqa: PLC0415

    image, written = Image.open(io.BytesIO(png)).convert("RGB"), io.BytesIO()
    image.thumbnail((width, image.height), Image.Resampling.LANCZOS)
    # Takes half the time and half the bytes of the default method; no difference is seen with few colours.
    image.quantize(128, Image.Quantize.FASTOCTREE).save(written, "PNG")
    return written.getvalue()
