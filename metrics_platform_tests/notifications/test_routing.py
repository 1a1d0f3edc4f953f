"""Which channels a message goes to, and which messages can be combined."""

from __future__ import annotations

from typing import Any

import pytest

from metrics_platform.channel_settings import OUTBOX
from metrics_platform.notifications.kinds import Event
from metrics_platform.settings import Settings, load_settings
from metrics_platform_tests.notifications.desk import ALL_CLEAR, FAILED, OPENING, REPORT, UPDATE, digest_of
from metrics_platform_tests.notifications.examples import EXAMPLES

TELEGRAM = {"telegram_bot_token": "123456789:" + "A" * 35, "telegram_chat_id": "-1001"}
SLACK = {"slack_webhook_url": "https://hooks.slack.com/services/T0/B0/x"}
EMAIL = {"smtp_url": "smtp://mail.example.com", "email_from": "desk@example.com", "email_to": ("team@example.com",)}
ALL = {**TELEGRAM, **SLACK, **EMAIL}
STALE = "stale-feed_actions-1"


def recipients(event: Event, settings: Settings) -> tuple[str, ...]:
    return settings.recipients(event.kind, event.severity)


def fallback(event: Event, settings: Settings) -> str | None:
    return settings.fallback(event.kind, event.severity)


def digest_group(event: Event, settings: Settings) -> str | None:
    return settings.digest_group(event.kind, event.severity)


def made(given: dict[str, Any], **more: Any) -> Settings:
    return load_settings(None, **{**given, **more})


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
    settings = made(given)
    assert settings.channels == names
    assert settings.first_channel == (names[0] if names else OUTBOX)
    assert recipients(EXAMPLES[FAILED], settings) == ((names[0] if names else OUTBOX),)
    assert fallback(EXAMPLES[FAILED], settings) == (names[1] if len(names) > 1 else None)


@pytest.mark.parametrize(
    ("key", "copies", "expected", "other"),
    [
        (FAILED, {"copy_to_slack": ("failed",)}, ("telegram", "slack"), "email"),
        (FAILED, {"copy_to_slack": ("failed_run",)}, ("telegram", "slack"), "email"),
        (FAILED, {"copy_to_slack": ("critical", "daily_report")}, ("telegram",), "slack"),
        (REPORT, {"copy_to_email": ("daily_report",)}, ("telegram", "email"), "slack"),
        (
            FAILED,
            {"copy_to_slack": ("failed",), "copy_to_email": ("failed_run",)},
            ("telegram", "slack", "email"),
            None,
        ),
        (UPDATE, {"copy_to_slack": ("critical", "anomaly_updated")}, ("telegram",), None),
        (ALL_CLEAR, {"copy_to_slack": ("resolved",)}, ("telegram", "slack"), "email"),
    ],
)
def test_copies_by_kind_and_severity(
    key: str, copies: dict[str, Any], expected: tuple[str, ...], other: str | None
) -> None:
    settings = made({**ALL, **copies})
    assert recipients(EXAMPLES[key], settings) == expected
    assert fallback(EXAMPLES[key], settings) == other


def test_the_first_channel_gets_no_copy_of_its_own() -> None:
    settings = made({**SLACK, **EMAIL}, copy_to_slack=("failed",))
    assert recipients(EXAMPLES[FAILED], settings) == ("slack",)


# --- digests ---------------------------------------------------------------------------------------------------------


def test_messages_with_the_same_route_are_one_group() -> None:
    settings = made(ALL)
    assert len({digest_group(EXAMPLES[key], settings) for key in (FAILED, STALE, OPENING)}) == 1


@pytest.mark.parametrize("more", [{"telegram_routes": ("failed=-1002",)}, {"copy_to_email": ("failed",)}])
def test_a_route_by_severity_makes_another_group(more: dict[str, Any]) -> None:
    settings = made(ALL, **more)
    groups = [digest_group(EXAMPLES[key], settings) for key in (FAILED, "run-killed", STALE)]
    assert None not in groups
    assert groups[0] == groups[1] != groups[2]


@pytest.mark.parametrize("more", [{"telegram_routes": ("failed_run=-1002",)}, {"copy_to_email": ("failed_run",)}])
def test_a_route_by_kind_keeps_messages_out_of_digests(more: dict[str, Any]) -> None:
    assert digest_group(EXAMPLES[FAILED], made(ALL, **more)) is None


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
    settings = made(ALL, **more)
    groups: dict[str, list[Event]] = {}
    for event in EXAMPLES.values():
        if event.digestible and (name := digest_group(event, settings)) is not None:
            groups.setdefault(name, []).append(event)
    for events in groups.values():
        for worst in {event.severity for event in events}:
            digest = digest_of(events, severity=worst)
            for event in events:
                assert recipients(digest, settings) == recipients(event, settings)
                kind = getattr(event, "kind", "")
                assert settings.telegram_target("digest", worst) == settings.telegram_target(kind, event.severity)


@pytest.mark.parametrize("more", [{"telegram_routes": ("digest=-1002",)}, {"copy_to_email": ("digest",)}])
def test_a_route_for_digests_does_not_prevent_them(more: dict[str, Any]) -> None:
    assert digest_group(EXAMPLES[FAILED], made(ALL, **more)) is not None
