"""Create the channels that are set up."""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
