"""Events on another server, read there by another account: a table of `remote()` over a named collection."""

from __future__ import annotations

import socket
from pathlib import Path

from pydantic import SecretStr

from metrics_platform.connection import parse_url
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.daily import compute_days
from metrics_platform.warehouse.inspection import inspect_warehouse
from metrics_platform.warehouse.schema import create_database
from metrics_platform.warehouse.tables import FEED_USER_DAILY, MESSAGE_USER_DAILY
from metrics_platform_tests.conftest import settings_factory
from metrics_platform_tests.faults.world import _FEED, _MESSAGES, DAY
from metrics_platform_tests.restricted_server import ENGINES, restricted_server
from metrics_platform_tests.worlds import SourceTables, read_table

_COLLECTION = """
<named_collections><events>
  <addresses_expr>127.0.0.1:{port}</addresses_expr><user>{user}</user><password>{password}</password>
</events></named_collections>
"""


def test_events_of_another_server_are_computed_without_its_password_in_sql(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with restricted_server(
        tmp_path / "events",
        "GRANT ALL ON *.*",
        profile="<transform_null_in>1</transform_null_in>",
        config=f"<tcp_port>{port}</tcp_port>",
    ) as events_url:
        settings = settings_factory(events_url)(start_date=DAY)
        source = SourceTables.create(settings)
        source.warehouse.execute(_FEED.format(table=settings.feed_table))
        source.warehouse.execute(_MESSAGES.format(table=settings.messages_table))
        source.warehouse.execute("SYSTEM START LISTEN TCP")
        expected = _extracts(source.warehouse, settings)
        reader = parse_url(events_url)
        config = _COLLECTION.format(port=port, user=reader.user, password=reader.password)
        with restricted_server(tmp_path / "results", "GRANT ALL ON *.*", engines=ENGINES, config=config) as url:
            own = settings.model_copy(update={"clickhouse_url": SecretStr(url)})
            warehouse = Warehouse.from_settings(own)
            create_database(warehouse, settings.feed_table.split(".")[0])
            for table in (settings.feed_table, settings.messages_table):
                database, _, name = table.partition(".")
                remote = f"remote(events, database = '{database}', table = '{name}')"
                warehouse.execute(f"CREATE TABLE {table} AS {remote}")
            create_database(warehouse, warehouse.database)
            assert [finding for finding in inspect_warehouse(warehouse, own) if finding.status == "problem"] == []
            assert _extracts(warehouse, own) == expected
            # The profile there changes nothing.
            there = warehouse.value(
                "SELECT value FROM remote(events, database = 'system', table = 'settings') "
                "WHERE name = 'transform_null_in'"
            )
            assert there == "0"
            warehouse.execute("SYSTEM FLUSH LOGS")
            shown = warehouse.value(
                "SELECT count() FROM system.query_log WHERE position(query, {p:String}) > 0 AND query_kind != 'Select'",
                {"p": reader.password},
            )
            assert shown == 0


def _extracts(warehouse: Warehouse, settings: Settings) -> list[str]:
    """The rows of both extracts of the day, computed from the sources."""
    extracts = (FEED_USER_DAILY, MESSAGE_USER_DAILY)
    assert all(result.published for table in extracts for result in compute_days(warehouse, table, [DAY], settings))
    return [read_table(warehouse, table.name).to_string() for table in extracts]
