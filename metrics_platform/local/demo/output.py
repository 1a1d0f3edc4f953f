"""What the demo prints: its steps, where to look, what to try, which messages arrive."""

from __future__ import annotations

import datetime
import html
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from metrics_platform.local.dagster_local import DagsterUI, display_path, program_name
from metrics_platform.local.demo.scenario import INCIDENTS, InjectedIncident
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, slot_at

# With less of a slot left, most of it is normal, and the alert comes with the next one.
_ENOUGH_OF_A_SLOT = datetime.timedelta(minutes=6)

# The page of Dagster's UI to look at first.
TABLES = "locations/metrics_platform/asset-groups/daily"

# In a pipe, each further fifth of a step is a line.
_SHARE_OF_A_LINE = 0.2


class Steps(Progress):
    """The steps up to Ready: a bar with share and time each in a terminal, a line at begin and end in a pipe."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            TextColumn("{task.description:<46}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    @contextmanager
    def step(self, description: str) -> Iterator[Callable[[float], None]]:
        """Show a step; yields a function that takes the share that is done, from 0 to 1."""
        begun = time.monotonic()
        task = self.add_task(description, total=1)
        self._print_line(f"{description} …")
        next_line = _SHARE_OF_A_LINE

        def report(share: float) -> None:
            nonlocal next_line
            self.update(task, completed=share)
            if next_line <= share < 1:
                self._print_line(f"{description}: {share:.0%}")
                next_line = share + _SHARE_OF_A_LINE

        yield report
        self.update(task, completed=1)
        self._print_line(f"{description}: done in {time.monotonic() - begun:.0f} s")

    def _print_line(self, text: str) -> None:
        if not self.console.is_terminal:
            self.console.print(escape(text), soft_wrap=True)


@dataclass
class Output:
    """Prints what there is to see from Ready on: links, hints, new messages of the outbox, failures."""

    console: Console
    settings: Settings
    _known: set[Path] = field(init=False)

    def __post_init__(self) -> None:
        self._known = self._pages()

    def links(self, dagster: DagsterUI, clickhouse_port: int, yesterday: datetime.date, *, sends: bool) -> None:
        """Print where everything is, and what to look at first."""
        ui, settings, outbox = dagster.url, self.settings, self.settings.outbox / "index.html"
        messages = (
            f"[link={outbox.as_uri()}]{escape(display_path(outbox))}[/link] – yesterday's report comes in a moment"
        )
        if sends:
            messages = "sent by the channels of your .env – what an earlier start has sent is not sent again"
        url = escape(display_path(settings.data_dir / "clickhouse" / "readonly_url"))
        lines = (
            ("Dagster", f"{ui}/{TABLES} – the tables, and what each is computed from"),
            (
                "",
                f"{ui}/assets/dimension_metrics?view=partitions&partition={yesterday} – a day: its numbers, its query",
            ),
            ("", f"{ui}/assets/verdicts?view=checks – each metric against what was expected"),
            ("", f"{ui}/runs – what has run"),
            ("", f"{ui}/assets/notifications?view=partitions&partition=report-{yesterday} – a message, each attempt"),
            ("Messages", messages),
            (
                "Catalogue",
                f"{escape(display_path(settings.catalog))} – metrics of your own" if settings.catalog else "",
            ),
            ("ClickHouse", f"port {clickhouse_port} – for Redash and Superset: address, user, password in {url}"),
            ("Log", escape(display_path(dagster.log))),
        )
        for name, text in lines:
            self._print(f"[bold]{name:<12}[/]{text}")

    def schedules(self, schedules: Mapping[str, bool], *, fast: bool) -> None:
        """Print whether Dagster's schedules are on."""
        off = [name for name, is_on in schedules.items() if not is_on]
        if fast:
            text = "off: the demo starts each check and load, by the product's time. The next start switches them on"
        elif off:
            text = f"off: {', '.join(off)}. Switch them on in Dagster's UI, under Automation"
        else:
            text = f"all {len(schedules)} are on"
        self._print(f"[bold]{'Schedules':<12}[/]{text}\n")

    def next_step(self, incident: InjectedIncident | None, *, fast: bool) -> None:
        """Print what was injected, or how to inject something."""
        if incident is None:
            first, *others = INCIDENTS
            command = f"[bold]{escape(program_name())} demo --incident {first}[/] (or {', '.join(others)})"
            self._print(f"Break something from a second terminal: {command}")
        else:
            due = "in about a minute" if fast else f"shortly after {self._local(_alert_due(incident)):%H:%M}"
            over = "two minutes" if fast else "half an hour"
            self._print(f"{self._described(incident)} The alert comes {due}, its all-clear {over} after the end.")
        self._print("Ctrl-C stops everything.\n")

    def injected(self, incident: InjectedIncident) -> None:
        """Print what was injected into a running demo."""
        due = self._local(_alert_due(incident))
        self._print(
            f"{self._described(incident)} The alert comes after the check of the slot that ends at {due:%H:%M}."
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
            self._print(f"{self._time()}  ✉  {headline}  [dim]{escape(display_path(page))}[/]")
        self._known = pages

    def _pages(self) -> set[Path]:
        return {page for page in self.settings.outbox.glob("*.html") if page.name != "index.html"}

    def _described(self, incident: InjectedIncident) -> str:
        begins, ends = self._local(incident.begins), self._local(incident.ends)
        return f"[bold]{INCIDENTS[incident.kind]}[/], in the product from {begins:%H:%M:%S} to {ends:%H:%M:%S}."

    def _local(self, moment: datetime.datetime) -> datetime.datetime:
        return moment.astimezone(self.settings.zone)

    def _time(self) -> str:
        return f"[dim]{datetime.datetime.now(self.settings.zone):%H:%M:%S}[/]"

    def _print(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)


def _alert_due(incident: InjectedIncident) -> datetime.datetime:
    slot = slot_at(incident.begins)
    return slot.end if slot.end - incident.begins >= _ENOUGH_OF_A_SLOT else slot.end + SLOT
