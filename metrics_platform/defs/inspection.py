"""The Dagster part of `doctor`: its history, its schedules and daemon, and failed runs and ticks."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import dagster as dg
import yaml
from dagster._core.scheduler.instigation import InstigatorStatus

from metrics_platform.defs.clean_up import JOB as CLEAN_UP_JOB
from metrics_platform.defs.daily.schedule import JOB as DAILY_JOB
from metrics_platform.defs.health.ended import EndedRun, EndedTick, ended_runs, ended_ticks
from metrics_platform.defs.monitoring.assets import JOB as MONITORING_JOB
from metrics_platform.defs.report.assets import ASSET as REPORT
from metrics_platform.findings import Finding
from metrics_platform.redaction import mask

# Schedule → what it starts.
_SCHEDULES = {
    f"{DAILY_JOB}_schedule": "the nightly load",
    f"{REPORT}_schedule": "the morning report",
    f"{MONITORING_JOB}_schedule": "the 15-minute check",
    f"{CLEAN_UP_JOB}_schedule": "deleting old runs",
}
_SET_HOME = "Set DAGSTER_HOME=${PWD}/.dagster in .env, as .env.example does, and run Dagster in the project's folder."
_SWITCH_ON = "Switch them on in Dagster's UI, under Automation."
_SETTING_IS_OFF = "METRICS_SCHEDULES_ON is false: remove it and restart Dagster, or switch them on under Automation."


def inspect_dagster(home: str | None, now: datetime.datetime, *, schedules_on: bool) -> Iterator[Finding]:
    """Inspect the Dagster of DAGSTER_HOME without changing anything; `schedules_on` is METRICS_SCHEDULES_ON."""
    if not home:
        yield Finding(
            "Dagster", "note", "DAGSTER_HOME is not set, so Dagster loses its history when it ends", _SET_HOME
        )
    elif not Path(home).is_dir():
        yield Finding("Dagster", "problem", f"DAGSTER_HOME = {home} is not a folder", _SET_HOME)
    elif not (Path(home) / "dagster.yaml").is_file():
        yield _without_configuration(Path(home))
    else:
        yield from _inspect_storage(home, now, schedules_on=schedules_on)


def _inspect_storage(home: str, now: datetime.datetime, *, schedules_on: bool) -> list[Finding]:
    """Read the state of schedules, runs and ticks from Dagster's storage."""
    try:
        if not _has_storage(Path(home)):
            return [_schedules({}, schedules_on=schedules_on)]
        with dg.DagsterInstance.from_config(home) as instance:
            states = {state.name: state.status for state in instance.all_instigator_state()}
            return [_schedules(states, schedules_on=schedules_on), *_inspect_work(instance, home, now)]
    except Exception as error:  # noqa: BLE001  (storages raise many types)
        return [
            Finding(
                "Dagster",
                "note",
                f"its storage cannot be read ({type(error).__name__}), so it is unknown whether its schedules are on",
                f"Run doctor where Dagster runs, with the environment that {home}/dagster.yaml names.",
            )
        ]


def _without_configuration(home: Path) -> Finding:
    moves = [name for name in ("history", "schedules", "storage") if (home / name).is_dir()]
    keep = f" Stop Dagster and move {', '.join(moves)} there to keep its history." if moves else ""
    return Finding(
        "Dagster",
        "problem",
        f"DAGSTER_HOME = {home} has no dagster.yaml, so Dagster runs without the platform's queue, pools and retries",
        _SET_HOME + keep,
    )


def _schedules(states: Mapping[str, InstigatorStatus], *, schedules_on: bool) -> Finding:
    """Whether all schedules are on. `states` are the stored ones."""
    switched_states = {
        name: status for name, status in states.items() if status is not InstigatorStatus.DECLARED_IN_CODE
    }
    default = InstigatorStatus.RUNNING if schedules_on else InstigatorStatus.STOPPED
    off = [name for name in _SCHEDULES if switched_states.get(name, default) is not InstigatorStatus.RUNNING]
    if not off:
        return Finding("Dagster", "ok", f"all {len(_SCHEDULES)} schedules are on")
    listed = ", ".join(f"{name} ({_SCHEDULES[name]})" for name in off)
    by_setting = not schedules_on and any(name not in switched_states for name in off)
    return Finding("Dagster", "note", f"off: {listed}", _SETTING_IS_OFF if by_setting else _SWITCH_ON)


def _has_storage(home: Path) -> bool:
    """Whether a storage exists. Opening one of SQLite would create it."""
    settings = yaml.safe_load((home / "dagster.yaml").read_text(encoding="utf-8"))
    return "storage" in (settings or {}) or (home / "schedules" / "schedules.db").exists()


# --- runs and ticks ---------------------------------------------------------------------------------------------------

# Includes the latest run of every nightly job.
_RECENT = datetime.timedelta(days=2)
_MAX_RUNS = 1000
_MAX_WAIT = datetime.timedelta(minutes=5)
_WAITING = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING]
# A daemon writes a heartbeat for each of its parts every 30 seconds.
_HEARTBEAT_AGE = datetime.timedelta(seconds=90)
_CLOCKS_DIFFER = datetime.timedelta(minutes=2)
_CAUSE_LENGTH = 200


