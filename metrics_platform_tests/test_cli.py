"""The commands as a person runs them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from metrics_platform.cli import main
from metrics_platform.loading.events import create_source_tables
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform_tests.worlds import in_environment

FEED = """user_id,post_id,action,time,gender,age,country,city,os,source,exp_group
1,10,view,2026-01-01 10:00:00,1,30,Russia,Moscow,iOS,ads,0
1,10,like,2026-01-01 10:00:05,1,30,Russia,Moscow,iOS,ads,0
2,11,stare,2026-01-01 10:00:05,1,30,Russia,Moscow,iOS,ads,0
"""
MESSAGES = "user_id,reciever_id,time\n1,2,2026-01-01 11:00:00\n2,2,2026-01-01 12:00:00\n"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_settings: Callable[..., Settings]) -> Settings:
    """Settings of the test's own in the environment, an empty working directory."""
    monkeypatch.chdir(tmp_path)
    settings = make_settings()
    in_environment(monkeypatch, settings)
    return settings


def test_load_fills_the_sources_and_writes_bad_rows_to_a_file(environment: Settings, tmp_path: Path) -> None:
    (tmp_path / "feed.csv").write_text(FEED)
    (tmp_path / "messages.csv").write_text(MESSAGES)
    result = CliRunner().invoke(main, ["load", "--feed", "feed.csv", "--messages", "messages.csv"])
    assert result.exit_code == 0, result.output
    assert "2 rows" in result.output and "1 rejected" in result.output
    (rejects,) = tmp_path.glob("*reject*")
    assert "stare" in rejects.read_text()
    warehouse = Warehouse.from_settings(environment)
    assert warehouse.value(f"SELECT count() FROM {environment.feed_table}") == 2
    assert warehouse.value(f"SELECT count() FROM {environment.messages_table}") == 2


