"""Whether every channel would take a message now, asked without sending one: for `doctor`, and at start-up."""

from __future__ import annotations

from collections.abc import Iterator

from metrics_platform.findings import Finding
from metrics_platform.notifications.channels import channels_for
from metrics_platform.notifications.retry import RetryPolicy
from metrics_platform.notifications.routing import configured
from metrics_platform.settings import Settings

# A user waits for the answer.
_POLICY = RetryPolicy(budget=6, tries=2)


def inspect_channels(settings: Settings, policy: RetryPolicy = _POLICY) -> Iterator[Finding]:
    """What is found of each channel that is set up; without any, that messages go to the outbox."""
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
