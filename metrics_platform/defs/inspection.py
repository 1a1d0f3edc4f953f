"""What `doctor` says of Dagster: whether it remembers, and whether the schedules are on that all else waits for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import yaml

from metrics_platform.defs.daily.schedule import JOB as DAILY_JOB
from metrics_platform.defs.monitoring.schedule import JOB as MONITORING_JOB
from metrics_platform.defs.report.assets import ASSET as REPORT
from metrics_platform.findings import Finding

# Whose schedule brings what.
_SCHEDULES = {
    f"{DAILY_JOB}_schedule": "the nightly load",
    f"{REPORT}_schedule": "the morning report",
    f"{MONITORING_JOB}_schedule": "the 15-minute check",
}
_SWITCH_ON = "Switch them on in Dagster's UI, under Automation, when the platform is to work by itself."


def inspect_dagster(home: str | None) -> Iterator[Finding]:
    """Look at the Dagster of DAGSTER_HOME; nothing is made there."""
    if not home:
        yield Finding(
            "Dagster",
            "note",
            "DAGSTER_HOME is not set: Dagster forgets everything when it ends",
            "Set DAGSTER_HOME=${PWD} in .env, as .env.example does, and run Dagster in this folder.",
        )
    elif not Path(home).is_dir():
        yield Finding("Dagster", "problem", f"DAGSTER_HOME = {home} is no folder", "Make it, or correct DAGSTER_HOME.")
    elif not _has_run(Path(home)):
        yield Finding(
            "Dagster",
            "note",
            f"it has not run in {home} yet, so its schedules are off: {_named(_SCHEDULES)}",
            _SWITCH_ON,
        )
    else:
        yield _schedules(home)


def _has_run(home: Path) -> bool:
    """Whether there is a storage to look into: a file's, which looking would make, or a database's."""
    file = home / "dagster.yaml"
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else None
    except (OSError, ValueError, yaml.YAMLError):
        return True  # as Dagster will say, which cannot read it either
    return "storage" in (settings or {}) or (home / "schedules" / "schedules.db").exists()


def _schedules(home: str) -> Finding:
    try:
        with dg.DagsterInstance.from_config(home) as instance:
            states = {state.name: state for state in instance.all_instigator_state()}
    except Exception as error:  # noqa: BLE001  (whatever a storage raises that is not there)
        return Finding(
            "Dagster",
            "note",
            f"its storage cannot be read ({type(error).__name__}), so nobody knows whether its schedules are on",
            f"Run doctor where Dagster runs, with the environment that {home}/dagster.yaml names.",
        )
    off = {name: what for name, what in _SCHEDULES.items() if name not in states or not states[name].is_running}
    if off:
        return Finding("Dagster", "note", f"off: {_named(off)}", _SWITCH_ON)
    return Finding("Dagster", "ok", f"{len(_SCHEDULES)} schedules are on")


def _named(schedules: dict[str, str]) -> str:
    return ", ".join(f"{name} ({what})" for name, what in schedules.items())
