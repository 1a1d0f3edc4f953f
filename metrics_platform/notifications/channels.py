"""The channels that are set up, and whether each would take a message now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from metrics_platform.findings import Finding
from metrics_platform.notifications.channel import Channel
from metrics_platform.notifications.email import EmailChannel
from metrics_platform.notifications.outbox import OutboxChannel
from metrics_platform.notifications.retry import RetryPolicy
from metrics_platform.notifications.routing import OUTBOX, configured
from metrics_platform.notifications.slack import SlackChannel
from metrics_platform.notifications.telegram.channel import TelegramChannel
from metrics_platform.settings import Settings


def channels_for(
    settings: Settings,
    policy: RetryPolicy,
    *,
    recent: Mapping[str, list[float]] | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> dict[str, Channel]:
    """Every channel that is set up, by name, the preferred first; the outbox folder if there is none.

    `recent`: when (seconds since 1970) other processes wrote to each of Telegram's chats.
    """
    makers: dict[str, Callable[[], Channel]] = {
        "telegram": lambda: TelegramChannel.for_settings(settings, policy, recent, warn),
        "slack": lambda: SlackChannel.for_settings(settings, policy),
        "email": lambda: EmailChannel.for_settings(settings, policy),
        OUTBOX: lambda: OutboxChannel(settings.outbox, settings.zone),
    }
    return {name: makers[name]() for name in configured(settings) or (OUTBOX,)}


# A user waits for the answer.
_POLICY = RetryPolicy(budget=6, tries=2)


def inspect_channels(settings: Settings, policy: RetryPolicy = _POLICY) -> Iterator[Finding]:
    """What is found of each channel, asked without sending anything; without any, that messages go to the outbox."""
    names = configured(settings)
    if not names:
        why = "METRICS_DRY_RUN is true" if settings.dry_run else "no channel is set up"
        remedy = "" if settings.dry_run else "Set TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID to send them to Telegram."
        yield Finding("Messages", "note", f"dry run ({why}): they go to {settings.outbox}/index.html", remedy)
        return
    for channel in channels_for(settings, policy).values():
        yield from channel.inspect()
    if len(names) == 1:
        remedy = "Set up Slack or e-mail as the fallback, for when it cannot be reached."
        yield Finding("Messages", "note", f"they go over {names[0]} alone", remedy)
