"""Which channels are set up, from the settings alone."""

from __future__ import annotations

from metrics_platform.channel_settings import ChannelSettings

# Channels that can be set up, in the order in which they are preferred.
CHANNELS = ("telegram", "slack", "email")
OUTBOX = "outbox"


def configured(settings: ChannelSettings) -> tuple[str, ...]:
    """The channels that are set up, the preferred first; none in a dry run."""
    if settings.dry_run:
        return ()
    given = {"telegram": settings.telegram_bot_token, "slack": settings.slack_webhook_url, "email": settings.smtp_url}
    return tuple(name for name in CHANNELS if given[name])


def first_channel(settings: ChannelSettings) -> str:
    """The channel that every message goes to; without any, the outbox folder."""
    return next(iter(configured(settings)), OUTBOX)
