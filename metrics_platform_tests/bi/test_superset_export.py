"""Superset's export: every reference resolves, every column and metric that a chart names is there in ClickHouse."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from metrics_platform.catalog import load_catalog
from metrics_platform.settings import load_settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform_tests.bi.conftest import BI, Reader, in_zone, insert, insert_incidents, insert_slots

ROOT = BI / "superset"
File = dict[str, Any]


def _files(folder: str) -> dict[str, File]:
    """The files of a folder by their UUIDs."""
    found = [
        yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)
        for file in sorted((ROOT / folder).rglob("*.yaml"))
    ]
    return {content["uuid"]: content for content in found}


DATABASES, DATASETS, CHARTS = _files("databases"), _files("datasets"), _files("charts")
(DASHBOARD,) = _files("dashboards").values()
POSITION = {key: value for key, value in DASHBOARD["position"].items() if key != "DASHBOARD_VERSION_KEY"}
PLACED = [node["meta"] for node in POSITION.values() if node["type"] == "CHART"]
by_table = {dataset["table_name"]: dataset for dataset in DATASETS.values()}


def _source(dataset: File) -> str:
    """What a query of Superset's has after FROM."""
    return f"({dataset['sql']}) AS virtual_table" if dataset["sql"] else dataset["table_name"]


def test_every_uuid_is_one_of_its_own_and_every_reference_resolves() -> None:
    own = [*DATABASES, *DATASETS, *CHARTS, DASHBOARD["uuid"]]
    files = [file for file in ROOT.rglob("*.yaml") if file.name != "metadata.yaml"]
    assert len({uuid.UUID(text) for text in own}) == len(files)
    assert {dataset["database_uuid"] for dataset in DATASETS.values()} == set(DATABASES)
    assert {chart["dataset_uuid"] for chart in CHARTS.values()} == set(DATASETS)
    assert sorted(meta["uuid"] for meta in PLACED) == sorted(CHARTS)  # each chart is in one place
    assert {meta["uuid"]: meta["sliceName"] for meta in PLACED} == {
        key: chart["slice_name"] for key, chart in CHARTS.items()
    }
    assert len({meta["chartId"] for meta in PLACED}) == len(PLACED)  # the import finds charts by these numbers


def test_the_layout_is_a_tree_whose_rows_are_at_most_twelve_columns_wide() -> None:
    children = [child for node in POSITION.values() for child in node.get("children", [])]
    assert sorted(children) == sorted(set(POSITION) - {"ROOT_ID", "GRID_ID", "HEADER_ID"})
    for key, node in POSITION.items():
        assert node["id"] == key
        for child in node.get("children", []):
            assert POSITION[child]["parents"] == [*node.get("parents", []), key]
        if node["type"] == "ROW":
            assert sum(POSITION[child]["meta"]["width"] for child in node["children"]) == 12


def test_filters_stand_on_tabs_and_columns_that_exist() -> None:
    numbers = {meta["chartId"] for meta in PLACED}
    filters = DASHBOARD["metadata"]["native_filter_configuration"]
    assert [chart_filter["name"] for chart_filter in filters] == [
        "Days",
        "15-minute slots",
        "Metric",
        "Dimension",
        "Where",
    ]
    for chart_filter in filters:
        assert set(chart_filter["scope"]["rootPath"]) <= set(POSITION)
        assert set(chart_filter["scope"]["excluded"]) <= numbers
        for target in filter(None, chart_filter["targets"]):
            columns = {column["column_name"] for column in DATASETS[target["datasetUuid"]]["columns"]}
            assert target["column"]["name"] in columns


def test_no_password_is_in_the_files() -> None:
    (database,) = DATABASES.values()
    address = urlsplit(database["sqlalchemy_uri"])
    assert (address.scheme, address.username) == ("clickhousedb", "metrics_bi")
    assert address.password == "X" * 10  # Superset's mask: the import asks for the password
    assert database["allow_dml"] is database["allow_ctas"] is database["allow_cvas"] is False
    assert "password" not in database
    assert "encrypted_extra" not in database


def test_the_documented_command_makes_a_zip_with_one_folder_at_its_root(tmp_path: Path) -> None:
    document = (BI.parent / "docs" / "superset.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^python3 (-m zipfile -c .*)$", document, re.MULTILINE)
    arguments = shlex.split(command)
    arguments[3] = str(tmp_path / "export.zip")
    subprocess.run([sys.executable, *arguments], cwd=BI.parent, check=True)
    with zipfile.ZipFile(tmp_path / "export.zip") as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
    assert set(names) == {f"superset/{file.relative_to(ROOT)}" for file in ROOT.rglob("*.yaml")}
    assert "superset/metadata.yaml" in names


