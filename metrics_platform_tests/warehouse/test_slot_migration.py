"""Migrating `slot_metrics` and `verdicts` of earlier versions: nothing is lost, whatever interrupts it."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from metrics_platform.alerts.anomalies import Series
from metrics_platform.catalog import load_catalog
from metrics_platform.cli import main
from metrics_platform.incidents.store import incidents_before, verdicts_at
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, Slot, SlotRange
from metrics_platform.warehouse.catalog_check import check_catalog
from metrics_platform.warehouse.client import Done, Warehouse
from metrics_platform.warehouse.inspection import inspect_warehouse
from metrics_platform.warehouse.schema import SchemaMismatchError, create_tables
from metrics_platform.warehouse.slot_migration import migrate_slot_tables, tables_to_migrate
from metrics_platform.warehouse.slots import missing_slots
from metrics_platform.warehouse.tables import INCIDENT_ANSWERS, INCIDENTS, MONITORED_SLOTS, SLOT_METRICS, VERDICTS
from metrics_platform_tests.worlds import SourceTables, in_environment

ZONE = "Asia/Kolkata"  # its days begin at 18:30 in UTC
START = datetime.datetime(2026, 11, 10, tzinfo=datetime.UTC)
DAYS = 2
END = START + datetime.timedelta(days=DAYS)

# The tables as earlier versions made them.
OLD_TABLES = (
    """
CREATE TABLE slot_metrics
(
    slot_start DateTime('UTC'), dimension LowCardinality(String), dimension_value LowCardinality(String),
    views Int64, likes Int64, feed_users Int64, messages Int64, senders Int64, ctr Nullable(Float64)
)
ENGINE = MergeTree PARTITION BY toDate(slot_start) ORDER BY (dimension, dimension_value, slot_start)
""",
    """
CREATE TABLE verdicts
(
    slot_start DateTime('UTC'), metric LowCardinality(String), dimension LowCardinality(String),
    dimension_value LowCardinality(String), status LowCardinality(String), severity LowCardinality(String),
    reason LowCardinality(String), detector LowCardinality(String), value Nullable(Float64), trials Nullable(Float64),
    expected Nullable(Float64), lower Nullable(Float64), upper Nullable(Float64), score Nullable(Float64)
)
ENGINE = MergeTree PARTITION BY toDate(slot_start) ORDER BY (metric, dimension, dimension_value, slot_start)
""",
)
OLD_ROWS = (
    """
INSERT INTO slot_metrics
SELECT slot, slice.1, slice.2, n, intDiv(n, 3) AS liked, n + 1, n + 2, n + 3, if(n = 0, NULL, liked / n)
FROM
(
    SELECT {start:DateTime('UTC')} + number * 900 AS slot, slice, (number * slice.3) % 50 AS n
    FROM numbers({slots:UInt32}) ARRAY JOIN [('total', 'total', 7), ('os', 'iOS', 3), ('os', 'Android', 4)] AS slice
)
""",
    """
INSERT INTO verdicts
SELECT slot_start, 'views', dimension, dimension_value, if(views = 0, 'anomalous', 'normal'), '', 'within_band',
    'seasonal', views, NULL, views + 1, views - 2, views + 3, 0.5
