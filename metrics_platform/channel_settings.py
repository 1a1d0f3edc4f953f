"""Settings of the message channels (Telegram, Slack, e-mail) and of which message goes where.

The channels' settings have names of their own (`TELEGRAM_BOT_TOKEN`, not `METRICS_…`). Tokens, the webhook's URL and
URLs that may hold a password are `SecretStr`.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from email.utils import parseaddr
from functools import partial
from typing import Annotated, Literal, get_args
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import NoDecode

from metrics_platform.formats import Language
from metrics_platform.setting_types import SettingsPart, matches, parses, split_list
from metrics_platform.suggestions import did_you_mean

Severity = Literal["critical", "failed", "warning", "resolved", "info"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
KINDS = (
    "daily_report", "anomaly_opened", "anomaly_updated", "anomaly_still_open", "anomaly_resolved", "failed_run",
    "failed_tick", "failed_runs", "recovered", "failed_check", "stale_data", "fresh_data", "odd_volume", "success",
    "report_not_delivered", "test_message", "digest",
)  # fmt: skip
# The channels in the order of preference, each with the setting that enables it; without any, the outbox folder.
_ENABLED_BY = {"telegram": "telegram_bot_token", "slack": "slack_webhook_url", "email": "smtp_url"}
OUTBOX = "outbox"
# An edit goes to the channel that can edit, and to no other.
_EDIT = "anomaly_updated"
_CHAT = r"-?\d{1,20}|@[A-Za-z][A-Za-z0-9_]{3,31}"
_ROUTE = re.compile(rf"(?P<what>\w+)\s*=\s*(?P<chat>{_CHAT})(?:/(?P<thread>\d{{1,12}}))?")
_SMTP_FORM = "smtp://user:password@host:587 (STARTTLS) or smtps://user:password@host:465"


@dataclass(frozen=True)
class ChatTarget:
    """A Telegram chat and a topic in it. Topics 0 and 1 ("General") become None: the Bot API does not accept them."""

    chat: str
    thread: int | None = None

    def __post_init__(self) -> None:
        if self.thread in (0, 1):
            object.__setattr__(self, "thread", None)


@dataclass(frozen=True)
class MailServer:
    """A parsed SMTP URL."""

    host: str
    port: int
    tls: bool  # from the first byte; otherwise STARTTLS if the server offers it, and always before a login
    user: str | None
    password: str | None = field(repr=False)


def parse_smtp_url(url: str) -> MailServer:
    """Parse smtp(s)://user:password@host:port; user and password percent-encoded.

    Raises:
        ValueError: names the problem and the expected form, without the URL, which may hold a password.
    """
    parts = _split_url(url)
    if parts is None:
        raise ValueError(f"it cannot be read as a URL; write it as {_SMTP_FORM}")
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ValueError(f"write it as {_SMTP_FORM}")
    tls = parts.scheme == "smtps"
    return MailServer(
        host=parts.hostname,
        port=parts.port or (465 if tls else 587),
        tls=tls,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


def _split_url(url: str) -> SplitResult | None:
    """The parts of a URL; None if it cannot be read. Python's own errors may quote a password, so none is raised."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(url.strip())
        return parts if parts.port != 0 else None
    return None


def _require_address(url: str, form: str, *, with_path: bool = False) -> None:
    """Check a web address; raises a ValueError without the address."""
    parts = _split_url(url)
    if parts is None:
        raise ValueError("it cannot be read as a web address; write it as https://host/path")
    if parts.scheme not in ("http", "https") or not parts.hostname or (with_path and parts.path in ("", "/")):
        raise ValueError(form)


def _web_address(url: str) -> str:
    _require_address(url, "write a web address, https://host/path")
    return url.rstrip("/")


def _check_token(token: str) -> None:
    if not re.fullmatch(r"\d{5,20}:[A-Za-z0-9_-]{20,100}", token):
        raise ValueError("it does not look like a bot's token (123456789:AAE…, 35 characters after the colon)")


def _check_mail_address(address: str) -> None:
    if not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", parseaddr(address)[1]) or "\n" in address:
        raise ValueError(f"{address!r} is not an e-mail address; write name@example.com")


def _check_kind_or_severity(name: str) -> None:
    if name not in KINDS and name not in SEVERITIES:
        hint = did_you_mean(name, (*SEVERITIES, *KINDS))
        raise ValueError(
            f"{name!r} is neither a severity ({', '.join(SEVERITIES)}) nor a kind ({', '.join(KINDS)}){hint}"
        )


