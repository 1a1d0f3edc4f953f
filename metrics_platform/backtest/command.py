"""What `metrics-platform backtest` does: takes a history, tries the detectors on it, prints and draws what came out."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from metrics_platform.backtest.generated import HOLIDAYS, generated_history
from metrics_platform.backtest.picture import write_picture
from metrics_platform.backtest.report import markdown_table, merged, terminal_table
from metrics_platform.backtest.run import Backtest, Row
from metrics_platform.calendar import SLOT, SlotRange, day_of, slot_at
from metrics_platform.detection.config import Detector
from metrics_platform.detection.seasonal import REACH
from metrics_platform.detection.series import SLOTS_A_DAY
from metrics_platform.monitor.configuration import load_monitoring
from metrics_platform.monitor.history import SlotHistory, read_history
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import tables_are_there
from metrics_platform.warehouse.tables import SLOT_METRICS

# Days before the first judged one, so that its baseline is whole.
WARM_UP_DAYS = -(-REACH // SLOTS_A_DAY)
GENERATED_DAYS = 60


class BacktestError(RuntimeError):
    """There is nothing to try the detectors on; the text says why and what to do."""


def try_on_history(
    settings: Settings, first: datetime.date | None, last: datetime.date | None, **how: object
) -> tuple[list[Row], str]:
    """Try the detectors on the days from `first` to `last` of `slot_metrics`; by default on all of them.

    Raises:
        BacktestError: no slots of these days are there.
        WarehouseError: ClickHouse refused, failed or did not answer.
        SchemaMismatchError: the table is there with other columns.
    """
    warehouse = Warehouse.from_settings(settings)
    known: dict[str, datetime.datetime | None] = {"first": None, "last": None}
    if tables_are_there(warehouse, [SLOT_METRICS]):
        (known,) = warehouse.query(
            "SELECT minOrNull(slot_start) AS first, maxOrNull(slot_start) AS last "
            "FROM slot_metrics WHERE dimension = 'total'",
            doing="Looking for slots",
        ).rows
    if known["first"] is None or known["last"] is None:
        raise BacktestError(
            "slot_metrics is empty: materialise it for a few weeks in Dagster first, or try --generated USERS."
        )
    start, end = slot_at(_utc(known["first"])), slot_at(_utc(known["last"]))
    if first is not None:
        start = max(start, slot_at(day_of(first, settings.zone).start), key=lambda each: each.start)
    if last is not None:
        end = min(end, slot_at(day_of(last, settings.zone).end - SLOT), key=lambda each: each.start)
    if end.start < start.start:
        raise BacktestError(
            f"slot_metrics has slots from {known['first']} to {known['last']} UTC, none of them in the days asked for."
        )
    slots = SlotRange.of(start, end)
    history = read_history(warehouse, slots, WARM_UP_DAYS * SLOTS_A_DAY + len(slots), settings)
    title = f"{len(slots) / SLOTS_A_DAY:.1f} days of slot_metrics, {start.key} – {end.key} UTC"
    return _run([history], len(slots), settings, **how), title  # type: ignore[arg-type]


def try_on_generated(settings: Settings, users: float, products: int, **how: object) -> tuple[list[Row], str]:
    """Try the detectors on GENERATED_DAYS of `products` made-up products with `users` of the feed in a slot.

    Their holidays are known to the detectors, as METRICS_HOLIDAYS makes those of a real product.
    """
    settings = settings.model_copy(update={"holidays": HOLIDAYS})
    histories = [generated_history(users, WARM_UP_DAYS + GENERATED_DAYS, seed) for seed in range(1, products + 1)]
    title = f"{products} × {GENERATED_DAYS} days of generated traffic, {users:g} users of the feed in a slot"
    return _run(histories, GENERATED_DAYS * SLOTS_A_DAY, settings, **how), title  # type: ignore[arg-type]


def tell(rows: Sequence[Row], title: str, *, markdown: bool, picture: Path | None, echo: Callable[[str], None]) -> None:
    """Print the table and write the picture."""
    if markdown:
        echo(markdown_table(rows))
    else:
        Console().print(terminal_table(rows, title))
    if picture is not None:
        write_picture(rows, title, picture)
        echo(f"Picture: {picture}")


def _run(
    histories: Sequence[SlotHistory], slots: int, settings: Settings, *, detectors: Sequence[Detector], trials: int
) -> list[Row]:
    monitoring = load_monitoring(settings)
    rows: list[Row] = []
    with Progress(transient=True) as progress:
        tests = [
            Backtest(history, slots, monitoring, detectors, trials, seed, settings.holidays)
            for seed, history in enumerate(histories)
        ]
        task = progress.add_task("Trying", total=len(tests) * len(monitoring) * len(detectors))
        for test in tests:
            for row in test.run():
                rows.append(row)
                progress.advance(task)
    return merged(rows)


def _utc(moment: datetime.datetime) -> datetime.datetime:
    return moment.replace(tzinfo=datetime.UTC)
