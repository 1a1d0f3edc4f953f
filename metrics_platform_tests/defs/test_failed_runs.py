"""Failed runs and checks: what schedules and sensors started and what failed for good is one message."""

import datetime
import logging
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import time_machine
from dagster._core.definitions.run_request import InstigatorType
from dagster._daemon.monitoring.run_monitoring import monitor_starting_run

from metrics_platform.alerts.alert import Alert
from metrics_platform.defs import day_assets
from metrics_platform.defs.health.alert_store import AlertCursor
from metrics_platform.notifications.kinds import FailedRun
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform_tests.defs.post_office import PostOffice, SensorTicks
from metrics_platform_tests.defs.running import QUIET
from metrics_platform_tests.defs.stored_ticks import LOCATION, raised, switch_on, tick, unreachable
from metrics_platform_tests.telegram.bot_api import BotApi

BY_SCHEDULE = {"dagster/schedule_name": "daily_etl_schedule"}
RANGE = {
    "dagster/asset_partition_range_start": "2026-01-01",
    "dagster/asset_partition_range_end": "2026-01-02",
}
HOUR = datetime.timedelta(hours=1)


class Watch(SensorTicks):
    """The sensor of failed runs, and the runs that it reads."""

    def __init__(self, office: PostOffice) -> None:
        super().__init__(office, "failed_runs")
        self.now = datetime.datetime.now(datetime.UTC)
        self.tick()  # failures from before it was there do not count

    def tick(self, now: datetime.datetime | None = None) -> list[FailedRun]:
        """The failed runs that a tick queues."""
        return [event for event in super().tick(now or self.now) if isinstance(event, FailedRun)]

    def alerts(self) -> tuple[Alert, ...]:
        """The alerts that the sensor keeps."""
        return AlertCursor.from_cursor(self.cursor).alerts

    def dies(
        self,
        job: str = "anomaly_check",
        cause: str = "no answer",
        tags: dict[str, str] = BY_SCHEDULE,
        *,
        started: bool = False,
    ) -> dg.DagsterRun:
        """A run whose process is killed, before it began or when it has `started`."""
        run = self._made(job, tags)
        if started:
            self.office.instance.report_dagster_event(dg.DagsterEvent("PIPELINE_START", job_name=job), run.run_id)
        self.office.instance.report_run_failed(run, message=cause)
        return run

    def succeeds(self, job: str = "anomaly_check", tags: dict[str, str] = BY_SCHEDULE) -> None:
        """A run that has done what it was to do."""
        run = self._made(job, tags)
        event = dg.DagsterEvent("PIPELINE_SUCCESS", job_name=job)
        self.office.instance.report_dagster_event(event, run.run_id)

    def checks(self, **tags: str) -> None:
        """A run of an asset with checks."""
        dg.materialize([sums], instance=self.office.instance, run_config=QUIET, tags=tags)

    def texts(self, api: BotApi) -> list[str]:
        """What is in the chat when all is delivered."""
        self.office.until_quiet()
        return [message.text for message in api.messages(api.supergroup)]

    def _made(self, job: str, tags: dict[str, str]) -> dg.DagsterRun:
        # Without the job's snapshot, whose hash takes most of the time: nothing here reads it.
        ranged = RANGE if job == "daily_etl" else {}
        return self.office.instance.add_run(dg.DagsterRun(job, tags={**ranged, **tags}))