def _check_route(route: str) -> None:
    match = _ROUTE.fullmatch(route)
    if match is None:
        raise ValueError(f"{route!r} is not a route; write kind=chat or kind=chat/topic, such as failed=-1001234/7")
    _check_kind_or_severity(match["what"])


def _check_routed_once(routes: tuple[str, ...]) -> tuple[str, ...]:
    names = [route.partition("=")[0].strip() for route in routes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{', '.join(twice)} has two routes: name each kind and severity once")
    return routes


_LIST = (NoDecode, BeforeValidator(split_list))
_WebAddress = Annotated[str, AfterValidator(_web_address)]
_MailAddress = Annotated[str, parses(_check_mail_address)]
_Chat = Annotated[
    str, matches(_CHAT, "write a chat's number, such as -1001234567890, or @name of a public channel or group")
]
_Routes = Annotated[tuple[Annotated[str, parses(_check_route)], ...], *_LIST, AfterValidator(_check_routed_once)]
_KindsOrSeverities = Annotated[tuple[Annotated[str, parses(_check_kind_or_severity)], ...], *_LIST]
_Token = Annotated[SecretStr | None, parses(_check_token)]
_SmtpUrl = Annotated[SecretStr | None, parses(parse_smtp_url)]
_Proxy = Annotated[
    SecretStr | None, parses(partial(_require_address, form="write it as http://user:password@host:port"))
]
_SlackWebhook = Annotated[
    SecretStr | None,
    parses(
        partial(
            _require_address,
            form="write the whole URL from Slack, https://hooks.slack.com/services/T…/B…/…",
            with_path=True,
        )
    ),
]
_Heartbeat = Annotated[
    SecretStr | None,
    parses(partial(_require_address, form="write the whole web address from the watcher, https://host/path")),
]


class ChannelSettings(SettingsPart):
    """What messages contain and where they go."""

    language: Language = "en"
    """Language of messages: en or ru."""
    environment: str = Field("production", min_length=1, max_length=40)
    """Name of this installation, shown in the last line of every message."""
    dashboard_url: _WebAddress | None = None
    """Redash or Superset dashboard that messages link to."""
    dagster_url: _WebAddress | None = "http://localhost:3000"
    """Address of Dagster's UI, for links to runs in messages."""
    dry_run: bool = False
    """true: send nothing. Messages are written to the outbox folder in METRICS_DATA_DIR, as they are when no channel is
    set up."""
    fallback_after_minutes: int = Field(15, ge=1, le=1440)
    """Minutes that a message waits for Telegram before it also goes to Slack or e-mail, if set up. If the chat is
    misconfigured, it goes there at once."""
    message_max_age_hours: int = Field(24, ge=1, le=168)
    """Hours after which an undelivered message is given up."""
    heartbeat_url: _Heartbeat = None
    """Web address that receives a POST after each successful `anomaly_check`, so that an external watcher such as
    healthchecks.io notices when the whole platform is down."""
    copy_to_slack: _KindsOrSeverities = ()
    """Kinds or severities that are also sent to Slack, comma-separated: critical, daily_report, …"""
    copy_to_email: _KindsOrSeverities = ()
    """Kinds or severities that are also sent by e-mail, comma-separated."""

    telegram_bot_token: _Token = Field(None, validation_alias="TELEGRAM_BOT_TOKEN")
    """The bot's token, from @BotFather."""
    telegram_chat_id: _Chat | None = Field(None, validation_alias="TELEGRAM_CHAT_ID")
    """The chat: a number (groups begin with -, supergroups and channels with -100) or @name."""
    telegram_thread_id: int | None = Field(None, ge=0, validation_alias="TELEGRAM_THREAD_ID")
    """Topic of the chat, if it is a forum group."""
    telegram_routes: _Routes = Field((), validation_alias="TELEGRAM_ROUTES")
    """Other chats by kind or severity, comma-separated: daily_report=-1001234567890/7, failed=@oncall. A route by kind
    takes precedence over one by severity."""
    telegram_api_base: _WebAddress = Field("https://api.telegram.org", validation_alias="TELEGRAM_API_BASE")
    """Address of the Bot API, for your own server or relay."""
    telegram_proxy: _Proxy = Field(None, validation_alias="TELEGRAM_PROXY")
    """Proxy to Telegram: http://user:password@host:port. Not set: the environment's HTTPS_PROXY."""
    slack_webhook_url: _SlackWebhook = Field(None, validation_alias="SLACK_WEBHOOK_URL")
    """URL of the Slack incoming webhook."""
    smtp_url: _SmtpUrl = Field(None, validation_alias="SMTP_URL", description=f"Mail server: {_SMTP_FORM}.")
    email_from: _MailAddress | None = Field(None, validation_alias="EMAIL_FROM")
    """Sender's address."""
    email_to: Annotated[tuple[_MailAddress, ...], *_LIST] = Field((), validation_alias="EMAIL_TO")
    """Recipients' addresses, comma-separated."""

    @model_validator(mode="after")
    def _check_whole_channels(self) -> ChannelSettings:
        if self.telegram_bot_token and not self.telegram_chat_id:
            raise ValueError(
                "TELEGRAM_BOT_TOKEN is set but TELEGRAM_CHAT_ID is not. Write a message to the bot, or add it to a "
                "group, and set TELEGRAM_CHAT_ID to that chat"
            )
        given = {"SMTP_URL": self.smtp_url, "EMAIL_FROM": self.email_from, "EMAIL_TO": self.email_to}
        missing = [name for name, value in given.items() if not value]
        if missing and len(missing) < len(given):
            raise ValueError(
                f"{' and '.join(name for name in given if given[name])} is set, {', '.join(missing)} is not"
            )
        for name, copies, channel in (
            ("METRICS_COPY_TO_SLACK", self.copy_to_slack, self.slack_webhook_url),
            ("METRICS_COPY_TO_EMAIL", self.copy_to_email, self.smtp_url),
        ):
            if copies and not channel:
                raise ValueError(f"{name} = {','.join(copies)}, but that channel is not set up")
        return self

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that are set up, the preferred first; none in a dry run."""
        return () if self.dry_run else tuple(name for name, setting in _ENABLED_BY.items() if getattr(self, setting))

    @property
    def first_channel(self) -> str:
        """The channel that every message goes to; without any, the outbox folder."""
        return next(iter(self.channels), OUTBOX)

    def recipients(self, kind: str, severity: str) -> tuple[str, ...]:
        """The channels that get a message from the start: the first, and those with copies of its kind or severity."""
        copies = {name: {kind, severity} & {*getattr(self, f"copy_to_{name}", ())} for name in self.channels}
        others = (name for name, common in copies.items() if common and name != self.first_channel and kind != _EDIT)
        return (self.first_channel, *others)

    def fallbacks(self, kind: str, severity: str) -> tuple[str, ...]:
        """The channels that get a message if the first cannot be reached: those that get no copy anyway, in order."""
        taken = self.recipients(kind, severity)
        return () if kind == _EDIT else tuple(name for name in self.channels if name not in taken)

    def digest_group(self, kind: str, severity: str) -> str | None:
        """The group of messages that one may be combined with: those that go to the same channels and the same chat.

        A digest goes where its severity is routed. None: the message has a route of its own because of its kind.
        """
        own, target = self.recipients(kind, severity), self.telegram_target(kind, severity)
        if own != self.recipients("", severity) or target != self.telegram_target("", severity):
            return None
        return f"{'+'.join(own)} {target.chat if target else ''}/{(target and target.thread) or ''}"

    def telegram_target(self, kind: str, severity: str) -> ChatTarget | None:
        """The chat of a message: the route of its kind, else of its severity, else TELEGRAM_CHAT_ID."""
        routes = {match["what"]: match for match in map(_ROUTE.fullmatch, self.telegram_routes) if match}
        for name in (kind, severity):
            if name in routes:
                thread = routes[name]["thread"]
                return ChatTarget(routes[name]["chat"], int(thread) if thread else None)
        if self.telegram_chat_id is None:
            return None
        return ChatTarget(self.telegram_chat_id, self.telegram_thread_id)

    @property
    def telegram_targets(self) -> tuple[ChatTarget, ...]:
        names = [match["what"] for match in map(_ROUTE.fullmatch, self.telegram_routes) if match]
        targets = [self.telegram_target("", ""), *(self.telegram_target(name, name) for name in names)]
        return tuple(dict.fromkeys(target for target in targets if target is not None))
