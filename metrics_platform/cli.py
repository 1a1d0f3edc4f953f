"""The commands: `metrics-platform …`. Thin: each reads its options, calls a room and prints what it says.

Rooms are imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import datetime
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from metrics_platform.findings import Finding

_FILE = click.Path(path_type=Path)
_CLICKHOUSE_PORT = 8123  # that of ClickHouse everywhere


def _check_detectors(_context: click.Context, _option: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    """Not a `click.Choice`: that needs the names before any command is known."""
    from metrics_platform.detection.config import DETECTORS  # noqa: PLC0415

    if unknown := [name for name in names if name not in DETECTORS]:
        raise click.BadParameter(f"Unknown detector {unknown[0]!r}. Choose from {', '.join(DETECTORS)}.")
    return names


class _Commands(click.Group):
    """Turns the errors that are meant for people into one message and exit code 1, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if type(error).__name__ not in _FOR_PEOPLE:
                raise
            message = str(error)
        raise click.ClickException(message)


# By name, so that no room is imported for the sake of its exceptions.
_FOR_PEOPLE = {
    "SettingsError",
    "NoWarehouseError",
    "WarehouseError",
    "SchemaMismatchError",
    "PartitionMismatchError",
    "LoadError",
    "DemoError",
    "DagsterError",
    "EmbeddedServerError",
    "CatalogError",
    "SourceError",
    "UnknownMetricError",
    "BacktestError",
}


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="metrics_platform")
def main() -> None:
    """The metrics desk of a product with a news feed and a messenger: Dagster over ClickHouse."""


@main.command()
@click.option("--path", type=_FILE, help="Where its data lie.  [default: METRICS_DATA_DIR/clickhouse]")
@click.option(
    "--port", type=int, help="Port of its HTTP interface, on 127.0.0.1.  [default: 8123, or else the next free one]"
)
@click.option(
    "--outlive-parent", is_flag=True, help="Go on when the program that started it has ended (for nohup and the like)."
)
@click.option("--parent-pid", type=int, hidden=True)
def clickhouse(path: Path | None, port: int | None, outlive_parent: bool, parent_pid: int | None) -> None:
    """Run the embedded ClickHouse in the foreground; prints READY and its address.

    Its users' URLs are in the files `url` (the platform) and `readonly_url` (BI tools) in its directory. Ctrl-C stops
    it.
    """
    from metrics_platform.local.clickhouse import serve  # noqa: PLC0415
    from metrics_platform.local.ports import next_free_port  # noqa: PLC0415
    from metrics_platform.settings import load_settings  # noqa: PLC0415

    directory = path or load_settings().data_dir / "clickhouse"
    if port is None:
        port = next_free_port(_CLICKHOUSE_PORT)
        if port != _CLICKHOUSE_PORT:
            click.echo(
                f"Port {_CLICKHOUSE_PORT} is taken by another program; using {port or 'any free one'} instead.",
                err=True,
            )
    sys.exit(serve(directory, port, outlive_parent=outlive_parent, parent_pid=parent_pid))


@main.command("create-tables")
def create_tables() -> None:
    """Create the tables that are missing, and migrate those of earlier versions. Running it again changes nothing.

    Switch the schedules off while it migrates.
    """
    from metrics_platform.settings import load_settings  # noqa: PLC0415
    from metrics_platform.warehouse import schema  # noqa: PLC0415
    from metrics_platform.warehouse.client import Warehouse  # noqa: PLC0415
    from metrics_platform.warehouse.slot_migration import migrate_slot_tables  # noqa: PLC0415
    from metrics_platform.warehouse.tables import all_tables  # noqa: PLC0415

    settings = load_settings()
    warehouse = Warehouse.from_settings(settings)
    for migrated in migrate_slot_tables(warehouse, settings):
        click.echo(
            f"Migrated {migrated.table}: {migrated.days} days, {migrated.rows} rows. The old table is kept as "
            f"{migrated.kept_as}; drop it when you no longer need it."
        )
    created = schema.create_tables(warehouse, all_tables(settings.dimensions))
    click.echo(f"Created in {warehouse.database}: {', '.join(created)}" if created else "All tables are there.")


@main.command("convert-monitoring")
@click.argument("file", type=_FILE)
def convert_monitoring(file: Path) -> None:
    """Print the catalogue (METRICS_CATALOG) that replaces a FILE of the removed setting METRICS_MONITORING_FILE."""
    from metrics_platform.monitoring_conversion import convert_monitoring_file  # noqa: PLC0415

    click.echo(convert_monitoring_file(file), nl=False)


