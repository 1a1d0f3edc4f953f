"""Which slots a check computes and processes: after a downtime, in a backfill, of one metric."""

from __future__ import annotations

import datetime

import dagster as dg
import time_machine

from metrics_platform.time_windows import SLOT
from metrics_platform_tests.defs.monitor_world import LAG, NOON, MonitorWorld
from metrics_platform_tests.defs.running import failure_texts


def test_after_a_downtime_only_what_still_lasts_is_sent(world: MonitorWorld) -> None:
    dead = {"iOS": 0.0, "Android": 0.0}
    for number in range(15):
        world.happens(number, **(dead if number in (1, 2, 13, 14) else {}))
    assert world.check(0, 14).success
    assert world.queued() == ["anomaly-2026-11-20-15:15"]
    totals = [row for row in world.rows("incidents") if row["dimension"] == "total"]
    assert {row["opened_at"].strftime("%H:%M") for row in totals} == {"12:15", "15:15"}


def test_a_processed_slot_whose_data_change_opens_no_incident(world: MonitorWorld) -> None:
    world.happens(0)
    world.happens(1)
    world.check(0, 1)
    before = [world.rows(table) for table in ("incidents", "monitored_slots")]
    for table in (world.settings.feed_table, world.settings.messages_table):
        world.warehouse.execute(f"TRUNCATE TABLE {table}")
    assert world.check(0, 1).success
    views = [row for row in world.rows("verdicts") if (row["metric"], row["dimension"]) == ("views", "total")]
    assert [row["status"] for row in views[-2:]] == ["anomalous", "anomalous"]
    assert [world.rows(table) for table in ("incidents", "monitored_slots")] == before
    assert world.queued() == []


def test_a_backfill_of_old_slots_sends_nothing(world: MonitorWorld) -> None:
    world.happens(0)
    result = world.check(0, 3, now=NOON + datetime.timedelta(days=2))
    assert result.success
    assert world.queued() == []
    assert {row["metric"] for row in world.rows("incidents")} >= {"views", "messages"}


def test_a_check_computes_the_slots_that_a_downtime_left_out(world: MonitorWorld) -> None:
    for number in range(8):
        world.happens(number)
    assert world.check(0).success
    # A slot is computed alone, then someone materialises the day, and the schedule goes on with the next slot.
    assert world.check(3).success
    job = world.office.definitions.resolve_job_def("anomaly_check")
    with time_machine.travel(NOON + 6 * SLOT + LAG, tick=True):
        assert job.execute_in_process(instance=world.instance, partition_key="2026-11-20").success
    assert world.check(7).success
    views = [row for row in world.rows("slot_metrics") if (row["metric"], row["dimension"]) == ("views", "total")]
    assert [row["value"] for row in views[-8:]] == [240.0] * 8
    slots = sorted(row["slot_start"] for row in world.rows("monitored_slots"))
    assert slots == [(NOON + number * SLOT).replace(tzinfo=None) for number in range(8)]


def test_verdicts_of_slots_without_values_name_what_to_materialise(world: MonitorWorld) -> None:
    job = world.office.definitions.resolve_job_def("anomaly_check")
    with time_machine.travel(NOON + 5 * SLOT, tick=True):
        result = job.execute_in_process(
            instance=world.instance,
            raise_on_error=False,
            partition_key="2026-11-20",
            asset_selection=[dg.AssetKey("verdicts")],
        )
    assert not result.success
    assert "Materialise `slot_metrics` of 2026-11-20 first." in failure_texts(result)["verdicts"]


def test_a_run_of_one_metric_leaves_the_others_and_refuses_an_unknown_one(world: MonitorWorld) -> None:
    world.happens(0)
    world.check(0)
    world.happens(0)  # late events: recomputed metrics see them, the others do not
    before = [row for row in world.rows("slot_metrics") if row["metric"] not in ("likes", "feed_actions.events")]
    job = world.office.definitions.resolve_job_def("anomaly_check")
    with time_machine.travel(NOON + SLOT + LAG, tick=True):
        result = job.execute_in_process(
            instance=world.instance,
            partition_key="2026-11-20",
            asset_selection=[dg.AssetKey("slot_metrics")],
            run_config={"ops": {"slot_metrics": {"config": {"metrics": ["likes"]}}}},
        )
    assert result.success
    after = world.rows("slot_metrics")
    assert [row for row in after if row["metric"] not in ("likes", "feed_actions.events")] == before
    likes = [row["value"] for row in after if (row["metric"], row["dimension"]) == ("likes", "total")]
    assert likes[-1] == 2 * 81
    with time_machine.travel(NOON + SLOT + LAG, tick=True):
        result = job.execute_in_process(
            instance=world.instance,
            raise_on_error=False,
            partition_key="2026-11-20",
            asset_selection=[dg.AssetKey("slot_metrics")],
            run_config={"ops": {"slot_metrics": {"config": {"metrics": ["vews"]}}}},
        )
    assert not result.success
    assert "the catalogue has no metric 'vews'. Choose from feed_users, views" in failure_texts(result)["slot_metrics"]
