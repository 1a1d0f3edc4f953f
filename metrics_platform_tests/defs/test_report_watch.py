"""The report that does not arrive: an alert after its grace, with what stopped it."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import InstigatorStatus

from metrics_platform.defs.delivery.storage import observation
from metrics_platform.notifications.history import Closed, Entry, Failed, Sent
from metrics_platform.notifications.kinds import DailyReport, ReportNotDelivered
from metrics_platform.settings import Settings
from metrics_platform_tests.defs.post_office import PostOffice, SensorTicks
from metrics_platform_tests.defs.stored_ticks import switch_on

MINUTE = datetime.timedelta(minutes=1)
DAY = datetime.date(2026, 11, 21)
DUE = datetime.datetime(2026, 11, 22, 8, tzinfo=datetime.UTC)  # 11:00 in Moscow
KEY = "report-2026-11-21"


class Watch(SensorTicks):
    """The sensor, every four minutes and at the moments of the test."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        super().__init__(PostOffice(settings, instance), "report_watch")
        self.instance = instance

    def until(self, moment: datetime.datetime, start: datetime.datetime = DUE - 10 * MINUTE) -> list[Any]:
        """Ticks from `start` to `moment`; what they queue."""
        steps = [*(start + step * MINUTE for step in range(0, (moment - start) // MINUTE, 4)), moment]
        return [event for at in steps for event in self.tick(at)]

    def switch_on(self, at: datetime.datetime) -> None:
        """The schedule is turned on."""
        switch_on(self.instance, "daily_report_schedule", status=InstigatorStatus.RUNNING, since=at)

    def write(self, *entries: Entry) -> None:
        """What the delivery has stored of the report."""
        for entry in entries:
            self.instance.report_runless_asset_event(observation(KEY, entry))

    def queue_report(self) -> None:
        """The run of the report queues it."""
        end = DUE + 24 * 60 * MINUTE
        report = DailyReport(key=KEY, occurred_at=DUE, date=DAY, period_start=DUE, period_end=end, parts=())
        self.office.queue(report)

    def run(self, *, fails: bool) -> dg.DagsterRun:
        """A run of the report's job, as the schedule starts it."""
        tags = {"dagster/schedule_name": "daily_report_schedule", "dagster/partition": DAY.isoformat()}
        run = self.instance.add_run(dg.DagsterRun("daily_report_job", tags=tags))
        if fails:
            self.instance.report_run_failed(run, message="ClickHouse does not answer")
        return run


@pytest.fixture
def instance(stored_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    return stored_instance


@pytest.fixture
def watch(telegram_settings: Callable[..., Settings], instance: dg.DagsterInstance) -> Watch:
    """A product whose report is due at 11:00 in Moscow; its schedule has long been on."""
    made = Watch(telegram_settings(start_date="2026-10-01"), instance)
    made.switch_on(DUE - 9 * 24 * 60 * MINUTE)
    return made


def test_a_report_that_was_not_started_is_one_alert_after_fifteen_minutes(watch: Watch) -> None:
    assert watch.until(DUE + 14 * MINUTE) == []
    (event,) = watch.until(DUE + 60 * MINUTE, DUE + 15 * MINUTE)
    assert isinstance(event, ReportNotDelivered)
    assert (event.key, event.date, event.due_at, event.severity) == ("no-report-2026-11-21", DAY, DUE, "failed")
    assert "has not started a run" in event.reason
    assert watch.summary.startswith("The report of 2026-11-21 is missing. daily_report_schedule has not started")


def test_a_schedule_that_is_on_by_default_is_watched(
    telegram_settings: Callable[..., Settings], instance: dg.DagsterInstance
) -> None:
    watch = Watch(telegram_settings(start_date="2026-10-01"), instance)
    since = DUE - 9 * 24 * 60 * MINUTE
    switch_on(instance, "daily_report_schedule", since=since)
    (event,) = watch.until(DUE + 15 * MINUTE)
    assert isinstance(event, ReportNotDelivered)


def test_the_cause_of_its_failed_run_is_sent_in_reply_to_that_message(watch: Watch) -> None:
    run = watch.run(fails=True)
    watch.office.queue(ReportNotDelivered(key=f"run-{run.run_id}", occurred_at=DUE, date=DAY, due_at=DUE))
    (event,) = watch.until(DUE + 15 * MINUTE)
    assert event.reason == "Its run has failed. ClickHouse does not answer"
    assert event.thread == f"run-{run.run_id}"


def test_the_state_of_its_run_is_the_reason(watch: Watch) -> None:
    watch.run(fails=False)
    (event,) = watch.until(DUE + 15 * MINUTE)
    assert event.reason == "Its run is not started."


UNREACHABLE = Failed(channel="telegram", reason="unreachable", text="No route.")
KICKED = Failed(channel="telegram", reason="misconfigured", text="bot was kicked")


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([Closed(outcome="delivered")], ""),
        ([UNREACHABLE], ""),  # the report itself is on its way
        ([UNREACHABLE, Closed(outcome="given_up", text="Not delivered within 24 h: too old.")], "Not delivered within"),
        (
            [Failed(channel="telegram", reason="refused", text="400 Bad Request: message is too long")],
            "400 Bad Request",
        ),
        ([KICKED], "bot was kicked"),
        ([KICKED, Sent(channel="slack", step=0, steps=1)], ""),  # the fallback has taken it
    ],
)
def test_a_queued_report_is_missing_only_if_it_cannot_arrive(
    telegram_settings: Callable[..., Settings], instance: dg.DagsterInstance, entries: list[Entry], reason: str
) -> None:
    settings = telegram_settings(start_date="2026-10-01", slack_webhook_url="https://hooks.slack.com/services/T/B/x")
    watch = Watch(settings, instance)
    watch.switch_on(DUE - 24 * 60 * MINUTE)
    watch.queue_report()
    watch.write(*entries)
    found = [event.reason for event in watch.until(DUE + 15 * MINUTE)]
    assert [text.startswith(reason) for text in found] == ([True] if reason else [])


def test_after_a_downtime_the_report_has_its_time_from_then_on(watch: Watch) -> None:
    back = DUE + 120 * MINUTE
    assert watch.until(back + 14 * MINUTE, back) == []
    assert len(watch.until(back + 16 * MINUTE, back + 15 * MINUTE)) == 1


@pytest.mark.parametrize(
    ("start_date", "on_since", "reason"),
    [
        ("2026-10-01", None, "is off, or was"),
        ("2026-10-01", DUE + MINUTE, "is off, or was"),
        ("2026-11-22", DUE - 24 * 60 * MINUTE, "METRICS_START_DATE"),
    ],
)
def test_without_a_schedule_or_a_day_when_it_was_due_no_report_is_expected(
    telegram_settings: Callable[..., Settings],
    instance: dg.DagsterInstance,
    start_date: str,
    on_since: Any,
    reason: str,
) -> None:
    watch = Watch(telegram_settings(start_date=start_date), instance)
    if on_since:
        watch.switch_on(on_since)
    assert watch.until(DUE + 60 * MINUTE) == []
    assert reason in watch.summary
