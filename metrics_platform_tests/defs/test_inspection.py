"""Dagster's part of `doctor`: whether it keeps its history, and whether its schedules are on."""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorStatus
from dagster._daemon.types import DaemonHeartbeat

from metrics_platform.cli import main
from metrics_platform.defs import build_definitions
from metrics_platform.defs.inspection import daemon_processes, inspect_dagster
from metrics_platform.findings import Finding
from metrics_platform.settings import load_settings
from metrics_platform_tests.defs.stored_ticks import raised, switch_on, tick

NOW = datetime.datetime.now(datetime.UTC)
NOWHERE = "http://platform:x@127.0.0.1:1/metrics"
ALL_ON = Finding("Dagster", "ok", "all 4 schedules are on")


def _finding(home: str | None, *, schedules_on: bool = True) -> Finding:
    (finding,) = (
        finding for finding in inspect_dagster(home, NOW, schedules_on=schedules_on) if finding.subject == "Dagster"
    )
    return finding


@pytest.fixture
def instance(stored_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    return stored_instance


@pytest.fixture
def schedules() -> list[str]:
    definitions = build_definitions(load_settings(None, clickhouse_url=NOWHERE))
    return sorted(schedule.name for schedule in definitions.schedules or ())


def test_schedules_that_nobody_switched_are_as_the_setting_says(
    instance: dg.DagsterInstance, schedules: list[str]
) -> None:
    assert _finding(instance.root_directory) == ALL_ON
    finding = _finding(instance.root_directory, schedules_on=False)
    assert finding.status == "note"
    assert all(f"{name} (" in finding.detail for name in schedules)
    assert "METRICS_SCHEDULES_ON" in finding.remedy


def test_a_schedule_switched_off_in_the_ui_is_named(instance: dg.DagsterInstance, schedules: list[str]) -> None:
    switch_on(instance, schedules[0], status=InstigatorStatus.STOPPED)
    finding = _finding(instance.root_directory)
    assert (finding.status, finding.detail.partition(" (")[0]) == ("note", f"off: {schedules[0]}")
    assert "Automation" in finding.remedy


def test_schedules_switched_on_in_the_ui_are_on_whatever_the_setting_says(
    instance: dg.DagsterInstance, schedules: list[str]
) -> None:
    for name in schedules:
        switch_on(instance, name, status=InstigatorStatus.RUNNING)
    assert _finding(instance.root_directory, schedules_on=False) == ALL_ON


def test_a_default_that_was_stored_before_the_setting_changed_does_not_count(
    instance: dg.DagsterInstance, schedules: list[str]
) -> None:
    for name in schedules:
        switch_on(instance, name, status=InstigatorStatus.DECLARED_IN_CODE)
    assert _finding(instance.root_directory, schedules_on=False).status == "note"


def test_inspecting_a_dagster_that_has_not_run_yet_creates_nothing(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parents[2] / ".dagster" / "dagster.yaml", tmp_path)
    assert _finding(str(tmp_path)) == ALL_ON
    assert [path.name for path in tmp_path.iterdir()] == ["dagster.yaml"]


def test_a_missing_home_is_named_with_the_remedy(tmp_path: Path) -> None:
    assert "DAGSTER_HOME=${PWD}/.dagster" in _finding(None).remedy
    finding = _finding(str(tmp_path / "nowhere"))
    assert (finding.status, "is not a folder" in finding.detail) == ("problem", True)


def test_a_home_without_dagster_yaml_is_a_problem_and_its_history_is_kept(tmp_path: Path) -> None:
    (tmp_path / "history").mkdir()
    (tmp_path / "storage").mkdir()
    finding = _finding(str(tmp_path))
    assert (finding.status, "has no dagster.yaml" in finding.detail) == ("problem", True)
    assert "move history, storage there" in finding.remedy


@pytest.mark.parametrize(
    "settings", ["storage: {sqlite: {base_dir: {env: DAGSTER_STORAGE_OF_ANOTHER_MACHINE}}}", "storage: {no: [yaml"]
)
def test_a_storage_that_cannot_be_read_is_a_note(tmp_path: Path, settings: str) -> None:
    (tmp_path / "dagster.yaml").write_text(settings, encoding="utf-8")
    finding = _finding(str(tmp_path))
    assert (finding.status, "cannot be read" in finding.detail) == ("note", True)


def test_doctor_finds_dagsters_home_as_dagsters_commands_do(
    instance: dg.DagsterInstance, schedules: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("PWD", str(here))
    monkeypatch.setenv("DAGSTER_HOME", instance.root_directory)
    switch_on(instance, schedules[0], status=InstigatorStatus.STOPPED)
    (here / ".env").write_text(f"METRICS_CLICKHOUSE_URL={NOWHERE}\nMETRICS_DRY_RUN=true\n", encoding="utf-8")
    assert f"Dagster: off: {schedules[0]}" in CliRunner().invoke(main, ["doctor"]).output
    with (here / ".env").open("a", encoding="utf-8") as file:
        file.write("DAGSTER_HOME=${PWD}\n")
    assert f"DAGSTER_HOME = {here} has no dagster.yaml" in CliRunner().invoke(main, ["doctor"]).output


BY_SCHEDULE = {"dagster/schedule_name": "daily_etl_schedule"}
MINUTE = datetime.timedelta(minutes=1)


@dg.job
def load() -> None:
    """A job of a schedule."""


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def findings(instance: dg.DagsterInstance, at: datetime.datetime | None = None) -> dict[str, Finding]:
    """The findings about its work by subject."""
    found = list(inspect_dagster(instance.root_directory, at or now(), schedules_on=True))
    assert len({finding.subject for finding in found}) == len(found)
    return {finding.subject: finding for finding in found}


def fails(instance: dg.DagsterInstance, cause: str, **tags: str) -> None:
    instance.report_run_failed(instance.create_run_for_job(load, tags=tags), message=cause)


def test_a_job_whose_latest_run_failed_is_a_problem_with_its_cause(instance: dg.DagsterInstance) -> None:
    fails(instance, "taking longer than 300 seconds to start", **BY_SCHEDULE)
    found = findings(instance)["Runs"]
    assert found.status == "problem"
    assert "load never started" in found.detail and "longer than 300 seconds" in found.detail
    assert "re-execute" in found.remedy


def test_a_failed_run_is_no_problem_once_its_job_has_succeeded(instance: dg.DagsterInstance) -> None:
    fails(instance, "no disk", **BY_SCHEDULE)
    load.execute_in_process(instance=instance)
    assert findings(instance)["Runs and ticks"].status == "ok"


def test_failures_of_manual_runs_and_of_long_ago_are_no_problem(instance: dg.DagsterInstance) -> None:
    fails(instance, "a typo")
    assert findings(instance)["Runs and ticks"].status == "ok"
    fails(instance, "no disk", **BY_SCHEDULE)
    assert findings(instance, now() + datetime.timedelta(days=3))["Runs and ticks"].status == "ok"


def test_a_cause_is_shown_without_its_secrets(instance: dg.DagsterInstance) -> None:
    fails(instance, "cannot reach http://platform:5ecret-password@host:8123/metrics", **BY_SCHEDULE)
    assert "5ecret" not in findings(instance)["Runs"].detail


def test_a_tick_of_the_future_is_a_problem(instance: dg.DagsterInstance) -> None:
    tick(instance, switch_on(instance, "anomaly_check_schedule"), now())
    assert "Clock" not in findings(instance)
    finding = findings(instance, now() - datetime.timedelta(hours=1))["Clock"]
    assert (finding.status, "in the future" in finding.detail) == ("problem", True)


def test_a_schedule_whose_latest_tick_raised_is_a_problem(instance: dg.DagsterInstance) -> None:
    schedule = switch_on(instance, "daily_etl_schedule", InstigatorType.SCHEDULE)
    tick(instance, schedule, now() - MINUTE, error=raised("no such column"))
    found = findings(instance)["Ticks"]
    assert found.status == "problem"
    assert "schedule daily_etl_schedule" in found.detail and "no such column" in found.detail
    tick(instance, schedule, now())
    assert "Ticks" not in findings(instance)


def test_runs_that_wait_long_for_their_start_are_a_note(instance: dg.DagsterInstance) -> None:
    instance.create_run_for_job(load, tags=BY_SCHEDULE)
    assert "Runs" not in findings(instance)
    found = findings(instance, now() + 6 * MINUTE)["Runs"]
    assert found.status == "note" and "1 waiting to start, the oldest (load)" in found.detail


def beat(instance: dg.DagsterInstance, kind: str, daemon: str, at: datetime.datetime) -> None:
    instance.add_daemon_heartbeat(DaemonHeartbeat(at.timestamp(), kind, daemon))


def test_heartbeats_of_two_daemons_are_a_problem_and_old_ones_are_not(instance: dg.DagsterInstance) -> None:
    assert findings(instance)["Dagster daemon"].status == "note"
    beat(instance, "SENSOR", "first", now() - 10 * MINUTE)
    beat(instance, "SCHEDULER", "second", now())
    assert findings(instance)["Dagster daemon"] == Finding("Dagster daemon", "ok", "one is running")
    beat(instance, "SENSOR", "first", now())
    found = findings(instance)["Dagster daemon"]
    assert found.status == "problem" and "more than one runs" in found.detail


@contextmanager
def daemons(home: str, number: int) -> Iterator[list[int]]:
    """`number` processes that look like Dagster's daemon to the system."""
    command = [sys.executable, "-c", "print(flush=True); input()", "dagster._daemon", "run"]
    environment = {**os.environ, "DAGSTER_HOME": home}
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) for _ in range(number)
    ]
    for process in started:
        assert process.stdout is not None and process.stdout.readline()
    try:
        yield sorted(process.pid for process in started)
    finally:
        for process in started:
            process.communicate(b"\n", timeout=600)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not show processes' environments")
def test_two_daemon_processes_on_one_home_are_named_with_the_command_to_end_them(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    home = instance.root_directory
    with daemons(home, 2) as pids, daemons(str(tmp_path / "other"), 1):
        assert daemon_processes(home) == pids
        found = findings(instance)["Dagster daemon"]
        assert found.status == "problem" and f"kill {pids[0]} {pids[1]}" in found.remedy
    assert daemon_processes(home) == []


@pytest.mark.parametrize(
    "settings", [None, "storage: {sqlite: {base_dir: {env: NOT_SET_HERE}}}", "storage: {no: [yaml"]
)
def test_a_home_without_a_readable_storage_is_left_alone(tmp_path: Path, settings: str | None) -> None:
    if settings:
        (tmp_path / "dagster.yaml").write_text(settings, encoding="utf-8")
    before = sorted(tmp_path.iterdir())
    assert len(list(inspect_dagster(str(tmp_path), now(), schedules_on=True))) == 1
    assert sorted(tmp_path.iterdir()) == before
