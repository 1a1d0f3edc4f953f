"""The embedded ClickHouse while it runs: that it is a genuine ClickHouse, and what it costs."""

from __future__ import annotations

import importlib.metadata
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import clickhouse_connect
import pytest

from metrics_platform.local.clickhouse import EmbeddedServer, running_server
from metrics_platform.local.clickhouse_engine import TESTED_VERSION
from metrics_platform_tests.local import ask, rows


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with running_server(tmp_path_factory.mktemp("server") / "clickhouse") as running:
        table = "metrics.verdicts (id UInt64)"  # one of those that the reading account may read
        assert ask(running.url, f"CREATE TABLE {table} ENGINE = MergeTree ORDER BY id").status == 200
        assert ask(running.url, "INSERT INTO metrics.verdicts VALUES (1), (2)").status == 200
        yield running


def test_the_installed_engine_is_the_pinned_and_tested_one(server: EmbeddedServer) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    pins = [entry.split(";")[0].strip() for entry in project["project"]["dependencies"] if "chdb" in entry]
    assert pins == [f"chdb-core=={TESTED_VERSION}"]
    assert importlib.metadata.version("chdb-core") == TESTED_VERSION
    release = ".".join(TESTED_VERSION.split(".")[:2])
    assert rows(server.url, "SELECT version()")[0].startswith(f"{release}.")


def test_the_ordinary_client_works_with_both_addresses(server: EmbeddedServer) -> None:
    for url, user in ((server.url, "platform"), (server.readonly_url, "readonly")):
        client = clickhouse_connect.get_client(dsn=url)
        answer = client.query("SELECT currentUser(), currentDatabase(), timezone(), count() FROM verdicts")
        assert answer.result_rows == [(user, "metrics", "UTC", 2)]
        client.close()


def test_memory_and_logs_are_bounded(server: EmbeddedServer) -> None:
    rows(server.url, "SYSTEM FLUSH LOGS")
    settings = dict(line.split("\t") for line in rows(server.url, "SELECT name, value FROM system.server_settings"))
    assert settings["max_server_memory_usage_to_ram_ratio"] == "0.5"
    stored = rows(server.url, "SELECT name FROM system.tables WHERE database = 'system' AND engine = 'MergeTree'")
    assert stored == ["query_log"]
    assert "TTL event_date + toIntervalDay(7)" in ask(server.url, "SHOW CREATE TABLE system.query_log").text


def test_the_default_settings_apply(server: EmbeddedServer) -> None:
    assert "SYNTAX_ERROR" in ask(server.url, "1 + 1").text  # implicit_select is off
    method = "SELECT value FROM system.settings WHERE name = 'storage_file_read_method'"
    assert rows(server.url, method) == ["pread"]


def test_killing_every_query_leaves_the_server_up(server: EmbeddedServer) -> None:
    for url in (server.readonly_url, server.url):
        ask(url, "KILL QUERY WHERE 1 SYNC")
    time.sleep(1.2)  # the query that keeps the engine up looks once a second whether it is killed
    assert server.running
    assert rows(server.url, "SELECT 1") == ["1"]
