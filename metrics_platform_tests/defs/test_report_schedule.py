"""When the report is asked for: at 11:00 on the product's clocks, for yesterday, and late only the latest."""

from __future__ import annotations

import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
import time_machine
from dagster._utils.schedules import schedule_execution_time_iterator

from metrics_platform.defs import build_definitions
from metrics_platform.defs.report.assets import DUE_AT, daily_report_job, daily_report_schedule
from metrics_platform.settings import Settings, SettingsError, load_settings

ONE_DAY = datetime.timedelta(days=1)


def settings_of(zone: str = "Europe/Moscow", **more: object) -> Settings:
    return load_settings(None, timezone=zone, **{"start_date": "2026-01-01", **more})


def ticks(settings: Settings, first: datetime.date, days: int) -> list[datetime.datetime]:
    """When Dagster's scheduler ticks, by its own reckoning, from the first instant of `first`."""
    schedule = build_definitions(settings).resolve_schedule_def("daily_report_schedule")
    assert isinstance(schedule.cron_schedule, str)
    start = datetime.datetime.combine(first, datetime.time.min, settings.zone)
    moments = schedule_execution_time_iterator(
        start.timestamp(), schedule.cron_schedule, schedule.execution_timezone, ascending=True
    )
    return [next(moments) for _ in range(days)]


def asked_for(settings: Settings, due: datetime.datetime, now: datetime.datetime | None = None) -> dg.RunRequest | str:
    """What a tick asks for at `due` as evaluated at `now`; the reason, where it asks for nothing."""
    schedule = daily_report_schedule(daily_report_job(), settings)
    with time_machine.travel(now or due, tick=False):
        answer = schedule(dg.build_schedule_context(scheduled_execution_time=due))
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer if isinstance(answer, dg.RunRequest) else str(answer.skip_message)


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("Europe/Berlin", "2026-03-29"),
        ("Europe/Berlin", "2026-10-25"),
        ("Australia/Lord_Howe", "2026-10-04"),
        ("America/Havana", "2026-11-01"),
        ("Europe/Moscow", "2026-03-29"),  # none
    ],
)
def test_eleven_is_eleven_once_a_day_also_where_the_clocks_change(zone: str, change: str) -> None:
    day = datetime.date.fromisoformat(change)
    settings = settings_of(zone)
    moments = ticks(settings, day - ONE_DAY, 4)
    local = [moment.astimezone(ZoneInfo(zone)) for moment in moments]
    assert [time.date() for time in local] == [day + offset * ONE_DAY for offset in (-1, 0, 1, 2)]
    assert {(time.hour, time.minute) for time in local} == {(11, 0)}
    spans = {after - before for before, after in pairwise(moment.astimezone(datetime.UTC) for moment in moments)}
    assert (spans == {ONE_DAY}) == (zone == "Europe/Moscow")
    for due in moments:
        request = asked_for(settings, due)
        assert isinstance(request, dg.RunRequest)
        assert request.partition_key == str(due.astimezone(ZoneInfo(zone)).date() - ONE_DAY)


def test_a_tick_asks_for_yesterdays_report_to_be_sent_once() -> None:
    due = datetime.datetime(2026, 11, 22, 8, 0, tzinfo=datetime.UTC)  # 11:00 in Moscow
    request = asked_for(settings_of(), due, now=due + datetime.timedelta(seconds=3))
    assert isinstance(request, dg.RunRequest)
    assert (request.run_key, request.partition_key) == ("2026-11-21", "2026-11-21")
    assert request.run_config["ops"] == {"daily_report": {"config": {"send": True}}}
    assert request.tags[DUE_AT] == "2026-11-22T08:00:00+00:00"


def test_after_a_downtime_the_latest_missed_report_is_asked_for_and_none_before_it() -> None:
    settings = settings_of()
    now = datetime.datetime(2026, 11, 22, 17, 30, tzinfo=settings.zone)
    missed = ticks(settings, datetime.date(2026, 11, 13), 10)
    assert missed[-1] < now < missed[-1] + ONE_DAY
    *before, last = [asked_for(settings, due, now) for due in missed]
    assert all(isinstance(why, str) and "a newer one is due" in why for why in before)
    assert isinstance(last, dg.RunRequest)
    assert last.partition_key == "2026-11-21"
    # Shortly before 11:00 of the next day it is still the latest, from then on it is not.
    eleven = missed[-1] + ONE_DAY
    assert isinstance(asked_for(settings, missed[-1], eleven - datetime.timedelta(seconds=1)), dg.RunRequest)
    assert isinstance(asked_for(settings, missed[-1], eleven), str)


@pytest.mark.parametrize(
    ("more", "today", "reason"),
    [
        ({"start_date": "2026-11-22"}, "2026-11-22", "METRICS_START_DATE"),
        ({"start_date": "2026-11-21"}, "2026-11-22", None),
        ({"end_date": "2026-11-20"}, "2026-11-22", "METRICS_END_DATE"),
        ({"end_date": "2026-11-21"}, "2026-11-22", None),
    ],
)
def test_there_is_a_report_of_every_day_with_events_and_of_no_other(
    more: dict[str, str], today: str, reason: str | None
) -> None:
    settings = settings_of(**more)
    due = datetime.datetime.combine(datetime.date.fromisoformat(today), datetime.time(11), settings.zone)
    found = asked_for(settings, due)
    if reason is None:
        assert isinstance(found, dg.RunRequest)
    else:
        assert isinstance(found, str)
        assert reason in found


def test_a_date_that_the_zone_skipped_has_no_report() -> None:
    settings = settings_of("Pacific/Apia", start_date="2011-12-01")
    due = datetime.datetime(2011, 12, 31, 11, tzinfo=settings.zone)
    assert "no 2011-12-30" in str(asked_for(settings, due))


def test_the_hour_is_a_setting() -> None:
    settings = settings_of(report_at="09:30")
    (tick,) = ticks(settings, datetime.date(2026, 11, 22), 1)
    assert tick.astimezone(settings.zone) == datetime.datetime(2026, 11, 22, 9, 30, tzinfo=settings.zone)
    assert isinstance(asked_for(settings, tick, tick + datetime.timedelta(hours=23)), dg.RunRequest)
    with pytest.raises(SettingsError, match="METRICS_REPORT_AT"):
        settings_of(report_at="25:00")
