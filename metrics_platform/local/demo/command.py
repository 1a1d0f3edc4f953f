"""`metrics-platform demo`: from nothing to a running platform with a product, until Ctrl-C."""

from __future__ import annotations

import datetime
import os
import shutil
import sys
import threading
import time
import webbrowser
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import requests
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from metrics_platform.calendar import slot_at
from metrics_platform.local.clickhouse import running_server
from metrics_platform.local.dagster_local import (
    DagsterError,
    DagsterUI,
    check_port,
    ended_by_signals,
    own_settings,
    port_is_taken,
    running_dagster,
)
from metrics_platform.local.demo import preparing, telling
from metrics_platform.local.demo.clock import Clock
from metrics_platform.local.demo.messages import Messages, NewPages, SentMessages
from metrics_platform.local.demo.product import Product, add_to_story
from metrics_platform.local.demo.state import DemoError, State, held, holder
from metrics_platform.local.demo.story import INCIDENT_LASTS, Happening
from metrics_platform.local.demo.stream import FastSchedules, Stream
from metrics_platform.settings import CHANNEL_PREFIXES, given_values, load_settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.errors import WarehouseError

_TICK_SECONDS = 5.0
# The usual one, where it is free: a BI tool finds the demo again after a second start.
_CLICKHOUSE_PORT = 8123
_CLICKHOUSE_SECONDS = 60
_ONE_DAY = datetime.timedelta(days=1)
# What marks a directory as ours: a stranger's folder given by mistake must survive --fresh.
_MARKER = "metrics-platform-demo"
_KEPT_BY_FRESH = {_MARKER, "demo.lock"}


@dataclass(frozen=True)
class Options:
    """What the command was given; see its help."""

    directory: Path
    days: int
    port: int
    fresh: bool
    incident: str | None
    fast: bool
    send: bool
    browser: bool


def run_demo(options: Options) -> int:
    """Run the demo until Ctrl-C; returns the exit code.

    Raises:
        DemoError, DagsterError, EmbeddedServerError: it cannot run here; the text says what to do.
    """
    console = Console(highlight=False)
    directory = options.directory.absolute()
    _check_ours(directory)
    if not directory.exists():
        check_port(options.port)  # before anything is made
    with held(directory) as free:
        if free:
            (directory / _MARKER).touch()
            with ended_by_signals() as asked_to_end:
                _Demo(console, directory, options, asked_to_end).run()
            console.print("\nAll stopped. The next start goes on; [bold]--fresh[/] makes a new product.")
            return 0
    if options.incident and not options.fresh:
        if options.fast:
            console.print("[yellow]--fast is for a demo that begins; the time of the one that runs is as it is.[/]")
        _into_the_running_one(console, directory, options.incident)
        return 0
    raise DemoError(
        f"A demo is running already in {options.directory} (process {holder(directory)}): open its UI, or end it with "
        "Ctrl-C where it runs. A second one needs a directory and a port of its own: --directory DIR --port N."
    )


