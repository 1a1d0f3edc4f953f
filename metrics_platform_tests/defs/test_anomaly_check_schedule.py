"""When slots are checked, and which: the latest complete one, and those before it for late events."""

from __future__ import annotations

import datetime

import dagster as dg
import pytest
import time_machine

from metrics_platform.catalog import load_catalog
from metrics_platform.defs import build_definitions
from metrics_platform.defs.day_assets import day_partitions
from metrics_platform.defs.monitoring.assets import (
    FIRST_SLOT,
    LAST_SLOT,
    anomaly_check_job,
    anomaly_check_schedule,
    due_slots,
)
from metrics_platform.settings import Settings, load_settings
from metrics_platform.time_windows import SLOT, SlotRange

DUE = datetime.datetime(2026, 11, 20, 12, 1, tzinfo=datetime.UTC)


@pytest.fixture
def instance(stored_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    return stored_instance


def settings_of(**more: object) -> Settings:
    return load_settings(None, **{"timezone": "Europe/Moscow", "start_date": "2026-01-01", **more})


def _due(settings: Settings, due: datetime.datetime = DUE) -> SlotRange | None:
    return due_slots(due, datetime.timedelta(seconds=settings.slot_lag_seconds), settings)


def _times(slots: SlotRange | None) -> list[str]:
    return [] if slots is None else [f"{slot.start:%H:%M}" for slot in slots]


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
    assert _times(_due(settings_of(slot_lag_seconds=lag)))[-1] == last


def test_the_slots_before_are_computed_again_for_late_events() -> None:
    assert _times(_due(settings_of(recompute_slots=4))) == ["10:45", "11:00", "11:15", "11:30", "11:45"]
    assert _times(_due(settings_of(recompute_slots=0))) == ["11:45"]


def test_the_first_slots_of_a_product_are_not_before_its_first_day() -> None:
    after_midnight = datetime.datetime(2026, 11, 19, 21, 31, tzinfo=datetime.UTC)  # 00:31 in Moscow
    assert _times(_due(settings_of(start_date="2026-11-20"), after_midnight)) == ["21:00", "21:15"]


@pytest.mark.parametrize("dates", [("2026-11-21", None), ("2026-01-01", "2026-11-19")])
def test_before_the_product_and_after_it_there_is_nothing_to_check(dates: tuple[str, str | None]) -> None:
    start, end = dates
    assert _due(settings_of(start_date=start, end_date=end)) is None


def _answer(due: datetime.datetime, now: datetime.datetime, instance: dg.DagsterInstance) -> dg.RunRequest | str:
    settings = settings_of()
    schedule = anomaly_check_schedule(anomaly_check_job(), settings, load_catalog(settings))
    with (
        dg.build_schedule_context(instance, scheduled_execution_time=due) as context,  # it opens one of its own
        time_machine.travel(now, tick=False),
    ):
        answer = schedule(context)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer if isinstance(answer, dg.RunRequest) else str(answer.skip_message)


def test_a_tick_requests_one_run_over_the_days_of_its_slots(instance: dg.DagsterInstance) -> None:
    request = _answer(DUE, DUE, instance)
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == "2026-11-20-11:45"
    assert request.tags["dagster/asset_partition_range_start"] == "2026-11-20"
    assert request.tags["dagster/asset_partition_range_end"] == "2026-11-20"
    assert (request.tags[FIRST_SLOT], request.tags[LAST_SLOT]) == ("2026-11-20T10:45Z", "2026-11-20T11:45Z")


def test_a_check_just_after_midnight_materialises_both_days(instance: dg.DagsterInstance) -> None:
    due = datetime.datetime(2026, 11, 20, 21, 16, tzinfo=datetime.UTC)  # 00:16 in Moscow
    request = _answer(due, due, instance)
    assert isinstance(request, dg.RunRequest)
    assert request.tags["dagster/asset_partition_range_start"] == "2026-11-20"
    assert request.tags["dagster/asset_partition_range_end"] == "2026-11-21"


def test_a_tick_that_comes_when_the_next_is_due_leaves_it_to_that(instance: dg.DagsterInstance) -> None:
    assert "too late" in str(_answer(DUE, DUE + SLOT, instance))


def test_while_a_check_runs_none_is_started_beside_it(instance: dg.DagsterInstance) -> None:
    run = instance.create_run_for_job(
        build_definitions(settings_of()).resolve_job_def("anomaly_check"), status=dg.DagsterRunStatus.STARTED
    )
    assert "still running" in str(_answer(DUE, DUE, instance))
    instance.report_run_failed(run)
    assert isinstance(_answer(DUE, DUE, instance), dg.RunRequest)


def test_partitions_are_days_up_to_and_with_today() -> None:
    partitions = day_partitions(settings_of(start_date="2026-11-18"), with_today=True)
    noon = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
    with time_machine.travel(noon):
        keys = partitions.get_partition_keys()
    assert list(keys) == ["2026-11-18", "2026-11-19", "2026-11-20"]


def test_partitions_of_a_product_that_ended_stop_with_its_last_day() -> None:
    partitions = day_partitions(
        settings_of(start_date="2026-10-24", timezone="Europe/Berlin", end_date="2026-10-25"), with_today=True
    )
    assert list(partitions.get_partition_keys()) == ["2026-10-24", "2026-10-25"]