@pytest.mark.parametrize("table", by_table)
def test_a_dataset_has_the_columns_that_clickhouse_has(reader: Reader, table: str) -> None:
    dataset = by_table[table]
    columns = {column["column_name"]: column for column in dataset["columns"] if not column["expression"]}
    described = {row["name"]: row["type"] for row in reader.ask(f"DESCRIBE (SELECT * FROM {_source(dataset)})").rows}
    assert set(described) == set(columns)
    for name, kind in described.items():
        assert columns[name]["type"] == re.sub(r"LowCardinality\((\w+)\)", r"\1", kind), name
        assert columns[name]["is_dttm"] is ("Date" in kind)
        assert columns[name]["verbose_name"]
        assert columns[name]["description"]
    assert dataset["main_dttm_col"] in columns
    calculated = [column["expression"] for column in dataset["columns"] if column["expression"]]
    expressions = [*calculated, *(metric["expression"] for metric in dataset["metrics"])]
    reader.ask(f"SELECT {', '.join(expressions)} FROM {_source(dataset)} GROUP BY ALL")
    assert not {metric["metric_name"] for metric in dataset["metrics"]} & {
        column["column_name"] for column in dataset["columns"]
    }  # in ClickHouse an alias that is a column's name wins over the column


def _asked(params: File, suffix: str = "") -> Iterator[tuple[str, Any]]:
    """What a chart asks for: ("column", its name), ("metric", the name of a saved one or the SQL of its own)."""
    groups = params.get(f"groupby{suffix}", [])
    # A heat map has one column for its rows, other charts a list.
    groups = [groups] if isinstance(groups, str) else groups
    columns = [params.get("x_axis"), *groups, *params.get("all_columns", [])]
    columns += [condition["subject"] for condition in _simple_filters(params, suffix)]
    columns += [re.findall(r'"(\w+)"', order)[0] for order in params.get("order_by_cols", [])]
    yield from (("column", name) for name in dict.fromkeys(filter(None, columns)))
    yield from (
        ("metric", expression)
        for expression in [*params.get(f"metrics{suffix}", []), params.get("metric")]
        if expression
    )


def _simple_filters(params: File, suffix: str) -> list[File]:
    return [
        condition for condition in params.get(f"adhoc_filters{suffix}", []) if condition["expressionType"] == "SIMPLE"
    ]


@pytest.mark.parametrize("key", CHARTS, ids=lambda key: CHARTS[key]["slice_name"])
def test_clickhouse_runs_every_chart_with_its_datasets_columns(reader: Reader, key: str) -> None:
    chart = CHARTS[key]
    dataset, params = DATASETS[chart["dataset_uuid"]], chart["params"]
    columns = {column["column_name"]: column["expression"] for column in dataset["columns"]}
    metrics = {metric["metric_name"]: metric["expression"] for metric in dataset["metrics"]}
    assert params["viz_type"] == chart["viz_type"]
    assert set(params.get("column_config", {})) <= set(columns) | set(metrics)
    for suffix in ("", "_b") if chart["viz_type"] == "mixed_timeseries" else ("",):
        selected: list[str] = []
        for kind, name in _asked(params, suffix):
            if kind == "column":
                selected.append(f"{columns[name] or name} AS {name}")
            else:
                selected.append(metrics[name] if isinstance(name, str) else name["sqlExpression"])
        assert len(selected) > 0
        conditions = [
            f"{condition['subject']} = '{condition['comparator']}'"
            for condition in _simple_filters(params, suffix)
            if condition["operator"] == "=="
        ]
        conditions += [
            f"({condition['sqlExpression']})"
            for condition in params.get("adhoc_filters", [])
            if condition["expressionType"] == "SQL"
        ]
        where = " AND ".join(conditions) or "1"
        reader.ask(f"SELECT {', '.join(selected)} FROM {_source(dataset)} WHERE {where} GROUP BY ALL")


def test_no_metric_of_the_catalogue_is_named_where_the_long_tables_are_read() -> None:
    long_tables = {by_table[name]["uuid"] for name in ("slot_metrics", "metric_daily")}
    texts = [yaml.safe_dump(dataset) for key, dataset in DATASETS.items() if key in long_tables]
    texts += [yaml.safe_dump(chart["params"]) for chart in CHARTS.values() if chart["dataset_uuid"] in long_tables]
    texts += [
        text
        for file in (BI / "redash").glob("*.sql")
        if re.search(r"FROM (slot_metrics|metric_daily|verdicts)", text := file.read_text(encoding="utf-8"))
    ]
    assert len(texts) > 10
    named = {word for text in texts for word in re.findall(r"\w+", text)}
    assert named & set(load_catalog(load_settings(None)).metrics) == set()