FROM slot_metrics
""",
)
COLUMNS = ("views", "likes", "feed_users", "messages", "senders", "ctr")


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(timezone=ZONE, start_date=START.date(), monitored_dimensions=("os",))


@pytest.fixture
def warehouse(settings: Settings) -> Warehouse:
    """An installation of an earlier version, with some days and an open incident."""
    found = SourceTables.create(settings).warehouse
    create_tables(found, [INCIDENTS, MONITORED_SLOTS, INCIDENT_ANSWERS])
    parameters = {"start": f"{START:%Y-%m-%d %H:%M:%S}", "slots": DAYS * 96}
    for statement in (*OLD_TABLES, *OLD_ROWS):
        found.execute(statement, parameters)
    columns = "slot_start, incident, metric, dimension, dimension_value, state, direction, severity, opened_at, last_at"
    opened = f"'{END - 2 * SLOT:%Y-%m-%d %H:%M:%S}'"
    found.execute(
        f"INSERT INTO incidents ({columns}) VALUES "
        f"({opened}, 'aaaaa', 'views', 'os', 'iOS', 'open', 'down', 'warning', {opened}, {opened})"
    )
    return found


def _rows(warehouse: Warehouse, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in warehouse.query(sql).rows]


def _tables(warehouse: Warehouse) -> set[str]:
    return {name for (name,) in _rows(warehouse, "SHOW TABLES")}


def _assert_migrated(warehouse: Warehouse) -> None:
    """Every value of the old tables is in the new ones, once."""
    keys = "slot_start, dimension, dimension_value"
    new = f"SELECT {keys}, toString(metric), value FROM slot_metrics FINAL WHERE NOT endsWith(metric, '.events')"
    values = ", ".join(f"('{column}', toNullable(toFloat64({column})))" for column in COLUMNS)
    old = f"SELECT {keys}, each.1, each.2 FROM slot_metrics_before_catalog ARRAY JOIN [{values}] AS each"
    found = _rows(warehouse, f"{new} ORDER BY ALL")
    assert found == _rows(warehouse, f"{old} ORDER BY ALL")
    assert len(found) == DAYS * 96 * 3 * len(COLUMNS)
    shared = (
        "slot_start, metric, dimension, dimension_value, status, severity, reason, detector, value, trials, expected, "
    )
    shared += "lower, upper, score"
    assert _rows(warehouse, f"SELECT {shared} FROM verdicts FINAL ORDER BY ALL") == _rows(
        warehouse, f"SELECT {shared} FROM verdicts_before_catalog ORDER BY ALL"
    )
    for table in ("slot_metrics", "verdicts"):
        days = f"SELECT countIf(event_date != toDate(toTimeZone(slot_start, '{ZONE}'))) FROM {table} FINAL"
        assert warehouse.value(days) == 0
    assert {"slot_metrics_migrated", "verdicts_migrated"} & _tables(warehouse) == set()


def test_every_value_is_in_the_long_tables_under_its_day(warehouse: Warehouse, settings: Settings) -> None:
    assert tables_to_migrate(warehouse) == ["slot_metrics", "verdicts"]
    (found,) = (finding for finding in inspect_warehouse(warehouse, settings) if finding.subject == "Tables")
    assert (found.status, "slot_metrics, verdicts" in found.detail) == ("problem", True)
    assert "create-tables" in found.remedy
    incidents = _rows(warehouse, "SELECT * FROM incidents FINAL")
    values, verdicts = migrate_slot_tables(warehouse, settings)
    assert (values.table, values.days, values.rows) == ("slot_metrics", DAYS + 1, DAYS * 96 * 3 * 8)
    assert (verdicts.kept_as, verdicts.rows) == ("verdicts_before_catalog", DAYS * 96 * 3)
    _assert_migrated(warehouse)
    assert tables_to_migrate(warehouse) == []
    assert migrate_slot_tables(warehouse, settings) == []

    checked = check_catalog(warehouse, load_catalog(settings))
    (missing,) = missing_slots(warehouse, SlotRange(START, END + SLOT), checked, settings)
    assert missing.slots == SlotRange(END, END + SLOT)  # what was migrated is not computed again
    assert _rows(warehouse, "SELECT * FROM incidents FINAL") == incidents
    (alert,) = incidents_before(warehouse, END)
    assert (alert.id, alert.state) == ("aaaaa", "open")
    assert Series.of(alert) in verdicts_at(warehouse, Slot(END - SLOT))
    for slot in (START, START + 4 * SLOT):
        row = f"slot_start = '{slot:%Y-%m-%d %H:%M:%S}' AND dimension_value = 'iOS'"
        sql = f"SELECT metric, value, numerator, denominator FROM slot_metrics FINAL WHERE {row}"
        parts = {metric: numbers for metric, *numbers in _rows(warehouse, sql)}
        views, likes = parts["views"][0], parts["likes"][0]
        assert parts["ctr"] == [likes / views if views else None, likes, views]
        assert parts["likes"] == [likes, likes, None]
        assert parts["feed_actions.events"] == [views + likes, views + likes, None]
        assert parts["message_actions.events"][0] == parts["messages"][0]


def test_a_slot_that_was_computed_meanwhile_is_not_overwritten(warehouse: Warehouse, settings: Settings) -> None:
    migrate_slot_tables(warehouse, settings)
    key = f"'2026-11-11', '{START + datetime.timedelta(days=1):%Y-%m-%d %H:%M:%S}', 'views', 'total', 'total'"
    warehouse.execute(f"INSERT INTO slot_metrics VALUES ({key}, 1000, 1000, NULL, 7, {10**15}, 0)")
    # As if the migration had been interrupted before its last step.
    create_tables(warehouse, [SLOT_METRICS])
    warehouse.execute("CREATE TABLE slot_metrics_migrated AS slot_metrics")
    assert [migrated.table for migrated in migrate_slot_tables(warehouse, settings)] == ["slot_metrics"]
    assert warehouse.value("SELECT max(value) FROM slot_metrics FINAL WHERE metric = 'views'") == 1000
    assert warehouse.value("SELECT count() FROM slot_metrics FINAL") == DAYS * 96 * 3 * 8


@dataclass
class Dying(Warehouse):
    """A warehouse that fails after its statement number `fatal`, which is before the next one."""

    fatal: int = 0
    statements: list[str] = field(default_factory=list)

    def execute(self, sql: str, *arguments: Any, **more: Any) -> Done:
        self.statements.append(sql)
        done = super().execute(sql, *arguments, **more)
        if len(self.statements) == self.fatal:
            raise ConnectionError(sql)
        return done


def test_interrupted_at_any_statement_it_loses_nothing(warehouse: Warehouse, settings: Settings) -> None:
    fatal = 1
    while True:
        dying = Dying(warehouse.connection, fatal=fatal)
        try:
            migrate_slot_tables(dying, settings)
        except ConnectionError:
            # A check that runs meanwhile creates tables that are missing.
            missing = {"slot_metrics", "verdicts"} - _tables(warehouse)
            create_tables(warehouse, [table for table in (SLOT_METRICS, VERDICTS) if table.name in missing])
            migrate_slot_tables(warehouse, settings)
            _assert_migrated(warehouse)
            _restore(warehouse)
            fatal += 1
            continue
        break
    _assert_migrated(warehouse)
    assert fatal - 1 == len(dying.statements) > 10


def _restore(warehouse: Warehouse) -> None:
    for table in ("slot_metrics", "verdicts"):
        warehouse.execute(f"DROP TABLE {table} SYNC")
        warehouse.execute(f"RENAME TABLE {table}_before_catalog TO {table}")


def test_a_kept_table_in_the_way_is_named_with_the_remedy(warehouse: Warehouse, settings: Settings) -> None:
    warehouse.execute("CREATE TABLE verdicts_before_catalog AS verdicts")
    with pytest.raises(SchemaMismatchError, match="Rename or drop verdicts_before_catalog"):
        migrate_slot_tables(warehouse, settings)


def test_a_column_added_to_an_earlier_version_is_kept_as_a_metric(warehouse: Warehouse, settings: Settings) -> None:
    warehouse.execute("ALTER TABLE slot_metrics ADD COLUMN likers Int64 DEFAULT likes + 1")
    migrate_slot_tables(warehouse, settings)
    likers, likes = (
        warehouse.value(f"SELECT sum(value) FROM slot_metrics FINAL WHERE metric = '{metric}'")
        for metric in ("likers", "likes")
    )
    assert likers == likes + DAYS * 96 * 3


def test_tables_of_this_version_are_left_alone(settings: Settings) -> None:
    warehouse = Warehouse.from_settings(settings)
    assert migrate_slot_tables(warehouse, settings) == []  # not even the database is there
    create_tables(warehouse, [SLOT_METRICS, VERDICTS])
    assert migrate_slot_tables(warehouse, settings) == []


def test_the_command_migrates_and_the_refusal_names_it(
    warehouse: Warehouse, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(SchemaMismatchError, match="run `metrics-platform create-tables`"):
        create_tables(warehouse, [SLOT_METRICS])
    monkeypatch.chdir(tmp_path)
    in_environment(monkeypatch, settings)
    answer = CliRunner().invoke(main, ["create-tables"])
    assert answer.exit_code == 0, answer.output
    assert (
        "Migrated slot_metrics: 3 days, 4608 rows. The old table is kept as slot_metrics_before_catalog"
        in answer.output
    )
    _assert_migrated(warehouse)


def test_a_metric_that_the_users_catalogue_redefines_is_computed_again(
    warehouse: Warehouse, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "catalogue.yaml"
    file.write_text("metrics: {views: {sql: \"countIf(action = 'view') + 0\"}}", encoding="utf-8")
    changed = settings.model_copy(update={"catalog": file})
    migrate_slot_tables(warehouse, changed)
    (missing,) = missing_slots(
        warehouse, SlotRange(START, END), check_catalog(warehouse, load_catalog(changed)), changed
    )[:1]
    assert {metric.name for metric in missing.metrics} == {"views", "ctr"}
