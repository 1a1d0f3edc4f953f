"""What the command answers to what a newcomer may get wrong; the whole demo is tried in `end_to_end`."""

from __future__ import annotations

import datetime
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from metrics_platform.cli import main
from metrics_platform.local.clickhouse import EmbeddedServer, running_server
from metrics_platform.local.demo.preparing import State, exclusive_lock
from metrics_platform.local.demo.product import Product
from metrics_platform.settings import load_settings
from metrics_platform.warehouse.client import Warehouse

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """That of a demo which has run before."""
    directory = tmp_path / "demo"
    directory.mkdir()
    (directory / "metrics-platform-demo").touch()
    return directory


@pytest.fixture
def clickhouse(directory: Path) -> Iterator[EmbeddedServer]:
    with running_server(directory / "clickhouse") as server:
        yield server


def _demo(directory: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["demo", "--no-browser", "--directory", str(directory), *options])


def _remember(directory: Path, written_until: datetime.datetime = NOW) -> None:
    zone = load_settings(env_file=None).zone
    product = Product(NOW.date() - datetime.timedelta(days=8), NOW.date(), zone)
    State(directory=directory, product=product, written_until=written_until).write()


def test_a_port_in_use_is_named_before_anything_is_begun(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = _demo(directory, "--port", str(port))
        other = _demo(directory.parent / "another", "--port", str(port))
    assert result.exit_code == other.exit_code == 1
    assert f"Port {port}, for Dagster's UI, is taken" in result.output
    assert f"--port {port + 1}" in result.output
    assert not (directory.parent / "another").exists()
    assert sorted(path.name for path in directory.iterdir()) == ["demo.lock", "metrics-platform-demo"]


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    result = _demo(tmp_path, "--fresh")
    assert result.exit_code == 1
    assert "is not empty and was not made by this command" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_second_demo_names_the_first(directory: Path) -> None:
    with exclusive_lock(directory):
        result = _demo(directory)
    assert result.exit_code == 1
    assert "A demo is already running" in result.output
    assert "--directory DIR --port N" in result.output


def test_the_time_zone_comes_from_the_env_file(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory.parent / ".env").write_text(
        "METRICS_TIMEZONE=Europe/Moskau\nMETRICS_CLICKHOUSE_URL=http://theirs:8123/metrics\n"
    )
    monkeypatch.chdir(directory.parent)
    assert "METRICS_TIMEZONE = 'Europe/Moskau' is not a time zone" in _demo(directory, "--port", "39999").output


def test_a_demo_in_the_present_cannot_be_replayed(directory: Path) -> None:
    _remember(directory, NOW + datetime.timedelta(hours=1))
    result = _demo(directory, "--fast", "--port", "39999")
    assert result.exit_code == 1
    assert "add --fresh" in result.output


def test_an_incident_is_injected_into_the_running_demo(directory: Path, clickhouse: EmbeddedServer) -> None:
    configured = load_settings(env_file=None, clickhouse_url=clickhouse.url)
    warehouse = Warehouse.from_settings(configured)
    _remember(directory)
    state = State.read(directory)
    state.product.create(warehouse, configured)
    with exclusive_lock(directory):
        result = _demo(directory, "--incident", "ctr", "--fast")
    assert "--fast only works at the start of a demo" in result.output  # and not left out of account in silence
    assert result.exit_code == 0, result.output
    assert "six of ten likes are lost" in result.output
    (row,) = warehouse.query("SELECT begins, ends FROM simulator.scenario WHERE kind = 'ctr'").rows
    begins = row["begins"].replace(tzinfo=datetime.UTC)
    assert datetime.timedelta() < begins - NOW < datetime.timedelta(minutes=1)  # not into what is written already
    assert (row["ends"] - row["begins"]) == datetime.timedelta(minutes=45)


def test_an_incident_needs_a_demo_that_is_ready(directory: Path) -> None:
    with exclusive_lock(directory):
        result = _demo(directory, "--incident", "ctr")
    assert result.exit_code == 1
    assert "not ready yet" in result.output
