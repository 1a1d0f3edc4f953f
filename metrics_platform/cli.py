"""The `metrics-platform` commands. Each reads its options, calls a package and prints the result.

Packages are imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import datetime
import os
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from metrics_platform.findings import Finding

_FILE = click.Path(path_type=Path)
_CLICKHOUSE_PORT = 8123  # ClickHouse's usual HTTP port


def _check_detectors(_context: click.Context, _option: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    """Check detector names. `click.Choice` would import the detectors for every command."""
    from metrics_platform.detection.config import DETECTORS

    if unknown := [name for name in names if name not in DETECTORS]:
        raise click.BadParameter(f"Unknown detector {unknown[0]!r}. Choose from {', '.join(DETECTORS)}.")
    return names


class _Commands(click.Group):
    """Prints errors of files and the platform's own ones, which are written for users, and exits with code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.filename is None:
                raise
            message = f"{error.filename}: {error.strerror}. Choose another path, or correct its rights."
        except Exception as error:
            if not type(error).__module__.startswith("metrics_platform."):
                raise
            message = str(error)
        raise click.ClickException(message)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="metrics_platform")
def main() -> None:
    """Compute, monitor and report the metrics of a news feed and a messenger, with Dagster and ClickHouse."""


@main.command()
@click.option("--path", type=_FILE, help="Directory for its data.  [default: METRICS_DATA_DIR/clickhouse]")
@click.option(
    "--port", type=int, help="Port of its HTTP interface on 127.0.0.1.  [default: 8123, or the next free port]"
)
@click.option(
    "--outlive-parent", is_flag=True, help="Keep running after the program that started it has ended, as with nohup."
)
@click.option("--parent-pid", type=int, hidden=True)
def clickhouse(path: Path | None, port: int | None, outlive_parent: bool, parent_pid: int | None) -> None:
    """Run the embedded ClickHouse in the foreground, and print READY and its address.

    Its directory holds the URLs to connect with: `url` for the platform and `readonly_url` for BI tools. Press Ctrl-C
    to stop it.
    """
    from metrics_platform.local.clickhouse import next_free_port, serve
    from metrics_platform.settings import load_settings

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
    """Create missing tables and migrate those of earlier versions. Running it again changes nothing.

    Switch the schedules off while it migrates.
    """
    from metrics_platform.settings import load_settings
    from metrics_platform.warehouse import schema
    from metrics_platform.warehouse.client import Warehouse
    from metrics_platform.warehouse.slot_migration import migrate_slot_tables
    from metrics_platform.warehouse.tables import all_tables

    settings = load_settings()
    warehouse = Warehouse.from_settings(settings)
    for migrated in migrate_slot_tables(warehouse, settings):
        click.echo(
            f"Migrated {migrated.table}: {migrated.days} days, {migrated.rows} rows. The old table is kept as "
            f"{migrated.kept_as}; drop it when you no longer need it."
        )
    created = schema.create_tables(warehouse, all_tables(settings.dimensions))
    click.echo(f"Created in {warehouse.database}: {', '.join(created)}" if created else "All tables exist.")


@main.command()
@click.option("--feed", type=_FILE, help="Feed events: CSV, CSV.gz or Parquet.")
@click.option("--messages", type=_FILE, help="Messenger events: CSV, CSV.gz or Parquet.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="FIELD=NAME",
    help="Read FIELD from the column NAME, such as time=event_time. Repeatable.",
)
@click.option("--time-zone", default="UTC", show_default=True, help="Time zone of times without an offset.")
@click.option("--future", is_flag=True, help="Load events that are more than a day in the future.")
@click.option("--strict", is_flag=True, help="Load nothing if any row is invalid.")
@click.option("--again", is_flag=True, help="Load the file even if it was loaded before (this duplicates its events).")
@click.option("--rejects", type=_FILE, default=Path(), show_default=True, help="Directory for files of rejected rows.")
def load(feed: Path | None, messages: Path | None, columns: tuple[str, ...], **options: Any) -> None:
    """Load event files into the source tables. Missing tables are created.

    Invalid rows are written to a file with their line and reason. All other rows are loaded, or none if the load fails.
    A file that was loaded before is rejected, even in another format.
    """
    from metrics_platform.loading import Options
    from metrics_platform.loading import load as load_files
    from metrics_platform.settings import load_settings
    from metrics_platform.warehouse.client import Warehouse

    if feed is None and messages is None:
        raise click.UsageError("Name at least one file: --feed FILE, --messages FILE, or both.")
    renamed = dict(column.partition("=")[::2] for column in columns)
    if not all(renamed.values()):
        raise click.BadParameter("Write it as FIELD=NAME, such as time=event_time.", param_hint="--column")
    settings = load_settings()
    warehouse, load_options = Warehouse.from_settings(settings), Options(columns=renamed, **options)
    loaded = load_files(settings, warehouse, feed=feed, messages=messages, options=load_options)
    for file in loaded:
        click.echo(str(file))


