"""Whatever an account's settings profile says, the numbers are the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from metrics_platform.connection import parse_url
from metrics_platform.local.clickhouse import running_server
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.query_settings import FIXED, FIXED_WHERE_KNOWN
from metrics_platform_tests.conftest import settings_factory
from metrics_platform_tests.restricted_server import restricted_server
from metrics_platform_tests.warehouse.payments import DAY, MIDNIGHT, Payments

_COLUMNS = "user UInt32, paid_at DateTime, plan String, amount Float64"
_OTHER = {
    "additional_result_filter": "1",
    "additional_table_filters": "{'metrics.slot_metrics': '0'}",
    "alter_sync": "0",
    "compatibility": "23.8",
    "count_distinct_implementation": "uniqHLL12",
    "date_time_overflow_behavior": "throw",
    "deduplicate_insert": "disable",
    "distributed_ddl_output_mode": "never_throw",
    "distributed_product_mode": "local",
    "group_by_overflow_mode": "any",
    "join_default_strictness": "ANY",
    "limit": "100000",
    "max_parallel_replicas": "7",
    "max_replica_delay_for_distributed_queries": "0",
    "session_timezone": "Asia/Tokyo",
}
# What cannot be contradicted here: with these the driver's own first queries fail, or it is Cloud's alone, or frozen.
_LEFT = ("offset", "use_query_cache", "run_query_in_background", "ignore_cold_parts_seconds", "enable_analyzer")


def _contradicted(name: str, value: Any) -> str:
    if name in _OTHER:
        return _OTHER[name]
    return "break" if name.endswith(("overflow_mode", "overflow_mode_leaf")) else str(1 - int(value))


HOSTILE = {
    name: _contradicted(name, value) for name, value in {**FIXED, **FIXED_WHERE_KNOWN}.items() if name not in _LEFT
}
PROFILE = "".join(f"<{name}>{value}</{name}>" for name, value in HOSTILE.items())


def test_a_profile_that_contradicts_every_fixed_setting_changes_no_value(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        payments = Payments(settings_factory(server.url), tmp_path, columns=_COLUMNS)
        payments.pay((1, MIDNIGHT, "pro", 2.0), (2, MIDNIGHT, "", 3.0))
        for name, sql in {"largest": "maxIf(amount, plan = 'no')", "range": "maxIf(amount, plan = 'no') - 1"}.items():
            payments.metrics[name] = {"source": "payments", "sql": sql}
        payments.slots(0, 2)
        payments.days(DAY)
        before = payments.visible(), payments.visible("metric_daily")
    with restricted_server(tmp_path / "data", "GRANT ALL ON *.*", profile=PROFILE) as url:
        payments.warehouse = Warehouse(replace(parse_url(url), database=payments.warehouse.database))
        rows = payments.warehouse.query("SELECT name, value FROM system.settings").rows
        values = {row["name"]: row["value"] for row in rows}
        assert {name: values[name] for name in HOSTILE} == {
            name: str({**FIXED, **FIXED_WHERE_KNOWN}[name]) for name in HOSTILE
        }
        assert values["least_greatest_legacy_null_behavior"] == "0"  # from 24.12 on
        assert payments.check().problems == {}
        for _ in range(2):
            payments.slots(0, 2)
            payments.days(DAY)
        assert (payments.visible(), payments.visible("metric_daily")) == before
