"""`python -m benchmarks QUESTION`: one question; `python -m benchmarks all`: all, into docs/benchmarks.md."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click

from benchmarks import alert, backfill, check, day, detectors, growth, pictures, startup, users
from benchmarks.document import Section, write

_DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"
_events = click.option(
    "--events",
    default="1,10",
    show_default=True,
    help="Millions of actions in the feed, comma-separated; 100 needs 20 GB.",
)
_alerts = click.option(
    "--alerts", default=20, show_default=True, type=click.IntRange(1, alert.MOST_ALERTS), help="How many alerts."
)
_days = click.option("--days", default=30, show_default=True, type=click.IntRange(2, 365), help="How many days.")


@click.group(context_settings={"max_content_width": 120})
def main() -> None:
    """How fast the platform is, each question side by side with what it is compared with in the same run.

    Each has its ClickHouse and its Dagster in a temporary folder, on loopback. Leave the machine alone meanwhile.
    """
    # As it runs wherever it has run before: with compiled files.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@main.command("day")
@_events
@click.option("--times", default=3, show_default=True, type=click.IntRange(1), help="How often each way; medians.")
def _day(events: str, times: int) -> None:
    """A day, beside the notebook way and beside one scan of its events."""
    _say(_ask_day(events, times))


@main.command("users")
@click.option("--known", default=10.0, show_default=True, help="Millions of users ever seen.")
@click.option("--active", default=0.5, show_default=True, help="Millions of users of the day.")
@click.option("--times", default=3, show_default=True, type=click.IntRange(1), help="How often each way; medians.")
def _users(known: float, active: float, times: int) -> None:
    """The snapshot of all users, beside a plain copy of it."""
    _say(_ask_users(int(known * 1e6), int(active * 1e6), times))


@main.command("backfill")
@_days
@click.option("--events", default=600_000, show_default=True, help="Actions a day.")
@click.option("--singles", default=3, show_default=True, type=click.IntRange(1), help="How many runs of one day.")
def _backfill(days: int, events: int, singles: int) -> None:
    """A month in one run, beside a run for each day; the start of a step."""
    _say(_ask_backfill(days, events, singles))


@main.command("check")
@click.option("--events", default=100_000, show_default=True, help="Actions a day.")
@click.option("--series", default=10_000, show_default=True, help="How many series are evaluated at once.")
@click.option("--slot", default=5.0, show_default=True, help="Millions of actions in the slot of the SQL comparison.")
def _check(events: int, series: int, slot: float) -> None:
    """A 15-minute check against history, raw events and series; the slot's SQL beside the one it replaced."""
    _say(_ask_check(events, series, int(slot * 1e6)))


@main.command("alert")
@_alerts
def _alert(alerts: int) -> None:
    """From the close of a slot to Telegram's answer; the memory of all processes."""
    _say(_ask_alert(alerts))


@main.command("startup")
@click.option("--times", default=9, show_default=True, type=click.IntRange(1), help="How often; medians.")
def _startup(times: int) -> None:
    """Loading the code location, beside `import dagster`."""
    _say(_ask_startup(times))


@main.command("pictures")
def _pictures() -> None:
    """A picture of the report, and one of an alert."""
    _say(_ask_pictures())


@main.command("detection")
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder of a benchmark for detectors: its score.py and its data.",
)
@click.option("--detector", default="seasonal", show_default=True, type=click.Choice(detectors.NAMES))
def _detection(data: Path, detector: str) -> None:
    """How many incidents a detector finds, and how many false alerts it sends, on labelled data."""
    score = [sys.executable, str(data / "score.py"), f"{detectors.__name__}:{detector}"]
    for options in ([], ["--suites", "synth", "--calendar"]):
        subprocess.run([*score, *options], cwd=Path(__file__).parents[1], check=True)  # noqa: S603  (the user names it)


@main.command("growth")
@click.option("--days", default=100, show_default=True, type=click.IntRange(15), help="How many days of runs.")
@click.option("--users", default=10.0, show_default=True, help="Millions of users ever seen.")
def _growth(days: int, users: float) -> None:
    """What is stored after months and years, with retention and without."""
    _say(_ask_growth(days, int(users * 1e6)))


@main.command("all")
@_events
@_alerts
@_days
def _all(events: str, alerts: int, days: int) -> None:
    """Every question; writes docs/benchmarks.md."""
    began = time.monotonic()
    questions: list[Callable[[], Section]] = [
        lambda: _ask_day(events, 3),
        lambda: _ask_users(10_000_000, 500_000, 3),
        lambda: _ask_backfill(days, 600_000, 3),
        lambda: _ask_check(100_000, 10_000, 5_000_000),
        lambda: _ask_alert(alerts),
        lambda: _ask_startup(9),
        _ask_pictures,
        lambda: _ask_growth(100, 10_000_000),
    ]
    sections = []
    for question in questions:
        sections.append(question())
        _say(sections[-1])
    write(_DOCUMENT, sections, time.monotonic() - began)
    click.echo(
        f"{_DOCUMENT.relative_to(Path.cwd()) if _DOCUMENT.is_relative_to(Path.cwd()) else _DOCUMENT} is written."
    )


def _ask_day(events: str, times: int) -> Section:
    try:
        sizes = tuple(sorted(int(float(each) * 1e6) for each in events.split(",")))
    except ValueError:
        raise click.BadParameter(f"{events!r} is no list of millions, as 1,10", param_hint="--events") from None
    return Section("day", day.summary(list(day.run(sizes, times))))


def _ask_users(known: int, active: int, times: int) -> Section:
    return Section("users", users.summary(users.run(known, active, times)))


def _ask_backfill(days: int, events: int, singles: int) -> Section:
    return Section("backfill", backfill.summary(backfill.run(days, events, singles)))


def _ask_check(events: int, series: int, slot: int) -> Section:
    checked = check.checks(events, days=(33, 90), volumes=(5,))
    text = check.summary(check.evaluating(series), check.many_series(series), check.slot_sql(slot), checked)
    return Section("check", text)


def _ask_alert(alerts: int) -> Section:
    return Section("alert", alert.summary(alert.run(alerts)))


def _ask_startup(times: int) -> Section:
    return Section("startup", startup.summary(startup.run(times)))


def _ask_pictures() -> Section:
    return Section("pictures", pictures.summary(pictures.run()))


def _ask_growth(days: int, users: int) -> Section:
    return Section("growth", growth.summary(growth.run(days, users)))


def _say(section: Section) -> None:
    click.echo(section.text + "\n")


if __name__ == "__main__":
    main()
