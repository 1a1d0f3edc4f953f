"""When slots are checked, and which: the latest complete one, those before it again, and what a downtime left out."""

from __future__ import annotations

import datetime

import dagster as dg
import pytest

from metrics_platform.calendar import SLOT, slot_at, slot_of_key
from metrics_platform.defs import build_definitions
from metrics_platform.defs.monitoring.assets import slot_partitions
from metrics_platform.defs.monitoring.schedule import (
    HISTORY,
    anomaly_check_job,
    anomaly_check_schedule,
    slots_to_compute,
)
from metrics_platform.detection.seasonal import REACH
from metrics_platform.settings import Settings, load_settings

DUE = datetime.datetime(2026, 11, 20, 12, 1, tzinfo=datetime.UTC)


def settings_of(**more: object) -> Settings:
    return load_settings(None, **{"timezone": "Europe/Moscow", "start_date": "2026-01-01", **more})


def test_a_slot_is_checked_as_soon_as_its_lag_has_passed() -> None:
    crons = {
        lag: build_definitions(settings_of(slot_lag_seconds=lag)).resolve_schedule_def("anomaly_check_schedule")
        for lag in (0, 30, 60, 300, 900)
    }
    minutes = {lag: str(schedule.cron_schedule).split()[0] for lag, schedule in crons.items()}
    assert minutes == {
        0: "0,15,30,45", 30: "1,16,31,46", 60: "1,16,31,46", 300: "5,20,35,50", 900: "0,15,30,45",
    }  # fmt: skip


@pytest.mark.parametrize(("lag", "last"), [(0, "11:45"), (60, "11:45"), (61, "11:30"), (900, "11:30")])
def test_the_latest_slot_is_one_that_ended_at_least_the_lag_ago(lag: int, last: str) -> None:
    slots = slots_to_compute(DUE, ["2026-11-20-11:30"], settings_of(slot_lag_seconds=lag))
    assert slots is not None
    assert slots.last.key == f"2026-11-20-{last}"


def test_the_slots_before_are_computed_again_for_late_events() -> None:
    slots = slots_to_compute(DUE, ["2026-11-20-11:30"], settings_of(recompute_slots=4))
    assert slots is not None
    assert [slot.key[-5:] for slot in slots] == ["10:45", "11:00", "11:15", "11:30", "11:45"]
    alone = slots_to_compute(DUE, ["2026-11-20-11:30"], settings_of(recompute_slots=0))
    assert alone is not None
    assert [slot.key[-5:] for slot in alone] == ["11:45"]


def test_what_a_downtime_left_out_is_caught_up_from_the_last_slot_that_is_done() -> None:
    done = ["2026-11-19-20:00", "2026-11-20-02:00", "2026-11-20-01:45", "2026-12-01-00:00"]
    slots = slots_to_compute(DUE, done, settings_of())
    assert slots is not None
    assert slot_at(slots.start).key == "2026-11-20-02:15"


def test_a_first_run_computes_the_history_that_judging_needs() -> None:
    slots = slots_to_compute(DUE, [], settings_of())
    assert slots is not None
    assert slots.start == slots.last.start - HISTORY
    assert len(slots) >= REACH
    young = slots_to_compute(DUE, [], settings_of(start_date="2026-11-19"))
    assert young is not None
    assert slot_at(young.start).key == "2026-11-18-21:00"  # midnight in Moscow


@pytest.mark.parametrize("dates", [("2026-11-21", None), ("2026-01-01", "2026-11-19")])
def test_before_the_product_and_after_it_there_is_nothing_to_check(dates: tuple[str, str | None]) -> None:
    start, end = dates
    assert slots_to_compute(DUE, [], settings_of(start_date=start, end_date=end)) is None


def _answer(due: datetime.datetime, now: datetime.datetime, instance: dg.DagsterInstance) -> dg.RunRequest | str:
    settings = settings_of()
    schedule = anomaly_check_schedule(anomaly_check_job(), settings, now=lambda: now)
    with dg.build_schedule_context(instance, scheduled_execution_time=due) as context:  # it opens one of its own
        answer = schedule(context)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer if isinstance(answer, dg.RunRequest) else str(answer.skip_message)


def test_a_tick_asks_for_one_run_over_its_slots(instance: dg.DagsterInstance) -> None:
    event = dg.AssetMaterialization("incidents", partition="2026-11-20-11:30")
    instance.report_runless_asset_event(event)
    request = _answer(DUE, DUE, instance)
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == "2026-11-20-11:45"
    assert request.tags["dagster/asset_partition_range_start"] == "2026-11-20-10:45"
    assert request.tags["dagster/asset_partition_range_end"] == "2026-11-20-11:45"


def test_a_tick_that_comes_when_the_next_is_due_leaves_it_to_that(instance: dg.DagsterInstance) -> None:
    assert "too late" in str(_answer(DUE, DUE + SLOT, instance))


def test_while_a_check_goes_on_none_is_started_beside_it(instance: dg.DagsterInstance) -> None:
    run = instance.create_run_for_job(
        build_definitions(settings_of()).resolve_job_def("anomaly_check"), status=dg.DagsterRunStatus.STARTED
    )
    assert "still going on" in str(_answer(DUE, DUE, instance))
    instance.report_run_failed(run)
    assert isinstance(_answer(DUE, DUE, instance), dg.RunRequest)


def test_partitions_are_slots_in_utc_with_the_keys_of_the_calendar() -> None:
    partitions = slot_partitions(settings_of(start_date="2026-10-25", timezone="Europe/Berlin", end_date="2026-10-25"))
    keys = partitions.get_partition_keys()
    assert len(keys) == 100  # a day of 25 hours
    assert keys == [slot_of_key(key).key for key in keys]
    assert (keys[0], keys[-1]) == ("2026-10-24-22:00", "2026-10-25-22:45")


def test_partitions_begin_on_a_slot_also_where_the_zone_does_not() -> None:
    partitions = slot_partitions(settings_of(timezone="Asia/Kathmandu"))
    assert partitions.get_first_partition_key() == "2025-12-31-18:15"