def test_a_folder_that_cannot_be_created_is_one_message_without_a_traceback(
    environment: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("METRICS_START_DATE", "2026-01-01")
    monkeypatch.setenv("METRICS_END_DATE", "2026-01-01")
    CliRunner().invoke(main, ["create-tables"])
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(main, ["report", "--output", "file/report"])
    assert result.exit_code == 1
    assert "Error: file/report: Not a directory. Choose another path" in result.output


def test_load_without_a_file_says_which_options_there_are() -> None:
    result = CliRunner().invoke(main, ["load"])
    assert result.exit_code == 2
    assert "--feed FILE" in result.output


def test_load_explains_how_to_rename_a_column(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["load", "--feed", str(tmp_path / "feed.csv"), "--column", "time"])
    assert result.exit_code == 2
    assert "Write it as FIELD=NAME, such as time=event_time." in result.output


def test_an_answer_needs_an_incident() -> None:
    result = CliRunner().invoke(main, ["incidents", "--not-an-incident"])
    assert result.exit_code == 2
    assert "Name the incident." in result.output


def test_report_refuses_a_day_that_is_not_computed_by_the_settings(
    environment: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METRICS_START_DATE", "2026-01-01")
    monkeypatch.setenv("METRICS_END_DATE", "2026-01-31")
    CliRunner().invoke(main, ["create-tables"])
    for day in ("2025-12-31", "2026-02-01"):
        refused = CliRunner().invoke(main, ["report", day])
        assert refused.exit_code == 2
        assert f"{day} has no report. Choose a complete day from 2026-01-01 to 2026-01-31." in refused.output
    latest = CliRunner().invoke(main, ["report"])
    assert "31 Jan" in latest.output, latest.output


def test_create_tables_is_idempotent_and_says_what_it_did(environment: Settings) -> None:
    first = CliRunner().invoke(main, ["create-tables"])
    second = CliRunner().invoke(main, ["create-tables"])
    assert "dimension_metrics" in first.output
    assert second.output == "All tables exist.\n"
    assert (first.exit_code, second.exit_code) == (0, 0)


def test_metrics_lists_the_catalogue_and_tries_an_entry(environment: Settings) -> None:
    warehouse = Warehouse.from_settings(environment)
    CliRunner().invoke(main, ["create-tables"])
    create_source_tables(environment, warehouse)
    row = "now(), toDate(now()), 'views', 'total', 'total', 'normal', 1"
    columns = "slot_start, event_date, metric, dimension, dimension_value, status, version"
    warehouse.execute(f"INSERT INTO verdicts ({columns}) SELECT {row}")
    columns = "slot_start, event_date, metric, dimension, dimension_value, value, version"
    for value, ago in (("17", 15), ("NULL", 0)):  # the value of the latest slot is unknown
        row = f"now() - INTERVAL {ago} MINUTE, toDate(now()), 'views', 'total', 'total', {value}, 1"
        warehouse.execute(f"INSERT INTO slot_metrics ({columns}) SELECT {row}")
    listed = CliRunner().invoke(main, ["metrics"])
    assert listed.exit_code == 0, listed.output
    (views,) = [line for line in listed.output.splitlines() if " views " in line]
    assert "normal" in views
    assert "17" not in views
    tried = CliRunner().invoke(main, ["metrics", "views"])
    assert "views = countIf(action = 'view')" in tried.output and "SELECT" in tried.output
    unknown = CliRunner().invoke(main, ["metrics", "vews"])
    assert (unknown.exit_code, "Unknown metric 'vews'. Choose from" in unknown.output) == (1, True)


def test_metrics_prints_square_brackets_as_they_are_written(
    environment: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    CliRunner().invoke(main, ["create-tables"])
    create_source_tables(environment, Warehouse.from_settings(environment))
    sound = {"source": "feed_actions", "sql": "countIf(splitByChar('-', os)[length(os)] = '[/red]')"}
    bad = {"source": "feed_actions", "sql": "countIf(nothing[/red])"}
    (tmp_path / "catalogue.yaml").write_text(yaml.safe_dump({"metrics": {"sound": sound, "bad": bad}}))
    monkeypatch.setenv("METRICS_CATALOG", str(tmp_path / "catalogue.yaml"))
    listed = CliRunner().invoke(main, ["metrics"])
    assert f"metrics.bad.sql = '{bad['sql']}'" in listed.output, listed.exception
    tried = CliRunner().invoke(main, ["metrics", "sound"])
    assert f"sound = {sound['sql']}\n" in tried.output, tried.exception


def test_a_bad_setting_is_one_message_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_TIMEZONE", "Nowhere")
    result = CliRunner().invoke(main, ["create-tables"])
    assert result.exit_code == 1
    assert "METRICS_TIMEZONE = 'Nowhere'" in result.output
    assert "Traceback" not in result.output


def test_the_embedded_server_is_found_by_its_data_directory(tmp_path: Path) -> None:
    environment = {**os.environ, "METRICS_DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "metrics_platform.cli"]
    server = subprocess.Popen(
        [*command, "clickhouse", "--port", "0"], env=environment, stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    try:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("READY http://127.0.0.1:")
        made = subprocess.run(
            [*command, "create-tables"], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert "Created in metrics: feed_user_daily" in made.stdout, made.stderr
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=600) == 0


def test_clickhouse_takes_the_next_port_beside_a_demo_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[int] = []

    def serve(_directory: Any, port: int, **_: Any) -> int:
        served.append(port)
        return 0

    monkeypatch.setattr("metrics_platform.local.clickhouse.serve", serve)
    with socket.create_server(("127.0.0.1", 0)) as demo:
        usual = demo.getsockname()[1]
        monkeypatch.setattr("metrics_platform.cli._CLICKHOUSE_PORT", usual)
        result = CliRunner().invoke(main, ["clickhouse"])
        CliRunner().invoke(main, ["clickhouse", "--port", str(usual)])  # which `serve` refuses
    assert served == [served[0], usual]
    assert served[0] > usual
    assert f"Port {usual} is taken by another program; using {served[0]} instead." in result.output
