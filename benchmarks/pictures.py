"""Question 6: how long a picture of the report and one of an alert take, after imports."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.measure import alone, median_seconds


@dataclass(frozen=True)
class Result:
    """Seconds: the first picture of a process, imports included; then the median of each kind; bytes."""

    first: float
    report: float
    alert: float
    report_bytes: int
    alert_bytes: int


def run() -> Result:
    """Draw them in a process of its own."""
    return alone(_draw)


def _draw() -> Result:
    from metrics_platform_tests.charts import pictures  # noqa: PLC0415  (the charts, not what draws them)

    report, alert = pictures.report(4), pictures.alert(0.0)
    began = time.perf_counter()
    from metrics_platform.charts.model import draw  # noqa: PLC0415

    first = draw(alert)
    return Result(
        time.perf_counter() - began,
        median_seconds(lambda: draw(report), 5),
        median_seconds(lambda: draw(alert), 5),
        len(draw(report)),
        len(first),
    )


def summary(result: Result) -> str:
    """The result in Markdown."""
    return (
        f"A picture of the report, four panels: {result.report:.2f} s ({result.report_bytes // 1024} KiB); one of an "
        f"alert: {result.alert:.2f} s ({result.alert_bytes // 1024} KiB); the first of a process, imports included: "
        f"{result.first:.2f} s."
    )
