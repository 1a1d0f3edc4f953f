"""Mutes and active hours: what their settings mean, and what is refused with the remedy."""

from __future__ import annotations

import datetime
from zoneinfo import ZoneInfo

import pytest

from metrics_platform.alerts.alert import Alert, Kind, Subject
from metrics_platform.alerts.muting import muting
from metrics_platform.channel_settings import Severity
from metrics_platform.settings import SettingsError, load_settings
from metrics_platform.silences import parse_active_hours

MOSCOW = ZoneInfo("Europe/Moscow")
# A Friday.
NOON = datetime.datetime(2026, 11, 20, 12, tzinfo=MOSCOW)
HOUR = datetime.timedelta(hours=1)


def alert(
    kind: Kind = "anomaly", name: str = "views", value: str = "total", severity: Severity = "warning", origin: str = ""
) -> Alert:
    dimension = "total" if value == "total" else "os"
    at = NOON - HOUR
    subject = Subject(kind, name, dimension, value)
    return Alert("A7K2Q", subject, "down", "open", severity, at, at, 2, "opened", origin=origin)


VIEWS, ANDROID = alert(origin="feed_actions"), alert(value="Android", severity="critical", origin="feed_actions")
MESSAGES = alert(name="messages", origin="message_actions")
VOLUME = alert("odd_hour", "feed_actions", origin="feed_actions")
STALE = alert("stale_data", "feed_actions", severity="critical", origin="feed_actions")
FAILED, CHECK, TICK, LOCATION = (
    alert("failed_run", "daily_etl", severity="failed"), alert("failed_check", "sums:adds_up", severity="critical"),
    alert("failed_tick", "sensor source_sensor", severity="failed"), alert("code_location", "desk", severity="failed"),
)  # fmt: skip
ALL = {"views": VIEWS, "android": ANDROID, "messages": MESSAGES, "volume": VOLUME, "stale": STALE, "failed": FAILED,
       "check": CHECK, "tick": TICK, "location": LOCATION}  # fmt: skip


@pytest.mark.parametrize(
    ("mutes", "hours", "muted"),
    [
        ("", "", ""),
        ("metric:views", "", "views android"),
        ("metric:views+slice:Android", "", "android"),
        ("metric:views until 2026-11-20T12:01+03:00", "", "views android"),
        ("metric:views until 2026-11-20T12:00+03:00", "", ""),
        ("source:feed_actions", "", "views android volume stale"),
        ("kind:odd_volume+severity:warning, kind:failed_tick", "", "volume tick location"),
        ("severity:critical", "", "android stale check"),
        ("kind:failed_run+name:daily_etl", "", "failed"),
        ("kind:failed_check+name:sums:adds_up", "", "check"),
        ("", "severity:warning 09:00-21:00", ""),
        ("", "severity:warning 13:00-21:00", "views messages volume"),
        ("", "severity:warning 13:00-21:00, kind:anomaly fri 12:00-12:30", "volume"),
        ("", "kind:anomaly mon-thu 00:00-24:00", "views android messages"),
        ("metric:messages", "severity:failed sat-sun 10:00-12:00", "messages failed tick location"),
    ],
)
def test_what_is_muted_at_noon_on_a_friday(mutes: str, hours: str, muted: str) -> None:
    is_muted = muting(load_settings(None, timezone="Europe/Moscow", mutes=mutes, active_hours=hours), NOON)
    assert {name for name, one in ALL.items() if is_muted(one)} == set(muted.split())


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        ("kind:anomaly 09:00-21:00", ["20T09:00", "20T20:59"], ["20T08:59", "20T21:00"]),
        ("kind:anomaly 22:00-06:00", ["20T22:00", "21T05:59"], ["20T21:59", "20T06:00"]),
        ("kind:anomaly fri 22:00-06:00", ["20T22:00", "21T05:59"], ["20T05:59", "21T22:00"]),
        ("kind:anomaly fri-mon 08:00-20:00", ["20T08:00", "22T12:00", "23T19:59"], ["19T12:00", "24T12:00"]),
    ],
)
def test_active_hours_are_by_the_clock_and_may_end_after_midnight(
    hours: str, inside: list[str], outside: list[str]
) -> None:
    found = parse_active_hours(hours)
    for contained, moments in ((True, inside), (False, outside)):
        for moment in moments:
            assert found.contain(datetime.datetime.fromisoformat(f"2026-11-{moment}")) == contained


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("METRICS_MUTES", "views", "write label:value, such as metric:views"),
        ("METRICS_MUTES", "metrics:views", "did you mean metric:views?"),
        ("METRICS_MUTES", "kind:odd_volumes", "kind is one of anomaly, stale_data"),
        ("METRICS_MUTES", "kind:odd_volumes", "did you mean odd_volume?"),
        ("METRICS_MUTES", "severity:info", "severity is one of warning, critical, failed"),
        ("METRICS_MUTES", "metric:views until tomorrow", "write the end with its offset"),
        ("METRICS_MUTES", "metric:views until 2026-12-01T09:00", "write the end with its offset"),
        ("METRICS_MUTES", "metric:views, metric:views", "name each only once"),
        ("METRICS_ACTIVE_HOURS", "kind:anomaly", "write the hours as 09:00-21:00"),
        ("METRICS_ACTIVE_HOURS", "kind:anomaly 9-21", "write the hours as 09:00-21:00"),
        ("METRICS_ACTIVE_HOURS", "kind:anomaly 09:00-25:00", "write the hours as 09:00-21:00"),
        ("METRICS_ACTIVE_HOURS", "kind:anomaly monday 09:00-21:00", "write the hours as 09:00-21:00"),
        ("METRICS_ACTIVE_HOURS", "09:00-21:00", "write the hours as 09:00-21:00"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, remedy: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load_settings(None)
    assert name in str(refused.value) and remedy in str(refused.value)
