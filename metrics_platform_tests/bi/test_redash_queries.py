"""Redash's queries: asked as Redash asks them, of empty tables and of rows whose answers are known."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from metrics_platform.settings import load_settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform_tests.bi.conftest import (
    BI,
    Reader,
    in_zone,
    insert,
    insert_incidents,
    insert_slots,
    insert_values,
)

FILES = sorted((BI / "redash").glob("*.sql"))
PARAMETER = re.compile(r"\{\{ ([a-z_.]+) \}\}")
VALUES = {
    "date_range.start": "2026-11-20",
    "date_range.end": "2026-11-27",
    "metric": "revenue",
    "dimension": "os",
    "dimension_value": "iOS",
}
# What Redash knows as a number, a day or a time; everything else it draws as text (DateTime('UTC'), too).
KNOWN_TYPES = re.compile(r"(Nullable\()?(U?Int\d+|Float\d+|Date|DateTime)\)?")
TEXT_TYPES = {"String", "LowCardinality(String)"}


def _head(sql: str) -> str:
    lines = [line for line in sql.splitlines() if line.startswith("--")]
    return " ".join(line.removeprefix("--").strip() for line in lines)


def _filled(name: str, **values: str) -> str:
    sql = (BI / "redash" / f"{name}.sql").read_text(encoding="utf-8")
    return PARAMETER.sub(lambda found: {**VALUES, **values}[found[1]], sql)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_query_runs_and_says_how_to_draw_what_it_answers(reader: Reader, file: Path) -> None:
    sql = file.read_text(encoding="utf-8")
    head = _head(sql)
    assert "{{" not in head  # Redash would take it for a parameter
    visualisation, parameters = re.split("Parameters:", head.split("Visualisation:")[1])
    for name in {found.split(".")[0] for found in PARAMETER.findall(sql)} or {"none"}:
        assert name in parameters
    assert "{{" not in PARAMETER.sub("", sql)

    types = reader.ask(_filled(file.stem)).types
    assert all(KNOWN_TYPES.fullmatch(kind) or kind in TEXT_TYPES for kind in types.values()), types
    named = {
        word
        for part in re.findall(r"(?:[XY]|Date|Stage|size|value): ([^.]*)\.", f"{visualisation}.")
        for word in re.findall("[a-z_0-9]+", part)
    }
    assert {word for word in named if "_" in word} <= set(types)
    assert set(types) & named or "Table" in visualisation or "Counter" in visualisation


def test_the_time_zone_of_the_files_is_the_default_of_the_setting() -> None:
    with_zone = [file for file in FILES if "product_timezone" in file.read_text(encoding="utf-8")]
    assert {file.stem for file in with_zone} == {"slot_metrics", "anomalous_slots", "incidents"}
    default = load_settings(None).timezone
    assert all(f"WITH '{default}' AS product_timezone" in file.read_text(encoding="utf-8") for file in with_zone)


def _day(warehouse: Warehouse, day: str, **values: Any) -> None:
    insert(warehouse, "app_daily", ", ".join(["event_date", *values]), (day, *values.values()))


def test_the_latest_day_is_compared_by_date_across_missing_days(warehouse: Warehouse, reader: Reader) -> None:
    _day(warehouse, "2026-11-19", app_dau=80, ctr=0.25, mau=0)
    _day(warehouse, "2026-11-25", app_dau=50, ctr=0.5, mau=0)
    _day(warehouse, "2026-11-26", app_dau=100, ctr=0.2, mau=7)
    rows = {row["metric"]: row for row in reader.ask(_filled("latest_day")).rows}
    assert len(rows) == 26
    assert {row["event_date"] for row in rows.values()} == {"2026-11-26"}
    changes = {name: (row["value"], row["change_1d"], row["change_7d"]) for name, row in rows.items()}
    assert changes["App DAU"] == (100, 100, 25)
    assert changes["CTR"] == (20, -30, -5)  # percentage points
    assert changes["MAU"] == (7, None, None)  # a base of 0
    assert changes["D1 retention"] == (None, None, None)
    _day(warehouse, "2026-11-28", app_dau=1)
    (row,) = [row for row in reader.ask(_filled("latest_day")).rows if row["metric"] == "App DAU"]
    assert (row["value"], row["day_before"], row["week_before"]) == (1, None, None)


def test_a_missing_day_is_a_row_of_nothing_not_of_zeros(warehouse: Warehouse, reader: Reader) -> None:
    _day(warehouse, "2026-11-21", app_dau=5, stickiness=0.125)
    _day(warehouse, "2026-11-23", app_dau=0)
    rows = reader.ask(_filled("audience")).rows
    assert [(row["event_date"], row["app_dau"]) for row in rows] == [
        ("2026-11-21", 5),
        ("2026-11-22", None),
        ("2026-11-23", 0),
    ]
    assert rows[0]["stickiness_percent"] == 12.5


def test_slices_are_of_one_dimension_and_ages_are_classes_in_order(warehouse: Warehouse, reader: Reader) -> None:
    rows = [("os", "iOS", 4, 1), ("age", "9", 1, 0), ("age", "18", 2, 1), ("age", "55", 3, 0), ("age", "unknown", 4, 0)]
    columns = "event_date, dimension, dimension_value, views, likes"
    insert(warehouse, "dimension_metrics", columns, *(("2026-11-20", *row) for row in rows))
    (row,) = reader.ask(_filled("daily_slices")).rows
    assert (row["dimension_value"], row["views"], row["ctr_percent"]) == ("iOS", 4, 25)
    groups = [(row["age_group"], row["views"]) for row in reader.ask(_filled("age_groups")).rows]
    assert groups == [("<18", 1), ("18-24", 2), ("55+", 3), ("unknown", 4)]


def test_slots_are_those_of_the_days_on_the_products_clocks(warehouse: Warehouse, reader: Reader) -> None:
    insert_slots(warehouse)
    sql = in_zone(_filled("slot_metrics"), "Asia/Kolkata")
    first, last = reader.ask(sql).rows
    nothing = {"expected": None, "lower": None, "upper": None, "anomalous": None}
    assert first == {"slot_time": "2026-11-20 00:00:00", "value": 2, **nothing}
    band = {"expected": 9, "lower": 8, "upper": 10, "anomalous": 3}
    assert last == {"slot_time": "2026-11-27 23:45:00", "value": 3, **band}
    anomalies = reader.ask(in_zone(_filled("anomalous_slots"), "Asia/Kolkata")).rows
    assert [(row["slot_time"], row["metric"], row["series"]) for row in anomalies] == [
        ("2026-11-27 23:45:00", "payers", "os: iOS"),
        ("2026-11-27 23:45:00", "revenue", "os: iOS"),
    ]


def test_metrics_of_the_day_are_read_by_name_and_compared_by_date(warehouse: Warehouse, reader: Reader) -> None:
    insert_values(
        warehouse,
        "metric_daily",
        ("2026-11-19", "revenue", "total", "total", 40),
        ("2026-11-25", "revenue", "total", "total", 0),
        ("2026-11-26", "revenue", "total", "total", 70),
        ("2026-11-26", "revenue", "os", "iOS", 30),
        ("2026-11-26", "arppu", "total", "total", None),
        ("2026-11-26", "payments.events", "total", "total", 5),
    )
    insert_values(warehouse, "metric_daily", ("2026-11-26", "revenue", "total", "total", 50), version=2)
    assert [(row["name"], row["value"]) for row in reader.ask(_filled("metrics")).rows] == [
        ("arppu", "arppu"),
        ("revenue", "revenue"),
    ]
    totals = reader.ask(_filled("metric_daily", dimension="total")).rows
    assert [(row["event_date"], row["value"]) for row in totals] == [("2026-11-25", 0), ("2026-11-26", 50)]
    (slice_row,) = reader.ask(_filled("metric_daily")).rows
    assert (slice_row["dimension_value"], slice_row["value"]) == ("iOS", 30)
    unknown, revenue = reader.ask(_filled("metrics_latest_day")).rows
    assert (unknown["metric"], unknown["value_of_day"], unknown["change_1d"]) == ("arppu", None, None)
    assert (revenue["value_of_day"], revenue["change_1d"], revenue["change_7d"]) == (50, None, 25)


def test_changes_of_negative_and_of_tiny_values_have_their_sign_and_size(warehouse: Warehouse, reader: Reader) -> None:
    total = ("total", "total")
    insert_values(
        warehouse,
        "metric_daily",
        ("2026-11-25", "profit", *total, -100),
        ("2026-11-26", "profit", *total, -150),
    )
    (profit,) = reader.ask(_filled("metrics_latest_day")).rows
    assert profit["change_1d"] == -50
    slot = ("2026-11-26", "2026-11-26 10:00:00")
    insert(
        warehouse,
        "verdicts",
        "event_date, slot_start, metric, dimension, dimension_value, status, value, expected",
        (*slot, "profit", *total, "anomalous", -150, -100),
        (*slot, "refund_rate", *total, "anomalous", 0.0002, 0.0004),
    )
    rows = reader.ask(_filled("anomalous_slots")).rows
    assert [row["change_percent"] for row in rows] == [-50, -50]


def test_an_incident_is_shown_once_as_it_stands_now(warehouse: Warehouse, reader: Reader) -> None:
    insert_incidents(warehouse)
    open_now, _part_of_it, resolved = reader.ask(in_zone(_filled("incidents"), "Europe/Moscow")).rows
    shown = [open_now[name] for name in ("incident", "series", "closed", "hours")]
    assert shown == ["bbbbb", "os: iOS", None, 0.5]
    assert (resolved["state"], resolved["severity"], resolved["worst_change_percent"]) == ("resolved", "critical", -50)
    assert (resolved["opened"], resolved["closed"]) == ("2026-11-21 13:00:00", "2026-11-21 13:30:00")
    assert reader.ask(_filled("open_incidents")).rows == [{"open_incidents": 1, "critical": 1}]


def test_weekly_cohorts_are_the_sums_of_their_days(warehouse: Warehouse, reader: Reader) -> None:
    rows = [
        ("2026-11-13", "2026-11-13", 0, "ads", 10, 10),
        ("2026-11-14", "2026-11-14", 0, "ads", 20, 20),
        ("2026-11-19", "2026-11-12", 7, "ads", 90, 90),  # before the first computed day
        ("2026-11-20", "2026-11-13", 7, "ads", 10, 4),
        ("2026-11-20", "2026-11-13", 7, "organic", 10, 2),
        ("2026-11-21", "2026-11-14", 7, "ads", 20, 4),
        ("2026-11-21", "2026-11-13", 8, "ads", 10, 10),  # between two weeks
        ("2026-11-27", "2026-11-13", 14, "ads", 10, 1),  # the days after the 13th follow
    ]
    warehouse.execute(f"INSERT INTO user_cohorts VALUES {', '.join(map(str, rows))}")
    query = PARAMETER.sub(
        lambda found: {"date_range.start": "2026-11-09", "date_range.end": "2026-11-27"}[found[1]],
        (BI / "redash/retention_by_cohort.sql").read_text(encoding="utf-8"),
    )
    columns = ("cohort_week", "weeks_since", "cohort_users", "retention_percent")
    found = [tuple(row[name] for name in columns) for row in reader.ask(query).rows]
    assert found == [("2026-11-09", 1, 40, 25)]
    warehouse.execute("INSERT INTO user_cohorts VALUES ('2026-11-29', '2026-11-14', 14, 'ads', 30, 3)")
    found = [tuple(row[name] for name in columns) for row in reader.ask(query).rows]
    assert found == [("2026-11-09", 1, 40, 25), ("2026-11-09", 2, 40, 10)]