@main.command()
@click.option("--feed", type=_FILE, help="Feed events: CSV, CSV.gz or Parquet.")
@click.option("--messages", type=_FILE, help="Messenger events: CSV, CSV.gz or Parquet.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="FIELD=NAME",
    help="A column with another name in the file, such as time=event_time; repeat it for several.",
)
@click.option("--time-zone", default="UTC", show_default=True, help="Zone of times without an offset.")
@click.option("--future", is_flag=True, help="Load events that are more than a day in the future.")
@click.option("--strict", is_flag=True, help="Load nothing if a row is bad.")
@click.option("--again", is_flag=True, help="Load a file that was loaded before (this duplicates its events).")
@click.option("--rejects", type=_FILE, default=Path(), show_default=True, help="Directory for the file of bad rows.")
def load(  # noqa: PLR0917  (one for each option)
    feed: Path | None,
    messages: Path | None,
    columns: tuple[str, ...],
    time_zone: str,
    future: bool,
    strict: bool,
    again: bool,
    rejects: Path,
) -> None:
    """Load event files into the source tables, creating them where they are missing.

    Bad rows are written to a file with line and reason; the others are loaded, all or none. A file that was loaded
    before is refused, also in another format.
    """
    from metrics_platform.loading import Options  # noqa: PLC0415
    from metrics_platform.loading import load as load_files  # noqa: PLC0415
    from metrics_platform.settings import load_settings  # noqa: PLC0415
    from metrics_platform.warehouse.client import Warehouse  # noqa: PLC0415

    if feed is None and messages is None:
        raise click.UsageError("Name at least one file: --feed FILE, --messages FILE, or both.")
    renamed = dict(column.partition("=")[::2] for column in columns)
    if not all(renamed.values()):
        raise click.BadParameter("Write it as FIELD=NAME, such as time=event_time.", param_hint="--column")
    settings = load_settings()
    result = load_files(
        settings,
        Warehouse.from_settings(settings),
        feed=feed,
        messages=messages,
        options=Options(strict, again, future, rejects, time_zone, renamed),
    )
    click.echo(str(result))


@main.command()
def doctor() -> None:
    """Look at the settings, at ClickHouse, the channels of messages and Dagster: each problem with its remedy.

    Nothing is sent. Exit code 0: all well; 1: not.
    """
    from metrics_platform.doctor import examine  # noqa: PLC0415

    told = _tell(examine())
    problems, notes = told["problem"], told["note"]
    well = f"No problem, {notes} note{'s' * (notes != 1)}." if notes else "All well."
    click.echo(f"{problems} problem{'s' * (problems != 1)}." if problems else well)
    sys.exit(1 if problems else 0)


@main.command("notify-test")
def notify_test() -> None:
    """Send one test message with a picture over every channel that is set up, and say where it arrived.

    Without a channel it goes to the outbox folder. Exit code 0: it arrived everywhere; 1: not.
    """
    from metrics_platform.notifications.test_message import send_test_message  # noqa: PLC0415
    from metrics_platform.settings import load_settings  # noqa: PLC0415

    sys.exit(1 if _tell(send_test_message(load_settings()))["problem"] else 0)


@main.command()
@click.option("--days", type=click.IntRange(8, 400), default=35, show_default=True, help="Days of history.")
@click.option("--port", type=click.IntRange(1, 65_535), default=3000, show_default=True, help="Port of Dagster's UI.")
@click.option("--fresh", is_flag=True, help="Forget the last demo and make a new product.")
@click.option(
    "--incident",
    type=click.Choice(["outage", "spike", "ctr", "ios", "payments"]),
    help="Break something, so that an alert comes when the slot ends; also in a demo that is already running.",
)
@click.option("--fast", is_flag=True, help="Replay the last eight hours, each 15-minute slot in one minute.")
@click.option("--send", is_flag=True, help="Send messages by the channels of your .env, instead of into the outbox.")
@click.option("--browser/--no-browser", default=True, help="Open Dagster's UI in your browser.  [default: browser]")
@click.option("--directory", type=_FILE, default=Path(".metrics/demo"), show_default=True, help="Where the demo lives.")
def demo(**options: Any) -> None:
    """Run the whole platform on a made-up product: starts a ClickHouse with weeks of history and live events,
    computes every table, and opens Dagster's UI with all schedules and sensors on. Ctrl-C leaves nothing behind; the
    next start continues."""
    from metrics_platform.local.demo.command import Options, run_demo  # noqa: PLC0415

    sys.exit(run_demo(Options(**options)))


