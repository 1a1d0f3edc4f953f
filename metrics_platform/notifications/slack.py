"""Slack by an incoming webhook: what is posted, and what each of its answers means.

The webhook's URL is the secret: who has it can write to the channel. A webhook cannot reply, edit or carry pictures;
the text says where those are. Nothing is lost to markup: what Slack refuses as blocks goes again as plain text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from metrics_platform.channel_settings import ChannelSettings
from metrics_platform.notifications.channel import Channel, DeliveryContext, Step
from metrics_platform.notifications.history import Sent
from metrics_platform.notifications.message import Message
from metrics_platform.notifications.retry import DeliveryError, RetryPolicy, retry
from metrics_platform.notifications.slack_blocks import Post, posts_of
from metrics_platform.notifications.transport import CONNECT_TIMEOUT, READ_TIMEOUT, Answer, Transport

_NEW_WEBHOOK = "Create a new webhook in the Slack app's settings (Incoming Webhooks) and set SLACK_WEBHOOK_URL to it."
_ASK_ADMIN = "Ask an administrator of the workspace to let the app post to this channel."
# What Slack says where a setting or a right is wrong, and what to do. Its status may be 400, too.
_REMEDIES: dict[str, str] = {
    "no_service": f"The webhook was removed or never existed. {_NEW_WEBHOOK}",
    "no_service_id": f"SLACK_WEBHOOK_URL is incomplete. {_NEW_WEBHOOK}",
    "no_active_hooks": f"The webhook is switched off. {_NEW_WEBHOOK}",
    "invalid_token": f"SLACK_WEBHOOK_URL is wrong or was revoked. {_NEW_WEBHOOK}",
    "no_team": f"SLACK_WEBHOOK_URL names no workspace. {_NEW_WEBHOOK}",
    "team_disabled": "The workspace is switched off.",
    "user_not_found": f"The person that the webhook writes to is gone. {_NEW_WEBHOOK}",
    "channel_not_found": f"The channel is gone. {_NEW_WEBHOOK}",
    "channel_is_archived": "The channel is archived. Take it out of the archive, or create a webhook for another one.",
    "action_prohibited": f"An administrator has restricted posting. {_ASK_ADMIN}",
    "posting_to_general_channel_denied": f"Not everyone may post to #general. Choose another channel. {_ASK_ADMIN}",
}


def refusal(answer: Answer) -> DeliveryError | None:
    """The error for an answer, None for a success; `answer` is masked already."""
    status, said = answer.status, answer.text.strip()
    body = answer.json if isinstance(answer.json, dict) else {}
    word = str(body.get("error") or said)
    if status == 200 and (said == "ok" or body.get("ok") is True):
        return None
    if word in _REMEDIES:
        return DeliveryError("misconfigured", f"Slack refuses: {status} {word}. {_REMEDIES[word]}", code=status)
    if status in (400, 413):
        return DeliveryError("refused", f"Slack refused the message ({status}): {said[:200]}", code=status)
    text = f"SLACK_WEBHOOK_URL was answered with {status} and {said[:200]!r}. Check the URL. {_NEW_WEBHOOK}"
    return DeliveryError("misconfigured", text, code=status)


@dataclass
class SlackChannel(Channel):
    """Messages to the one channel that a webhook belongs to."""

    webhook_url: str = field(repr=False)
    policy: RetryPolicy = field(default_factory=RetryPolicy, repr=False)
    # Whether Telegram gets the messages, too: then their pictures are there.
    with_telegram: bool = False
    timeouts: tuple[float, float] = (CONNECT_TIMEOUT, READ_TIMEOUT)
    name = "slack"
    title = "Slack"

    def __post_init__(self) -> None:
        path = urlsplit(self.webhook_url).path
        token = path.strip("/").partition("/")[2]
        secrets = (self.webhook_url, path, token, token.rpartition("/")[2])
        self._transport = Transport("Slack", secrets=secrets, timeouts=self.timeouts)

    @classmethod
    def for_settings(cls, settings: ChannelSettings, policy: RetryPolicy) -> SlackChannel:
        """The channel of SLACK_WEBHOOK_URL, which must be set."""
        assert settings.slack_webhook_url is not None
        url = settings.slack_webhook_url.get_secret_value()
        return cls(url, policy, with_telegram=settings.telegram_bot_token is not None)

    def steps(self, message: Message, context: DeliveryContext) -> list[Step]:
        """See `Channel`."""
        posts = posts_of(message, len(context.pictures), with_telegram=self.with_telegram)
        return [partial(self._send, post, repeat_unknown=context.repeat_unknown) for post in posts]

    def check(self) -> str:
        """Ask whether the webhook lives, without posting: one that does refuses an empty message, and says so.

        Raises:
            DeliveryError: it does not live, or Slack cannot be reached.
        """
        try:
            self._post({}, repeat_unknown=True)
        except DeliveryError as caught:
            if caught.reason != "refused":
                raise
        return "the webhook answers"

    def _send(self, post: Post, _: Sent | None, *, repeat_unknown: bool) -> dict[str, Any]:
        """Post it, without blocks if Slack refuses them."""
        sent = {"address": "webhook", "carrier": "text"}
        try:
            self._post(post.payload, repeat_unknown=repeat_unknown)
        except DeliveryError as caught:
            if caught.reason != "refused":
                raise
            refused = str(caught)
        else:
            return sent
        self._post(post.plain_payload, repeat_unknown=repeat_unknown)
        return {**sent, "notes": (f"Slack did not accept the blocks, so the text was sent plain: {refused}",)}

    def _post(self, payload: dict[str, Any], *, repeat_unknown: bool) -> None:
        retry(self.policy, lambda: self._once(payload), repeat_unknown=repeat_unknown)

    def _once(self, payload: dict[str, Any]) -> None:
        error = refusal(self._transport.post(self.webhook_url, json=payload))
        if error is not None:
            raise error
