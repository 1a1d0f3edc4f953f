"""Two replicas of a cluster, addressed through one of them and through a balancer: the same tables on both.

The engine that is installed for tests has no replication. CLICKHOUSE_REPLICAS names two replicas of a cluster `main`
that may be written to: CLICKHOUSE_REPLICAS="http://user:password@host:port http://user:password@host:port".
"""

from __future__ import annotations

import datetime
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from metrics_platform.alerts.alert import Alert
from metrics_platform.alerts.anomalies import Series
from metrics_platform.catalog import load_catalog
from metrics_platform.connection import parse_url
from metrics_platform.incidents.store import (
    ProcessedSlot,
    Update,
    create_incident_tables,
    incidents_before,
    last_processed_slot,
)
from metrics_platform.settings import Settings, load_settings
from metrics_platform.time_windows import SLOT, Slot, SlotRange
from metrics_platform.warehouse.catalog_check import check_catalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.inspection import inspect_cluster, inspect_warehouse
from metrics_platform.warehouse.partitions import STAGING_PREFIX, drop_leftovers
from metrics_platform.warehouse.schema import create_database, create_staging, create_tables, existing_columns
from metrics_platform.warehouse.slot_migration import migrate_slot_tables
from metrics_platform.warehouse.slots import compute_slots
from metrics_platform.warehouse.tables import FEED_USER_DAILY, SLOT_METRICS, VERDICTS, all_tables
from metrics_platform_tests.balancer import balanced
from metrics_platform_tests.defs.monitor_world import MonitorWorld
from metrics_platform_tests.defs.running import failure_texts
from metrics_platform_tests.faults.world import _FEED, _MESSAGES
from metrics_platform_tests.telegram.bot_api import BotApi
from metrics_platform_tests.warehouse.test_slot_migration import OLD_ROWS, OLD_TABLES, Dying
from metrics_platform_tests.worlds import SourceTables, compute_all

REPLICAS = os.environ.get("CLICKHOUSE_REPLICAS", "").split()
pytestmark = pytest.mark.skipif(len(REPLICAS) != 2, reason="CLICKHOUSE_REPLICAS names no two replicas")
CLUSTER = "main"
ENGINE = "ReplicatedMergeTree('/clickhouse/tables/{database}/{table}', '{replica}')"
DAY = datetime.date(2026, 3, 6)
MIDNIGHT = datetime.datetime(2026, 3, 6, tzinfo=datetime.UTC)
SLOTS = SlotRange(MIDNIGHT, MIDNIGHT + datetime.timedelta(days=1))
_COMPUTED = [table for table in all_tables(("os", "gender", "age")) if table.name not in ("verdicts", "metric_daily")]


@pytest.fixture(scope="module")
def source() -> str:
    """A database with the same events on each replica."""
    name = f"source_{uuid.uuid4().hex[:8]}"
    for url in REPLICAS:
        tables = SourceTables.create(_settings(f"{url}/{name}", name))
        tables.warehouse.execute(_FEED.format(table=f"{name}.feed_actions"))
        tables.warehouse.execute(_MESSAGES.format(table=f"{name}.message_actions"))
    return name


@pytest.fixture(scope="module")
def plain(source: str) -> dict[str, Any]:
    """The tables as one server without replication computes them."""
    settings = _settings(f"{REPLICAS[0]}/plain_{uuid.uuid4().hex[:8]}", source)
    _compute(settings)
    return _fingerprints(Warehouse.from_settings(settings))


@pytest.fixture(scope="module")
def balancer() -> Iterator[str]:
    first, second = (parse_url(f"{url}/default") for url in REPLICAS)
    with balanced(first, second) as port:
        yield f"http://{first.user}:{first.password}@127.0.0.1:{port}"


def test_through_one_replica_both_have_what_a_plain_server_has(source: str, plain: dict[str, Any]) -> None:
    database = f"one_{uuid.uuid4().hex[:8]}"
    on_replicas = [_settings(f"{url}/{database}", source, clickhouse_engine=ENGINE) for url in REPLICAS]
    for settings in on_replicas:
        create_tables(Warehouse.from_settings(settings), all_tables(settings.dimensions))
    _compute(on_replicas[0])
    second = Warehouse.from_settings(on_replicas[1])
    for table in _COMPUTED:
        second.execute(f"SYSTEM SYNC REPLICA `{table.name}`")
    assert _fingerprints(Warehouse.from_settings(on_replicas[0])) == _fingerprints(second) == plain


def test_through_a_balancer_both_have_what_a_plain_server_has(
    source: str, plain: dict[str, Any], balancer: str
) -> None:
    settings = _balanced(balancer, source)
    warehouse = Warehouse.from_settings(settings)
    assert [finding for finding in inspect_warehouse(warehouse, settings) if finding.status == "problem"] == []
    _compute(settings)
    first, second = (replace(warehouse, connection=parse_url(f"{url}/{warehouse.database}")) for url in REPLICAS)
    assert _fingerprints(first) == _fingerprints(second) == plain
    assert "'staging__" not in str(warehouse.query("SHOW TABLES").rows)


