"""What the demo says in the terminal: what to click, where messages are, what comes next."""

from __future__ import annotations

import datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from metrics_platform.calendar import SLOT, slot_at
from metrics_platform.local.dagster_local import shown, this_command
from metrics_platform.local.demo.messages import Told
from metrics_platform.local.demo.story import INCIDENTS, Happening
from metrics_platform.settings import Settings

# With less of a slot to go, most of it is as it should be, and it takes the next one.
_ENOUGH_OF_A_SLOT = datetime.timedelta(minutes=6)


def progress_bars(console: Console) -> Progress:
    """A bar for each step, with its share and its time."""
    return Progress(
        TextColumn("{task.description:<46}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        console=console,
    )


def tell_where(
    console: Console,
    settings: Settings,
    *,
    ui: str,
    yesterday: datetime.date,
    clickhouse_port: int,
    log: Path,
    sends: bool,
) -> None:
    """Where everything is, and what to look at first."""
    outbox = settings.outbox / "index.html"
    messages = f"[link={outbox.as_uri()}]{escape(shown(outbox))}[/link] – yesterday's report is there within a minute"
    if sends:
        messages = "by the channels of your .env – what was told before is not told again, but for a --fresh product"
    url = escape(shown(settings.data_dir / "clickhouse" / "readonly_url"))
    lines = (
        ("Dagster", f"{ui}/locations/metrics_platform/asset-groups/daily – the tables, and what comes from what"),
        ("", f"{ui}/assets/dimension_metrics?view=partitions&partition={yesterday} – a day: its numbers, its query"),
        ("", f"{ui}/assets/verdicts?view=checks – each metric against what was expected"),
        ("", f"{ui}/assets/notifications?view=partitions&partition=report-{yesterday} – what was told, each attempt"),
        ("Messages", messages),
        (
            "ClickHouse",
            f"port {clickhouse_port} – for Redash and Superset: address, user, password in {url}",
        ),
        ("Log", escape(shown(log))),
    )
    for name, text in lines:
        console.print(f"[bold]{name:<12}[/]{text}", soft_wrap=True)
    console.print()


def tell_next(console: Console, happening: Happening | None, settings: Settings, *, fast: bool) -> None:
    """What has been let happen, or how to let something happen."""
    if happening is None:
        first, *others = INCIDENTS
        command = f"[bold]{escape(this_command())} demo --incident {first}[/] (or {', '.join(others)})"
        console.print(f"Let something go wrong, in a second terminal: {command}", soft_wrap=True)
    else:
        due = "in about a minute" if fast else f"shortly after {_alert_due(happening).astimezone(settings.zone):%H:%M}"
        over = "two minutes" if fast else "half an hour"
        text = f"{_told(happening, settings)} The alert comes {due}, its all-clear {over} after the end."
        console.print(text, soft_wrap=True)
    console.print("Ctrl-C stops everything.\n")


def tell_injected(console: Console, happening: Happening, settings: Settings) -> None:
    """What has been let happen in a demo that runs."""
    due = _alert_due(happening).astimezone(settings.zone)
    text = f"{_told(happening, settings)} The alert comes after the check of the slot that ends at {due:%H:%M}."
    console.print(text, soft_wrap=True)


def tell_message(console: Console, told: Told, settings: Settings) -> None:
    """That a message has arrived."""
    now = datetime.datetime.now(settings.zone)
    console.print(f"[dim]{now:%H:%M:%S}[/]  ✉  {escape(told.headline)}  [dim]{escape(told.where)}[/]", soft_wrap=True)


def _told(happening: Happening, settings: Settings) -> str:
    begins, ends = (each.astimezone(settings.zone) for each in (happening.begins, happening.ends))
    return f"[bold]{INCIDENTS[happening.kind]}[/], in the product from {begins:%H:%M:%S} to {ends:%H:%M:%S}."


def _alert_due(happening: Happening) -> datetime.datetime:
    slot = slot_at(happening.begins)
    return slot.end if slot.end - happening.begins >= _ENOUGH_OF_A_SLOT else slot.end + SLOT
