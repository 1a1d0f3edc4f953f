"""The demo's output: its steps, links, hints and new messages."""

from __future__ import annotations

import datetime
import html
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from metrics_platform.local.dagster_local import DagsterUI
from metrics_platform.local.demo.product import INCIDENTS, InjectedIncident
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, slot_at

# The page of Dagster's UI to look at first.
TABLES = "locations/metrics_platform/asset-groups/daily"
_PROGRAM = "metrics-platform"
_BEGAN_IN = Path.cwd()
# If less of the slot remains, most of it is normal, and the alert comes with the next one.
_ENOUGH_OF_A_SLOT = datetime.timedelta(minutes=6)


class Steps(Progress):
    """The steps until the demo is ready: progress bars in a terminal, and plain lines in a pipe."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description:<46}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
        )
        super().__init__(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal)

    @contextmanager
    def step(self, description: str) -> Iterator[Callable[[float], None]]:
        """Show a step. Yields a function that takes its progress, from 0 to 1."""
        begun = time.monotonic()
        task = self.add_task(description, total=1)
        self._print_line(f"{description} …")
        yield lambda share: self.update(task, completed=share)
        self.update(task, completed=1)
        self._print_line(f"{description}: done in {time.monotonic() - begun:.0f} s")

    def _print_line(self, text: str) -> None:
        if not self.console.is_terminal:
            self.console.print(escape(text), soft_wrap=True)


@dataclass
class Output:
    """Prints links, hints, new messages of the outbox and failures."""

    console: Console
    settings: Settings
    _known: set[Path] = field(init=False)

    def __post_init__(self) -> None:
        self._known = self._pages()

    def links(self, dagster: DagsterUI, clickhouse_port: int, yesterday: datetime.date) -> None:
        """Print the links, and what to look at first."""
        ui, directory, outbox = dagster.url, self.settings.data_dir, self.settings.outbox / "index.html"
        messages = f"[link={outbox.as_uri()}]{_displayed(outbox)}[/link] – yesterday's report arrives in a moment"
        if not self.settings.dry_run:
            messages = "sent over the channels of your .env; what an earlier start sent is not sent again"
        readonly = _displayed(directory / "clickhouse" / "readonly_url")
        schedules = "off: the demo starts each check and load itself"
        if self.settings.schedules_on:
            schedules = "on, unless you switched one off"
        lines = (
            ("Dagster", f"{ui}/{TABLES} – the tables, and what each is computed from"),
            (
                "",
                f"{ui}/assets/dimension_metrics?view=partitions&partition={yesterday} – a day and its query",
            ),
            ("", f"{ui}/assets/verdicts?view=checks – each metric against what was expected"),
            ("", f"{ui}/assets/notifications?view=partitions&partition=report-{yesterday} – a message, each attempt"),
            ("Messages", messages),
            ("Catalogue", f"{_displayed(directory / 'catalog.yaml')} – metrics of your own"),
            (
                "ClickHouse",
                f"port {clickhouse_port} – the login for Superset and Redash is in {readonly}",
            ),
            ("Log", _displayed(dagster.log)),
            ("Schedules", schedules),
        )
        for name, text in lines:
            self._print(f"[bold]{name:<12}[/]{text}")

    def next_step(self, incident: InjectedIncident | None, *, fast: bool) -> None:
        """Print what was injected, or how to inject something."""
        if incident is None:
            first, *others = INCIDENTS
            command = f"[bold]{_program()} demo --incident {first}[/] (or {', '.join(others)})"
            self._print(f"\nBreak something from a second terminal: {command}")
        else:
            self.injected(incident, "in about a minute" if fast else "")
        self._print("Ctrl-C stops everything.\n")

    def injected(self, incident: InjectedIncident, due: str = "") -> None:
        """Print an incident, and when its alert arrives."""
        begins, ends = self._local(incident.begins), self._local(incident.ends)
        due = due or f"shortly after {self._local(_alert_due(incident)):%H:%M}"
        self._print(
            f"\n[bold]{INCIDENTS[incident.kind]}[/], in the product from {begins:%H:%M:%S} to {ends:%H:%M:%S}. "
            f"The alert arrives {due}."
        )

    def notice(self, text: str) -> None:
        """Print a failure in the background, or its end."""
        self._print(f"{self._time()}  [yellow]![/]  {escape(text)}")

    def new_messages(self) -> None:
        """Print the headline and the path of each page that is new in the outbox, oldest first."""
        pages = self._pages()
        for page in sorted(pages - self._known):
            title = re.search(r"<title>(.*?)</title>", page.read_text(encoding="utf-8"), re.DOTALL)
            headline = escape(html.unescape(title[1]) if title else page.stem)
            self._print(f"{self._time()}  ✉  {headline}  [dim]{_displayed(page)}[/]")
        self._known = pages

    def _pages(self) -> set[Path]:
        return {page for page in self.settings.outbox.glob("*.html") if page.name != "index.html"}

    def _local(self, moment: datetime.datetime) -> datetime.datetime:
        return moment.astimezone(self.settings.zone)

    def _time(self) -> str:
        return f"[dim]{datetime.datetime.now(self.settings.zone):%H:%M:%S}[/]"

    def _print(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)


def _alert_due(incident: InjectedIncident) -> datetime.datetime:
    slot = slot_at(incident.begins)
    return slot.end if slot.end - incident.begins >= _ENOUGH_OF_A_SLOT else slot.end + SLOT


def _displayed(path: Path) -> str:
    """The path relative to the directory in which this process started, if it is inside."""
    return escape(str(path.relative_to(_BEGAN_IN) if path.is_relative_to(_BEGAN_IN) else path))


def _program() -> str:
    """How to call this program again from the same terminal."""
    program = Path(sys.argv[0])
    return _displayed(program) if program.name == _PROGRAM else _PROGRAM