@pytest.fixture
def instance(stored_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    return stored_instance


@pytest.fixture
def watch(telegram_settings: Callable[..., Settings], instance: dg.DagsterInstance) -> Watch:
    """A platform without any ClickHouse: its runs fail at once."""
    return Watch(PostOffice(telegram_settings(clickhouse_url=None), instance))


def test_clickhouse_down_is_one_message_with_job_steps_days_cause_and_impact(
    office: PostOffice, api: BotApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day_assets, "RETRY_POLICY", dg.RetryPolicy(max_retries=0))
    monkeypatch.setattr(Warehouse, "from_settings", partial(Warehouse.from_settings, retry_waits=()))
    watch = Watch(office)
    run = office.definitions.resolve_job_def("daily_etl").execute_in_process(
        instance=office.instance, run_config=QUIET, raise_on_error=False, tags={**RANGE, **BY_SCHEDULE}
    )
    assert not run.success
    (event,) = watch.tick()
    assert watch.tick() == []
    watch.cursor = None
    watch.tick()
    assert (event.job, event.partition, event.run_id) == ("daily_etl", "2026-01-01…2026-01-02", run.run_id)
    # What people read comes first.
    assert {*event.impact[:2]} == {"daily_report", "dimension_metrics"}
    assert {*event.impact[-2:]} == {"feed_user_daily", "message_user_daily"}
    assert set(event.impact) == {
        "feed_user_daily", "message_user_daily", "users", "user_daily", "os_slice", "gender_slice", "age_slice",
        "dimension_metrics", "app_daily", "daily_report", "metric_daily", "user_cohorts",
    }  # fmt: skip
    assert set(event.steps) == {"feed_user_daily", "message_user_daily", "metric_daily"}
    assert "Steps failed" not in event.cause
    office.until_quiet()
    (message,) = api.messages(api.supergroup)
    assert message.text.startswith("❌ FAILED · job daily_etl")
    assert "127.0.0.1:1" in message.text and "Is ClickHouse running" in message.text
    assert not message.silent


def test_manual_runs_and_backfills_send_nothing(watch: Watch) -> None:
    for tags in ({}, {**BY_SCHEDULE, "dagster/backfill": "abcdefgh"}):
        watch.dies("daily_etl", tags=tags)
        watch.checks(**tags)
    watch.tick()
    assert watch.queued == []


def test_a_run_and_its_retries_are_one_message_about_the_last_failure(watch: Watch) -> None:
    retried = {**BY_SCHEDULE, "dagster/max_retries": "1", "dagster/will_retry": "true"}
    first = watch.dies("daily_etl", tags=retried)
    assert watch.tick() == []
    retry = {"dagster/root_run_id": first.run_id, "dagster/retry_number": "1", "dagster/will_retry": "false"}
    watch.dies("daily_etl", tags={**retried, **retry})
    (event,) = watch.tick()
    assert (event.attempt, event.attempts, event.key) == (2, 2, f"run-{first.run_id}")


def test_a_failed_run_waits_until_dagster_decides_on_its_retry(
    telegram_settings: Callable[..., Settings], empty_home: Path, tmp_path: Path
) -> None:
    home = tmp_path / "dagster"
    shutil.copytree(empty_home, home)
    config = home / "dagster.yaml"
    config.write_text(config.read_text("utf-8") + "run_retries:\n  enabled: true\n  max_retries: 1\n", "utf-8")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        watch = Watch(PostOffice(telegram_settings(clickhouse_url=None), instance))
        failed = {"tags": BY_SCHEDULE, "status": dg.DagsterRunStatus.FAILURE}
        for retried in ("true", "false"):
            run = instance.add_run(dg.DagsterRun("anomaly_check", **failed))
            assert watch.tick() == []
            instance.add_run_tags(run.run_id, {"dagster/will_retry": retried})
            assert len(watch.tick()) == (retried == "false")
        # If its process was killed just there, the wait ends.
        instance.add_run(dg.DagsterRun("anomaly_check", **failed))
        watch.now += datetime.timedelta(minutes=2)
        watch.tick()
        assert sum(alert.count for alert in watch.alerts()) == 2


def test_a_run_whose_process_was_killed_is_reported_as_killed(watch: Watch, api: BotApi) -> None:
    watch.dies("daily_etl", "Run worker process 4242 is gone.", started=True)
    (event,) = watch.tick()
    assert event.killed and "4242" in event.cause
    assert "killed" in watch.texts(api)[0]


def times_out(watch: Watch, **tags: str) -> dg.DagsterRun:
    """A run that waits for its start until Dagster's monitoring fails it."""
    instance = watch.office.instance
    run = instance.add_run(dg.DagsterRun("anomaly_check", tags={**BY_SCHEDULE, **tags}))
    record = instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))[0]
    with time_machine.travel(record.create_timestamp + HOUR, tick=False):
        monitor_starting_run(instance, record, logging.getLogger())
    return run


def test_a_run_that_timed_out_before_its_start_is_reported_before_its_retries(watch: Watch, api: BotApi) -> None:
    first = times_out(watch, **{"dagster/will_retry": "true", "dagster/max_retries": "2"})
    (event,) = watch.tick()
    assert event.never_started and not event.killed and "to start" in event.cause
    root = {"dagster/root_run_id": first.run_id, "dagster/retry_number": "1", "dagster/max_retries": "2"}
    times_out(watch, **root, **{"dagster/will_retry": "true"})
    assert watch.tick() == []
    assert [alert.count for alert in watch.alerts()] == [2]
    (text,) = watch.texts(api)
    assert "never started" in text and "killed" not in text