@dataclass
class _Demo:
    console: Console
    directory: Path
    options: Options
    asked_to_end: threading.Event

    def run(self) -> None:
        started = time.monotonic()
        check_port(self.options.port)
        if self.options.fresh:
            _clear(self.directory)
        state = State.read(self.directory)
        clock = Clock.fast(state.written_until if state else None) if self.options.fast else Clock()
        if self.options.fast and not clock.is_behind:
            raise DemoError("This demo has reached the present, and only the past can be hurried through: add --fresh.")
        state = state or _new(self.directory, self.options.days, clock.now())
        with ExitStack() as stack:
            stack.enter_context(own_settings(self.directory, self._settings(state)))
            settings = load_settings(env_file=None)
            clickhouse_port = 0 if port_is_taken(_CLICKHOUSE_PORT) else _CLICKHOUSE_PORT
            clickhouse = self.directory / "clickhouse"
            server = stack.enter_context(running_server(clickhouse, clickhouse_port, _CLICKHOUSE_SECONDS))
            stream = Stream(state, Warehouse.from_settings(settings), clock)
            messages = SentMessages(settings) if self.options.send else NewPages(settings.outbox)
            with telling.progress_bars(self.console) as progress:
                happening = self._write_history(progress, stream)
                dagster, do_what_can_wait = self._compute(stack, progress, stream)
            self.console.print(f"[bold green]Ready[/] in {time.monotonic() - started:.0f} s.\n")
            telling.tell_where(
                self.console,
                settings,
                ui=dagster.url,
                yesterday=stream.clock.now().astimezone(settings.zone).date() - _ONE_DAY,
                clickhouse_port=server.port,
                log=dagster.log,
                sends=self.options.send,
            )
            telling.tell_next(self.console, happening, settings, fast=self.options.fast)
            schedules = self._schedules(stream, dagster)
            if self.options.browser:
                _open(dagster.url)
            with ThreadPoolExecutor(1) as beside:
                self._go_on(stream, schedules, dagster, messages, beside.submit(do_what_can_wait))

    def _settings(self, state: State) -> dict[str, str]:
        """The demo's settings, and of the person's own: the language, and with --send the channels of messages."""
        own = given_values(Path(".env"))
        settings = {
            "METRICS_START_DATE": state.product.first_day.isoformat(),
            "METRICS_TIMEZONE": state.product.zone.key,
            "METRICS_DAGSTER_URL": f"http://localhost:{self.options.port}",
            "METRICS_DRY_RUN": "false" if self.options.send else "true",
            "METRICS_ENVIRONMENT": "demo",  # of made-up alarms, nobody is to think that they are real
        }
        if "METRICS_LANGUAGE" in own:
            settings["METRICS_LANGUAGE"] = own["METRICS_LANGUAGE"]
        if self.options.send:
            settings.update({name: value for name, value in own.items() if name.startswith(CHANNEL_PREFIXES)})
        if self.options.fast:
            # Its events are eight hours old by our clocks.
            settings["METRICS_ALERT_MAX_AGE_MINUTES"] = "510"
            settings["METRICS_FEED_STALE_HOURS"] = settings["METRICS_MESSAGES_STALE_HOURS"] = "24,48"
        return settings

    def _write_history(self, progress: Progress, stream: Stream) -> Happening | None:
        """Bring the events up to the product's present; returns what has been let happen."""
        state, now = stream.state, stream.clock.now()
        step = _step(progress, f"Making the product's events since {state.written_until:%d %b %Y}")
        state.product.create(stream.warehouse, load_settings(env_file=None))
        happening = None
        if self.options.incident:
            # The whole of the present slot, as far as it is not written yet: an alert at its end is certain.
            begins = max(slot_at(now).start, state.written_until)
            happening = Happening(self.options.incident, begins, begins + INCIDENT_LASTS)
            add_to_story(stream.warehouse, happening)
        state.write()
        with ThreadPoolExecutor(1) as beside:
            made_ready = beside.submit(preparing.make_ready)
            preparing.write_history(state, stream.warehouse, now, step)
            made_ready.result()
        step(1)
        return happening

    def _compute(self, stack: ExitStack, progress: Progress, stream: Stream) -> tuple[DagsterUI, Callable[[], None]]:
        """Compute what is missing, and open Dagster; returns it, and what does all that can wait."""
        state, warehouse, now = stream.state, stream.warehouse, stream.clock.now()
        settings = load_settings(env_file=None)
        days, slots = preparing.missing_days(state, now), preparing.missing_slots(settings, now)
        with ThreadPoolExecutor(1) as beside, ExitStack() as watching:
            if days:
                count = (days.last - days.first).days + 1
                step = _step(progress, f"Computing the tables of {count} day{'s' * (count > 1)}")
                watching.enter_context(preparing.watched(warehouse, days, step))
                messages = beside.submit(preparing.compute_messages, days)
                preparing.compute_feed(days)
                messages.result()
            # Not before there are events: its sensors would take the product for one that has fallen silent. And not
            # before this, for two cores have enough to do.
            dagster = stack.enter_context(running_dagster(self.directory, self.options.port))
            if days:
                preparing.compute_users(days)
                preparing.compute_shown_days(days)
        step = _step(progress, "Opening Dagster")
        dagster.wait_until_ready()
        step(1)

        def do_what_can_wait() -> None:
            yesterday = now.astimezone(state.product.zone).date() - _ONE_DAY
            preparing.ask_for_report(dagster, yesterday)
            if slots:
                preparing.compute_slots(warehouse, slots.recent, settings)
                preparing.judge_slots(dagster, slots.judged)
            # Not before: a first tick without judged slots would judge a month of them.
            if not self.options.fast:
                dagster.turn_on_schedules()
            if slots:
                preparing.compute_slots(warehouse, slots.older, settings)
            preparing.backfill_days(dagster, state, yesterday)

        return dagster, do_what_can_wait

    def _schedules(self, stream: Stream, dagster: DagsterUI) -> FastSchedules | None:
        """What stands in for schedules while the product's time runs fast."""
        if not self.options.fast:
            return None
        lag = datetime.timedelta(seconds=load_settings(env_file=None).slot_lag_seconds)
        judged_until = slot_at(stream.clock.now() - lag).start  # as the first check, which has been asked for
        stream.clock.start()
        return FastSchedules(stream.state, dagster, stream.clock, judged_until)

    def _go_on(
        self,
        stream: Stream,
        schedules: FastSchedules | None,
        dagster: DagsterUI,
        messages: Messages,
        beside: Future[None],
    ) -> None:
        """Write events, and say what arrives, until Ctrl-C."""
        settings = load_settings(env_file=None)
        with self.console.status("") as status:
            while not self.asked_to_end.is_set():
                dagster.check()
                problem = ""
                try:
                    stream.write()
                    if beside.done():
                        beside.result()
                        if schedules is not None:
                            schedules.tick()
                except (WarehouseError, DagsterError, requests.RequestException) as error:
                    problem = f" · {error}"
                for told in messages.take():
                    telling.tell_message(self.console, told, settings)
                time_there = stream.state.written_until.astimezone(settings.zone)
                status.update(f"In the product it is {time_there:%Y-%m-%d %H:%M:%S}{escape(problem)}")
                time.sleep(_TICK_SECONDS)


