"""The SQL of the BI user: ClickHouse reads it, its limits are settings that exist, its rights are what BI reads."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import yaml

from metrics_platform.local.clickhouse_directory import engine_file
from metrics_platform.warehouse.client import Warehouse
from metrics_platform_tests.bi.conftest import BI, READONLY_TABLES, Reader

SQL = re.sub(r"--.*", "", (BI / "clickhouse" / "readonly_user.sql").read_text(encoding="utf-8"))
STATEMENTS = [statement.strip() for statement in SQL.split(";") if statement.strip()]
PLATFORM_TABLES = re.compile(r"(?:\bFROM|(?<!ARRAY )\bJOIN)\s+([a-z_]+)\b")


def test_every_statement_can_be_read_by_clickhouse(warehouse: Warehouse) -> None:
    # Parsed, not run: accounts made by SQL are what the embedded engine does not have.
    assert len(STATEMENTS) == 9
    for statement in STATEMENTS:
        assert warehouse.query(f"EXPLAIN AST {statement}").rows


def test_the_embedded_servers_reader_runs_under_the_same_limits(reader: Reader) -> None:
    (profile,) = [statement for statement in STATEMENTS if statement.startswith("CREATE SETTINGS PROFILE")]
    settings = dict(re.findall(r"(\w+) = '?(\w+)'?", profile))
    assert {"session_timezone", "max_execution_time", "max_memory_usage", "max_result_rows"} <= set(settings)
    names = ", ".join(f"'{name}'" for name in settings)
    rows = reader.ask(f"SELECT name, value FROM system.settings WHERE name IN ({names})").rows
    assert {row["name"]: row["value"] for row in rows} == settings
    own = ElementTree.fromstring(engine_file("users.xml")).find("profiles/readonly")
    assert settings == {limit.tag: limit.text for limit in own if limit.tag != "profile"}


def test_the_embedded_servers_reader_reads_the_same_tables() -> None:
    assert set(re.findall(r"GRANT SELECT ON metrics\.(\w+) TO metrics_bi", SQL)) == set(READONLY_TABLES)


def test_the_rights_are_on_the_tables_that_superset_and_redash_read_and_no_others() -> None:
    granted = set(re.findall(r"GRANT SELECT ON metrics\.(\w+) TO metrics_bi", SQL))
    read: set[str] = set()
    for file in (BI / "redash").glob("*.sql"):
        read |= set(PLATFORM_TABLES.findall(re.sub(r"--.*", "", file.read_text(encoding="utf-8"))))
    for file in (BI / "superset" / "datasets").rglob("*.yaml"):
        dataset = yaml.safe_load(file.read_text(encoding="utf-8"))
        read |= set(PLATFORM_TABLES.findall(dataset["sql"] or f"FROM {dataset['table_name']} "))
    assert granted == read