def test_a_tick_that_raises_is_one_message_with_repeats_counted_and_an_all_clear(watch: Watch, api: BotApi) -> None:
    instance = watch.office.instance
    sensor = switch_on(instance, "source_sensor", InstigatorType.SENSOR)
    for number in range(3):
        watch.now += datetime.timedelta(seconds=30)
        tick(instance, sensor, watch.now, error=raised(f"no such column, try {number}"))
        watch.tick()
    (event,) = watch.queued
    assert (event.kind, event.automation, event.name) == ("failed_tick", "sensor", "source_sensor")
    assert event.cause == "RuntimeError: no such column, try 0"
    watch.now += 5 * HOUR
    tick(instance, sensor, watch.now, error=raised("no such column, try 9"))
    watch.tick()
    watch.now += HOUR
    tick(instance, sensor, watch.now)
    watch.tick()
    first, again, over = watch.texts(api)
    assert first.startswith("❌ FAILED · sensor source_sensor") and "no such column" in first
    assert "3 more times" in again
    assert over.startswith("✅ RESOLVED · sensor source_sensor works again")


def test_ticks_that_failed_before_the_sensor_was_there_are_not_reported(watch: Watch) -> None:
    schedule = switch_on(watch.office.instance, "daily_etl_schedule", InstigatorType.SCHEDULE)
    tick(watch.office.instance, schedule, watch.now - HOUR, error=raised("old"))
    watch.cursor = None
    watch.tick()
    assert watch.queued == []


def test_a_code_server_that_stays_away_is_one_message_for_all_ticks(watch: Watch) -> None:
    instance = watch.office.instance
    names = ("daily_etl_schedule", "daily_report_schedule", "anomaly_check_schedule")
    states = [switch_on(instance, name, InstigatorType.SCHEDULE) for name in names]
    for number in (1, 2, 3):
        watch.now += datetime.timedelta(seconds=30)
        for state in states:
            tick(instance, state, watch.now, error=unreachable(), in_a_row=number)
        watch.tick()
        assert len(watch.queued) == (number > 1)
    (event,) = watch.queued
    assert (event.automation, event.name) == ("code location", LOCATION)
    watch.now += HOUR
    tick(instance, states[0], watch.now)
    watch.tick()
    assert watch.queued[-1].kind == "recovered"


def test_more_failures_than_dagsters_own_sensors_take_are_one_message_per_job(watch: Watch, api: BotApi) -> None:
    for number in range(12):
        watch.dies(["anomaly_check", "daily_report_job"][number % 2], f"worker {number} is gone")
    assert {(event.job, event.repeats) for event in watch.tick()} == {("anomaly_check", 5), ("daily_report_job", 5)}
    assert sum(alert.count for alert in watch.alerts()) == 12
    watch.now += 4 * HOUR
    assert watch.tick() == []
    texts = watch.texts(api)
    assert len(texts) == 2 and all("5 more times" in text for text in texts)


def test_causes_that_differ_share_a_message_after_the_first_two(watch: Watch, api: BotApi) -> None:
    words = ["disk full", "no route", "out of memory", "bad file", "no rights", "time-out"]
    for word in words:
        watch.dies(cause=word)
    assert [event.cause for event in watch.tick()] == words[:2]
    watch.now += datetime.timedelta(minutes=6)
    watch.tick()
    *_, last = watch.texts(api)
    assert last.startswith("❌ FAILED · 4 more failures")
    assert "4 × anomaly_check" in last and "1 × no rights" in last


def test_a_success_after_failures_is_a_silent_all_clear_in_reply(watch: Watch, api: BotApi) -> None:
    watch.dies()
    watch.dies()
    watch.tick()
    watch.succeeds()
    watch.tick()
    watch.office.until_quiet()
    first, last = api.messages(api.supergroup)
    assert last.text.startswith("✅ RESOLVED · job anomaly_check works again") and "2 times" in last.text
    assert last.silent and last.reply_to == first.message_id


def test_a_manual_success_ends_the_alert_and_a_manual_failure_adds_nothing(watch: Watch) -> None:
    watch.dies()
    watch.tick()
    watch.dies(tags={})
    watch.tick()
    assert [alert.count for alert in watch.alerts()] == [1]
    watch.succeeds(tags={})
    watch.tick()
    assert not any(alert.is_open for alert in watch.alerts())


# --- failed checks and success ----------------------------------------------------------------------------------------


