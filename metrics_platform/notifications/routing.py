"""Which channels a notification goes to, from the settings alone."""

from __future__ import annotations

from metrics_platform.channel_settings import ChannelSettings
from metrics_platform.notifications.kinds import AnomalyUpdated, Event

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


def legs(event: Event, settings: ChannelSettings) -> tuple[str, ...]:
    """The channels `event` goes to from the start: the first, and those that get copies of its kind or severity.

    What only changes a message goes to the channel that can change one.
    """
    first = first_channel(settings)
    if isinstance(event, AnomalyUpdated):
        return (first,)
    copies = {"slack": settings.copy_to_slack, "email": settings.copy_to_email}
    names = {getattr(event, "kind", ""), event.severity}
    others = tuple(name for name in configured(settings) if name != first and names & set(copies.get(name, ())))
    return (first, *others)


def fallback(event: Event, settings: ChannelSettings) -> str | None:
    """The channel that gets `event` where the first cannot be reached: the next one that has no copy of it anyway."""
    if isinstance(event, AnomalyUpdated):
        return None
    taken = legs(event, settings)
    return next((name for name in configured(settings) if name not in taken), None)