def test_slots_are_joined_with_their_verdicts_on_the_products_clocks(warehouse: Warehouse, reader: Reader) -> None:
    assert f"WITH '{load_settings(None).timezone}' AS product_timezone" in by_table["slot_metrics"]["sql"]
    insert_slots(warehouse)
    sql = in_zone(by_table["slot_metrics"]["sql"], "Asia/Kolkata")
    rows = reader.ask(f"SELECT * FROM ({sql}) ORDER BY slot_time").rows
    assert rows[0]["slot_time"] == "2026-11-19 23:45:00"  # what is older than 35 days is not joined
    found = {
        (row["metric"], row["series"]): (row["value"], row["expected"], row["is_anomalous"])
        for row in rows
        if row["slot_time"] == "2026-11-27 23:45:00"
    }
    assert found == {
        ("revenue", "os: iOS"): (3, 9, 1),
        ("payers", "os: iOS"): (5, 1, 1),
        ("arppu", "whole product"): (None, None, 0),
    }
    (change,) = [row["change"] for row in rows if row["expected"] == 9]
    assert change == pytest.approx(-2 / 3)
    warehouse.execute("INSERT INTO verdicts SELECT * REPLACE (-9 AS expected, 5 AS version) FROM verdicts FINAL")
    changes = {row["metric"]: row["change"] for row in reader.ask(sql).rows if row["expected"] == -9}
    assert changes["revenue"] == pytest.approx(12 / 9)  # a rise, though the expected value is negative


def test_a_quotient_of_several_days_is_the_sums_divided(warehouse: Warehouse, reader: Reader) -> None:
    total = ("total", "total")
    insert(
        warehouse,
        "metric_daily",
        "event_date, metric, dimension, dimension_value, value, numerator, denominator",
        ("2026-11-20", "arppu", *total, 10, 10, 1),
        ("2026-11-21", "arppu", *total, 2, 6, 3),
        ("2026-11-20", "revenue", *total, 10, 10, None),
        ("2026-11-21", "revenue", *total, 6, 6, None),
    )
    (expression,) = [
        metric["expression"]
        for metric in by_table["metric_daily"]["metrics"]
        if metric["metric_name"] == "value_of_days"
    ]
    sql = f"SELECT metric, {expression} AS shown FROM {_source(by_table['metric_daily'])} GROUP BY metric"
    assert {row["metric"]: row["shown"] for row in reader.ask(sql).rows} == {"arppu": 4, "revenue": 8}


def test_an_incident_is_one_row_as_it_stands_now(warehouse: Warehouse, reader: Reader) -> None:
    insert_incidents(warehouse)
    rows = reader.ask(in_zone(by_table["incidents_now"]["sql"], "Europe/Moscow") + "ORDER BY incident").rows
    shown = [(row["series"], row["state"], row["opened"], row["closed"], row["hours"], row["told"]) for row in rows]
    assert shown == [
        ("whole product", "resolved", "2026-11-21 13:00:00", "2026-11-21 13:30:00", 0.5, 1),
        ("os: iOS", "open", "2026-11-22 13:00:00", None, 0.5, 0),
        ("os: iOS", "open", "2026-11-22 12:45:00", None, 0.75, 0),
    ]
    assert [row["part_of"] for row in rows] == ["", "", "bbbbb"]


def test_rates_of_more_than_one_day_are_sums_divided(warehouse: Warehouse, reader: Reader) -> None:
    warehouse.execute(
        "INSERT INTO app_daily (event_date, app_dau, views, likes, retained_d1, cohort_d1) VALUES "
        "('2026-11-20', 10, 100, 10, 1, 4), ('2026-11-21', 20, 300, 90, 0, 0)"
    )
    names = ("click_through_rate", "average_app_dau", "retained_after_1_day", "retained_after_7_days")
    expressions = {metric["metric_name"]: metric["expression"] for metric in by_table["app_daily"]["metrics"]}
    chosen = ", ".join(f"{expressions[name]} AS {name}" for name in names)
    (row,) = reader.ask(f"SELECT {chosen} FROM app_daily").rows
    assert tuple(row.values()) == (0.25, 15, 0.25, None)
