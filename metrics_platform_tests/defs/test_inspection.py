"""What `doctor` says of Dagster: whether it remembers, and whether its schedules are on."""

from __future__ import annotations

import datetime
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from metrics_platform.cli import main
from metrics_platform.defs import build_definitions
from metrics_platform.defs.inspection import inspect_dagster
from metrics_platform.findings import Finding
from metrics_platform.settings import load_settings
from metrics_platform_tests.defs.switched_on import switched_on

NOW = datetime.datetime.now(datetime.UTC)
NOWHERE = "http://platform:x@127.0.0.1:1/metrics"


def _finding(home: str | None) -> Finding:
    (finding,) = inspect_dagster(home)
    return finding


def test_every_schedule_of_the_platform_is_looked_for_and_told_while_it_is_off(instance: dg.DagsterInstance) -> None:
    schedules = build_definitions(load_settings(None, clickhouse_url=NOWHERE)).schedules or ()
    names = sorted(schedule.name for schedule in schedules)
    finding = _finding(instance.root_directory)
    assert finding.status == "note"
    assert all(f"{name} (" in finding.detail for name in names)
    assert "Automation" in finding.remedy

    for name in names[1:]:
        instance.add_instigator_state(switched_on(name, NOW))
    assert _finding(instance.root_directory).detail.startswith(f"off: {names[0]} (")
    instance.add_instigator_state(switched_on(names[0], NOW))
    assert _finding(instance.root_directory) == Finding("Dagster", "ok", "3 schedules are on")


def test_where_dagster_has_not_run_yet_the_schedules_are_off_and_nothing_is_made(tmp_path: Path) -> None:
    finding = _finding(str(tmp_path))
    assert (finding.status, "has not run" in finding.detail) == ("note", True)
    assert list(tmp_path.iterdir()) == []


def test_a_dagster_without_a_home_or_with_none_that_there_is_is_told(tmp_path: Path) -> None:
    assert "DAGSTER_HOME=${PWD}" in _finding(None).remedy
    finding = _finding(str(tmp_path / "nowhere"))
    assert (finding.status, "is no folder" in finding.detail) == ("problem", True)


@pytest.mark.parametrize(
    "settings", ["storage: {sqlite: {base_dir: {env: DAGSTER_STORAGE_OF_ANOTHER_MACHINE}}}", "storage: {no: [yaml"]
)
def test_a_storage_that_cannot_be_looked_into_is_a_note(tmp_path: Path, settings: str) -> None:
    (tmp_path / "dagster.yaml").write_text(settings, encoding="utf-8")
    finding = _finding(str(tmp_path))
    assert (finding.status, "cannot be read" in finding.detail) == ("note", True)


def test_doctor_finds_dagsters_home_as_dagsters_commands_do(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("PWD", str(here))
    monkeypatch.setenv("DAGSTER_HOME", instance.root_directory)
    (here / ".env").write_text(f"METRICS_CLICKHOUSE_URL={NOWHERE}\nMETRICS_DRY_RUN=true\n", encoding="utf-8")
    assert "Dagster: off: daily_etl_schedule" in CliRunner().invoke(main, ["doctor"]).output
    with (here / ".env").open("a", encoding="utf-8") as file:
        file.write("DAGSTER_HOME=${PWD}\n")
    assert f"it has not run in {here} yet" in CliRunner().invoke(main, ["doctor"]).output
