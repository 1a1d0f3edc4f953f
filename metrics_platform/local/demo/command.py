"""`metrics-platform demo`: set up and run the platform on a simulated product, until Ctrl-C."""

from __future__ import annotations

import datetime
import os
import shutil
import sys
import threading
import time
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rich.console import Console

from metrics_platform.local.clickhouse import EmbeddedServer, next_free_port, port_is_taken, running_server
from metrics_platform.local.dagster_local import (
    DagsterError,
    DagsterUI,
    in_background,
    isolated_environment,
    running_dagster,
    stop_on_signals,
)
from metrics_platform.local.demo import preparing
from metrics_platform.local.demo.output import TABLES, Output, Steps
from metrics_platform.local.demo.preparing import (
    Clock,
    DemoError,
    FastSchedules,
    State,
    Stream,
    exclusive_lock,
    lock_holder,
)
from metrics_platform.local.demo.product import INCIDENT_LASTS, InjectedIncident, Product, inject
from metrics_platform.settings import CHANNEL_PREFIXES, given_values, load_settings
from metrics_platform.time_windows import slot_at
from metrics_platform.warehouse.client import Warehouse

_TICK_SECONDS = 5.0
# The preferred port: with a fixed one, a BI tool finds the demo again after a restart.
_CLICKHOUSE_PORT = 8123
_CLICKHOUSE_SECONDS = 60
_ONE_DAY = datetime.timedelta(days=1)
# Marks a directory as the demo's: another folder, given by mistake, must survive --fresh.
_MARKER = "metrics-platform-demo"
_KEPT_BY_FRESH = {_MARKER, "demo.lock"}


@dataclass(frozen=True)
class Options:
    """The options of the command. See its help."""

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
        _check_port(options.port)  # before anything is created
    with exclusive_lock(directory) as is_free:
        if is_free:
            (directory / _MARKER).touch()
            with stop_on_signals() as stop_requested:
                _Demo(console, directory, options, stop_requested).run()
            console.print("All stopped. The next start continues this demo; [bold]--fresh[/] makes a new product.")
            return 0
    if options.incident and not options.fresh:
        if options.fast:
            console.print("[yellow]--fast only works at the start of a demo; the running one keeps its pace.[/]")
        _inject_into_running_demo(console, directory, options.incident)
        return 0
    raise DemoError(
        f"A demo is already running in {options.directory} (process {lock_holder(directory)}). Open its UI, or stop it "
        "with Ctrl-C in its terminal. A second demo needs its own directory and port: --directory DIR --port N."
    )