@main.command()
def doctor() -> None:
    """Check the settings, ClickHouse, the message channels and Dagster, and say how to fix each problem.

    Sends no message. Exits with code 1 if there is a problem.
    """
    from metrics_platform.doctor import examine

    counted = _print_findings(examine())
    problems, notes = counted["problem"], counted["note"]
    well = f"No problem, {notes} note{'s' * (notes != 1)}." if notes else "All well."
    click.echo(f"{problems} problem{'s' * (problems != 1)}." if problems else well)
    sys.exit(1 if problems else 0)


@main.command("notify-test")
def notify_test() -> None:
    """Send a test message with a picture to every channel that is set up, and report which ones delivered it.

    If no channel is set up, the message goes to the outbox folder. Exits with code 1 if a channel failed.
    """
    from metrics_platform.notifications.channels import send_test_message
    from metrics_platform.settings import load_settings

    sys.exit(1 if _print_findings(send_test_message(load_settings()))["problem"] else 0)


@main.command()
@click.option("--days", type=click.IntRange(8, 400), default=35, show_default=True, help="Days of history.")
@click.option("--port", type=click.IntRange(1, 65_535), default=3000, show_default=True, help="Port of Dagster's UI.")
@click.option("--fresh", is_flag=True, help="Delete the last demo and create a new product.")
@click.option(
    "--incident",
    type=click.Choice(["outage", "spike", "ctr", "ios", "payments"]),
    help="Break something. The alert arrives when the current slot ends. Also works in a running demo.",
)
@click.option("--fast", is_flag=True, help="Replay the last eight hours, each 15-minute slot in one minute.")
@click.option("--send", is_flag=True, help="Send messages over the channels in your .env instead of to the outbox.")
@click.option("--browser/--no-browser", default=True, help="Open Dagster's UI in your browser.  [default: browser]")
@click.option(
    "--directory", type=_FILE, default=Path(".metrics/demo"), show_default=True, help="Directory of the demo."
)
def demo(**options: Any) -> None:
    """Run the whole platform on a simulated product.

    Starts a ClickHouse with weeks of history and live events, computes every table, and opens Dagster's UI with all
    schedules and sensors on. Ctrl-C stops every process; the next start continues where it left off.
    """
    from metrics_platform.local.demo.command import Options, run_demo

    sys.exit(run_demo(Options(**options)))


@main.command()
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="First day.  [default: the first with data]")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="Last day.  [default: the last with data]")
@click.option(
    "--generated",
    type=click.FloatRange(min=1),
    metavar="USERS",
    help="Use simulated traffic with USERS active users per slot.",
)
@click.option(
    "--products", type=click.IntRange(1, 100), default=4, show_default=True, help="Number of simulated products."
)
@click.option(
    "--metric",
    "names",
    multiple=True,
    metavar="METRIC",
    help="Metric to test. Repeatable.  [default: all monitored metrics]",
)
@click.option(
    "--detector",
    "detectors",
    multiple=True,
    metavar="DETECTOR",
    callback=_check_detectors,
    help="Detector to test (see docs/monitoring.md). Repeatable.  [default: all]",
)
@click.option("--trials", type=click.IntRange(1, 10_000), default=40, show_default=True, help="Trials per fault.")
@click.option("--picture", type=_FILE, help="Also write a chart (PNG).")
@click.option("--markdown", is_flag=True, help="Print the table as Markdown.")
def backtest(first: Any, last: Any, picture: Path | None, markdown: bool, **options: Any) -> None:
    """Test the detectors on your history: alerts per day, and the share of injected faults that they find.

    Reads `slot_metrics` and METRICS_CATALOG and changes nothing. Use it to tune thresholds before they alert you.
    """
    from metrics_platform.detection.config import DETECTORS
    from metrics_platform.monitor import backtest as tests
    from metrics_platform.settings import load_settings

    settings = load_settings()
    options["detectors"] = options["detectors"] or DETECTORS
    generated, products = options.pop("generated"), options.pop("products")
    if generated is not None:
        rows, title = tests.backtest_generated(settings, generated, products, **options)
    else:
        days = [day.date() if day else None for day in (first, last)]
        rows, title = tests.backtest_history(settings, *days, **options)
    tests.show(rows, title, markdown=markdown, picture=picture, echo=click.echo)


