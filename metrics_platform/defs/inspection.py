"""Dagster's part of `doctor`: whether it keeps its history, and whether the schedules are on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import yaml
from dagster._core.scheduler.instigation import InstigatorStatus

from metrics_platform.defs.clean_up import JOB as CLEAN_UP_JOB
from metrics_platform.defs.daily.schedule import JOB as DAILY_JOB
from metrics_platform.defs.monitoring.schedule import JOB as MONITORING_JOB
from metrics_platform.defs.report.assets import ASSET as REPORT
from metrics_platform.findings import Finding

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


def inspect_dagster(home: str | None, *, schedules_on: bool) -> Iterator[Finding]:
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
        yield _schedules(Path(home), schedules_on=schedules_on)


def _without_configuration(home: Path) -> Finding:
    moves = [name for name in ("history", "schedules", "storage") if (home / name).is_dir()]
    keep = f" Stop Dagster and move {', '.join(moves)} there to keep its history." if moves else ""
    return Finding(
        "Dagster",
        "problem",
        f"DAGSTER_HOME = {home} has no dagster.yaml, so Dagster runs without the platform's queue, pools and retries",
        _SET_HOME + keep,
    )


def _schedules(home: Path, *, schedules_on: bool) -> Finding:
    try:
        states = _stored_states(home)
    except Exception as error:  # noqa: BLE001  (storages raise many types)
        return Finding(
            "Dagster",
            "note",
            f"its storage cannot be read ({type(error).__name__}), so it is unknown whether its schedules are on",
            f"Run doctor where Dagster runs, with the environment that {home}/dagster.yaml names.",
        )
    switched = {name: status for name, status in states.items() if status is not InstigatorStatus.DECLARED_IN_CODE}
    default = InstigatorStatus.RUNNING if schedules_on else InstigatorStatus.STOPPED
    off = [name for name in _SCHEDULES if switched.get(name, default) is not InstigatorStatus.RUNNING]
    if not off:
        return Finding("Dagster", "ok", f"all {len(_SCHEDULES)} schedules are on")
    named = ", ".join(f"{name} ({_SCHEDULES[name]})" for name in off)
    by_setting = not schedules_on and any(name not in switched for name in off)
    return Finding("Dagster", "note", f"off: {named}", _SETTING_IS_OFF if by_setting else _SWITCH_ON)


def _stored_states(home: Path) -> dict[str, InstigatorStatus]:
    """The stored status of each schedule and sensor; empty if Dagster has not run yet."""
    settings = yaml.safe_load((home / "dagster.yaml").read_text(encoding="utf-8"))
    # Opening a SQLite storage would create it.
    if "storage" not in (settings or {}) and not (home / "schedules" / "schedules.db").exists():
        return {}
    with dg.DagsterInstance.from_config(str(home)) as instance:
        return {state.name: state.status for state in instance.all_instigator_state()}
