"""The channels of some settings, made."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from metrics_platform.channel_settings import ChannelSettings
from metrics_platform.notifications.channel import Channel
from metrics_platform.notifications.configured import OUTBOX, configured
from metrics_platform.notifications.email import EmailChannel
from metrics_platform.notifications.outbox import OutboxChannel
from metrics_platform.notifications.slack import SlackChannel
from metrics_platform.notifications.telegram.channel import TelegramChannel
from metrics_platform.notifications.telegram.client import Pacer, TelegramClient
from metrics_platform.notifications.transport import Patience
from metrics_platform.settings import Settings


def channels_for(
    settings: Settings,
    *,
    patience: Patience | None = None,
    recent: Mapping[str, list[float]] | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> dict[str, Channel]:
    """Every channel that is set up, by name, the preferred first; the outbox folder where there is none.

    `recent` are the moments (seconds since 1970) at which other processes wrote to Telegram's chats.
    """
    patience = patience or Patience()
    makers: dict[str, Callable[[], Channel]] = {
        "telegram": lambda: TelegramChannel(
            telegram_client(settings, patience, recent), settings.telegram_target, warn=warn
        ),
        "slack": lambda: SlackChannel.for_settings(settings, patience=patience, warn=warn),
        "email": lambda: EmailChannel.for_settings(settings, patience=patience, warn=warn),
    }
    channels = {name: makers[name]() for name in configured(settings)}
    return channels or {OUTBOX: OutboxChannel(settings.outbox, settings.zone)}


def telegram_client(
    settings: ChannelSettings, patience: Patience, recent: Mapping[str, list[float]] | None = None
) -> TelegramClient:
    """The client of the settings' bot."""
    assert settings.telegram_bot_token is not None
    proxy = settings.telegram_proxy
    return TelegramClient(
        settings.telegram_bot_token.get_secret_value(),
        api_base=settings.telegram_api_base,
        proxy=proxy.get_secret_value() if proxy else None,
        patience=patience,
        pacer=Pacer(recent, sleep=patience.sleep),
    )
