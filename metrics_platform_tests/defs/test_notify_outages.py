"""Telegram down for hours, on a clock of the test's own: afterwards everything is there once, in order, marked late.

Dagster's storage, the sensor, the job and HTTP are real; only time is not waited for.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator

import dagster as dg
import pytest
import time_machine

from metrics_platform.settings import Settings
from metrics_platform_tests.defs.post_office import PostOffice
from metrics_platform_tests.notifications import slack_webhook
from metrics_platform_tests.notifications.examples import EXAMPLES, anomaly
from metrics_platform_tests.notifications.slack_webhook import Slack
from metrics_platform_tests.telegram.bot_api import BotApi

START = datetime.datetime(2026, 11, 21, 8, 0, tzinfo=datetime.UTC)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """The process's clock, which goes on by itself and can be set forward."""
    with time_machine.travel(START) as traveller:
        yield traveller


@pytest.fixture
def slack() -> Iterator[Slack]:
    """A webhook."""
    with slack_webhook.running() as running:
        yield running


def _go_on(office: PostOffice, clock: time_machine.Traveller, minutes: float, step_seconds: float = 60) -> None:
    """Let time pass with a tick every `step_seconds`."""
    for _ in range(round(minutes * 60 / step_seconds)):
        office.tick()
        clock.shift(step_seconds)


def _happens(office: PostOffice, example: str, **changes: object) -> None:
    """An example happens now. Without charts: drawing them at every try is not what these tests are about."""
    office.ask(EXAMPLES[example].model_copy(update={"occurred_at": datetime.datetime.now(datetime.UTC), **changes}))


def test_after_three_hours_without_telegram_each_message_arrives_once_and_says_that_it_is_late(
    office: PostOffice, api: BotApi, clock: time_machine.Traveller
) -> None:
    office.until_quiet()
    api.down()
    _happens(office, "run-7d1c3a55")
    _go_on(office, clock, 20, step_seconds=400)
    _happens(office, "anomaly-A7K2Q", anomalies=(anomaly(),))
    _go_on(office, clock, 60, step_seconds=400)
    _happens(office, "report-2026-11-21", parts=())
    _go_on(office, clock, 60, step_seconds=400)
    _happens(office, "anomaly-A7K2Q-resolved")
    _go_on(office, clock, 40, step_seconds=400)
    tries = len(office.runs)
    assert api.messages(api.supergroup) == []
    api.up()
    _go_on(office, clock, 6)
    messages = api.messages(api.supergroup)
    texts = [message.text for message in messages]
    # The first one is whichever found Telegram back; the alert's first line says by now that it is over.
    assert sorted(text[:12] for text in texts) == ["✅ RESOLVED ·", "✅ RESOLVED ·", "❌ FAILED · j", "📊 Daily repo"]
    assert all("Delayed" in text for text in texts)
    (alert, all_clear) = (message for message in messages if message.text.startswith("✅"))
    assert alert.edits and all_clear.reply_to == alert.message_id
    # One message at a time finds out whether Telegram is back; the others wait with it.
    assert 15 <= tries <= 28
    assert {key: office.outcome(key).outcome for key in EXAMPLES if office.entries(key)} == dict.fromkeys(  # type: ignore[union-attr]
        ["run-7d1c3a55", "anomaly-A7K2Q", "report-2026-11-21", "anomaly-A7K2Q-resolved"], "delivered"
    )


def test_what_waits_too_long_for_telegram_goes_to_slack_once_and_to_telegram_when_it_is_back(
    telegram_settings: Callable[..., Settings],
    instance: dg.DagsterInstance,
    api: BotApi,
    slack: Slack,
    clock: time_machine.Traveller,
) -> None:
    office = PostOffice(telegram_settings(slack_webhook_url=slack.url, fallback_after_minutes=15), instance)
    office.until_quiet()
    api.down()
    _happens(office, "run-7d1c3a55")
    _go_on(office, clock, 13, step_seconds=195)
    assert slack.payloads == []
    _happens(office, "stale-feed_actions-1")
    _go_on(office, clock, 5, step_seconds=20)
    assert [payload["text"][:13] for payload in slack.payloads] == ["❌ FAILED · jo"]
    _go_on(office, clock, 14, step_seconds=200)
    _go_on(office, clock, 2, step_seconds=20)
    assert len(slack.payloads) == 2
    _go_on(office, clock, 60, step_seconds=600)
    assert len(slack.payloads) == 2
    api.up()
    _go_on(office, clock, 6)
    assert {message.text[:8] for message in api.messages(api.supergroup)} == {"❌ FAILED", "🟠 WARNIN"}
    assert len(api.messages(api.supergroup)) == 2


def test_a_chat_that_is_set_up_wrongly_sends_it_to_slack_at_once(
    telegram_settings: Callable[..., Settings],
    instance: dg.DagsterInstance,
    api: BotApi,
    slack: Slack,
    clock: time_machine.Traveller,
) -> None:
    office = PostOffice(telegram_settings(slack_webhook_url=slack.url), instance)
    api.remove_chat(api.supergroup)
    _happens(office, "run-7d1c3a55")
    office.until_quiet()
    assert len(slack.payloads) == 1
    api.add_chat(api.supergroup, "supergroup")
    _go_on(office, clock, 5)
    assert len(slack.payloads) == 1
    assert len(api.messages(api.supergroup)) == 1


def test_while_nothing_waits_a_tick_changes_nothing(office: PostOffice, clock: time_machine.Traveller) -> None:
    office.until_quiet()
    before = office.cursor
    _go_on(office, clock, 5)
    assert office.cursor == before
    assert office.runs == []
