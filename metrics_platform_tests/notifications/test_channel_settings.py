"""The channels' settings: what is bad is refused by name and with the remedy, and no refusal repeats a secret."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from metrics_platform.channel_settings import (
    KINDS,
    OUTBOX,
    SEVERITIES,
    ChatTarget,
    MailServer,
    parse_smtp_url,
)
from metrics_platform.settings import Settings, SettingsError, load_settings
from metrics_platform_tests.notifications.delivery import ALL_CLEAR, FAILED, REPORT, UPDATE
from metrics_platform_tests.notifications.examples import EXAMPLES

TOKEN = "123456789:AAF0_made-up_for_tests_of_alerts_00"
WEBHOOK = "https://hooks.slack.com/services/T0SECRET/B0SECRET/s3cr3tS3cr3t"
PASSWORD = "pa55-w0rd"
MAIL = {"SMTP_URL": "smtp://mail.example.com", "EMAIL_FROM": "desk@example.com", "EMAIL_TO": "a@example.com"}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch):
    """Settings of some environment."""

    def made(**given: str) -> Settings:
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        return load_settings(None)

    return made


def refusal(made: object, **given: str) -> str:
    with pytest.raises(SettingsError) as caught:
        made(**given)  # type: ignore[operator]
    return str(caught.value)


# --- each bad value -------------------------------------------------------------------------------------------------

BAD = [
    ("TELEGRAM_CHAT_ID", "metrics team", "@name"),
    ("TELEGRAM_CHAT_ID", "-100 123", "a chat's number"),
    ("TELEGRAM_THREAD_ID", "-1", "at least 0"),
    ("TELEGRAM_API_BASE", "api.telegram.org", "https://host/path"),
    ("TELEGRAM_ROUTES", "failed", "failed=-1001234/7"),
    ("TELEGRAM_ROUTES", "failed=-1001/x", "kind=chat/topic"),
    ("TELEGRAM_ROUTES", "failed=-1001,everything=-1002", "neither a severity"),
    ("TELEGRAM_ROUTES", "failed=-1001, critical=-1002, failed=-1003", "failed has two routes"),
    ("METRICS_COPY_TO_SLACK", "crtical", "did you mean critical?"),
    ("METRICS_COPY_TO_EMAIL", "daily report", "neither a severity"),
    ("METRICS_LANGUAGE", "de", "write en or ru"),
    ("METRICS_ENVIRONMENT", "x" * 41, "40"),
    ("METRICS_DASHBOARD_URL", "bi.example.com", "https://host/path"),
    ("METRICS_FALLBACK_AFTER_MINUTES", "0", "at least 1"),
    ("METRICS_MESSAGE_MAX_AGE_HOURS", "169", "at most 168"),
    ("METRICS_DRY_RUN", "perhaps", "true or false"),
    ("EMAIL_FROM", "the desk", "not an e-mail address"),
    ("EMAIL_TO", "a@example.com,b", "not an e-mail address"),
]


@pytest.mark.parametrize(("name", "value", "remedy"), BAD)
def test_a_bad_value_is_refused_with_the_remedy(
    refusal_of: Callable[[str, str], str], name: str, value: str, remedy: str
) -> None:
    assert remedy in refusal_of(name, value)


# What is refused, the secret in it, and what the refusal says instead.
SECRETS = [
    ("TELEGRAM_BOT_TOKEN", f"bot{TOKEN}", TOKEN, "look like a bot's token"),
    ("TELEGRAM_BOT_TOKEN", TOKEN[:-20], TOKEN[:-20], "look like a bot's token"),
    ("TELEGRAM_PROXY", f"socks5://user:{PASSWORD}@proxy:1080", PASSWORD, "http://user:password@host:port"),
    ("TELEGRAM_PROXY", f"user:{PASSWORD}@proxy:1080", PASSWORD, "http://user:password@host:port"),
    ("SLACK_WEBHOOK_URL", WEBHOOK.removeprefix("https://"), "s3cr3tS3cr3t", "the whole URL from Slack"),
    ("SLACK_WEBHOOK_URL", "https://hooks.slack.com/", "hooks.slack.com/'", "the whole URL from Slack"),
    ("SMTP_URL", f"user:{PASSWORD}@mail.example.com", PASSWORD, "STARTTLS"),
    ("SMTP_URL", f"smtp://user:{PASSWORD}@mail.example.com:port", PASSWORD, "cannot be read as a URL"),
    ("SMTP_URL", f"https://user:{PASSWORD}@mail.example.com", PASSWORD, "write it as smtp://"),
]


@pytest.mark.parametrize(("name", "value", "secret", "remedy"), SECRETS)
def test_a_bad_secret_is_not_repeated(settings: object, name: str, value: str, secret: str, remedy: str) -> None:
    text = refusal(settings, **{name: value})
    assert f"{name} = (secret)" in text
    assert remedy in text
    assert secret not in text


@pytest.mark.parametrize("name", ["METRICS_DASHBOARD_URL", "METRICS_DAGSTER_URL", "TELEGRAM_API_BASE"])
def test_an_address_with_a_password_is_refused_without_it(settings: object, name: str) -> None:
    text = refusal(settings, **{name: f"https://user:{PASSWORD}@bi.example.com/7"})
    assert f"{name} = 'https://user:***@bi.example.com/7'" in text
    assert "this setting is not secret" in text
    assert PASSWORD not in text


def test_no_secret_is_shown_by_the_settings(settings) -> None:
    found = settings(
        TELEGRAM_BOT_TOKEN=TOKEN,
        TELEGRAM_CHAT_ID="-1001",
        TELEGRAM_PROXY="http://user:pr%40xy-s3cret@proxy:1",
        SLACK_WEBHOOK_URL=WEBHOOK,
        METRICS_HEARTBEAT_URL="https://hc-ping.com/5ecret-uuid",
        **{**MAIL, "SMTP_URL": "smtps://user:ma%2Fil-s3cret@mail.example.com"},
    )
    shown = repr(found) + str(found) + found.model_dump_json() + repr(found.model_dump())
    assert not any(secret in shown for secret in (TOKEN, "s3cret", "s3cr3t", "5ecret"))


# --- partial channels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"TELEGRAM_BOT_TOKEN": TOKEN}, ("TELEGRAM_CHAT_ID is not", "set TELEGRAM_CHAT_ID")),
        ({"SMTP_URL": MAIL["SMTP_URL"]}, ("SMTP_URL is set", "EMAIL_FROM, EMAIL_TO is not")),
        ({"SMTP_URL": MAIL["SMTP_URL"], "EMAIL_TO": "a@example.com"}, ("SMTP_URL and EMAIL_TO", "EMAIL_FROM is not")),
        ({"EMAIL_FROM": "a@example.com"}, ("EMAIL_FROM is set", "SMTP_URL, EMAIL_TO is not")),
        ({"METRICS_COPY_TO_SLACK": "critical"}, ("METRICS_COPY_TO_SLACK = critical", "not set up")),
        ({"METRICS_COPY_TO_EMAIL": "critical"}, ("METRICS_COPY_TO_EMAIL = critical", "not set up")),
    ],
)
def test_half_a_channel_names_what_is_missing(settings: object, given: dict[str, str], words: tuple[str, ...]) -> None:
    text = refusal(settings, **given)
    assert all(word in text for word in words)
    assert TOKEN not in text


# --- routes ---------------------------------------------------------------------------------------------------------


def test_a_kind_goes_before_a_severity_and_that_before_the_chat(settings) -> None:
    found = settings(
        TELEGRAM_CHAT_ID="-1001",
        TELEGRAM_THREAD_ID="5",
        TELEGRAM_ROUTES="critical=-1003/7, failed_check=@oncall , daily_report = -1004/1,",
    )
    assert found.telegram_target("failed_check", "critical") == ChatTarget("@oncall")
    assert found.telegram_target("anomaly_opened", "critical") == ChatTarget("-1003", 7)
    assert found.telegram_target("daily_report", "info") == ChatTarget("-1004", None)
    assert found.telegram_target("success", "resolved") == ChatTarget("-1001", 5)
    assert set(found.telegram_targets) == {
        ChatTarget("-1001", 5),
        ChatTarget("-1003", 7),
        ChatTarget("@oncall"),
        ChatTarget("-1004"),
    }


def test_every_kind_and_severity_of_a_notification_can_be_named(settings) -> None:
    assert {getattr(event, "kind", "") for event in EXAMPLES.values()} == set(KINDS)
    assert {event.severity for event in EXAMPLES.values()} <= set(SEVERITIES)
    names = (*KINDS, *SEVERITIES)
    routes = ",".join(f"{name}=-{1000 + number}" for number, name in enumerate(names))
    found = settings(
        TELEGRAM_ROUTES=routes,
        SLACK_WEBHOOK_URL=WEBHOOK,
        METRICS_COPY_TO_SLACK=",".join(names),
        TELEGRAM_CHAT_ID="@main",
    )
    assert len(found.telegram_targets) == 1 + len(names)
    assert found.copy_to_slack == names


# --- the mail server ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail", MailServer("mail", 587, False, None, None)),
        ("smtps://mail", MailServer("mail", 465, True, None, None)),
        ("smtp://mail:25", MailServer("mail", 25, False, None, None)),
        (" smtps://desk%40example.com:p%2Fa%40s@mail:99 ", MailServer("mail", 99, True, "desk@example.com", "p/a@s")),
    ],
)
def test_the_mail_servers_url_is_read(url: str, expected: MailServer) -> None:
    assert parse_smtp_url(url) == expected


@pytest.mark.parametrize("url", ["smtp://desk:5ecret/x@mail:25", "smtp://desk:x@mail:5ecret", "smtp://[5ecret@mail"])
def test_a_bad_mail_servers_url_is_refused_without_its_password_in_any_error(url: str) -> None:
    with pytest.raises(ValueError, match="it cannot be read as a URL") as refusal:
        parse_smtp_url(url)
    assert (refusal.value.__cause__, refusal.value.__context__) == (None, None)
    assert "5ecret" not in str(refusal.value)


# --- routes -----------------------------------------------------------------------------------------------------------


TELEGRAM = {"telegram_bot_token": "123456789:" + "A" * 35, "telegram_chat_id": "-1001"}
SLACK = {"slack_webhook_url": "https://hooks.slack.com/services/T0/B0/x"}
EMAIL = {"smtp_url": "smtp://mail.example.com", "email_from": "desk@example.com", "email_to": ("team@example.com",)}
ALL = {**TELEGRAM, **SLACK, **EMAIL}


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, ()),
        (TELEGRAM, ("telegram",)),
        (SLACK, ("slack",)),
        ({**EMAIL, **SLACK}, ("slack", "email")),
        (ALL, ("telegram", "slack", "email")),
        ({**ALL, "dry_run": True}, ()),
    ],
)
def test_the_channels_that_are_set_up_the_preferred_first(given: dict[str, Any], names: tuple[str, ...]) -> None:
    settings = load_settings(None, **given)
    assert settings.channels == names
    assert settings.first_channel == (names[0] if names else OUTBOX)
    assert settings.recipients("failed_run", "failed") == ((names[0] if names else OUTBOX),)
    assert settings.fallbacks("failed_run", "failed") == names[1:]


@pytest.mark.parametrize(
    ("key", "copies", "expected", "others"),
    [
        (FAILED, {"copy_to_slack": ("failed",)}, ("telegram", "slack"), ("email",)),
        (FAILED, {"copy_to_slack": ("failed_run",)}, ("telegram", "slack"), ("email",)),
        (FAILED, {"copy_to_slack": ("critical", "daily_report")}, ("telegram",), ("slack", "email")),
        (REPORT, {"copy_to_email": ("daily_report",)}, ("telegram", "email"), ("slack",)),
        (
            FAILED,
            {"copy_to_slack": ("failed",), "copy_to_email": ("failed_run",)},
            ("telegram", "slack", "email"),
            (),
        ),
        (UPDATE, {"copy_to_slack": ("critical", "anomaly_updated")}, ("telegram",), ()),
        (ALL_CLEAR, {"copy_to_slack": ("resolved",)}, ("telegram", "slack"), ("email",)),
    ],
)
def test_copies_by_kind_and_severity(
    key: str, copies: dict[str, Any], expected: tuple[str, ...], others: tuple[str, ...]
) -> None:
    settings, event = load_settings(None, **ALL, **copies), EXAMPLES[key]
    assert settings.recipients(event.kind, event.severity) == expected
    assert settings.fallbacks(event.kind, event.severity) == others


# --- digests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"telegram_routes": ("failed=-1002", "critical=-1003/7")},
        {"telegram_routes": ("warning=-1002", "stale_data=-1003"), "copy_to_email": ("critical", "failed")},
        {"copy_to_slack": ("critical", "fresh_data"), "copy_to_email": ("warning",)},
    ],
)
def test_a_digest_goes_where_each_of_its_messages_would_go(more: dict[str, Any]) -> None:
    settings = load_settings(None, **ALL, **more)
    groups: dict[str, list[tuple[str, str]]] = {}
    for event in EXAMPLES.values():
        if event.digestible and (name := settings.digest_group(event.kind, event.severity)) is not None:
            groups.setdefault(name, []).append((event.kind, event.severity))
    for events in groups.values():
        for (_, worst), one in itertools.product(events, events):
            assert settings.recipients("digest", worst) == settings.recipients(*one)
            assert settings.telegram_target("digest", worst) == settings.telegram_target(*one)
