"""What a back-test found, as a table: in the terminal, or in Markdown for a document."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from rich.table import Table

from metrics_platform.backtest.faults import FAULTS
from metrics_platform.backtest.run import Found, Row

_SHORT = {
    "outage of a slot": "outage\n15 min",
    "outage of an hour": "outage\n1 h",
    "no data": "no data\n1 h",
    "−30 % for 3 h": "−30 %\n3 h",
    "+60 % for a slot": "+60 %\n15 min",
    "slow leak over 6 h": "leak to\n−50 % 6 h",
    "CTR halved for 2 h": "CTR ÷2\n2 h",
    "one os −80 % for 2 h": "one slice\n−80 % 2 h",
}


def merged(rows: Iterable[Row]) -> list[Row]:
    """Rows of several histories put together, one per metric and detector, in the order of the first of each.

    Delays are the mean of the histories' medians, weighted by how often each found the fault.
    """
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.metric, row.detector].append(row)
    return [
        Row(
            metric=group[0].metric,
            detector=group[0].detector,
            days=sum(each.days for each in group),
            alerts=sum(each.alerts for each in group),
            slice_alerts=sum(each.slice_alerts for each in group),
            slices=group[0].slices,
            found={name: _together([each.found[name] for each in group]) for name in group[0].found},
        )
        for group in groups.values()
    ]


def _together(found: Sequence[Found]) -> Found:
    trials = sum(each.trials for each in found)
    known = [(each.delay, each.share * each.trials) for each in found if each.delay is not None]
    delay = float(np.average([each for each, _ in known], weights=[weight for _, weight in known])) if known else None
    return Found(sum(each.share * each.trials for each in found) / trials, delay, trials)


def headings() -> list[str]:
    """The columns, two lines each where they are faults."""
    return [
        "metric",
        "detector",
        "alerts\na day",
        "alerts a day,\nper slice",
        *(_SHORT[fault.name] for fault in FAULTS),
    ]


def cells(row: Row) -> list[str]:
    """A row's cells: of a fault the share that was found and the median delay in slots."""
    per_slice = f"{row.slice_alerts / row.days / row.slices:.3f}" if row.slices else "–"
    found = [_cell(row.found.get(fault.name)) for fault in FAULTS]
    return [row.metric, row.detector, f"{row.alerts_a_day:.3f}", per_slice, *found]


def _cell(found: Found | None) -> str:
    if found is None:
        return "–"
    return f"{found.share:.0%}" + ("" if found.delay is None else f" · {found.delay:.0f}")


def terminal_table(rows: Iterable[Row], title: str) -> Table:
    """The table for a terminal."""
    table = Table(title=title, caption="Of a fault: the share found · the median delay in slots of 15 minutes.")
    for number, heading in enumerate(headings()):
        table.add_column(heading, justify="left" if number < 2 else "right")
    for row in rows:
        table.add_row(*cells(row), end_section=row.detector == "iqr")
    return table


def markdown_table(rows: Iterable[Row]) -> str:
    """The table for a document."""
    lines = ["| " + " | ".join(heading.replace("\n", " ") for heading in headings()) + " |"]
    lines.append("|" + "---|" * 2 + "---:|" * (len(headings()) - 2))
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    return "\n".join(lines)
