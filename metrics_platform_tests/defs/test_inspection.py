"""Dagster's part of `doctor`: whether it keeps its history, and whether its schedules are on."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._core.scheduler.instigation import InstigatorStatus

from metrics_platform.cli import main
from metrics_platform.defs import build_definitions
from metrics_platform.defs.inspection import inspect_dagster
from metrics_platform.findings import Finding
from metrics_platform.settings import load_settings
from metrics_platform_tests.defs.switched_on import switched_on

NOW = datetime.datetime.now(datetime.UTC)
NOWHERE = "http://platform:x@127.0.0.1:1/metrics"
ALL_ON = Finding("Dagster", "ok", "all 4 schedules are on")


def _finding(home: str | None, *, schedules_on: bool = True) -> Finding:
    (finding,) = inspect_dagster(home, schedules_on=schedules_on)
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
    instance.add_instigator_state(switched_on(schedules[0], NOW, status=InstigatorStatus.STOPPED))
    finding = _finding(instance.root_directory)
    assert (finding.status, finding.detail.partition(" (")[0]) == ("note", f"off: {schedules[0]}")
    assert "Automation" in finding.remedy


def test_schedules_switched_on_in_the_ui_are_on_whatever_the_setting_says(
    instance: dg.DagsterInstance, schedules: list[str]
) -> None:
    for name in schedules:
        instance.add_instigator_state(switched_on(name, NOW))
    assert _finding(instance.root_directory, schedules_on=False) == ALL_ON


def test_a_default_that_was_stored_before_the_setting_changed_does_not_count(
    instance: dg.DagsterInstance, schedules: list[str]
) -> None:
    for name in schedules:
        instance.add_instigator_state(switched_on(name, NOW, status=InstigatorStatus.DECLARED_IN_CODE))
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
    instance.add_instigator_state(switched_on(schedules[0], NOW, status=InstigatorStatus.STOPPED))
    (here / ".env").write_text(f"METRICS_CLICKHOUSE_URL={NOWHERE}\nMETRICS_DRY_RUN=true\n", encoding="utf-8")
    assert f"Dagster: off: {schedules[0]}" in CliRunner().invoke(main, ["doctor"]).output
    with (here / ".env").open("a", encoding="utf-8") as file:
        file.write("DAGSTER_HOME=${PWD}\n")
    assert f"DAGSTER_HOME = {here} has no dagster.yaml" in CliRunner().invoke(main, ["doctor"]).output
