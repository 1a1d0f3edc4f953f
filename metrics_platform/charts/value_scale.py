"""The axis of values: where it begins and ends, its ticks, and how they are written.

A picture of numbers can lie by its axis alone. So an axis starts at zero, unless what varies would not be seen; then
it is *broken*, which the panel draws as a torn base line, and still shows so much of the range that noise looks like
noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from metrics_platform.catalog_entries import Unit
from metrics_platform.charts.model import Band, Panel
from metrics_platform.formats import Formats

# A variation smaller than this share of the highest value is not seen on an axis from zero. A rate moves by tenths of
# itself at most, and nobody reads its height as an amount.
_INVISIBLE: dict[Unit, float] = {"count": 0.15, "share": 0.40, "ratio": 0.40}
# Less than this is constant for every reader: zooming in would make a drama of it.
_CONSTANT = 0.002
# A broken axis shows at least this share of the highest value from bottom to top.
_LEAST_SPAN = 0.04
# … and below the lowest point as much of their range as the text of a last value needs, which else would go far above.
_ROOM_BELOW = 0.5
# A band wider than this many times the highest value leaves the picture rather than flattening the lines.
_WIDEST_BAND = 2.5
_NICE = (1.0, 2.0, 2.5, 5.0)
_ALL_ZERO_TOP: dict[Unit, float] = {"count": 1.0, "share": 0.1, "ratio": 1.0}
_NOTHING = 1e-9  # below it a value is zero for every reader


@dataclass(frozen=True)
class ValueScale:
    """An axis of values: limits, ticks with their texts, and what else has to be said about it.

    `unit` is what all tick texts leave out («тыс.»), to be written once in the panel's title; `broken` is an axis that
    does not start at zero.
    """

    bottom: float
    top: float
    ticks: tuple[float, ...]
    texts: tuple[str, ...]
    unit: str = ""
    broken: bool = False


def value_scale(panel: Panel, formats: Formats, most_ticks: int, headroom: float) -> ValueScale:
    """The axis of `panel` with at most so many ticks, `headroom` (0…1) of its height left free above the lines."""
    extent = _extent(panel)
    if extent is None:
        return ValueScale(0.0, 1.0, (), ())
    low, high = extent
    start = _bottom(low, high, panel.unit)
    for step in _steps((high - start) / most_ticks, panel.unit):
        bottom = math.floor(start / step + 1e-9) * step
        top = bottom + (high - bottom) / (1 - headroom)
        ticks = _ticks(bottom, top, step, highest=1.0 if panel.unit == "share" and high <= 1 else top)
        # Two ticks say what one step is; a wider span than the ticks cover would still crowd them.
        if len(ticks) <= most_ticks and (top - bottom) / step <= most_ticks:
            break
    texts, unit = _texts(ticks, step, panel.unit, formats)
    return ValueScale(bottom, top, ticks, texts, unit, broken=bottom > 0)


def value_text(value: float, unit: Unit, formats: Formats) -> str:
    """How a single value is written beside its point: exact while it is short, abbreviated from ten thousand on."""
    if unit == "share":
        return _share_text(value, 0 if value == 0 else 2 if abs(value) < 0.01 else 1, formats)
    if abs(value) < 10_000:
        return formats.number(value, 0 if unit == "count" and value == int(value) else None)
    return formats.compact(value)


def _extent(panel: Panel) -> tuple[float, float] | None:
    """The lowest and highest value to be shown; None where there is none."""
    values = [value for line in panel.lines for value in line.values if value is not None]
    if not values:
        values = _band_values(panel.band)
        if not values:
            return None
        low, high = max(min(values), 0.0), max(*values, 0.0)
    else:
        low, high = min(values), max(values)
        low, high = _with_band(low, high, _band_values(panel.band))
    if max(abs(low), abs(high)) < _NOTHING:
        return 0.0, _ALL_ZERO_TOP[panel.unit]
    return low, max(high, 0.0)


def _with_band(low: float, high: float, band: list[float]) -> tuple[float, float]:
    """The extent with the band in it, but for what of the band is far above the lines or below zero."""
    if not band:
        return low, high
    band_high = max(band) if high < _NOTHING else min(max(band), high * _WIDEST_BAND)
    band_low = max(min(band), 0.0) if low >= 0 else min(band)
    return min(low, band_low), max(high, band_high)


def _band_values(band: Band | None) -> list[float]:
    return [] if band is None else [value for value in (*band.lower, *band.upper) if value is not None]


def _bottom(low: float, high: float, unit: Unit) -> float:
    """Where the axis starts: zero, below zero for negative values, or above it where variation would not be seen."""
    if low <= 0:
        return low
    variation = (high - low) / high
    if not _CONSTANT < variation < _INVISIBLE[unit]:
        return 0.0
    return min(low - _ROOM_BELOW * (high - low), high - _LEAST_SPAN * high)


def _steps(least: float, unit: Unit) -> Iterator[float]:
    """The nice steps from `least` on, ever greater; whole for counts."""
    magnitude = 10.0 ** math.floor(math.log10(least))
    while True:
        for factor in _NICE:
            step = factor * magnitude
            if step >= least * (1 - 1e-9) and (unit != "count" or step >= 10 or step in {1.0, 2.0, 5.0}):
                yield step
        magnitude *= 10


def _ticks(bottom: float, top: float, step: float, highest: float) -> tuple[float, ...]:
    """The multiples of the step from bottom to top, none above `highest`."""
    first = math.ceil(bottom / step - 1e-9)
    last = math.floor(min(top, highest) / step + 1e-9)
    return tuple(number * step for number in range(first, last + 1))


def _texts(ticks: tuple[float, ...], step: float, unit: Unit, formats: Formats) -> tuple[tuple[str, ...], str]:
    """The texts of the ticks, all with the same decimals and unit; and the unit where it is too long to repeat."""
    if unit == "share":
        digits = _decimals(step * 100)
        return tuple(_share_text(tick, digits, formats) for tick in ticks), ""
    highest = max(abs(tick) for tick in ticks)
    power = int(math.log10(highest) // 3) if highest >= 2000 else 0
    scale = 1000.0**power
    name = _unit_name(power, formats)
    suffix = name if len(name) == 1 else ""
    digits = _decimals(step / scale)
    texts = tuple(formats.number(tick / scale, digits) + (suffix if tick else "") for tick in ticks)
    return texts, "" if suffix else name


def _share_text(share: float, digits: int, formats: Formats) -> str:
    """20.2%; from ten thousand per cent on, which is a fault of the numbers but has to fit, 12.4K%."""
    return formats.percent(share, digits) if abs(share) < 100 else f"{formats.compact(share * 100)}%"


def _unit_name(power: int, formats: Formats) -> str:
    """«K» or «тыс.» for the first power of a thousand, and so on: what the language's compact form calls it."""
    return formats.compact(1000.0**power).lstrip("1").strip() if power else ""


def _decimals(step: float) -> int:
    """How many decimals it takes to write multiples of `step`."""
    return next((digits for digits in range(9) if math.isclose(round(step, digits), step, rel_tol=1e-6)), 9)
