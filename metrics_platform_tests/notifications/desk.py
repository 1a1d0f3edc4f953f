"""A desk on loopback: a courier with Telegram's and Slack's test servers, a clock that takes no time, and kills."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from metrics_platform.channel_settings import ChatTarget
from metrics_platform.notifications import kinds
from metrics_platform.notifications.channel import Channel
from metrics_platform.notifications.delivery import Courier, Outcome
from metrics_platform.notifications.journal import Asked, Entry, MemoryJournal, Sent
from metrics_platform.notifications.message import Message as Text
from metrics_platform.notifications.message import Paragraph, line
from metrics_platform.notifications.slack import SlackChannel
from metrics_platform.notifications.telegram.channel import TelegramChannel
from metrics_platform.notifications.telegram.client import Pacer, TelegramClient
from metrics_platform.notifications.templates.writer import Writer
from metrics_platform_tests.notifications import slack_webhook
from metrics_platform_tests.notifications.examples import EXAMPLES, NOON, SLOT, anomaly, history, writer
from metrics_platform_tests.notifications.slack_webhook import Slack
from metrics_platform_tests.notifications.waiting import Clock
from metrics_platform_tests.telegram.asking import picture
from metrics_platform_tests.telegram.bot_api import BotApi, bot_api_server
from metrics_platform_tests.telegram.state import Message

START = NOON + 2 * SLOT
PNG = picture()
OPENING, UPDATE, ALL_CLEAR = "anomaly-A7K2Q", "anomaly-A7K2Q-2", "anomaly-A7K2Q-resolved"
REPORT = "report-2026-11-21"
FAILED = "run-7d1c3a55"


class Killed(BaseException):
    """The process is gone."""


class MortalJournal(MemoryJournal):
    """Dies before or after its n-th write from now; `broken` storage raises an ordinary error instead."""

    def __init__(self) -> None:
        super().__init__()
        self.writes_left: int | None = None
        self.after = False
        self.error: type[BaseException] = Killed
        self.log: list[tuple[str, Entry]] = []

    def die_at(self, number: int, *, after: bool = False, error: type[BaseException] = Killed) -> None:
        self.writes_left, self.after, self.error = number, after, error

    def live(self) -> None:
        self.writes_left = None

    def write(self, key: str, entry: Entry) -> None:
        if self.writes_left is not None:
            self.writes_left -= 1
            dies = self.writes_left <= 0
            if dies and not self.after:
                raise self.error("before a write")
            if dies:
                self._keep(key, entry)
                raise self.error("after a write")
        self._keep(key, entry)

    def _keep(self, key: str, entry: Entry) -> None:
        self.log.append((key, entry))
        super().write(key, entry)


@dataclass
class Desk:
    """What a test asks for, and what people then see."""

    api: BotApi
    slack: Slack
    chat: int
    clock: Clock = field(default_factory=Clock)
    journal: MortalJournal = field(default_factory=MortalJournal)
    warnings: list[str] = field(default_factory=list)
    drawn: list[str] = field(default_factory=list)
    more_channels: dict[str, Channel] = field(default_factory=dict)
    routes: dict[str, ChatTarget] = field(default_factory=dict)
    cannot_draw: bool = False
    patient_for: float = 10.0  # real seconds; a busy machine must not make an answer look lost
    wordy: bool = False  # every text takes several messages
    pacer: Pacer | None = None
    reached_at: datetime.datetime | None = None

    @property
    def moment(self) -> datetime.datetime:
        return START + datetime.timedelta(seconds=self.clock.now)

    def ask(self, *events: kinds.Event | str) -> None:
        for event in events:
            found = EXAMPLES[event] if isinstance(event, str) else event
            self.journal.write(found.key, Asked(notification=found))

    def courier(self) -> Courier:
        """A new one, as every run makes it: nothing but the journal is remembered."""
        if self.pacer is None:
            began = START.timestamp()
            self.pacer = Pacer(clock=lambda: began + self.clock.now, sleep=self.clock.sleep)
        client = TelegramClient(
            self.api.token,
            api_base=self.api.base,
            patience=self.clock.patience,
            pacer=self.pacer,
            timeouts=(2.0, self.patient_for),
        )
        home = ChatTarget(str(self.chat))
        telegram = TelegramChannel(client, lambda kind, _: self.routes.get(kind, home), warn=self.warnings.append)
        channels: Mapping[str, Channel] = {
            "telegram": telegram,
            "slack": SlackChannel(self.slack.url, patience=self.clock.patience, timeouts=(2.0, 10.0)),
            **self.more_channels,
        }
        return Courier(
            self.journal,
            channels,
            writer_at=self._writer_at,
            draw=self._draw,
            now=lambda: self.moment,
            warn=self.warnings.append,
        )

    def deliver(self, key: str, legs: tuple[str, ...] = ("telegram",), **how: Any) -> Outcome:
        return self.courier().deliver(key, legs, **how)

    def entries(self, key: str, kind: str | None = None) -> list[Any]:
        return [entry for entry in self.journal.entries(key) if kind in (None, entry.entry)]

    @property
    def seen(self) -> list[Message]:
        """What stands in the chat."""
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
        self.drawn.append(chart.name)
        return PNG


class WordyWriter(Writer):
    """Adds so much to every message that its text takes several of Telegram's, though templates are short."""

    def message(self, *given: Any, **more: Any) -> Text:
        written = super().message(*given, **more)
        lines = tuple(
            line(f"word {number} of so many that no single message can hold them all") for number in range(150)
        )
        return replace(written, blocks=(*written.blocks, Paragraph(lines)))


class Recorder:
    """A channel of another make: it takes every message, or makes a mistake that nobody has thought of."""

    def __init__(self, name: str, error: Exception | None = None) -> None:
        self.name, self.error, self.keys = name, error, list[str]()

    def deliver(self, message: Any, dispatch: Any) -> None:
        if self.error:
            raise self.error
        dispatch.sending(0)
        self.keys.append(message.key)
        dispatch.sent(Sent(channel=self.name, step=0, steps=1))

    def edit(self, message: Any, original: Any) -> bool:
        return False


@contextmanager
def running_desk() -> Iterator[Desk]:
    with bot_api_server() as api, slack_webhook.running() as slack:
        yield Desk(api, slack, api.supergroup)


def charted_alert(key: str = "anomaly-charted") -> kinds.AnomalyOpened:
    """An alert that is too long for a caption: its text, and a picture."""
    slices = [anomaly("likes", value=800, expected=1650, dimension="city", dimension_value=f"C{n}") for n in range(20)]
    return kinds.AnomalyOpened(key=key, occurred_at=START, anomalies=(anomaly(history=history()), *slices))


def failed_runs(number: int, start: datetime.datetime = START) -> list[kinds.FailedRun]:
    """So many failed runs, a second apart."""
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
