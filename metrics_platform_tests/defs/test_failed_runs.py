"""Failed runs: what schedules and sensors started and what failed for good becomes one message with its cause."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import dagster as dg
import pytest

from metrics_platform.defs.daily import assets
from metrics_platform.notifications.journal import asked
from metrics_platform.notifications.kinds import FailedRun
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform_tests.defs.post_office import PostOffice
from metrics_platform_tests.telegram.bot_api import BotApi

BY_SCHEDULE = {"dagster/schedule_name": "daily_etl_schedule"}
RANGE = {
    "dagster/asset_partition_range_start": "2026-01-01",
    "dagster/asset_partition_range_end": "2026-01-02",
}
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Watch:
    """The sensor of failed runs, tick by tick, and the desk it looks at."""

    def __init__(self, office: PostOffice) -> None:
        self.office = office
        self.cursor: str | None = None
        self.tick()  # failures from before it was there are nobody's business

    def tick(self) -> list[FailedRun]:
        """The messages that a tick asks for."""
        context = dg.build_sensor_context(self.office.instance, cursor=self.cursor, definitions=self.office.definitions)
        result = self.office.definitions.resolve_sensor_def("failed_run_sensor")(context)
        assert isinstance(result, dg.SensorResult)
        self.office.store(result)
        self.cursor = result.cursor
        found = [asked(self.office.journal.entries(str(event.partition))) for event in result.asset_events]
        return [event for event in found if isinstance(event, FailedRun)]

    def run(self, **tags: str) -> dg.ExecuteInProcessResult:
        """A run of `daily_etl`; the ClickHouse of these settings is away."""
        return self.office.definitions.resolve_job_def("daily_etl").execute_in_process(
            instance=self.office.instance, run_config=QUIET, raise_on_error=False, tags={**RANGE, **tags}
        )


@pytest.fixture
def watch(telegram_settings: Callable[..., Settings], instance: dg.DagsterInstance) -> Watch:
    """The watch of a desk without any ClickHouse: its runs fail at once."""
    return Watch(PostOffice(telegram_settings(clickhouse_url=None), instance))


def test_clickhouse_being_down_gets_out_with_job_steps_days_and_the_cause(
    office: PostOffice, api: BotApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "RETRY_POLICY", dg.RetryPolicy(max_retries=0))
    monkeypatch.setattr(Warehouse, "from_settings", partial(Warehouse.from_settings, retry_waits=()))
    watch = Watch(office)
    run = watch.run(**BY_SCHEDULE)
    assert not run.success
    (event,) = watch.tick()
    assert (event.job, event.partition, event.run_id) == ("daily_etl", "2026-01-01…2026-01-02", run.run_id)
    assert set(event.steps) == {"feed_user_daily", "message_user_daily"}
    assert "Steps failed" not in event.cause
    office.until_quiet()
    (message,) = api.messages(api.supergroup)
    assert message.text.startswith("❌ FAILED · job daily_etl")
    assert "127.0.0.1:1" in message.text and "Is ClickHouse running" in message.text
    assert not message.silent


def test_a_failure_is_told_once_however_often_the_sensor_looks(watch: Watch, api: BotApi) -> None:
    watch.run(**BY_SCHEDULE)
    assert len(watch.tick()) == 1
    assert watch.tick() == []
    watch.cursor = None
    watch.tick()
    watch.office.until_quiet()
    assert len(api.messages(api.supergroup)) == 1


def test_runs_started_by_hand_and_backfills_send_nothing(watch: Watch) -> None:
    watch.run()
    watch.run(**BY_SCHEDULE, **{"dagster/backfill": "abcdefgh"})
    assert watch.tick() == []


def test_of_a_run_that_is_retried_only_the_last_failure_is_told_as_one_message(watch: Watch) -> None:
    first = watch.run(**BY_SCHEDULE, **{"dagster/will_retry": "true", "dagster/max_retries": "1"})
    assert watch.tick() == []
    root = {"dagster/root_run_id": first.run_id, "dagster/parent_run_id": first.run_id}
    retry = {"dagster/retry_number": "1", "dagster/max_retries": "1", "dagster/will_retry": "false"}
    watch.run(**BY_SCHEDULE, **root, **retry)
    (event,) = watch.tick()
    assert (event.attempt, event.attempts, event.key) == (2, 2, f"run-{first.run_id}")


def test_a_run_killed_without_a_word_is_told_as_killed(watch: Watch, api: BotApi) -> None:
    job = watch.office.definitions.resolve_job_def("daily_etl")
    run = watch.office.instance.create_run_for_job(job, tags={**RANGE, **BY_SCHEDULE})
    watch.office.instance.report_run_failed(run, message="Run worker process 4242 is gone.")
    (event,) = watch.tick()
    assert event.killed and "4242" in event.cause
    watch.office.until_quiet()
    assert "killed" in api.messages(api.supergroup)[0].text


def test_more_failures_than_one_tick_of_dagsters_own_sensors_takes_are_all_told(watch: Watch, api: BotApi) -> None:
    job = watch.office.definitions.resolve_job_def("daily_etl")
    for _ in range(7):
        run = watch.office.instance.create_run_for_job(job, tags={**RANGE, **BY_SCHEDULE})
        watch.office.instance.report_run_failed(run)
    assert len(watch.tick()) == 7
    watch.office.until_quiet()
    (message,) = api.messages(api.supergroup)
    assert "7" in message.text.split("\n")[0]


@pytest.mark.parametrize("job", ["notify", "check_channels"])
def test_a_failed_delivery_never_asks_for_a_message_about_itself(watch: Watch, api: BotApi, job: str) -> None:
    tags: dict[str, Any] = {"dagster/sensor_name": "notify_sensor"}
    run = watch.office.instance.create_run_for_job(watch.office.definitions.resolve_job_def(job), tags=tags)
    watch.office.instance.report_run_failed(run)
    assert watch.tick() == []