@main.command()
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="First day.  [default: the first there is]")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="Last day.  [default: the last there is]")
@click.option(
    "--generated",
    type=click.FloatRange(min=1),
    metavar="USERS",
    help="Use made-up traffic of USERS active users a slot.",
)
@click.option("--products", type=click.IntRange(1, 100), default=4, show_default=True, help="Made-up products.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="METRIC",
    help="A metric of the catalogue; repeat it for several.  [default: all that are monitored]",
)
@click.option(
    "--detector",
    "detectors",
    multiple=True,
    metavar="DETECTOR",
    callback=_check_detectors,
    help="A detector (docs/monitoring.md); repeat it for several.  [default: all]",
)
@click.option("--trials", type=click.IntRange(1, 10_000), default=40, show_default=True, help="Trials of each fault.")
@click.option("--picture", type=_FILE, help="Also write a picture (PNG).")
@click.option("--markdown", is_flag=True, help="Print the table in Markdown.")
def backtest(  # noqa: PLR0917  (one for each option)
    first: Any,
    last: Any,
    generated: float | None,
    products: int,
    metrics: tuple[str, ...],
    detectors: tuple[Any, ...],
    trials: int,
    picture: Path | None,
    markdown: bool,
) -> None:
    """Test the detectors on your history: alerts a day, and the share of injected faults that they find.

    Reads `slot_metrics` and METRICS_CATALOG, and changes nothing, so you can test thresholds before they alert you.
    """
    from metrics_platform.detection.config import DETECTORS  # noqa: PLC0415
    from metrics_platform.monitor import backtest as tests  # noqa: PLC0415
    from metrics_platform.settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    options: dict[str, Any] = {"detectors": detectors or DETECTORS, "trials": trials, "names": metrics}
    if generated is not None:
        rows, title = tests.backtest_generated(settings, generated, products, **options)
    else:
        days = [day.date() if day else None for day in (first, last)]
        rows, title = tests.backtest_history(settings, *days, **options)
    tests.show(rows, title, markdown=markdown, picture=picture, echo=click.echo)


@main.command()
@click.argument("name", required=False)
@click.option("--schema", is_flag=True, help="Print the JSON schema of the catalogue's format, for editors.")
def metrics(name: str | None, schema: bool) -> None:
    """List the metrics of the catalogue, or try one: NAME shows its SQL and its values in the last two hours.

    Without NAME, each metric has its latest values and its state. With NAME, the entry is computed now, straight from
    its source; nothing is written. Entries that cannot be computed are named with the remedy.
    """
    from rich.console import Console  # noqa: PLC0415

    from metrics_platform import metrics_command  # noqa: PLC0415
    from metrics_platform.catalog_schema import FILE  # noqa: PLC0415
    from metrics_platform.settings import load_settings  # noqa: PLC0415

    if schema:
        click.echo(FILE.read_text(encoding="utf-8"), nl=False)
        return
    settings, console = load_settings(), Console()
    if name is not None:
        metrics_command.show_metric(settings, name, console)
    elif not metrics_command.list_metrics(settings, console):
        sys.exit(1)


@main.command()
@click.argument("day", type=click.DateTime(["%Y-%m-%d"]), required=False)
@click.option("--send", is_flag=True, help="Send it now over every channel that is set up.")
@click.option(
    "--output", type=_FILE, default=Path("report"), show_default=True, help="Directory for the pictures (PNG)."
)
def report(day: datetime.datetime | None, send: bool, output: Path) -> None:
    """Print the morning report of DAY (yesterday by default) and write its pictures.

    Dagster need not be running. Exit code 0: done; 1: a channel did not take it.
    """
    from metrics_platform import report_command  # noqa: PLC0415
    from metrics_platform.settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    yesterday = datetime.datetime.now(settings.zone).date() - datetime.timedelta(days=1)
    made = report_command.build_report(day.date() if day else yesterday, settings)
    text, files = report_command.write_report(made, settings, output)
    click.echo(text)
    for file in files:
        click.echo(f"Picture: {file}")
    if send and _tell(report_command.send_report(made, settings))["problem"]:
        sys.exit(1)


def _tell(findings: Iterable[Finding]) -> Counter[str]:
    """Print findings as they are made; how many there are of each status."""
    marks = {
        "ok": click.style("✓", fg="green"),
        "note": click.style("!", fg="yellow"),
        "problem": click.style("✗", fg="red"),
    }
    counted: Counter[str] = Counter()
    for finding in findings:
        counted[finding.status] += 1
        click.echo(f"{marks[finding.status]} {click.style(finding.subject, bold=True)}: {finding.detail}")
        if finding.remedy:
            click.echo(f"    → {finding.remedy}")
    return counted


if __name__ == "__main__":
    main()