def test_an_outage_behind_a_balancer_alerts_once(balancer: str, api: BotApi, tmp_path: Path) -> None:
    database = uuid.uuid4().hex[:8]
    names = {"feed_table": f"events_{database}.feed", "messages_table": f"events_{database}.messages"}
    with dg.DagsterInstance.ephemeral() as instance:
        world = MonitorWorld.create(_behind(balancer, database, **names), instance, **api.settings, data_dir=tmp_path)
        for number in range(5):
            world.happens(number, **({"iOS": 0.0, "Android": 0.0} if number in (1, 2) else {}))
            result = world.check(max(0, number - 2), number)
            assert result.success, failure_texts(result)
            world.deliver(number)
    alert, all_clear = api.messages(api.supergroup)
    assert alert.text.startswith("✅ RESOLVED")
    assert all_clear.reply_to == alert.message_id
    readers = [replace(world.warehouse, connection=parse_url(f"{url}/balanced_{database}")) for url in REPLICAS]
    assert [reader.query("SELECT * FROM incidents FINAL ORDER BY ALL").rows for reader in readers] == [
        world.rows("incidents")
    ] * 2


@pytest.mark.parametrize("after", [False, True])
def test_a_check_killed_at_any_write_behind_a_balancer_alerts_once(
    balancer: str, api: BotApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    found = []
    for kill in (False, True):
        name = uuid.uuid4().hex[:8]
        names = {"feed_table": f"events_{name}.feed", "messages_table": f"events_{name}.messages"}
        with dg.DagsterInstance.ephemeral() as instance:
            folder = tmp_path / name
            world = MonitorWorld.create(_behind(balancer, name, **names), instance, **api.settings, data_dir=folder)
            for number in range(3):
                world.happens(number, **({"iOS": 0.0, "Android": 0.0} if number else {}))
            fatal, killed = 0, kill
            while killed:  # until a run has fewer writes
                fatal += 1
                with monkeypatch.context() as patched:
                    _die(patched, fatal, after=after)
                    killed = not world.check(0, 2).success
                world.deliver(2)
            assert not kill or fatal > 15
            assert world.check(0, 2).success
            world.deliver(2)
        readers = [replace(world.warehouse, connection=parse_url(f"{url}/balanced_{name}")) for url in REPLICAS]
        for reader in readers:
            tables = ("slot_metrics", "verdicts", "incidents", "monitored_slots")
            found.append(
                [replace(world, sources=replace(world.sources, warehouse=reader)).rows(name) for name in tables]
            )
    assert all(tables == found[0] for tables in found)
    assert len(api.messages(api.supergroup)) == 2  # one of each world


def test_a_migration_of_one_replica_that_is_killed_anywhere_goes_on(source: str) -> None:
    database = f"one_{uuid.uuid4().hex[:8]}"
    settings, other = (_settings(f"{url}/{database}", source, clickhouse_engine=ENGINE) for url in REPLICAS)
    warehouse, second = map(Warehouse.from_settings, (settings, other))
    # Nothing that is missing stops the other replica: it has the tables of this version already.
    create_tables(second, [SLOT_METRICS, VERDICTS])
    create_database(warehouse, database)
    for statement in (*OLD_TABLES, *OLD_ROWS):
        warehouse.execute(statement, {"start": f"{MIDNIGHT:%Y-%m-%d %H:%M:%S}", "slots": 192})
    fatal, migrated = 0, False
    while not migrated:
        fatal += 1
        dying = Dying(warehouse.connection, engine=ENGINE, fatal=fatal)
        try:
            migrate_slot_tables(dying, settings)
            migrated = True
        except ConnectionError:
            pass
    assert fatal > 5
    expected = {"slot_metrics": 192 * 3 * 8, "verdicts": 192 * 3}
    for table in expected:
        second.execute(f"SYSTEM SYNC REPLICA `{table}`")
    for reader in (warehouse, second):
        assert {table: reader.value(f"SELECT count() FROM {table} FINAL") for table in expected} == expected
        assert reader.value("SELECT sum(value) FROM slot_metrics FINAL WHERE metric = 'views'") == warehouse.value(
            "SELECT sum(views) FROM slot_metrics_before_catalog"
        )


def test_tables_that_are_created_and_changed_behind_a_balancer_are_the_same_on_both(source: str, balancer: str) -> None:
    settings = _balanced(balancer, source)
    tables = all_tables(settings.dimensions)
    warehouse = Warehouse.from_settings(settings)
    readers = [Warehouse(parse_url(f"{url}/{warehouse.database}")) for url in REPLICAS]
    fatal, created = 0, False
    while not created:
        fatal += 1
        dying = Dying(warehouse.connection, engine=ENGINE, cluster=CLUSTER, fatal=fatal)
        try:
            create_tables(dying, tables)
            created = True
        except ConnectionError:
            if fatal == len(tables) // 2:  # an earlier version lacked these
                warehouse.execute("ALTER TABLE feed_user_daily DROP COLUMN likes")
    wanted = {table.name: [column.name for column in table.columns] for table in tables}
    for reader in readers:
        found = {name: list(types) for name, types in existing_columns(reader, wanted).items()}
        assert found == wanted


def test_an_incident_that_was_written_is_read_from_any_replica(source: str, balancer: str) -> None:
    warehouse = Warehouse.from_settings(_balanced(balancer, source))
    create_incident_tables(warehouse)
    series = Series("views", "total", "total")
    alert = Alert("abcde", series.subject, "down", "open", "critical", MIDNIGHT, MIDNIGHT, 4, "opened")
    for number in range(6):
        slot = Slot(MIDNIGHT + number * SLOT)
        Update([(slot.start, (alert,))], [ProcessedSlot(slot, 1, 1, 1)]).write(warehouse)
        assert last_processed_slot(warehouse) == slot
        assert [found.id for found in incidents_before(warehouse, slot.end)] == ["abcde"]


def test_a_staging_table_in_use_on_another_replica_is_no_leftover(source: str, balancer: str) -> None:
    warehouse = Warehouse.from_settings(_balanced(balancer, source))
    create_tables(warehouse, [FEED_USER_DAILY])
    name = f"{STAGING_PREFIX}{FEED_USER_DAILY.name}__20260306__x"
    create_staging(warehouse, name, FEED_USER_DAILY.name, operation="Test")
    other = Warehouse(parse_url(f"{REPLICAS[1]}/{warehouse.database}"))
    busy = threading.Thread(
        target=other.query, args=(f"SELECT sleepEachRow(3), (SELECT count() FROM {name}) FROM system.one",)
    )
    busy.start()
    time.sleep(0.5)
    found = [drop_leftovers(warehouse, FEED_USER_DAILY, idle_seconds=0) for _ in range(2)]
    busy.join()
    assert found == [[], []]
    assert drop_leftovers(warehouse, FEED_USER_DAILY, idle_seconds=0) == [name]


def test_doctor_tells_a_balancer_from_a_replica(source: str, balancer: str) -> None:
    named = inspect_cluster(Warehouse.from_settings(_balanced(balancer, source)))
    assert (named.status, named.detail) == ("ok", "a load balancer, cluster main")
    unnamed = inspect_cluster(Warehouse.from_settings(_settings(f"{balancer}/default", source)))
    assert (unnamed.status, "load balancer" in unnamed.detail) == ("problem", True)
    one = inspect_cluster(Warehouse.from_settings(_settings(f"{REPLICAS[0]}/default", source)))
    assert (one.status, one.detail) == ("ok", "one server")


def _die(patched: pytest.MonkeyPatch, fatal: int, *, after: bool) -> None:
    """Let a run die before or after its write number `fatal`: from then on it writes nothing more."""
    writes = 0

    def dying(work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **more: Any) -> Any:
            nonlocal writes
            writes += 1
            if writes > fatal or (writes == fatal and not after):
                raise dg.Failure("killed", allow_retries=False)
            done = work(*arguments, **more)
            if writes == fatal:
                raise dg.Failure("killed", allow_retries=False)
            return done

        return run

    for name in ("execute", "run"):
        patched.setattr(Warehouse, name, dying(getattr(Warehouse, name)))


def _settings(url: str, source: str, **others: Any) -> Settings:
    tables = {"feed_table": f"{source}.feed_actions", "messages_table": f"{source}.message_actions"}
    return load_settings(None, clickhouse_url=url, start_date=DAY, **tables, **others)


def _balanced(balancer: str, source: str) -> Settings:
    url = f"{balancer}/balanced_{uuid.uuid4().hex[:8]}"
    settings = _settings(url, source, clickhouse_engine=ENGINE, clickhouse_cluster=CLUSTER)
    warehouse = Warehouse.from_settings(settings)
    create_database(warehouse, warehouse.database)
    return settings


def _behind(balancer: str, name: str, **names: str) -> Callable[..., Settings]:
    """Makes settings whose tables, those of the events too, are replicated."""

    def make(**others: Any) -> Settings:
        url = f"{balancer}/balanced_{name}"
        cluster = {"clickhouse_engine": ENGINE, "clickhouse_cluster": CLUSTER}
        return load_settings(None, clickhouse_url=url, **cluster, **names, **others)

    return make


def _compute(settings: Settings) -> None:
    """Two days and the slots of the first."""
    warehouse = Warehouse.from_settings(settings)
    results = compute_all(warehouse, settings, [DAY, DAY + datetime.timedelta(days=1)])
    assert all(result.published for result in results)
    checked = check_catalog(warehouse, load_catalog(settings))
    assert all(result.published for result in compute_slots(warehouse, SLOTS, checked, settings))


def _fingerprints(warehouse: Warehouse) -> dict[str, Any]:
    """Table → number and hash of the rows that a reader sees, without their versions."""
    found = {}
    for table in _COMPUTED:
        if table.name in ("incidents", "monitored_slots", "incident_answers"):
            continue
        versioned = any(column.name == "version" for column in table.columns)
        rows = f"* {'EXCEPT (version)' if versioned else ''} FROM `{table.name}` {'FINAL' if versioned else ''}"
        found[table.name] = warehouse.query(
            f"SELECT count() AS rows, sum(cityHash64(toString(tuple(*)))) AS hash FROM (SELECT {rows})"
        ).rows[0]
    return found
