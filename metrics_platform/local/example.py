"""`metrics-platform example`: the day's load and its report on real data, from an empty folder to what people read.

Starts an embedded ClickHouse of its own, loads the example's event files with `load`, runs `daily_etl` through
Dagster for a range of days in one run, then `daily_report` of the last of them, which becomes a page, and prints what
Redash would read. With `ui` it then serves Dagster's own UI on the same data until Ctrl-C. Nothing outside its
directory is touched; running it again starts afresh.
"""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from metrics_platform.calendar import RANGE_END, RANGE_START
from metrics_platform.local.clickhouse import running_server
from metrics_platform.local.dagster_local import (
    display_path,
    isolated_environment,
    run_job,
    running_dagster,
    stop_on_signals,
)
from metrics_platform.local.example_data import ExampleFiles, write_example
from metrics_platform.settings import Settings, load_settings

if TYPE_CHECKING:
    from metrics_platform.warehouse.client import Warehouse

# What marks a directory as ours to clear: a stranger's folder given by mistake must survive.
_MARKER = "metrics-platform-example"
_SHOWN_ROWS = """
SELECT dimension, dimension_value, views, likes, messages_received, messages_sent, users_received, users_sent
FROM dimension_metrics
WHERE event_date = {event_date:Date} AND dimension IN ('os', 'gender')
ORDER BY dimension DESC, views DESC
"""
_SHOWN_DAYS = """
SELECT
    event_date, sum(views) AS views, sum(likes) AS likes, sum(messages_sent) AS messages_sent,
    sumIf(messages_received, dimension_value = 'Android') AS received_on_android,
    sumIf(messages_received, dimension_value = 'iOS') AS received_on_ios,
    sumIf(messages_received, dimension_value = 'unknown') AS received_unknown
FROM dimension_metrics
WHERE dimension = 'os'
GROUP BY event_date ORDER BY event_date DESC LIMIT 7
"""


class ExampleError(RuntimeError):
    """The example cannot run here; the text says what to do."""


def run_example(directory: Path, *, days: int, ui: bool, port: int) -> int:
    """Run the example in `directory` for its first `days` days; returns the exit code.

    Raises:
        ExampleError: the directory holds something else, or a load through Dagster failed.
    """
    console = Console()
    directory = directory.absolute()
    _clear(directory)
    with console.status("Writing the example's event files …"):
        example = write_example(directory / "events")
    console.print(
        f"[bold]1.[/] {example.messages_rows:,} real messages (CollegeMsg) and {example.feed_rows:,} made feed events, "
        f"{example.first_day} – {example.last_day}, in {display_path(directory / 'events')}"
    )
    with running_server(directory / "clickhouse") as server:
        console.print(f"[bold]2.[/] An embedded ClickHouse answers on port {server.port}")
        with isolated_environment(directory, _settings(example)):
            settings = load_settings(env_file=None)
            _load(settings, example)
            first, last = (
                example.first_day,
                min(example.first_day + datetime.timedelta(days=days - 1), example.last_day),
            )
            with console.status(f"Running daily_etl through Dagster, {first} – {last} in one run …"):
                seconds = _materialize(first, last)
            count = (last - first).days + 1
            console.print(f"[bold]3.[/] daily_etl materialised {count} days × 9 tables in one run, in {seconds:.0f} s")
            with console.status(f"Writing the morning report of {last} …"):
                page = _report(settings, last)
            console.print(
                f"[bold]4.[/] The morning report of {last} is written as Telegram would get it; open it in a browser: "
                f"{display_path(page)}"
            )
            _show(console, settings, last)
            if ui:
                return _serve_ui(console, directory, port)
    console.print(
        "Look at it all in Dagster's UI: [bold]metrics-platform example --ui[/] · your own data: see «Your own "
        "ClickHouse» in the README."
    )
    return 0


def _clear(directory: Path) -> None:
    if directory.exists() and any(directory.iterdir()) and not (directory / _MARKER).exists():
        raise ExampleError(f"{directory} is not empty and was not made by this command. Name another with --directory.")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (directory / _MARKER).touch()


def _settings(example: ExampleFiles) -> dict[str, str]:
    return {
        "METRICS_START_DATE": example.first_day.isoformat(),
        "METRICS_END_DATE": example.last_day.isoformat(),
        "METRICS_TIMEZONE": example.zone,
        "METRICS_DRY_RUN": "true",  # a .env of the person's may name their chat
    }


def _load(settings: Settings, example: ExampleFiles) -> None:
    from metrics_platform.loading import load  # noqa: PLC0415

    load(
        settings,
        _warehouse(settings),
        feed=example.feed,
        messages=example.messages,
        strict=True,
        rejects_directory=example.feed.parent,
    )


def _materialize(first: datetime.date, last: datetime.date) -> float:
    """Run `daily_etl` for the range in this process; returns seconds."""
    import time  # noqa: PLC0415

    started = time.perf_counter()
    run_job("daily_etl", tags={RANGE_START: first.isoformat(), RANGE_END: last.isoformat()})
    return time.perf_counter() - started


def _report(settings: Settings, day: datetime.date) -> Path:
    """Ask for the report of the day to be sent, and deliver it: without a channel, into a page, which is returned."""
    import dagster as dg  # noqa: PLC0415

    key = f"report-{day}"
    run_job("daily_report_job", {"daily_report": {"config": {"send": True}}}, partition_key=day.isoformat())
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("notifications", [key])
    run_job("notify", partition_key=key)
    return settings.outbox / "index.html"


def _show(console: Console, settings: Settings, day: datetime.date) -> None:
    warehouse = _warehouse(settings)
    console.print()
    _print_rows(
        console, f"dimension_metrics of {day} (os and gender; age has a row per year)", warehouse, _SHOWN_ROWS, day
    )
    _print_rows(console, "The last seven days, from the same table", warehouse, _SHOWN_DAYS, day)


def _print_rows(console: Console, title: str, warehouse: Warehouse, sql: str, day: datetime.date) -> None:
    answer = warehouse.query(sql, {"event_date": day} if "{event_date" in sql else None)
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE, pad_edge=False)
    for column in answer.columns:
        # Headers break at their words, so that the table fits a terminal of 80 columns.
        table.add_column(column.replace("_", "\n"), justify="left" if column.startswith("dimension") else "right")
    for row in answer.rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row.values()))
    console.print(table)
    console.print()


def _serve_ui(console: Console, directory: Path, port: int) -> int:
    console.print("Starting Dagster's UI …")
    with stop_on_signals(), running_dagster(directory, port) as dagster:
        dagster.wait_until_ready()
        console.print(
            f"Dagster's UI: [bold]{dagster.url}[/] – open Assets → View lineage, or a partition of dimension_metrics. "
            "Ctrl-C ends it."
        )
        dagster.wait()
    return 0


def _warehouse(settings: Settings) -> Warehouse:
    from metrics_platform.warehouse.client import Warehouse  # noqa: PLC0415

    return Warehouse.from_settings(settings)
