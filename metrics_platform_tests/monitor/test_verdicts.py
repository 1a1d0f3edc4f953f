"""The verdicts of slots, as they are stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from metrics_platform.monitor.verdicts import evaluate_slots
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, SlotRange
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
