"""An installation of an earlier version after its migration: its history counts, and its open incident goes on."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import dagster as dg

from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.slot_migration import migrate_slot_tables
from metrics_platform.warehouse.tables import INCIDENTS, MONITORED_SLOTS
from metrics_platform_tests.defs.monitor_world import HISTORY_DAYS, NOON, MonitorWorld
from metrics_platform_tests.warehouse.test_slot_migration import OLD_TABLES

LAST = f"{NOON - SLOT:%Y-%m-%d %H:%M:%S}"
_AS_BEFORE = """
INSERT INTO slot_metrics
SELECT slot_start, dimension, dimension_value, anyIf(value, metric = 'views') AS viewed,
    anyIf(value, metric = 'likes') AS liked, anyIf(value, metric = 'feed_users'), anyIf(value, metric = 'messages'),
    anyIf(value, metric = 'senders'), liked / viewed
FROM long_metrics FINAL GROUP BY slot_start, dimension, dimension_value
"""
_VERDICTS = f"""
INSERT INTO verdicts
SELECT slot_start, 'views', dimension, dimension_value, 'normal', '', 'within_band', 'seasonal', views, NULL, views, 0,
    500, 0
FROM slot_metrics WHERE slot_start >= toDateTime('{LAST}', 'UTC') - INTERVAL 1 DAY
"""
_INCIDENT = f"""
INSERT INTO incidents (slot_start, incident, metric, dimension, dimension_value, state, change, direction, severity,
    opened_at, last_at, needed)
VALUES ('{LAST}', 'aaaaa', 'views', 'total', 'total', 'open', 'opened', 'down', 'critical', '{LAST}', '{LAST}', 2)
"""


def _state(world: MonitorWorld) -> dict[str, str]:
    """Incident → its latest state, of the views of the whole product."""
    series = ("views", "total", "total")
    rows = world.rows("incidents")  # ordered by slot
    return {
        row["incident"]: row["state"]
        for row in rows
        if (row["metric"], row["dimension"], row["dimension_value"]) == series
    }


def test_a_check_continues_the_open_incident_of_the_earlier_version(
    make_settings: Callable[..., Settings], instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    world = MonitorWorld.create(make_settings, instance, data_dir=tmp_path / "data")
    warehouse = world.warehouse
    warehouse.execute("RENAME TABLE slot_metrics TO long_metrics")
    for statement in OLD_TABLES:
        warehouse.execute(statement)
    create_tables(warehouse, [INCIDENTS, MONITORED_SLOTS])
    warehouse.execute(_AS_BEFORE, settings={"max_partitions_per_insert_block": 1000})
    warehouse.execute(_VERDICTS)
    warehouse.execute(_INCIDENT)
    warehouse.execute(f"INSERT INTO monitored_slots VALUES ('{LAST}', 18, 1, 1)")
    values, verdicts = migrate_slot_tables(warehouse, world.settings)
    assert (values.days, verdicts.days) == (HISTORY_DAYS + 1, 2)

    world.happens(0, iOS=0.2, Android=0.2)
    assert world.check(0).success
    assert _state(world) == {"aaaaa": "open"}
    again = "SELECT count() FROM slot_metrics FINAL WHERE version > 1 AND slot_start < '2026-11-20' AND slot_start >= "
    assert warehouse.value(f"{again}'{NOON - datetime.timedelta(days=HISTORY_DAYS):%Y-%m-%d %H:%M:%S}'") == 0
    found = (
        "SELECT status, expected > 0 FROM verdicts FINAL WHERE slot_start = {slot:DateTime('UTC')} AND metric = 'views'"
    )
    (verdict,) = warehouse.query(f"{found} AND dimension = 'total'", {"slot": f"{NOON:%Y-%m-%d %H:%M:%S}"}).rows
    assert tuple(verdict.values()) == ("anomalous", 1)  # evaluated with the migrated history
    for number in (1, 2):
        world.happens(number)
    assert world.check(1, 2).success
    assert _state(world) == {"aaaaa": "resolved"}
