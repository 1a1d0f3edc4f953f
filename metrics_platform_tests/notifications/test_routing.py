"""Which channels a message goes to, which of them can be told together, and how a message waits."""

from __future__ import annotations

from typing import Any

import pytest

from metrics_platform.notifications.configured import OUTBOX, configured, first_channel
from metrics_platform.notifications.journal import Asked, Entry, Failed, Sending, Sent
from metrics_platform.notifications.kinds import Event
from metrics_platform.notifications.planning import Waiting
from metrics_platform.notifications.routing import fallback, group, legs, waiting_for
from metrics_platform.settings import Settings, load_settings
from metrics_platform_tests.notifications.desk import ALL_CLEAR, FAILED, OPENING, REPORT, START, UPDATE, digest_of
from metrics_platform_tests.notifications.examples import EXAMPLES

TELEGRAM = {"telegram_bot_token": "123456789:" + "A" * 35, "telegram_chat_id": "-1001"}
SLACK = {"slack_webhook_url": "https://hooks.slack.com/services/T0/B0/x"}
EMAIL = {"smtp_url": "smtp://mail.example.com", "email_from": "desk@example.com", "email_to": ("team@example.com",)}
ALL = {**TELEGRAM, **SLACK, **EMAIL}
STALE = "stale-feed_actions-1"


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
    assert configured(settings) == names
    assert first_channel(settings) == (names[0] if names else OUTBOX)
    assert legs(EXAMPLES[FAILED], settings) == ((names[0] if names else OUTBOX),)
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
def test_copies_go_by_kind_and_by_severity(
    key: str, copies: dict[str, Any], expected: tuple[str, ...], other: str | None
) -> None:
    settings = made({**ALL, **copies})
    assert legs(EXAMPLES[key], settings) == expected
    assert fallback(EXAMPLES[key], settings) == other


def test_the_first_channel_gets_no_copy_of_its_own() -> None:
    settings = made({**SLACK, **EMAIL}, copy_to_slack=("failed",))
    assert legs(EXAMPLES[FAILED], settings) == ("slack",)


# --- told together ---------------------------------------------------------------------------------------------------


def test_what_goes_the_same_ways_is_one_group() -> None:
    settings = made(ALL)
    assert group(EXAMPLES[FAILED], settings) == group(EXAMPLES[STALE], settings) == group(EXAMPLES[OPENING], settings)


@pytest.mark.parametrize("more", [{"telegram_routes": ("failed=-1002",)}, {"copy_to_email": ("failed",)}])
def test_what_goes_other_ways_by_its_severity_is_another_group(more: dict[str, Any]) -> None:
    settings = made(ALL, **more)
    groups = [group(EXAMPLES[key], settings) for key in (FAILED, "run-killed", STALE)]
    assert None not in groups
    assert groups[0] == groups[1] != groups[2]


@pytest.mark.parametrize("more", [{"telegram_routes": ("failed_run=-1002",)}, {"copy_to_email": ("failed_run",)}])
def test_what_goes_other_ways_by_its_kind_is_told_alone(more: dict[str, Any]) -> None:
    assert group(EXAMPLES[FAILED], made(ALL, **more)) is None


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
        if event.digestible and (name := group(event, settings)) is not None:
            groups.setdefault(name, []).append(event)
    for events in groups.values():
        for worst in {event.severity for event in events}:
            digest = digest_of(events, severity=worst)
            for event in events:
                assert legs(digest, settings) == legs(event, settings)
                kind = getattr(event, "kind", "")
                assert settings.telegram_target("digest", worst) == settings.telegram_target(kind, event.severity)


@pytest.mark.parametrize("more", [{"telegram_routes": ("digest=-1002",)}, {"copy_to_email": ("digest",)}])
def test_what_is_wanted_for_digests_is_no_reason_to_make_none(more: dict[str, Any]) -> None:
    assert group(EXAMPLES[FAILED], made(ALL, **more)) is not None


# --- how it waits ----------------------------------------------------------------------------------------------------


def _waiting(key: str, *entries: Entry, settings: Settings | None = None, **more: Any) -> Waiting:
    event = EXAMPLES[key]
    all_entries = [Asked(notification=event), *entries]  # type: ignore[arg-type]
    return waiting_for(event, all_entries, settings or made(ALL), asked_at=START, **more)


def _sending(channel: str = "telegram") -> Sending:
    return Sending(channel=channel, step=0, composed_at=START)


def _sent(channel: str = "telegram", steps: int = 1) -> Sent:
    return Sent(channel=channel, step=0, steps=steps)


def test_what_was_only_asked_for() -> None:
    found = _waiting(FAILED, tries=2, last_try_at=START)
    assert (found.key, found.asked_at, found.tries, found.last_try_at) == (FAILED, START, 2, START)
    assert (found.begun, found.fallback_sent, found.first_sent, found.copies_left) == (False, False, False, ())
    assert (found.fallback, found.urgent, found.digestible, dict(found.failures)) == ("slack", True, True, {})


@pytest.mark.parametrize(("key", "digestible"), [(REPORT, False), (UPDATE, False), (STALE, True), ("test-1", False)])
def test_what_may_be_told_in_a_digest(key: str, digestible: bool) -> None:
    assert _waiting(key).digestible is digestible


def test_what_goes_another_way_by_its_kind_is_not_told_in_a_digest() -> None:
    assert not _waiting(FAILED, settings=made(ALL, telegram_routes=("failed_run=-1002",))).digestible


def test_what_the_fallback_has_is_not_begun_and_what_is_in_the_dark_is() -> None:
    told = _waiting(FAILED, _sending("slack"), _sent("slack"))
    assert (told.begun, told.fallback_sent) == (False, True)
    assert _waiting(FAILED, _sending()).begun
    assert _waiting(FAILED, _sending("slack")).begun
    assert _waiting(FAILED, _sending(), _sent(steps=2)).begun


def test_copies_that_are_missing() -> None:
    settings = made(ALL, copy_to_slack=("failed",), copy_to_email=("failed",))
    found = _waiting(FAILED, _sending(), _sent(), _sent("slack"), settings=settings)
    assert (found.first_sent, found.copies_left, found.fallback, found.begun) == (True, ("email",), None, True)


def test_a_failure_before_something_got_through_is_forgotten() -> None:
    failed = Failed(channel="telegram", reason="unreachable", text="no")
    assert _waiting(FAILED, failed).failures == {"telegram": failed}
    assert _waiting(FAILED, failed, _sent(steps=2)).failures == {}


def test_threads_and_parts_are_passed_on() -> None:
    assert _waiting(ALL_CLEAR).thread == OPENING
    assert _waiting("digest-1").parts == EXAMPLES["digest-1"].notifications  # type: ignore[attr-defined]
    assert not _waiting(ALL_CLEAR).urgent
