"""Which channels a notification goes to, from the settings alone; and how it waits for them.

What a digest tells goes where the digest goes, by its severity. So only messages of one group are told together: those
that leave by the same channels, to the same chat, and not for their kind.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from metrics_platform.channel_settings import ChannelSettings
from metrics_platform.notifications.configured import configured, first_channel
from metrics_platform.notifications.journal import Entry, Sent, failures, is_sent, left_open
from metrics_platform.notifications.kinds import AnomalyUpdated, Digest, Event
from metrics_platform.notifications.planning import Waiting


def legs(event: Event, settings: ChannelSettings) -> tuple[str, ...]:
    """The channels `event` goes to from the start: the first, and those that get copies of its kind or severity.

    What only changes a message goes to the channel that can change one.
    """
    if isinstance(event, AnomalyUpdated):
        return (first_channel(settings),)
    return _legs({getattr(event, "kind", ""), event.severity}, settings)


def _legs(names: set[str], settings: ChannelSettings) -> tuple[str, ...]:
    first = first_channel(settings)
    copies = {name: set(getattr(settings, f"copy_to_{name}", ())) for name in configured(settings)}
    others = tuple(name for name, wanted in copies.items() if name != first and names & wanted)
    return (first, *others)


def fallback(event: Event, settings: ChannelSettings) -> str | None:
    """The channel that gets `event` where the first cannot be reached: the next one that has no copy of it anyway."""
    if isinstance(event, AnomalyUpdated):
        return None
    taken = legs(event, settings)
    return next((name for name in configured(settings) if name not in taken), None)


def group(event: Event, settings: ChannelSettings) -> str | None:
    """What it may be told together with: messages of the same group. None where it goes its own way by its kind."""
    own, target = legs(event, settings), settings.telegram_target(getattr(event, "kind", ""), event.severity)
    if own != _legs({event.severity}, settings) or target != settings.telegram_target("", event.severity):
        return None
    return f"{'+'.join(own)} {target.chat if target else ''}/{(target and target.thread) or ''}"


def waiting_for(
    event: Event,
    entries: Sequence[Entry],
    settings: ChannelSettings,
    *,
    asked_at: datetime.datetime,
    tries: int = 0,
    last_try_at: datetime.datetime | None = None,
) -> Waiting:
    """How `event` waits, by the entries of it that count; `tries` are the runs that ended without closing it."""
    first, *copies = legs(event, settings)
    other = fallback(event, settings)
    told_together = group(event, settings)
    begun = any(isinstance(entry, Sent) and entry.channel != other for entry in entries)
    return Waiting(
        key=event.key,
        asked_at=asked_at,
        digestible=event.digestible and told_together is not None,
        begun=begun or any(left_open(entries, name) for name in (first, *copies, *((other,) if other else ()))),
        thread=event.thread,
        parts=event.notifications if isinstance(event, Digest) else (),
        tries=tries,
        last_try_at=last_try_at,
        failures=failures(entries),
        fallback_sent=other is not None and is_sent(entries, other),
        fallback=other,
        copies_left=tuple(name for name in copies if not is_sent(entries, name)),
        first_sent=is_sent(entries, first),
        urgent=event.severity in ("critical", "failed"),
        group=told_together or "",
    )