def _inspect_work(instance: dg.DagsterInstance, home: str, now: datetime.datetime) -> Iterator[Finding]:
    yield _daemons(instance, home, now)
    ticks = [tick for ticks in ended_ticks(instance, limit=1).values() for tick in ticks]
    failed = [*_failed_runs(instance, now), *_failed_ticks(ticks)]
    all_succeeded = "the latest run of every job and the latest tick of every schedule and sensor succeeded"
    yield from failed or [Finding("Runs and ticks", "ok", all_succeeded)]
    yield from _future_ticks(ticks, now)
    yield from _waiting_runs(instance, now)


def _failed_runs(instance: dg.DagsterInstance, now: datetime.datetime) -> Iterator[Finding]:
    """The jobs with a failed latest run. A failed manual run does not count."""
    latest: dict[str, EndedRun] = {}
    for run in ended_runs(instance, now - _RECENT, _MAX_RUNS, latest_first=True):
        if run.succeeded or run.is_automated:
            latest.setdefault(run.job, run)
    for job, run in sorted(latest.items()):
        if not run.succeeded:
            outcome = "never started" if run.never_started else "failed"
            yield Finding(
                "Runs",
                "problem",
                f"the latest run of {job} {outcome}, {_format_time(run.at)}: {_shorten_cause(run.cause)}",
                f"Remove the cause, then re-execute run {run.run_id[:8]} in Dagster's UI (Runs).",
            )


def _failed_ticks(ticks: Sequence[EndedTick]) -> Iterator[Finding]:
    for tick in ticks:
        if tick.failed:
            kind, name = tick.automation
            yield Finding(
                "Ticks",
                "problem",
                f"the latest tick of {kind} {name} failed, {_format_time(tick.at)}: {_shorten_cause(tick.cause)}",
                "Remove the cause; Dagster tries again. Automation in its UI shows every tick.",
            )


def _future_ticks(ticks: Sequence[EndedTick], now: datetime.datetime) -> Iterator[Finding]:
    """Dagster starts no schedule or sensor before the time of its latest tick."""
    latest = max((tick.tick.timestamp for tick in ticks), default=0.0)
    if latest > (now + _CLOCKS_DIFFER).timestamp():
        until = _format_time(datetime.datetime.fromtimestamp(latest, datetime.UTC))
        yield Finding(
            "Clock",
            "problem",
            f"the latest tick began at {until}, in the future. No schedule or sensor starts before then",
            "Correct this machine's clock. If it was ahead and is right now, wait, or start jobs in Dagster's UI.",
        )


def _waiting_runs(instance: dg.DagsterInstance, now: datetime.datetime) -> Iterator[Finding]:
    records = instance.get_run_records(
        dg.RunsFilter(statuses=_WAITING, created_before=now - _MAX_WAIT), limit=_MAX_RUNS, ascending=True
    )
    if records:
        first = records[0]
        yield Finding(
            "Runs",
            "note",
            f"{len(records)} waiting to start, the oldest ({first.dagster_run.job_name}) since "
            f"{_format_time(first.create_timestamp)}",
            "Check in Dagster's UI that a daemon runs, and that no long run or backfill holds their places (Runs).",
        )


def _daemons(instance: dg.DagsterInstance, home: str, now: datetime.datetime) -> Finding:
    """Whether exactly one daemon runs, by the ids in heartbeats and, on Linux, by the processes."""
    subject = "Dagster daemon"
    heartbeats = instance.get_daemon_heartbeats().values()
    oldest = (now - _HEARTBEAT_AGE).timestamp()
    ids = {heartbeat.daemon_id for heartbeat in heartbeats if heartbeat.timestamp >= oldest}
    processes = " ".join(map(str, daemon_processes(home)))
    if len(ids) > 1 or " " in processes:
        how_to_end = f"kill {processes}" if " " in processes else "look for dagster._daemon in `ps`"
        return Finding(
            subject,
            "problem",
            f"more than one runs on {home}, and they fail each other's runs. An old one lives on where `dagster dev` "
            "was killed",
            f"Stop Dagster, end every daemon that is left ({how_to_end}), and start Dagster again.",
        )
    if ids:
        return Finding(subject, "ok", "one is running")
    latest = max((heartbeat.timestamp for heartbeat in heartbeats), default=None)
    since = f" since {_format_time(datetime.datetime.fromtimestamp(latest, datetime.UTC))}" if latest else ""
    return Finding(
        subject,
        "note",
        f"none has run{since}: no schedule, sensor or queued run starts",
        "Start Dagster: `dagster dev`, or `dagster-daemon run` in production.",
    )


def daemon_processes(home: str) -> list[int]:
    """The ids of this machine's daemon processes on DAGSTER_HOME; none where the system hides them (not Linux)."""
    home_path = Path(home).resolve()
    return sorted(int(process.name) for process in Path("/proc").glob("[0-9]*") if _is_daemon_of(process, home_path))


def _is_daemon_of(process: Path, home: Path) -> bool:
    try:
        command = (process / "cmdline").read_bytes().split(b"\0")
        environment = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return False  # it has ended, or is another user's
    is_daemon = b"run" in command and any(part.endswith((b"dagster._daemon", b"dagster-daemon")) for part in command)
    homes = [part.partition(b"=")[2] for part in environment if part.startswith(b"DAGSTER_HOME=")]
    return is_daemon and any(Path(os.fsdecode(folder)).resolve() == home for folder in homes)


def _format_time(moment: datetime.datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def _shorten_cause(cause: str) -> str:
    text = " ".join(mask(cause).split()) or "no cause is known"
    return text if len(text) <= _CAUSE_LENGTH else f"{text[:_CAUSE_LENGTH]}…"