def _step(progress: Progress, description: str) -> preparing.Progress:
    task = progress.add_task(description, total=1)
    return lambda share: progress.update(task, completed=share)


def _check_ours(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise DemoError(f"{directory} is a file. Name a directory with --directory.")
    if directory.exists() and any(directory.iterdir()) and not (directory / _MARKER).exists():
        raise DemoError(f"{directory} is not empty and was not made by this command. Name another with --directory.")


def _clear(directory: Path) -> None:
    for path in directory.iterdir():
        if path.name in _KEPT_BY_FRESH:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _new(directory: Path, days: int, now: datetime.datetime) -> State:
    zone = _zone()
    today = now.astimezone(zone).date()
    product = Product(today - datetime.timedelta(days=days), today, zone)
    return State(directory, product, product.first_instant())


def _zone() -> ZoneInfo:
    """METRICS_TIMEZONE, or else the zone of this machine, so that 11:00 is when a person's clock shows it."""
    import tzlocal  # noqa: PLC0415

    named = os.environ.get("METRICS_TIMEZONE")
    try:
        zone = ZoneInfo(named or tzlocal.get_localzone_name())
        return ZoneInfo("UTC") if zone.key == "Etc/UTC" else zone
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        if named:
            raise DemoError(
                f"METRICS_TIMEZONE = {named!r} is no time zone. Name one as Europe/Moscow or leave "
                "it out for this machine's own."
            ) from error
        # Whatever is odd about this machine's zone, a demo can do without.
        return ZoneInfo("UTC")


def _into_the_running_one(console: Console, directory: Path, kind: str) -> None:
    """Let something happen to the product of the demo that runs in the directory."""
    state = State.read(directory)
    if state is None or not (directory / "clickhouse" / "url").exists():
        raise DemoError("The running demo is not ready yet. Try again when it says so.")
    with own_settings(directory, {"METRICS_TIMEZONE": state.product.zone.key}):
        settings = load_settings(env_file=None)
        # What is being written at this moment does not change any more.
        begins = state.written_until + datetime.timedelta(seconds=2 * _TICK_SECONDS)
        happening = Happening(kind, begins, begins + INCIDENT_LASTS)
        add_to_story(Warehouse.from_settings(settings), happening)
    telling.tell_injected(console, happening, settings)


def _open(url: str) -> None:
    """Open the person's browser; a machine without a screen has none."""
    has_screen = sys.platform == "darwin" or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    if has_screen and sys.stdout.isatty():
        webbrowser.open(url)
