"""What Prometheus reads of a platform at work, over HTTP."""

from __future__ import annotations

import datetime
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
import requests
import time_machine
from dagster._core.definitions.run_request import InstigatorType
from prometheus_client.parser import text_string_to_metric_families

from metrics_platform.alerts.alert import Subject
from metrics_platform.defs.exporter import serve
from metrics_platform.defs.health.alert_store import AlertCursor
from metrics_platform.settings import Settings
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.tables import APP_DAILY
from metrics_platform_tests.defs.monitor_world import NOON, MonitorWorld, stale
from metrics_platform_tests.defs.stored_ticks import switch_on

Samples = dict[tuple[str, str], float]


@contextmanager
def exporter(settings: Settings) -> Iterator[Callable[[], Samples]]:
    """Yields a scrape: (name without its prefix, its label's value) → value."""
    server, _ = serve(settings, "127.0.0.1", 0)
    session = requests.Session()
    session.trust_env = False

    def scrape() -> Samples:
        page = session.get(f"http://127.0.0.1:{server.server_port}/metrics", timeout=600).text
        return {
            (sample.name.removeprefix("metrics_platform_"), "".join(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        }

    try:
        yield scrape
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def instance(stored_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    return stored_instance


@pytest.fixture(autouse=True)
def _home(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(instance.root_directory))


def test_an_outage_shows_in_the_exporter(make_settings: Callable[..., Settings], instance: dg.DagsterInstance) -> None:
    world = MonitorWorld.create(make_settings, instance)
    world.happens(0)
    assert world.check(0, 1).success  # nothing happens in the second slot
    failed = replace(stale("feed_actions", "failed"), subject=Subject("failed_run", "daily_etl"), severity="failed")
    for sensor, alert in (("source_sensor", stale("feed_actions", "stale")), ("failed_run_sensor", failed)):
        switch_on(instance, sensor, InstigatorType.SENSOR, cursor=AlertCursor(alerts=(alert,)).model_dump_json())
    create_tables(world.warehouse, [APP_DAILY])
    world.warehouse.execute("INSERT INTO app_daily (event_date) VALUES ('2026-11-19')")
    with exporter(world.settings) as scrape, time_machine.travel(NOON + datetime.timedelta(minutes=50), tick=True):
        found = scrape()
    assert (found["up", "clickhouse"], found["up", "dagster"]) == (1, 1)
    assert found["last_day_end_timestamp_seconds", ""] == NOON.replace(hour=0).timestamp()
    assert found["last_slot_end_timestamp_seconds", ""] == (NOON + datetime.timedelta(minutes=30)).timestamp()
    assert found["open_incidents", "critical"] > 0
    open_alerts = {severity: found["open_platform_alerts", severity] for severity in ("critical", "failed", "warning")}
    assert open_alerts == {"critical": 0, "failed": 1, "warning": 1}
    assert found["waiting_messages", ""] == 1
    assert found["oldest_waiting_message_seconds", ""] > 0


def test_a_dead_clickhouse_leaves_the_rest(make_settings: Callable[..., Settings]) -> None:
    with exporter(make_settings(clickhouse_url="http://platform:x@127.0.0.1:1/metrics")) as scrape:
        found = scrape()
    assert (found["up", "clickhouse"], found["up", "dagster"]) == (0, 1)
    assert ("last_slot_end_timestamp_seconds", "") not in found
    assert found["waiting_messages", ""] == 0


def test_the_command_reads_dagsters_home_from_the_env_file(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"DAGSTER_HOME={instance.root_directory}\nMETRICS_DATA_DIR={tmp_path}\n")
    environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "metrics_platform.cli", "exporter", "--port", str(port)]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            page = requests.get(address, timeout=600).text
        finally:
            process.terminate()
    assert 'metrics_platform_up{part="dagster"} 1.0' in page