@dataclass
class _Demo:
    console: Console
    directory: Path
    options: Options
    stop_requested: threading.Event

    def run(self) -> None:
        started = time.monotonic()
        _check_port(self.options.port)
        if self.options.fresh:
            _clear(self.directory)
        own = given_values(Path(".env"))
        state, clock = self._state(own.get("METRICS_TIMEZONE"))
        with ExitStack() as stack:
            stack.enter_context(isolated_environment(self.directory, self._settings(state, own)))
            settings = load_settings(env_file=None)
            clickhouse = self.directory / "clickhouse"
            port = next_free_port(_CLICKHOUSE_PORT)
            server = stack.enter_context(running_server(clickhouse, port, _CLICKHOUSE_SECONDS))
            stream = Stream(state, Warehouse.from_settings(settings), clock)
            output = Output(self.console, settings)
            yesterday = clock.now().astimezone(settings.zone).date() - _ONE_DAY
            with Steps(self.console) as steps:
                incident = self._write_history(steps, stream)
                checked_until = self._compute(steps, stream)
                dagster = self._open_dagster(stack, steps, output, yesterday)
            self.console.print(f"[bold green]Ready[/] in {time.monotonic() - started:.0f} s.\n")
            output.links(dagster, server.port, yesterday)
            output.next_step(incident, fast=self.options.fast)
            fast = FastSchedules(state, checked_until, yesterday) if self.options.fast else None
            clock.start()
            if self.options.browser:
                _open(f"{dagster.url}/{TABLES}")
            self._continue(stream, fast, output, dagster, server)

    def _state(self, zone_name: str | None) -> tuple[State, Clock]:
        """The directory's demo, or a new one, and its product's clock."""
        state = State.read(self.directory)
        clock = Clock.fast(state.written_until if state else None) if self.options.fast else Clock()
        if self.options.fast and not clock.is_behind:
            raise DemoError("This demo has reached the present, and only the past can be replayed: add --fresh.")
        if state is None:
            return _new(self.directory, self.options.days, clock.now(), _zone(zone_name)), clock
        return state, clock

    def _settings(self, state: State, own: dict[str, str]) -> dict[str, str]:
        """The demo's settings. From the user's own it takes the language and, with --send, the message channels."""
        settings = {
            "METRICS_START_DATE": state.product.first_day.isoformat(),
            "METRICS_TIMEZONE": state.product.zone.key,
            "METRICS_DAGSTER_URL": f"http://localhost:{self.options.port}",
            "METRICS_DRY_RUN": "false" if self.options.send else "true",
            "METRICS_ENVIRONMENT": "demo",  # so that no one mistakes a simulated alarm for a real one
            "METRICS_CATALOG": str(self._catalog()),
        }
        if "METRICS_LANGUAGE" in own:
            settings["METRICS_LANGUAGE"] = own["METRICS_LANGUAGE"]
        if self.options.send:
            settings.update({name: value for name, value in own.items() if name.startswith(CHANNEL_PREFIXES)})
        if self.options.fast:
            # Dagster's schedules use the real time, and the product's events are then eight hours old.
            settings["METRICS_SCHEDULES_ON"] = "false"
            settings["METRICS_ALERT_MAX_AGE_MINUTES"] = "510"
            settings["METRICS_FEED_STALE_HOURS"] = settings["METRICS_MESSAGES_STALE_HOURS"] = "24,48"
        return settings

    def _catalog(self) -> Path:
        """The demo's own catalogue, in its directory, for users to edit."""
        file = self.directory / "catalog.yaml"
        if not file.exists():
            file.write_text((files("metrics_platform.local.demo") / "catalog.yaml").read_text("utf-8"), "utf-8")
        return file

    def _write_history(self, steps: Steps, stream: Stream) -> InjectedIncident | None:
        """Write the events up to the product's present. Returns the injected incident, if any."""
        state = stream.state
        since = state.written_until.astimezone(state.product.zone)
        with steps.step(f"Making the product's events since {since:%d %b %Y}") as progress:
            state.product.create(stream.warehouse, load_settings(env_file=None))
            incident = None
            if self.options.incident:
                # It covers the rest of the current slot, so that an alert at its end is certain.
                begins = max(slot_at(stream.clock.now()).start, state.written_until)
                incident = InjectedIncident(self.options.incident, begins, begins + INCIDENT_LASTS)
                inject(stream.warehouse, incident)
            state.write()
            imported = in_background(
                import_module, "metrics_platform.definitions"
            )  # Python is idle while ClickHouse works
            stream.write(progress)
            imported.result()
            preparing.cancel_lost_runs()
        return incident

    def _compute(self, steps: Steps, stream: Stream) -> datetime.datetime:
        """Compute and check everything that is missing. Returns the end of the last checked slot."""
        settings, now = load_settings(env_file=None), stream.clock.now()
        if days := preparing.missing_days(stream.state.product, now):
            count = f"{len(days)} day{'s' * (len(days) > 1)}"
            with steps.step(f"Computing the tables of {count}") as progress:
                preparing.compute_days(days, progress)
        slots = preparing.due_slots(settings, now)
        if slots is None:
            return slot_at(now).start
        with steps.step("Checking the 15-minute metrics"):
            preparing.check_slots(slots, settings.zone)
        return slots.end

    def _open_dagster(self, stack: ExitStack, steps: Steps, output: Output, yesterday: datetime.date) -> DagsterUI:
        """Start Dagster once the slots are checked: otherwise its first check would compute a month of them."""
        with steps.step("Starting Dagster, writing the morning report"):
            dagster = stack.enter_context(running_dagster(self.directory, self.options.port))
            stack.callback(self.console.print, "\nStopping Dagster and ClickHouse …")
            preparing.send_report(yesterday)
            dagster.wait_until_ready()
        return dagster

    def _continue(
        self,
        stream: Stream,
        fast: FastSchedules | None,
        output: Output,
        dagster: DagsterUI,
        server: EmbeddedServer,
    ) -> None:
        """Write events and print new messages of the outbox, until Ctrl-C."""
        attempts = Attempts(output.notice)
        with self.console.status("") if self.console.is_terminal else nullcontext() as status:
            while not self.stop_requested.is_set():
                dagster.check()
                if not server.running:
                    raise DemoError(
                        f"The embedded ClickHouse has ended. Start the demo again: it continues.\n{server.messages}"
                    )
                attempts.attempt("Writing events", stream.write)
                if fast:
                    attempts.attempt("Checking and loading", fast.run_due)
                attempts.attempt("Reading messages", output.new_messages)
                if status:
                    product_time = stream.state.written_until.astimezone(output.settings.zone)
                    status.update(f"In the product it is {product_time:%Y-%m-%d %H:%M:%S}")
                time.sleep(_TICK_SECONDS)


