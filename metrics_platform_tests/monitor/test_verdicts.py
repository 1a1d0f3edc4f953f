"""The verdicts of slots, as they are stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from metrics_platform.catalog import load_catalog
from metrics_platform.monitor.verdicts import evaluate_slots
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, SlotRange
from metrics_platform.warehouse.catalog_check import check_catalog
from metrics_platform_tests.defs.monitor_world import NOON, MonitorWorld
from metrics_platform_tests.warehouse.payments import MIDNIGHT, Payments


def test_verdicts_on_slices_that_are_gone_go(make_settings: Callable[..., Settings], tmp_path: Path) -> None:
    payments = Payments(make_settings, tmp_path)
    payments.pay((1, MIDNIGHT, "pro", 1.0), (2, MIDNIGHT, "mistyped", 1.0))
    for plans in ({"pro", "mistyped"}, {"pro"}):
        payments.slots(0, 1)
        slots = SlotRange(MIDNIGHT, MIDNIGHT + SLOT)
        (result,) = evaluate_slots(payments.warehouse, slots, payments.check(), payments.settings)
        assert result.series == len(payments.metrics) * (1 + len(plans))
        found = "SELECT groupUniqArray(toString(dimension_value)) FROM verdicts FINAL WHERE dimension = 'plan'"
        assert set(payments.warehouse.value(found)) == plans
        payments.warehouse.execute(f"DELETE FROM {payments.table} WHERE plan = 'mistyped'")


_FEW_MESSAGES = """
INSERT INTO slot_metrics
SELECT * REPLACE (3 + cityHash64(slot_start) % 3 AS value, 3 + cityHash64(slot_start) % 3 AS numerator, 2 AS version)
FROM slot_metrics
WHERE metric IN ('messages', 'senders', 'message_actions.events')
"""
_EMPTY_SLOT = """
INSERT INTO slot_metrics
SELECT * REPLACE (
    {slot:DateTime('UTC')} AS slot_start,
    if(metric IN {empty:Array(String)}, if(metric = 'ctr', NULL, 0), value) AS value,
    if(metric IN {empty:Array(String)}, 0, numerator) AS numerator,
    if(metric IN {empty:Array(String)} AND metric = 'ctr', 0, denominator) AS denominator)
FROM slot_metrics AS before FINAL
WHERE before.slot_start = {slot:DateTime('UTC')} - 900
"""
FEED = ["feed_users", "views", "likes", "ctr", "feed_actions.events"]
MESSENGER = ["messages", "senders", "message_actions.events"]


@pytest.mark.parametrize(("empty", "expected"), [
    (FEED + MESSENGER, {"no_data"}),
    (MESSENGER, {"within_band"}),
], ids=["both sources", "the messenger alone"])  # fmt: skip
def test_few_messages_that_are_missing_are_part_of_an_outage_of_the_feed(
    make_settings: Callable[..., Settings], empty: list[str], expected: set[str]
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        world = MonitorWorld.create(make_settings, instance)
    world.warehouse.execute(_FEW_MESSAGES, settings={"max_partitions_per_insert_block": 1000})
    world.warehouse.execute(_EMPTY_SLOT, {"slot": NOON, "empty": empty})
    checked = check_catalog(world.warehouse, load_catalog(world.settings))
    list(evaluate_slots(world.warehouse, SlotRange(NOON, NOON + SLOT), checked, world.settings))
    found = world.warehouse.query(
        "SELECT metric, toString(reason) AS reason FROM verdicts FINAL WHERE dimension = 'total' ORDER BY metric"
    ).rows
    assert {row["reason"] for row in found if row["metric"] in MESSENGER} == expected
    feed = {row["reason"] for row in found if row["metric"] in FEED}
    assert feed == ({"no_data"} if "views" in empty else {"within_band"})
