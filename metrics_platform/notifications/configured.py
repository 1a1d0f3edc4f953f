"""Which channels are set up, from the settings alone."""

from __future__ import annotations

from metrics_platform.channel_settings import ChannelSettings

# Channels that can be set up, in the order in which they are preferred, each with the setting without which it is not.
_SETTING = {"telegram": "telegram_bot_token", "slack": "slack_webhook_url", "email": "smtp_url"}
OUTBOX = "outbox"


def configured(settings: ChannelSettings) -> tuple[str, ...]:
    """The channels that are set up, the preferred first; none in a dry run."""
    if settings.dry_run:
        return ()
    return tuple(name for name, setting in _SETTING.items() if getattr(settings, setting))


def first_channel(settings: ChannelSettings) -> str:
    """The channel that every message goes to; without any, the outbox folder."""
    return next(iter(configured(settings)), OUTBOX)
