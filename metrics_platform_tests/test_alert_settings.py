"""The settings of alerts: severities, mutes and active hours, and what is refused with its name, value and remedy."""

from __future__ import annotations

import contextlib
import datetime
from zoneinfo import ZoneInfo

import pytest

from metrics_platform.alerts.alert import Alert, Kind, Subject
from metrics_platform.alerts.policies import mute_filter
from metrics_platform.catalog import load_catalog
from metrics_platform.channel_settings import KINDS, SEVERITIES, Severity
from metrics_platform.monitor_settings import parse_active_hours
from metrics_platform.settings import Settings, SettingsError, load_settings


def stale_limits(settings: Settings, source: str) -> tuple[datetime.timedelta, datetime.timedelta]:
    return load_catalog(settings).sources[source].stale_limits


def test_by_default_a_source_is_stale_after_one_hour_and_critical_after_three() -> None:
    settings = load_settings(None)
    for source in ("feed_actions", "message_actions"):
        assert stale_limits(settings, source) == (datetime.timedelta(hours=1), datetime.timedelta(hours=3))
    assert not settings.tell_success
    assert (settings.report_grace_minutes, settings.heartbeat_url, settings.severities) == (15, None, {})


def test_each_source_has_its_own_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_FEED_STALE_HOURS", "0.5, 2")
    monkeypatch.setenv("METRICS_MESSAGES_STALE_HOURS", "26,30")
    settings = load_settings(None)
    assert stale_limits(settings, "feed_actions") == (datetime.timedelta(minutes=30), datetime.timedelta(hours=2))
    assert stale_limits(settings, "message_actions") == (datetime.timedelta(hours=26), datetime.timedelta(hours=30))


# Data are a WARNING or CRITICAL, code is FAILED: of code nothing but silence can be asked for.
DATA, CODE = {"warning", "critical", "off"}, {"off"}
ALLOWED = {
    "stale_data": DATA,
    "odd_volume": DATA,
    "failed_check": DATA,
    "failed_run": CODE,
    "report_not_delivered": CODE,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_may_be_what_its_nature_allows_and_nothing_else(kind: str) -> None:
    taken = set()
    for severity in (*SEVERITIES, "off", "", "Warning", "warning=off"):
        with contextlib.suppress(SettingsError):
            found = load_settings(None, severities=f" {kind} = {severity} ,").severity_of(kind, "failed")
            assert found == (None if severity == "off" else severity)
            taken.add(severity)
    assert taken == ALLOWED.get(kind, set())
    assert load_settings(None).severity_of(kind, "failed") == "failed"


@pytest.mark.parametrize("hours", ["1,1", "0.25,0.5", "24,8784", " 1 , 3 ,"])
def test_hours_may_be_equal_fractions_and_up_to_a_year(hours: str) -> None:
    warning, critical = stale_limits(load_settings(None, feed_stale_hours=hours), "feed_actions")
    given = [float(hour) for hour in hours.split(",") if hour.strip()]
    assert [warning.total_seconds() / 3600, critical.total_seconds() / 3600] == given


def test_the_heartbeats_address_is_a_secret_also_where_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_HEARTBEAT_URL", "hc-ping.com/5ecret-uuid")
    with pytest.raises(SettingsError) as refused:
        load_settings(None)
    assert "METRICS_HEARTBEAT_URL = (secret): write the whole web address" in str(refused.value)
    chain: BaseException | None = refused.value
    while chain is not None:
        assert "5ecret" not in str(chain) + repr(chain)
        chain = chain.__cause__ or chain.__context__
    monkeypatch.setenv("METRICS_HEARTBEAT_URL", "https://hc-ping.com/5ecret-uuid")
    settings = load_settings(None)
    assert settings.heartbeat_url is not None
    assert settings.heartbeat_url.get_secret_value() == "https://hc-ping.com/5ecret-uuid"
    for shown in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump())):
        assert "5ecret" not in shown


BROKEN = ("https://u:5ecret\u2100pw@host/x", "https://[5ecret]/x")
NO_ADDRESS = ("5ecret-uuid", "ftp://hc-ping.com/5ecret-uuid", "https:///5ecret", "https://[5ecret")


@pytest.mark.parametrize(
    ("name", "address"),
    [
        *(("METRICS_HEARTBEAT_URL", address) for address in (*BROKEN, *NO_ADDRESS)),
        *((name, address) for name in ("SLACK_WEBHOOK_URL", "TELEGRAM_PROXY") for address in BROKEN),
    ],
)
def test_an_address_that_cannot_be_read_is_refused_without_being_quoted(
    monkeypatch: pytest.MonkeyPatch, name: str, address: str
) -> None:
    monkeypatch.setenv(name, address)
    with pytest.raises(SettingsError) as refused:
        load_settings(None)
    assert f"{name} = (secret)" in str(refused.value) and "5ecret" not in str(refused.value)


# --- mutes and active hours ------------------------------------------------------------------------------------------

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
    is_muted = mute_filter(load_settings(None, timezone="Europe/Moscow", mutes=mutes, active_hours=hours), NOON)
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
