"""The settings of the platform's health: what they mean, and what is refused with its name, value and remedy."""

from __future__ import annotations

import contextlib
import datetime
from typing import Any

import pytest

from metrics_platform.catalog import load_catalog
from metrics_platform.channel_settings import KINDS, SEVERITIES
from metrics_platform.settings import Settings, SettingsError, load_settings


def stale_limits(settings: Settings, source: str) -> tuple[datetime.timedelta, datetime.timedelta]:
    return load_catalog(settings).sources[source].stale_limits


def test_by_default_a_source_is_stale_after_one_hour_and_critical_after_three() -> None:
    settings = load_settings(None)
    for source in ("feed_actions", "message_actions"):
        assert stale_limits(settings, source) == (datetime.timedelta(hours=1), datetime.timedelta(hours=3))
    assert not settings.tell_success
    assert (settings.report_grace_minutes, settings.heartbeat_url, settings.severities) == (15, None, ())


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
            found = load_settings(None, severities=f"{kind}={severity}").severity_of(kind, "failed")
            assert found == (None if severity == "off" else severity)
            taken.add(severity)
    assert taken == ALLOWED.get(kind, set())


@pytest.mark.parametrize("hours", ["1,1", "0.25,0.5", "24,8784", " 1 , 3 ,"])
def test_hours_may_be_equal_fractions_and_up_to_a_year(hours: str) -> None:
    warning, critical = stale_limits(load_settings(None, feed_stale_hours=hours), "feed_actions")
    given = [float(each) for each in hours.split(",") if each.strip()]
    assert [warning.total_seconds() / 3600, critical.total_seconds() / 3600] == given


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("METRICS_FEED_STALE_HOURS", "3,1", "write two numbers of hours"),
        ("METRICS_FEED_STALE_HOURS", "1", "write two numbers of hours"),
        ("METRICS_FEED_STALE_HOURS", "1,2,3", "write two numbers of hours"),
        ("METRICS_FEED_STALE_HOURS", "0,3", "write two numbers of hours"),
        ("METRICS_FEED_STALE_HOURS", "nan,3", "write two numbers of hours"),
        ("METRICS_FEED_STALE_HOURS", "1,inf", "write two numbers of hours"),
        ("METRICS_FEED_STALE_HOURS", "1,nan", "write two numbers of hours"),
        ("METRICS_FEED_STALE_HOURS", "-1,3", "write two numbers of hours"),
        ("METRICS_FEED_STALE_HOURS", ",", "write two numbers of hours"),
        ("METRICS_FEED_STALE_HOURS", "1,8785", "at most 8784 hours"),
        ("METRICS_FEED_STALE_HOURS", "1,1e99", "at most 8784 hours"),
        ("METRICS_MESSAGES_STALE_HOURS", "3,1", "write two numbers of hours"),
        ("METRICS_MESSAGES_STALE_HOURS", "one,three", "write a number"),
        ("METRICS_SEVERITIES", "odd_volume=failed", "set odd_volume to warning or critical or off"),
        ("METRICS_SEVERITIES", "failed_run=critical", "set failed_run to off"),
        ("METRICS_SEVERITIES", "odd_volume", "set odd_volume to warning or critical or off"),
        ("METRICS_SEVERITIES", "nonsense=warning", "write kind=severity"),
        ("METRICS_SEVERITIES", "stale_data=off,stale_data=warning", "name each kind only once: stale_data"),
        ("METRICS_TELL_SUCCESS", "perhaps", "write true or false"),
        ("METRICS_REPORT_GRACE_MINUTES", "0", "from 1 to 720"),
        ("METRICS_REPORT_GRACE_MINUTES", "721", "from 1 to 720"),
        ("METRICS_KEEP_SLOTS_DAYS", "30", "from 60 to 36,500"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, remedy: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load_settings(None)
    assert f"{name} = {value!r}" in str(refused.value)
    assert remedy in str(refused.value)
    assert "It means: " in str(refused.value)


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


@pytest.mark.parametrize(
    "address", ["5ecret-uuid", "ftp://hc-ping.com/5ecret-uuid", "https:///5ecret", "https://[5ecret"]
)
def test_a_heartbeat_that_has_no_web_address_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(SettingsError, match=r"METRICS_HEARTBEAT_URL = \(secret\)") as refused:
        load_settings(None, heartbeat_url=address)
    assert "5ecret" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "kind", "expected"),
    [
        ("", "odd_volume", "warning"),
        ("odd_volume=critical", "odd_volume", "critical"),
        ("odd_volume = critical , stale_data=off", "stale_data", None),
        ("odd_volume\t=\tcritical", "odd_volume", "critical"),
        ("odd_volume=critical", "stale_data", "warning"),
        ("failed_run=off", "failed_run", None),
    ],
)
def test_a_kind_is_as_severe_as_its_setting_says_else_as_usual(given: str, kind: str, expected: Any) -> None:
    assert load_settings(None, severities=given).severity_of(kind, "warning") == expected


@pytest.mark.parametrize("address", ["https://u:5ecret\u2100pw@host/x", "https://[5ecret]/x"])
@pytest.mark.parametrize("name", ["METRICS_HEARTBEAT_URL", "SLACK_WEBHOOK_URL", "TELEGRAM_PROXY"])
def test_an_address_that_cannot_be_read_is_refused_without_being_quoted(
    monkeypatch: pytest.MonkeyPatch, name: str, address: str
) -> None:
    monkeypatch.setenv(name, address)
    with pytest.raises(SettingsError) as refused:
        load_settings(None)
    assert name in str(refused.value) and "5ecret" not in str(refused.value)
