"""The legend: what each kind of line, band and span means, said once for all panels, above them and never over data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from metrics_platform.charts import style
from metrics_platform.charts.model import Chart, Line, LineStyle, Panel
from metrics_platform.charts.page import Page, torn
from metrics_platform.charts.texts import WORDS, cleaned, shortened, width_of

Kind = Literal["actual", "previous", "reference", "band", "judged", "compared", "weekend", "broken"]

_SAMPLE = 72  # the width of the drawn sample
_SPACE = 16  # between the sample and its text
_BETWEEN = 44  # between two entries
ROW = 54
_MOST_NAMES = 3


@dataclass(frozen=True)
class Entry:
    """One line of the legend: what is drawn, the how-many-eth of its kind it is in a panel, and what it means."""

    kind: Kind
    number: int
    text: str


@dataclass(frozen=True)
class _Placed:
    entry: Entry
    left: float
    row: int


def numbered(lines: Iterable[Line]) -> list[tuple[int, Line]]:
    """Each line with its number among the panel's lines of the same style, which decides how it is drawn."""
    counts: dict[LineStyle, int] = {}
    result = []
    for line in lines:
        result.append((counts.get(line.style, 0), line))
        counts[line.style] = counts.get(line.style, 0) + 1
    return result


def entries_of(chart: Chart, weekends: bool, broken: bool) -> list[Entry]:
    """What has to be explained in `chart`; `weekends` and `broken` say whether any panel shows one."""
    words = WORDS[chart.language]
    entries = [
        *_line_entries(chart.panels),
        *_named("band", (panel.band.label for panel in chart.panels if panel.band is not None)),
        *_named("judged", _mark_labels(chart.panels, "judged")),
        *_named("compared", _mark_labels(chart.panels, "compared")),
    ]
    if weekends:
        entries.append(Entry("weekend", 0, words["weekend"]))
    if broken:
        entries.append(Entry("broken", 0, words["broken"]))
    return [entry for entry in entries if entry.text]


def height_of_legend(entries: Sequence[Entry]) -> float:
    """The height in pixels that the legend takes."""
    placed = list(_placed(entries))
    return (placed[-1].row + 1) * ROW if placed else 0


def draw_legend(page: Page, top: float, entries: Sequence[Entry]) -> None:
    """Puts the legend on the page, its rows below `top`."""
    for placed in _placed(entries):
        middle = top + (placed.row + 0.5) * ROW
        _draw_sample(page, placed.entry, placed.left, middle)
        page.text(placed.left + _SAMPLE + _SPACE, middle, placed.entry.text, "legend")


def _line_entries(panels: Sequence[Panel]) -> Iterator[Entry]:
    """An entry for each way a line is drawn. Where every panel names it by its own title, the titles say it."""
    names: dict[tuple[LineStyle, int], dict[str, None]] = {}
    several = any(sum(line.style == "actual" for line in panel.lines) > 1 for panel in panels)
    for panel in panels:
        for number, line in numbered(panel.lines):
            if line.style == "actual" and not several and line.label == panel.title:
                continue
            names.setdefault((line.style, number), {})[cleaned(line.label)] = None
    order: tuple[LineStyle, ...] = ("actual", "previous", "reference")
    for key in sorted(names, key=lambda key: (order.index(key[0]), key[1])):
        if len(names[key]) > _MOST_NAMES and key[0] == "actual":
            continue
        yield Entry(key[0], key[1], _joined(names[key]))


def _mark_labels(panels: Sequence[Panel], mark_style: str) -> Iterator[str]:
    return (mark.label for panel in panels for mark in panel.marks if mark.style == mark_style)


def _named(kind: Kind, labels: Iterable[str]) -> Iterator[Entry]:
    names = dict.fromkeys(cleaned(label) for label in labels)
    if names:
        yield Entry(kind, 0, _joined(names))


def _joined(names: Iterable[str]) -> str:
    width = style.WIDTH - 2 * style.MARGIN - _SAMPLE - _SPACE
    return shortened(" / ".join(name for name in names if name), width, style.TEXT_SIZE)


def _placed(entries: Sequence[Entry]) -> Iterator[_Placed]:
    """The entries one after the other, in as many rows as it takes."""
    left, row = float(style.MARGIN), 0
    for entry in entries:
        width = _SAMPLE + _SPACE + width_of(entry.text, style.TEXT_SIZE)
        if left > style.MARGIN and left + width > style.WIDTH - style.MARGIN:
            left, row = float(style.MARGIN), row + 1
        yield _Placed(entry, left, row)
        left += width + _BETWEEN


def _draw_sample(page: Page, entry: Entry, left: float, middle: float) -> None:
    identity = f"legend {entry.kind}"
    match entry.kind:
        case "actual" | "previous" | "reference":
            stroke = style.stroke_of(entry.kind, entry.number)
            page.stroke(
                (left, left + _SAMPLE),
                (middle, middle),
                identity,
                color=stroke.color,
                width=stroke.width,
                dashes=stroke.dashes,
            )
        case "broken":
            page.stroke(*torn(left, left + _SAMPLE, middle), identity, color=style.MUTED, width=3)
        case "band" | "judged" | "compared" | "weekend":
            color, alpha = style.fill_of(entry.kind)
            page.box(left, middle - 17, _SAMPLE, 34, color=color, alpha=alpha, identity=identity)
