"""The value beside a line's last point: where there is room for it, so that it covers no line.

The text stands at the right end of the axes; what is sought is its height. Every line that passes through the text's
columns takes up some heights there; of what is left the place nearest to the point is taken. The axis of values leaves
room above all lines, so there is always one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

Interval = tuple[float, float]
Point = tuple[float, float]  # pixels; NaN is a gap


def taken_heights(line: Sequence[Point], left: float, right: float, margin: float) -> list[Interval]:
    """The heights that `line` takes up between two columns (all in pixels), with `margin` around it."""
    taken = [(y - margin, y + margin) for x, y in line if not math.isnan(y) and left - margin <= x <= right + margin]
    for (x0, y0), (x1, y1) in itertools.pairwise(line):
        if math.isnan(y0) or math.isnan(y1) or x1 < left - margin or x0 > right + margin:
            continue
        ends = [_height_at(min(max(x, x0), x1), (x0, y0), (x1, y1)) for x in (left - margin, right + margin)]
        taken.append((min(ends) - margin, max(ends) + margin))
    return taken


def nearest_free(wanted: float, height: float, taken: Iterable[Interval], within: Interval) -> float | None:
    """The middle of the free place of `height` that is nearest to `wanted`; None where there is none.

    Of two as near the upper one: a value stands above its point if it can.
    """
    bottom, top = within
    half = height / 2
    blocked = _merged((low - half, high + half) for low, high in taken)
    edges = [bottom + half, top - half, wanted, *itertools.chain.from_iterable(blocked)]
    free = [
        place
        for place in edges
        if bottom + half <= place <= top - half and not any(low < place < high for low, high in blocked)
    ]
    return min(free, key=lambda place: (round(abs(place - wanted), 3), -place), default=None)


def _height_at(x: float, start: Point, end: Point) -> float:
    (x0, y0), (x1, y1) = start, end
    return y0 if x1 == x0 else y0 + (y1 - y0) * (x - x0) / (x1 - x0)


def _merged(intervals: Iterable[Interval]) -> list[Interval]:
    merged: list[Interval] = []
    for low, high in sorted(intervals):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged
