"""Writing the long tables: again, one metric alone, two writers at a time, killed writers, changed definitions."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, SlotRange
from metrics_platform.warehouse import metric_values, partitions
from metrics_platform.warehouse.metric_values import total_values
from metrics_platform.warehouse.partitions import drop_idle_staging_tables
from metrics_platform.warehouse.slots import compute_slots, missing_days, missing_slots
from metrics_platform.warehouse.tables import SLOT_METRICS
from metrics_platform.warehouse.value_sql import Scope
from metrics_platform_tests.warehouse.payments import DAY, MIDNIGHT, MINUTE, Payments


@pytest.fixture
def payments(make_settings: Callable[..., Settings], tmp_path: Path) -> Payments:
    return Payments(make_settings, tmp_path)


def test_computing_a_slot_again_takes_late_events_and_leaves_its_neighbours(payments: Payments) -> None:
    payments.pay((1, MIDNIGHT + 5 * MINUTE, "pro", 1), (2, MIDNIGHT + 20 * MINUTE, "pro", 1))
    payments.slots(0, 3)
    payments.pay((3, MIDNIGHT + 6 * MINUTE, "pro", 1), (3, MIDNIGHT + 21 * MINUTE, "pro", 1))
    for _ in range(2):
        payments.slots(1, 2)
    assert payments.values("payers") == {0: 1, 1: 2, 2: 0}


def test_values_that_are_tried_equal_those_that_are_stored(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    # The source has a column that is called like one of the platform's own.
    payments = Payments(
        make_settings, tmp_path, "user UInt32, paid_at DateTime, plan String, amount Float64, bucket UInt8"
    )
    payments.metrics["largest"] = {"source": "payments", "sql": "maxIf(amount, plan = 'pro' AND bucket = 0)"}
    payments.metrics["buckets"] = {"source": "payments", "sql": "uniqExact(bucket)"}
    payments.pay((1, MIDNIGHT, "pro", 3), (2, MIDNIGHT, "free", 1), (1, MIDNIGHT + 2 * SLOT, "free", 4))
    payments.slots(0, 3)
    checked = payments.check()
    scope = Scope.of(checked, None, SLOT_METRICS, DAY, MIDNIGHT, MIDNIGHT + 3 * SLOT, payments.settings.zone)
    for name, metric in checked.metrics.items():
        tried = total_values(payments.warehouse, scope, metric)
        stored = {MIDNIGHT + slot * SLOT: value for slot, value in payments.values(name).items()}
        assert {slot: tried.get(slot) for slot in stored} == stored


def test_rows_that_vanish_from_the_source_vanish_from_the_tables(payments: Payments) -> None:
    payments.pay((1, MIDNIGHT, "pro", 1), (2, MIDNIGHT, "mistyped", 1))
    payments.slots(0, 4)
    payments.days(DAY)
    payments.warehouse.execute(f"DELETE FROM {payments.table} WHERE plan = 'mistyped'")
    payments.slots(0, 4)
    payments.days(DAY)
    assert set(payments.values("payers", "plan")) == {(slot, "pro") for slot in range(4)}
    assert payments.values("payers", "plan", "metric_daily") == {(DAY, "pro"): 1}


def test_a_slice_stays_on_the_grid_for_seven_days_after_its_last_event(payments: Payments) -> None:
    payments.pay((1, MIDNIGHT, "pro", 1), (1, MIDNIGHT + 5 * SLOT, "pro", 1))
    for first, end in itertools.pairwise((0, 9, 500, 8 * 96)):
        payments.slots(first, end)
    assert sorted(payments.values("payers", "plan")) == [(slot, "pro") for slot in range(5 + 7 * 96)]
    assert sorted(payments.values("payers")) == list(range(8 * 96))


def test_a_day_without_events_has_zeros_and_is_not_missing(payments: Payments) -> None:
    days = [DAY, DAY + timedelta(days=1)]
    payments.days(*days)
    assert payments.values("payers", table="metric_daily") == dict.fromkeys(days, 0)
    assert missing_days(payments.warehouse, *days, payments.check(), payments.settings.zone) == []


def test_one_metric_computed_alone_leaves_the_others_as_they_were(payments: Payments) -> None:
    payments.pay((1, MIDNIGHT, "pro", 1), (2, MIDNIGHT, "free", 3))
    payments.slots(0, 2)
    before = payments.visible(without=["revenue", "payments.events"])
    payments.pay((3, MIDNIGHT, "new", 5))
    payments.slots(0, 2, ["revenue"])
    assert payments.visible(without=["revenue", "payments.events"]) == before
    assert payments.values("revenue")[0] == 9


def test_a_quotient_computed_alone_takes_its_parts_from_the_table(payments: Payments) -> None:
    payments.pay((1, MIDNIGHT, "pro", 3))
    payments.slots(0, 1, ["payers", "revenue"])
    payments.slots(0, 1, ["arppu"])
    assert (payments.values("arppu"), payments.values("arppu", "plan")) == ({0: 3}, {(0, "pro"): 3})


@pytest.mark.parametrize(
    "change",
    [
        {"sql": "sumIf(amount, plan = 'pro')"},
        {"empty": "unknown"},
    ],
)
def test_a_changed_definition_is_missing_and_nothing_else_is(payments: Payments, change: dict[str, Any]) -> None:
    payments.pay((1, MIDNIGHT, "pro", 1), (2, MIDNIGHT, "free", 3))
    payments.slots(0, 4)
    payments.days(DAY)
    payments.metrics["revenue"] = {**payments.metrics["revenue"], **change}
    checked = payments.check()
    span = SlotRange(MIDNIGHT, MIDNIGHT + 4 * SLOT)
    (missing,) = missing_slots(payments.warehouse, span, checked, payments.settings)
    assert (missing.slots, {metric.name for metric in missing.metrics}) == (span, {"revenue", "arppu"})
    ((date, metrics),) = missing_days(payments.warehouse, DAY, DAY, checked, payments.settings.zone)
    assert (date, {metric.name for metric in metrics}) == (DAY, {"revenue", "arppu"})
    payers = [row for row in payments.visible() if row[2] == "payers"]
    list(compute_slots(payments.warehouse, missing.slots, checked, payments.settings, missing.metrics))
    assert [row for row in payments.visible() if row[2] == "payers"] == payers
    assert missing_slots(payments.warehouse, span, checked, payments.settings) == []


def test_a_new_title_is_not_a_new_definition(payments: Payments) -> None:
    payments.slots(0, 1)
    payments.metrics["revenue"] = {**payments.metrics["revenue"], "title": {"en": "Money"}, "unit": "€"}
    span = SlotRange(MIDNIGHT, MIDNIGHT + SLOT)
    assert missing_slots(payments.warehouse, span, payments.check(), payments.settings) == []


def test_a_changed_dimension_has_its_own_slices(payments: Payments) -> None:
    payments.dimensions = {"plan": {"values": 1}}
    payments.pay((1, MIDNIGHT, "pro", 1), (2, MIDNIGHT, "pro", 3), (3, MIDNIGHT, "free", 3))
    payments.slots(0, 1)
    payments.dimensions = {"plan": {"values": 1, "sql": "upper(plan)"}}
    payments.slots(0, 1)
    assert payments.values("payers", "plan") == {(0, "PRO"): 2, (0, "other"): 1}


def test_a_quotient_that_lacks_other_slots_than_its_parts_is_computed_after_them(payments: Payments) -> None:
    payments.metrics = {"arppu": payments.metrics["arppu"], **payments.metrics}  # before its parts
    payments.pay((1, MIDNIGHT, "pro", 4), (1, MIDNIGHT + 2 * SLOT, "pro", 6))
    payments.slots(0, 2, ["payers"])
    payments.slots(2, 4, ["revenue"])
    checked = payments.check()
    span = SlotRange(MIDNIGHT, MIDNIGHT + 4 * SLOT)
    for missing in missing_slots(payments.warehouse, span, checked, payments.settings):
        list(compute_slots(payments.warehouse, missing.slots, checked, payments.settings, missing.metrics))
    assert payments.values("arppu") == {0: 4, 1: None, 2: 6, 3: None}


def test_two_writers_of_different_slots_of_a_day_keep_each_others_slots(payments: Payments) -> None:
    payments.pay(*((user, MIDNIGHT + number * SLOT, "pro", 1) for number in range(6) for user in range(number + 1)))
    checked = payments.check()

    def write(first: int) -> None:
        for number in range(first, 6, 3):
            span = SlotRange(MIDNIGHT + number * SLOT, MIDNIGHT + (number + 1) * SLOT)
            list(compute_slots(payments.warehouse, span, checked, payments.settings))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, range(3)))
    assert payments.values("payers") == {number: number + 1 for number in range(6)}


@pytest.mark.parametrize("first_to_publish", ["earlier", "later"])
def test_writers_that_folded_different_values_do_not_count_events_twice(
    payments: Payments, monkeypatch: pytest.MonkeyPatch, first_to_publish: str
) -> None:
    payments.dimensions = {"plan": {"values": 2}}
    payments.pay((1, MIDNIGHT, "pro", 1))
    checked = payments.check()
    publish = metric_values._publish
    staged, go_on = threading.Event(), threading.Event()

    def paused(warehouse: Any, scope: Scope, staging: str) -> None:
        if threading.current_thread() is not threading.main_thread():
            staged.set()
            assert go_on.wait(60)
        publish(warehouse, scope, staging)

    def write() -> None:
        list(compute_slots(payments.warehouse, SlotRange(MIDNIGHT, MIDNIGHT + SLOT), checked, payments.settings))

    monkeypatch.setattr(metric_values, "_publish", paused)
    # The earlier writer chooses its slices, then `new` arrives: it folds it into `other`.
    choose = metric_values.choose_slices

    def chosen(warehouse: Any, scope: Scope) -> None:
        choose(warehouse, scope)
        if threading.current_thread() is not threading.main_thread():
            payments.pay((2, MIDNIGHT, "new", 1))

    monkeypatch.setattr(metric_values, "choose_slices", chosen)
    with ThreadPoolExecutor(1) as pool:
        earlier = pool.submit(write)
        assert staged.wait(60)
        if first_to_publish == "earlier":
            go_on.set()
            earlier.result()
        write()
        go_on.set()
        earlier.result()
    assert payments.values("payers", "plan") == {(0, "pro"): 1, (0, "new"): 1}


def test_a_writer_killed_before_it_publishes_changes_nothing(
    payments: Payments, monkeypatch: pytest.MonkeyPatch
) -> None:
    payments.pay((1, MIDNIGHT, "pro", 1))
    payments.slots(0, 2)
    before = payments.visible()
    payments.pay((2, MIDNIGHT, "pro", 1))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(metric_values, "_publish", killed)
    monkeypatch.setattr(partitions, "drop_staging", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        payments.slots(0, 2)
    monkeypatch.undo()
    assert payments.visible() == before
    assert len(drop_idle_staging_tables(payments.warehouse, "staging__slot_metrics__", 0)) == 1
    payments.slots(0, 2)
    assert payments.values("payers") == {0: 2, 1: 0}
    assert drop_idle_staging_tables(payments.warehouse, "staging__", 0) == []


@pytest.mark.parametrize(
    ("kind", "time", "stored"),
    [
        ("DateTime", "paid_at", "toDateTime({0})"),
        ("DateTime64(3)", "paid_at", "toDateTime({0})"),
        ("UInt32", "toDateTime(paid_at)", "{0}"),
        ("Int64", "toDateTime(intDiv(paid_at, 1000))", "{0} * 1000"),
    ],
)
def test_what_is_read_does_not_grow_with_the_source(
    make_settings: Callable[..., Settings], tmp_path: Path, kind: str, time: str, stored: str
) -> None:
    columns = f"user UInt32, paid_at {kind}, plan String, amount Float64"
    payments = Payments(make_settings, tmp_path, columns, source={"time": time})
    read = []
    for days in (20, 100):  # both several granules of 8192 rows, the least that is read
        payments.warehouse.execute(f"TRUNCATE TABLE {payments.table}")
        payments.warehouse.execute(
            f"INSERT INTO {payments.table} SELECT number % 500, {stored.format('({first:UInt32} + number * 60)')}, "
            "'pro', 1 FROM numbers({minutes:UInt32})",
            {"first": int((MIDNIGHT - timedelta(days=days)).timestamp()), "minutes": days * 24 * 60},
        )
        # The first slot of a day chooses its slices from the week before.
        payments.slots(-2, -1)
        (result,) = payments.slots(-1, 0)
        read.append(result.read_rows)
    assert read[1] <= read[0] * 1.5  # of five times as much