@main.command()
@click.argument("name", required=False)
@click.option("--schema", is_flag=True, help="Print the JSON schema of catalogue files, for editors.")
def metrics(name: str | None, schema: bool) -> None:
    """List the metrics of the catalogue, or try one.

    Without NAME, shows the latest values and the state of each metric, and how to fix entries that cannot be computed.
    With NAME, shows its SQL and its values in the last two hours, computed from its source. Writes nothing.
    """
    from rich.console import Console

    from metrics_platform import metrics_command
    from metrics_platform.generated_files import SCHEMA
    from metrics_platform.settings import load_settings

    if schema:
        click.echo(SCHEMA.read_text(encoding="utf-8"), nl=False)
        return
    settings, console = load_settings(), Console()
    if name is not None:
        metrics_command.show_metric(settings, name, console)
    elif not metrics_command.list_metrics(settings, console):
        sys.exit(1)


@main.command()
@click.argument("incident", required=False)
@click.option("--not-an-incident/--an-incident", "is_none", default=None, help="Mark it, or take that back.")
@click.option("--note", default="", help="Why.")
@click.option("--by", "who", envvar="USER", default="unknown", show_default="$USER", help="Your name.")
def incidents(incident: str | None, is_none: bool | None, note: str, who: str) -> None:
    """List open and recent incidents, or mark one as not an incident.

    With INCIDENT (the id at the end of its message) and --not-an-incident, equal and smaller deviations of the same
    metric and slice in the same direction are recorded and not sent for four weeks. Larger ones are sent.
    """
    from rich.console import Console

    from metrics_platform.incidents import command
    from metrics_platform.settings import load_settings

    if incident is None and is_none is not None:
        raise click.UsageError("Name the incident. `metrics-platform incidents` lists them.")
    if incident is None:
        # In a pipe there is no terminal to fit, and 80 columns would cut most cells.
        command.list_incidents(load_settings(), Console(width=None if sys.stdout.isatty() else 200))
    elif is_none is None:
        raise click.UsageError("Add --not-an-incident, or --an-incident to take it back.")
    else:
        click.echo(command.record_answer(load_settings(), incident, is_incident=not is_none, who=who, note=note))


@main.command()
@click.argument("day", type=click.DateTime(["%Y-%m-%d"]), metavar="[DAY]", required=False)
@click.option("--send", is_flag=True, help="Send it now over every channel that is set up.")
@click.option(
    "--output", type=_FILE, default=Path("report"), show_default=True, help="Directory for the pictures (PNG)."
)
def report(day: datetime.datetime | None, send: bool, output: Path) -> None:
    """Print the morning report of DAY (the last complete day by default) and write its pictures.

    Dagster need not be running. Exits with code 1 if a channel does not accept the report.
    """
    from metrics_platform import report_command
    from metrics_platform.notifications.channels import send_now
    from metrics_platform.settings import load_settings

    settings = load_settings()
    yesterday = datetime.datetime.now(settings.zone).date() - datetime.timedelta(days=1)
    last = min(yesterday, settings.end_date or yesterday)
    date = day.date() if day else last
    if not settings.start_date <= date <= last:
        raise click.UsageError(f"{date} has no report. Choose a complete day from {settings.start_date} to {last}.")
    made = report_command.build_report(date, settings)
    text, files = report_command.write_report(made, settings, output)
    click.echo(text)
    for file in files:
        click.echo(f"Picture: {file}")
    if send and _print_findings(send_now(made, settings))["problem"]:
        sys.exit(1)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=9464, show_default=True, help="Port to listen on.")
def exporter(host: str, port: int) -> None:
    """Serve the platform's state to Prometheus.

    The page /metrics says when the last day and the last slot were computed, which alerts are open, and how many
    messages are waiting. Press Ctrl-C to stop it.
    """
    from metrics_platform.defs.exporter import serve
    from metrics_platform.doctor import dagster_home
    from metrics_platform.settings import load_settings

    settings = load_settings()
    if home := dagster_home():
        os.environ["DAGSTER_HOME"] = home
    try:
        _, thread = serve(settings, host, port)
    except OSError as error:
        raise click.ClickException(
            f"Cannot listen on {host}:{port}: {error.strerror}. Choose another --port."
        ) from None
    click.echo(f"http://{host}:{port}/metrics")
    thread.join()


def _print_findings(findings: Iterable[Finding]) -> Counter[str]:
    """Print each finding as it is made; returns the number of findings by status."""
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
