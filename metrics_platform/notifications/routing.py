"""Which channels a notification goes to, from the settings alone.

A digest goes where its severity is routed. So only messages of one group are combined: those that go to the same
channels and the same chat, and not because of their kind.
"""

from __future__ import annotations

from metrics_platform.channel_settings import ChannelSettings
from metrics_platform.notifications.kinds import AnomalyUpdated, Event

# The channels in the order of preference, each with the setting that enables it.
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


def recipients(event: Event, settings: ChannelSettings) -> tuple[str, ...]:
    """The channels that get `event` from the start: the first, and those with copies of its kind or severity.

    An edit goes to the channel that can edit.
    """
    if isinstance(event, AnomalyUpdated):
        return (first_channel(settings),)
    return _recipients({event.kind, event.severity}, settings)


def _recipients(names: set[str], settings: ChannelSettings) -> tuple[str, ...]:
    first = first_channel(settings)
    copies = {name: set(getattr(settings, f"copy_to_{name}", ())) for name in configured(settings)}
    others = tuple(name for name, wanted in copies.items() if name != first and names & wanted)
    return (first, *others)


def fallback(event: Event, settings: ChannelSettings) -> str | None:
    """The channel that gets `event` if the first cannot be reached: the next one that gets no copy anyway."""
    if isinstance(event, AnomalyUpdated):
        return None
    taken = recipients(event, settings)
    return next((name for name in configured(settings) if name not in taken), None)


def digest_group(event: Event, settings: ChannelSettings) -> str | None:
    """The group of messages that it may be combined with; None if it has a route of its own because of its kind."""
    own, target = recipients(event, settings), settings.telegram_target(event.kind, event.severity)
    if own != _recipients({event.severity}, settings) or target != settings.telegram_target("", event.severity):
        return None
    return f"{'+'.join(own)} {target.chat if target else ''}/{(target and target.thread) or ''}"
