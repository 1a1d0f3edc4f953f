"""The delivery without Dagster: the real dispatcher, Telegram's and Slack's test servers, and a clock without waiting.

The journal is in memory and can die at any write. Every dispatcher is a new one, as in every run: nothing but the
journal is remembered.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from metrics_platform.channel_settings import ChatTarget
from metrics_platform.notifications import kinds
from metrics_platform.notifications.channel import Channel, DeliveryError
from metrics_platform.notifications.composer import Composer
from metrics_platform.notifications.dispatcher import Attempt, Dispatcher
from metrics_platform.notifications.history import Closed, Entry, Journal, Position, Queued, Storage, Stored
from metrics_platform.notifications.message import Message as Text
from metrics_platform.notifications.message import Paragraph, line
from metrics_platform.notifications.queueing import Step
from metrics_platform.notifications.slack import SlackChannel
from metrics_platform.notifications.telegram import Pacer, TelegramChannel, TelegramClient
from metrics_platform.notifications.writer import Writer
from metrics_platform.settings import Settings, load_settings
from metrics_platform_tests.notifications import slack_webhook
from metrics_platform_tests.notifications.clock import Clock
from metrics_platform_tests.notifications.examples import EXAMPLES, NOON, SLOT, anomaly, history, writer
from metrics_platform_tests.notifications.slack_webhook import Slack
from metrics_platform_tests.telegram.bot_api import BotApi, bot_api_server
from metrics_platform_tests.telegram.state import Message, picture

START = NOON + 2 * SLOT
PNG = picture()
OPENING, UPDATE, ALL_CLEAR = "anomaly-A7K2Q", "anomaly-A7K2Q-2", "anomaly-A7K2Q-resolved"
REPORT = "report-2026-11-21"
FAILED = "run-7d1c3a55"


class Killed(BaseException):
    """The process is gone."""


@dataclass
class MortalStorage(Storage):
    """A journal in memory that dies before or after its n-th write from now; another `error` fails that write alone."""

    now: Callable[[], float]
    written: list[Stored] = field(default_factory=list)
    writes_left: int | None = None
    after: bool = False
    error: type[BaseException] = Killed

    def since(self, moment: float) -> list[Stored]:
        return [stored for stored in self.written if stored.at > moment]

    def of(self, keys: Sequence[str]) -> dict[str, list[Stored]]:
        found: dict[str, list[Stored]] = defaultdict(list)
        for stored in self.written:
            if stored.key in keys:
                found[stored.key].append(stored)
        return found

    def die_at(self, number: int, *, after: bool = False, error: type[BaseException] = Killed) -> None:
        self.writes_left, self.after, self.error = number, after, error

    def write(self, key: str, entry: Entry) -> Stored:
        if self.writes_left is not None:
            self.writes_left -= 1
        if self.writes_left == 0 and not self.after:
            raise self.error("before a write")
        stored = Stored(self.now(), key, entry)
        self.written.append(stored)
        if self.writes_left == 0:
            raise self.error("after a write")
        return stored


@dataclass(frozen=True)
class Outcome:
    """What attempts came to."""

    closed: Closed | None
    failures: dict[str, DeliveryError]


@dataclass
class Delivery:
    """What a test queues, and what users then see."""

    api: BotApi
    slack: Slack
    chat: int
    clock: Clock = field(default_factory=Clock)
    warnings: list[str] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    more_channels: dict[str, Channel] = field(default_factory=dict)
    more_settings: dict[str, Any] = field(default_factory=dict)
    cannot_draw: bool = False
    answers_within: float = 10.0  # real seconds; a busy machine must not make an answer look lost
    wordy: bool = False  # every text takes several messages
    expects_more: Callable[[], bool] = lambda: False
    at_each_attempt: Callable[[Attempt], None] = lambda _: None
    position: Position = field(default_factory=lambda: Position(read_until=START.timestamp()))

    def __post_init__(self) -> None:
        self.storage = MortalStorage(self._seconds)
        self.pacer = Pacer(clock=self._seconds, sleep=self.clock.sleep)

    @property
    def moment(self) -> datetime.datetime:
        return START + datetime.timedelta(seconds=self.clock.now)

    def _seconds(self) -> float:
        return self.moment.timestamp()

    @property
    def settings(self) -> Settings:
        given = {"telegram_bot_token": self.api.token, "telegram_chat_id": str(self.chat), "timezone": "UTC"}
        return _loaded(frozenset({**given, **self.more_settings}.items()))

    def with_slack(self, **more: Any) -> None:
        """Slack as the fallback, or with `copy_to_slack` for copies."""
        self.more_settings |= {"slack_webhook_url": self.slack.url, **more}

    def queue(self, *events: kinds.Event | str) -> None:
        for event in events:
            found = EXAMPLES[event] if isinstance(event, str) else event
            self.storage.write(found.key, Queued(notification=found))  # type: ignore[arg-type]

    def happens(self, *events: kinds.Event | str) -> None:
        """Queue events that happen now."""
        for event in events:
            found = EXAMPLES[event] if isinstance(event, str) else event
            self.queue(found.model_copy(update={"occurred_at": self.moment}))

    def write(self, key: str, entry: Entry) -> None:
        self.storage.write(key, entry)

    def dispatcher(self) -> Dispatcher:
        client = TelegramClient(
            self.api.token,
            api_base=self.api.base,
            policy=self.clock.policy,
            pacer=self.pacer,
            timeouts=(2.0, self.answers_within),
        )
        home = ChatTarget(str(self.chat))
        telegram = TelegramChannel(client, lambda *_: home, warn=self.warnings.append)
        slack = SlackChannel(self.slack.url, policy=self.clock.policy, timeouts=(2.0, 10.0))
        channels: dict[str, Channel] = {"telegram": telegram, "slack": slack, **self.more_channels}
        composer = Composer(self._writer_at, self._draw, self.warnings.append)
        journal = Journal(self.storage, self.position)
        return Dispatcher(
            journal, channels, composer, self.settings, now=lambda: self.moment, warn=self.warnings.append
        )

    def deliver(self, key: str, *channels: str) -> Outcome:
        """One attempt over each of these channels, by default over all that have not got it."""
        dispatcher = self.dispatcher()
        attempts = [dispatcher.send(key, name) for name in channels] if channels else dispatcher.deliver(key)
        failures = {attempt.channel: attempt.error for attempt in attempts if attempt.error}
        return Outcome(dispatcher.journal.history(key).closed, failures)

    def drain(self) -> Step:
        """A run of `notify`."""

        def report(attempt: Attempt) -> None:
            self.attempts.append(attempt)
            self.at_each_attempt(attempt)

        dispatcher = self.dispatcher()
        step = dispatcher.drain(report, expects_more=self.expects_more, sleep=self.clock.sleep)
        self.position = dispatcher.journal.position
        return step

    def pass_time(self, minutes: float) -> None:
        """Let time pass with a run of `notify` whenever something is due."""
        end = self.clock.now + minutes * 60
        while self.clock.now < end:
            step = self.drain()
            until = (step.at - START).total_seconds() if step.at else end
            self.clock.now = min(end, max(until, self.clock.now + 5))

    def entries(self, key: str, kind: str | None = None) -> list[Any]:
        history = Journal(self.storage).history(key)
        return [entry for entry in history.entries if kind in (None, entry.entry)]

    def outcome(self, key: str) -> str | None:
        return next((entry.outcome for entry in self.entries(key, "closed")), None)

    @property
    def seen(self) -> list[Message]:
        """The messages in the chat."""
        return self.api.messages(self.chat)

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.seen]

    @property
    def slack_texts(self) -> list[str]:
        return [payload["text"] for payload in self.slack.payloads]

    def _writer_at(self, moment: datetime.datetime) -> Writer:
        plain = writer(now=moment)
        return WordyWriter(**vars(plain)) if self.wordy else plain

    def _draw(self, chart: Any) -> bytes:
        if self.cannot_draw:
            raise RuntimeError("no fonts here")
        return PNG


@cache
def _loaded(given: frozenset[tuple[str, Any]]) -> Settings:
    return load_settings(None, **dict(given))


class WordyWriter(Writer):
    """Makes every text take several messages."""

    def message(self, *given: Any, **more: Any) -> Text:
        written = super().message(*given, **more)
        lines = tuple(line(f"line {number} of a text that no single message can hold at all") for number in range(150))
        return replace(written, blocks=(*written.blocks, Paragraph(lines)))


class Recorder(Channel):
    """A channel that takes every message, or has a bug."""

    def __init__(self, name: str, error: Exception | None = None) -> None:
        self.name, self.error, self.keys = name, error, list[str]()

    def steps(self, message: Any, context: Any) -> list[Any]:
        if self.error:
            raise self.error
        return [lambda _: self.keys.append(message.key) or {}]


@contextmanager
def running_delivery() -> Iterator[Delivery]:
    with bot_api_server() as api, slack_webhook.running() as slack:
        yield Delivery(api, slack, api.supergroup)


def charted_alert(key: str = "anomaly-charted") -> kinds.AnomalyOpened:
    """An alert that is too long for a caption: its text, and a picture."""
    slices = [anomaly("likes", value=800, expected=1650, dimension="city", dimension_value=f"C{n}") for n in range(20)]
    return kinds.AnomalyOpened(key=key, occurred_at=START, anomalies=(anomaly(history=history()), *slices))


def failed_runs(number: int, start: datetime.datetime = START) -> list[kinds.FailedRun]:
    """This many failed runs, a second apart."""
    return [
        kinds.FailedRun(
            key=f"run-{index:03d}",
            occurred_at=start + datetime.timedelta(seconds=index),
            job=f"job_{index:03d}",
            cause="out of memory",
        )
        for index in range(number)
    ]


def digest_of(events: list[Any], key: str = "digest-x", severity: Any = "failed") -> kinds.Digest:
    keys = tuple(event.key for event in events)
    return kinds.Digest(key=key, occurred_at=events[0].occurred_at, severity=severity, notifications=keys)
