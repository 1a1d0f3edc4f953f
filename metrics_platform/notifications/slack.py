"""Slack by an incoming webhook: what is posted, and what each of its answers means.

The webhook's URL is the secret: who has it can write to the channel. A webhook cannot reply, edit or carry pictures;
the text says where those are. Nothing is lost to markup: what Slack refuses as blocks goes again as plain text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from metrics_platform.channel_settings import ChannelSettings
from metrics_platform.notifications.channel import Dispatch
from metrics_platform.notifications.errors import DeliveryError
from metrics_platform.notifications.journal import Sent
from metrics_platform.notifications.message import Message, Picture
from metrics_platform.notifications.patiently import patiently
from metrics_platform.notifications.slack_blocks import Post, posts_of
from metrics_platform.notifications.transport import Answer, Patience, Transport, seconds_asked

_NEW_WEBHOOK = "make a new webhook in the Slack app's settings (Incoming Webhooks) and set SLACK_WEBHOOK_URL to it."
_ASK_ADMIN = "ask an administrator of the workspace to let the app post to this channel."
# What Slack says where a person has to do something, and what that is; also where its status is 400.
_REMEDIES: dict[str, str] = {
    "no_service": f"The webhook was removed or never was: {_NEW_WEBHOOK}",
    "no_service_id": f"SLACK_WEBHOOK_URL is not whole: {_NEW_WEBHOOK}",
    "no_active_hooks": f"The webhook is switched off: {_NEW_WEBHOOK}",
    "invalid_token": f"SLACK_WEBHOOK_URL is wrong or was revoked: {_NEW_WEBHOOK}",
    "no_team": f"SLACK_WEBHOOK_URL names no workspace: {_NEW_WEBHOOK}",
    "team_disabled": "The workspace is switched off.",
    "user_not_found": f"The person the webhook writes to is gone: {_NEW_WEBHOOK}",
    "channel_not_found": f"The channel is gone: {_NEW_WEBHOOK}",
    "channel_is_archived": "The channel is archived: take it out of the archive, or make a webhook for another one.",
    "action_prohibited": f"An administrator has restricted posting: {_ASK_ADMIN}",
    "posting_to_general_channel_denied": f"Only some may post to #general: choose another channel, or {_ASK_ADMIN}",
}


def refusal(answer: Answer) -> DeliveryError | None:
    """The error that an answer stands for, None for a success; `answer` is masked already."""
    status, said = answer.status, answer.text.strip()
    body = answer.json if isinstance(answer.json, dict) else {}
    word = str(body.get("error") or said)
    if status == 200 and (said == "ok" or body.get("ok") is True):
        return None
    if status in (408, 429) or status >= 500:
        return _passing(answer)
    if word in _REMEDIES:
        return DeliveryError("misconfigured", f"Slack refuses: {status} {word}. {_REMEDIES[word]}", code=status)
    if status in (400, 413):
        return DeliveryError("refused", f"Slack refused the message ({status}): {said[:200]}", code=status)
    text = f"SLACK_WEBHOOK_URL was answered with {status} and {said[:200]!r}: look at the URL; if need be, "
    return DeliveryError("misconfigured", text + _NEW_WEBHOOK, code=status)


def _passing(answer: Answer) -> DeliveryError:
    """The error of an answer that may be another one later."""
    status = answer.status
    if status == 429:
        wait = seconds_asked(answer.headers.get("Retry-After"))
        text = f"Slack asks to wait {wait:.0f} s before the next message (429)."
        return DeliveryError("unreachable", text, code=status, retry_after=wait)
    if status in (500, 502, 503):
        return DeliveryError("unreachable", f"Slack is not well: it answered {status}.", code=status)
    # A gateway gave up waiting: whether the message was posted, nobody knows.
    return DeliveryError(
        "unknown", f"Slack answered {status}: whether the message was posted is not known.", code=status
    )


@dataclass
class SlackChannel:
    """Messages to the one channel that a webhook belongs to."""

    webhook_url: str = field(repr=False)
    patience: Patience = field(default_factory=Patience, repr=False)
    # Whether Telegram gets the messages, too: then their pictures are there.
    with_telegram: bool = False
    timeouts: tuple[float, float] | None = None
    warn: Callable[[str], None] = field(default=lambda _: None, repr=False)
    name: str = "slack"

    def __post_init__(self) -> None:
        path = urlsplit(self.webhook_url).path
        token = path.strip("/").partition("/")[2]
        options: dict[str, Any] = {"timeouts": self.timeouts} if self.timeouts else {}
        self._transport = Transport(
            "Slack", secrets=(self.webhook_url, path, token, token.rpartition("/")[2]), **options
        )

    @classmethod
    def for_settings(
        cls,
        settings: ChannelSettings,
        *,
        patience: Patience | None = None,
        warn: Callable[[str], None] = lambda _: None,
    ) -> SlackChannel:
        """The channel of SLACK_WEBHOOK_URL, which must be set."""
        assert settings.slack_webhook_url is not None
        return cls(
            settings.slack_webhook_url.get_secret_value(),
            patience=patience or Patience(),
            with_telegram=settings.telegram_bot_token is not None,
            warn=warn,
        )

    def deliver(self, message: Message, dispatch: Dispatch) -> None:
        """See `Channel`."""
        posts = posts_of(message, len(dispatch.pictures), with_telegram=self.with_telegram)
        for step, post in enumerate(posts):
            if step in dispatch.done:
                continue
            dispatch.sending(step)
            notes = self._send(post, repeat_unknown=dispatch.repeat_unknown)
            dispatch.sent(
                Sent(channel=self.name, step=step, steps=len(posts), address="webhook", carrier="text", notes=notes)
            )

    def edit(self, message: Message, original: Sent, pictures: Sequence[Picture] = ()) -> bool:
        """False: what came by a webhook stays as it is."""
        return False

    def check(self) -> None:
        """Ask whether the webhook lives, without posting: one that does refuses an empty message, and says so.

        Raises:
            DeliveryError: it does not live, or Slack cannot be reached.
        """
        refused = None
        try:
            self._post({}, repeat_unknown=True)
        except DeliveryError as caught:
            refused = caught
        if refused is not None and refused.reason != "refused":
            raise refused

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _send(self, post: Post, *, repeat_unknown: bool) -> tuple[str, ...]:
        """Post it, without blocks where Slack refuses them; what was done differently than meant."""
        refused = None
        try:
            self._post(post.payload, repeat_unknown=repeat_unknown)
        except DeliveryError as caught:
            if caught.reason != "refused":
                raise
            refused = str(caught)
        if refused is None:
            return ()
        self._post(post.plain_payload, repeat_unknown=repeat_unknown)
        note = f"Slack did not accept the blocks, the text went plain: {refused}"
        self.warn(note)
        return (note,)

    def _post(self, payload: dict[str, Any], *, repeat_unknown: bool) -> None:
        patiently(self.patience, lambda: self._once(payload), repeat_unknown=repeat_unknown)

    def _once(self, payload: dict[str, Any]) -> None:
        error = refusal(self._transport.post(self.webhook_url, json=payload))
        if error is not None:
            raise error
