"""What a back-test found, as a picture: the share of faults found as a field of colours, alerts beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import seaborn
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from metrics_platform.backtest.faults import FAULTS
from metrics_platform.backtest.report import headings
from metrics_platform.backtest.run import Row
from metrics_platform.charts import style

_ROW_HEIGHT, _TOP, _BOTTOM = 0.34, 1.5, 0.6  # inches
_WIDTH = 13.0


def write_picture(rows: Sequence[Row], title: str, file: Path) -> None:
    """Write the picture as PNG."""
    height = _TOP + _BOTTOM + _ROW_HEIGHT * len(rows)
    figure = Figure(figsize=(_WIDTH, height), dpi=120, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        1, 2, width_ratios=(1, 3.6), wspace=0.03, left=0.17, right=0.985, top=1 - _TOP / height, bottom=_BOTTOM / height
    )
    alerts, faults = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    shares = np.array([[_share(row, fault.name) for fault in FAULTS] for row in rows])
    seaborn.heatmap(
        shares,
        ax=faults,
        mask=np.isnan(shares),
        annot=np.array([[_label(row, fault.name) for fault in FAULTS] for row in rows]),
        fmt="",
        cmap=seaborn.light_palette(str(seaborn.color_palette("colorblind").as_hex()[0]), as_cmap=True),
        vmin=0,
        vmax=1,
        cbar=False,
        linewidths=2,
        yticklabels=False,
        xticklabels=headings()[4:],
    )
    faults.xaxis.tick_top()
    faults.tick_params(length=0, labelsize=10)
    faults.set_xlabel("share of faults found · median delay in slots", fontsize=10, color=style.MUTED)
    counts = [row.alerts_a_day for row in rows]
    alerts.barh(np.arange(len(rows)) + 0.5, counts, height=0.7, color=style.judged_color(), alpha=0.75)
    alerts.set_ylim(len(rows), 0)
    alerts.set_yticks(np.arange(len(rows)) + 0.5, [f"{row.metric} · {row.detector}" for row in rows], fontsize=10)
    alerts.set_xlim(0, max([*counts, 0.1]) * 1.3)
    for position, count in enumerate(counts):
        alerts.text(count, position + 0.5, f" {count:.2f}", va="center", fontsize=9, color=style.INK)
    alerts.set_xticks([])
    alerts.tick_params(length=0)
    alerts.set_xlabel("alerts a day", fontsize=10, color=style.MUTED)
    seaborn.despine(ax=alerts, left=True, bottom=True)
    figure.suptitle(title, x=0.012, y=1 - 0.28 / height, ha="left", va="center", fontsize=15, color=style.INK)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


def _share(row: Row, fault: str) -> float:
    found = row.found.get(fault)
    return np.nan if found is None else found.share


def _label(row: Row, fault: str) -> str:
    found = row.found.get(fault)
    if found is None:
        return ""
    return f"{found.share:.0%}" + ("" if found.delay is None else f" · {found.delay:.0f}")