@dg.asset(check_specs=[dg.AssetCheckSpec("adds_up", asset="sums"), dg.AssetCheckSpec("is_usual", asset="sums")])
def sums(context: dg.AssetExecutionContext) -> Iterator[Any]:
    """An asset with a check that fails without blocking, as an analyst may write one."""
    good = "good" in context.run.tags
    yield dg.MaterializeResult(
        check_results=[
            dg.AssetCheckResult(
                check_name="adds_up", passed=good, description="41 is not 42", metadata={"expected": 42, "actual": 41}
            ),
            dg.AssetCheckResult(check_name="is_usual", passed=False, severity=dg.AssetCheckSeverity.WARN),
        ]
    )


def test_a_check_that_fails_with_error_is_one_critical_message_of_a_green_run(watch: Watch, api: BotApi) -> None:
    watch.checks(**BY_SCHEDULE)
    watch.tick()
    watch.checks(**BY_SCHEDULE)
    watch.tick()
    watch.office.until_quiet()
    (message,) = api.messages(api.supergroup)
    assert message.text.startswith("🔴 CRITICAL · Failed check adds_up of sums")
    assert "41 is not 42" in message.text and "expected" in message.text and not message.silent
    watch.checks(good="yes", **BY_SCHEDULE)
    watch.tick()
    watch.office.until_quiet()
    assert api.messages(api.supergroup)[-1].text.startswith("✅ RESOLVED · check adds_up of sums passes again")


@dg.asset(check_specs=[dg.AssetCheckSpec("reconciles", asset="totals", blocking=True)])
def totals(context: dg.AssetExecutionContext) -> Iterator[Any]:
    """An asset that fails for its data, as those of the daily load do."""
    yield dg.AssetCheckResult(check_name="reconciles", passed=False, description="41 is not 42")
    raise dg.Failure("totals of 2026-01-01 does not add up", allow_retries=False)


def test_a_run_that_its_own_check_failed_is_reported_as_data_and_not_as_code(watch: Watch) -> None:
    dg.materialize([totals], instance=watch.office.instance, run_config=QUIET, tags=BY_SCHEDULE, raise_on_error=False)
    assert watch.tick() == []
    (event,) = watch.queued
    assert (event.kind, event.severity, event.asset, event.check, event.blocking) == (
        "failed_check", "critical", "totals", "reconciles", True,
    )  # fmt: skip


@dg.asset(
    key=["folder", "x" * 100], check_specs=[dg.AssetCheckSpec("y" * 100, asset=dg.AssetKey(["folder", "x" * 100]))]
)
def oddly_named() -> Iterator[Any]:
    """An asset whose key is longer than a notification's may be, and holds what that may not."""
    yield dg.MaterializeResult(check_results=[dg.AssetCheckResult(check_name="y" * 100, passed=False)])


def test_a_failed_check_is_reported_whatever_its_name(watch: Watch, api: BotApi) -> None:
    dg.materialize([oddly_named], instance=watch.office.instance, run_config=QUIET, tags=BY_SCHEDULE)
    watch.tick()
    watch.now += 30 * HOUR
    dg.materialize([oddly_named], instance=watch.office.instance, run_config=QUIET, tags=BY_SCHEDULE)
    watch.tick()
    watch.office.until_quiet()
    first, again = [message.text for message in api.messages(api.supergroup)]
    assert first.startswith("🔴 CRITICAL · Failed check yyyy") and "It failed 1 more time" in again


def test_severities_are_set_and_switched_off_by_setting(watch: Watch) -> None:
    severities = {"severities": {"failed_check": "warning", "failed_run": "off"}}
    watch.office.settings = watch.office.settings.model_copy(update=severities)
    watch.checks(**BY_SCHEDULE)
    watch.dies()
    watch.tick()
    assert [(event.kind, event.severity) for event in watch.queued] == [("failed_check", "warning")]


def test_a_success_of_the_nightly_load_is_reported_where_a_setting_asks_for_it(watch: Watch) -> None:
    watch.succeeds("daily_etl")
    watch.tick()
    watch.office.settings = watch.office.settings.model_copy(update={"tell_success": True})
    for job, tags in (("daily_etl", BY_SCHEDULE), ("daily_etl", {}), ("anomaly_check", BY_SCHEDULE)):
        watch.succeeds(job, tags)
    watch.tick()
    assert [(event.kind, event.job) for event in watch.queued] == [("success", "daily_etl")]


@pytest.mark.parametrize("job", ["notify", "check_channels"])
def test_a_failed_delivery_queues_no_message_about_itself(watch: Watch, job: str) -> None:
    watch.dies(job, tags={"dagster/sensor_name": "notify_sensor"})
    assert watch.tick() == []
