"""Build the channels that are set up, check them, and send a message over each of them immediately.

The journal of such a message ends with the process: the user waits for the result, and needs neither Dagster nor
ClickHouse.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping

from metrics_platform.channel_settings import OUTBOX, parse_smtp_url
from metrics_platform.findings import Finding
from metrics_platform.notifications.channel import NETWORK, Channel, RetryPolicy
from metrics_platform.notifications.composer import Composer
from metrics_platform.notifications.dispatcher import Dispatcher
from metrics_platform.notifications.email import EmailChannel
from metrics_platform.notifications.history import Journal, Queued, Storage
from metrics_platform.notifications.kinds import Notification, TestMessage
from metrics_platform.notifications.outbox import OutboxChannel
from metrics_platform.notifications.slack import SlackChannel
from metrics_platform.notifications.telegram import Pacer, TelegramChannel, TelegramClient
from metrics_platform.settings import Settings


def channels_for(
    settings: Settings,
    policy: RetryPolicy,
    *,
    recent: Mapping[str, list[float]] | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> dict[str, Channel]:
    """Every channel that is set up, by name, the preferred one first; the outbox folder if there is none.

    `recent` holds, for each Telegram chat, when other processes wrote to it (seconds since 1970).
    """
    if not settings.channels:
        return {OUTBOX: OutboxChannel(settings.outbox, settings.zone)}
    channels: dict[str, Channel] = {}
    if token := settings.telegram_bot_token:
        client = TelegramClient(
            token.get_secret_value(),
            api_base=settings.telegram_api_base,
            proxy=proxy.get_secret_value() if (proxy := settings.telegram_proxy) else None,
            policy=policy,
            pacer=Pacer(recent, sleep=policy.sleep),
        )
        channels["telegram"] = TelegramChannel(client, settings.telegram_target, settings.telegram_targets, warn)
    if webhook := settings.slack_webhook_url:
        channels["slack"] = SlackChannel(webhook.get_secret_value(), policy)
    if settings.smtp_url and settings.email_from:
        server = parse_smtp_url(settings.smtp_url.get_secret_value())
        channels["email"] = EmailChannel(server, settings.email_from, settings.email_to, policy)
    return channels


# A user waits for the answer.
_POLICY = RetryPolicy(budget=6, tries=2)


def inspect_channels(settings: Settings, policy: RetryPolicy = _POLICY) -> Iterator[Finding]:
    """Check each channel without sending anything. If none is set up, report that messages go to the outbox."""
    names = settings.channels
    if not names:
        why = "METRICS_DRY_RUN is true" if settings.dry_run else "no channel is set up"
        remedy = "" if settings.dry_run else "Set TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID to send them to Telegram."
        yield Finding("Messages", "note", f"dry run ({why}): they go to {settings.outbox}/index.html", remedy)
        return
    for channel in channels_for(settings, policy).values():
        yield from channel.inspect()
    if len(names) == 1:
        other = {"slack": "e-mail", "email": "Slack"}.get(names[0], "Slack or e-mail")
        remedy = f"Set up {other} as well, for when it cannot be reached."
        yield Finding("Messages", "note", f"they go over {names[0]} alone", remedy)


_TEST_POLICY = RetryPolicy(budget=20, tries=3)


def send_test_message(settings: Settings, policy: RetryPolicy = _TEST_POLICY) -> Iterator[Finding]:
    now = datetime.datetime.now(datetime.UTC)
    return send_now(TestMessage(key=f"test-{now:%Y-%m-%dT%H-%M-%S}", occurred_at=now), settings, policy)


def send_now(event: Notification, settings: Settings, policy: RetryPolicy = _TEST_POLICY) -> Iterator[Finding]:
    """Send `event`. Yields for each channel where it arrived, or what is wrong."""
    journal = Journal(Storage())
    journal.write(event.key, Queued(notification=event))
    notes: list[str] = []
    channels = channels_for(settings, policy, warn=notes.append)
    composer = Composer.for_settings(settings, notes.append)
    dispatcher = Dispatcher(journal, channels, composer, settings, warn=notes.append)
    attempts = [dispatcher.send(event.key, name) for name in channels]
    for attempt in attempts:
        if attempt.error is not None:
            remedy = NETWORK if attempt.error.is_transient else "To find out more, run: metrics-platform doctor"
            yield Finding(attempt.channel, "problem", str(attempt.error), remedy)
        else:
            sent = journal.history(event.key).steps(attempt.channel)[0]
            yield Finding(attempt.channel, "ok", f"sent to {sent.address}" + (f": {sent.link}" if sent.link else ""))
    errors = [str(attempt.error) for attempt in attempts if attempt.error]
    for note in dict.fromkeys(notes):
        if not any(error in note for error in errors):
            yield Finding("Note", "note", note)