def _check_port(port: int) -> None:
    if port_is_taken(port):
        raise DagsterError(
            f"Port {port}, for Dagster's UI, is taken by another program (another `dagster dev`, perhaps). End that, "
            f"or choose another port: --port {port + 1}."
        )


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


def _new(directory: Path, days: int, now: datetime.datetime, zone: ZoneInfo) -> State:
    today = now.astimezone(zone).date()
    product = Product(today - days * _ONE_DAY, today, zone)
    return State(directory=directory, product=product, written_until=product.first_instant())


def _zone(name: str | None) -> ZoneInfo:
    """The zone of METRICS_TIMEZONE, or else of this machine, so that 11:00 is 11:00 on its clock."""
    import tzlocal  # noqa: PLC0415

    try:
        zone = ZoneInfo(name or tzlocal.get_localzone_name())
        return ZoneInfo("UTC") if zone.key == "Etc/UTC" else zone
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        if name:
            raise DemoError(
                f"METRICS_TIMEZONE = {name!r} is not a time zone. Set one such as Europe/Moscow, or remove it to use "
                "this machine's."
            ) from error
        return ZoneInfo("UTC")  # a machine without a usable zone


def _inject_into_running_demo(console: Console, directory: Path, kind: str) -> None:
    """Inject an incident into the product of the demo that runs in the directory."""
    state = State.read(directory)
    if state is None or not (directory / "clickhouse" / "url").exists():
        raise DemoError("The running demo is not ready yet. Try again when it prints Ready.")
    with isolated_environment(directory, {"METRICS_TIMEZONE": state.product.zone.key}):
        settings = load_settings(env_file=None)
        # Events that are being written right now do not change.
        begins = state.written_until + datetime.timedelta(seconds=2 * _TICK_SECONDS)
        incident = InjectedIncident(kind, begins, begins + INCIDENT_LASTS)
        inject(Warehouse.from_settings(settings), incident)
        Output(console, settings).injected(incident)


def _open(url: str) -> None:
    """Open the user's browser, unless the machine has no screen."""
    has_screen = sys.platform == "darwin" or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    if has_screen and sys.stdout.isatty():
        webbrowser.open(url)


@dataclass
class Attempts:
    """Repeated actions. A failure and its end are reported once, and never end the demo."""

    report: Callable[[str], None]
    _failing: set[str] = field(default_factory=set, init=False)

    def attempt(self, name: str, action: Callable[[], object]) -> None:
        """Call `action`; `name` says what it does, as a noun phrase that begins a sentence."""
        try:
            action()
        except Exception as error:  # noqa: BLE001  (whatever fails, the demo goes on and reports it)
            if name not in self._failing:
                self.report(f"{name} failed: {str(error).strip() or type(error).__name__}. Trying again.")
            self._failing.add(name)
        else:
            if name in self._failing:
                self.report(f"{name} works again.")
            self._failing.discard(name)
