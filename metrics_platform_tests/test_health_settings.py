"""The settings of the platform's health: what they mean, and what is refused with its name, value and remedy."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from metrics_platform.settings import SettingsError, load_settings


def test_by_default_a_source_is_stale_after_one_hour_and_critical_after_three() -> None:
    settings = load_settings(None)
    for source in ("feed_actions", "message_actions"):
        assert settings.stale_limits(source) == (datetime.timedelta(hours=1), datetime.timedelta(hours=3))
    assert not settings.tell_success
    assert (settings.report_grace_minutes, settings.heartbeat_url, settings.severities) == (15, None, ())


def test_each_source_has_its_own_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_FEED_STALE_HOURS", "0.5, 2")
    monkeypatch.setenv("METRICS_MESSAGES_STALE_HOURS", "26,30")
    settings = load_settings(None)
    assert settings.stale_limits("feed_actions") == (datetime.timedelta(minutes=30), datetime.timedelta(hours=2))
    assert settings.stale_limits("message_actions") == (datetime.timedelta(hours=26), datetime.timedelta(hours=30))


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("METRICS_FEED_STALE_HOURS", "3,1", "write two numbers of hours"),
        ("METRICS_FEED_STALE_HOURS", "1", "write two numbers of hours"),
        ("METRICS_FEED_STALE_HOURS", "1,2,3", "write two numbers of hours"),
        ("METRICS_FEED_STALE_HOURS", "0,3", "write two numbers of hours"),
        ("METRICS_FEED_STALE_HOURS", "nan,3", "write two numbers of hours"),
        ("METRICS_FEED_STALE_HOURS", "1,inf", "write two numbers of hours"),
        ("METRICS_MESSAGES_STALE_HOURS", "one,three", "valid number"),
        ("METRICS_SEVERITIES", "odd_volume=failed", "odd_volume may be warning or critical or off"),
        ("METRICS_SEVERITIES", "failed_run=critical", "failed_run may be off"),
        ("METRICS_SEVERITIES", "odd_volume", "odd_volume may be warning or critical or off"),
        ("METRICS_SEVERITIES", "nonsense=warning", "write kind=severity"),
        ("METRICS_SEVERITIES", "stale_data=off,stale_data=warning", "name each kind only once: stale_data"),
        ("METRICS_TELL_SUCCESS", "perhaps", "valid boolean"),
        ("METRICS_REPORT_GRACE_MINUTES", "0", "greater than or equal to 1"),
        ("METRICS_KEEP_SLOTS_DAYS", "30", "greater than or equal to 60"),
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


def test_the_heartbeats_address_is_a_secret_also_where_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_HEARTBEAT_URL", "hc-ping.com/5ecret-uuid")
    with pytest.raises(SettingsError) as refused:
        load_settings(None)
    assert "METRICS_HEARTBEAT_URL = (secret): write the whole web address" in str(refused.value)
    assert "5ecret" not in str(refused.value)
    monkeypatch.setenv("METRICS_HEARTBEAT_URL", "https://hc-ping.com/5ecret-uuid")
    assert "5ecret" not in repr(load_settings(None))


@pytest.mark.parametrize(
    ("given", "kind", "expected"),
    [
        ("", "odd_volume", "warning"),
        ("odd_volume=critical", "odd_volume", "critical"),
        ("odd_volume = critical , stale_data=off", "stale_data", None),
        ("odd_volume=critical", "stale_data", "warning"),
        ("failed_run=off", "failed_run", None),
    ],
)
def test_a_kind_is_as_severe_as_its_setting_says_else_as_usual(given: str, kind: str, expected: Any) -> None:
    assert load_settings(None, severities=given).severity_of(kind, "warning") == expected
