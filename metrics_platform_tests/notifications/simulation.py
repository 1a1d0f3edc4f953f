"""Days of a desk in a moment: the plan is asked every five seconds of a frozen clock, a courier delivers, and channels
are down, lose answers or kill the run as the test says. Dagster's part (sensor, runs) is played here."""

from __future__ import annotations

import datetime
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from metrics_platform.channel_settings import SEVERITIES
from metrics_platform.notifications.configured import configured
from metrics_platform.notifications.delivery import Courier
from metrics_platform.notifications.errors import DeliveryError
from metrics_platform.notifications.journal import Asked, Closed, Entry, MemoryJournal, Sent, asked, closed
from metrics_platform.notifications.kinds import Digest, Event
from metrics_platform.notifications.planning import Plan, Situation, Waiting, digest_key, plan
from metrics_platform.notifications.routing import fallback, legs, waiting_for
from metrics_platform.settings import Settings, load_settings
from metrics_platform_tests.notifications.desk import START, Killed
from metrics_platform_tests.notifications.examples import writer

TICK = 5
# What a channel does: (channel, seconds, key) → a word; "up" where nothing is said.
Weather = Callable[[str, float, str], str]
TAKES = {"up": 7.0, "killed before": 3.0, "killed after": 7.0, "misconfigured": 4.0, "refused": 4.0, "flood": 4.0}


@cache
def settings_of(**more: Any) -> Settings:
    """Telegram alone, or with Slack as its fallback: `settings_of(slack_webhook_url=SLACK)`."""
    given = {"telegram_bot_token": "123456789:" + "A" * 35, "telegram_chat_id": "-1001234567890"}
    return load_settings(None, **{**given, **more})


SLACK = "https://hooks.slack.com/services/T0/B0/x"


@dataclass
class SimulatedChannel:
    """Takes messages as the weather is, and remembers when it took which, and when it was tried."""

    name: str
    world: World
    took: list[tuple[float, str]] = field(default_factory=list)
    tries: list[float] = field(default_factory=list)

    def deliver(self, message: Any, dispatch: Any) -> None:
        if 0 in dispatch.done:
            return
        dispatch.sending(0)
        word = self.world.weather(self.name, self.world.now, message.key)
        self.tries.append(self.world.now)
        if word == "down":
            raise DeliveryError("unreachable", "nobody there")
        if word == "flood":
            raise DeliveryError("unreachable", "too many", code=429, retry_after=self.world.retry_after)
        if word in ("misconfigured", "refused"):
            raise DeliveryError(word, "mend it")  # type: ignore[arg-type]
        if word == "killed before":
            raise Killed
        self.took.append((self.world.now, message.key))
        if word == "killed after":
            raise Killed
        if word == "lost":
            raise DeliveryError("unknown", "the answer was lost")
        dispatch.sent(Sent(channel=self.name, step=0, steps=1, message_ids=(str(len(self.took)),), carrier="text"))

    def edit(self, message: Any, original: Any) -> bool:
        word = self.world.weather(self.name, self.world.now, message.key)
        self.tries.append(self.world.now)
        if word == "down":
            raise DeliveryError("unreachable", "nobody there")
        return True


@dataclass
class Run:
    key: str
    ends: float
    only_fallback: bool


class World:
    """The journal, the runs, the channels and the clock (seconds since the start)."""

    def __init__(
        self, weather: Weather = lambda *_: "up", settings: Settings | None = None, tick: float = TICK
    ) -> None:
        self.seconds_between = tick
        self.settings = settings or settings_of()
        self.weather, self.now, self.retry_after = weather, 0.0, 0.0
        self.journal = _Journal(self)
        self.channels = {name: SimulatedChannel(name, self) for name in configured(self.settings)}
        self.run: Run | None = None
        self.runs: dict[str, list[float]] = defaultdict(list)
        self.plans: Counter[str] = Counter()
        self.closed_at: dict[str, float] = {}
        self.reached_at: float | None = None
        self.given_up: list[str] = []
        self._waiting: dict[str, Waiting] = {}

    @property
    def moment(self) -> datetime.datetime:
        return START + datetime.timedelta(seconds=self.now)

    def ask(self, *events: Event) -> None:
        for event in events:
            self.journal.write(event.key, Asked(notification=event))

    def until(self, seconds: float, arrivals: dict[float, list[Event]] | None = None) -> None:
        """Let time pass, tick by tick; `arrivals` are asked for at their seconds."""
        due = sorted((arrivals or {}).items())
        while self.now < seconds:
            while due and due[0][0] <= self.now:
                self.ask(*due.pop(0)[1])
            self.tick()
            self.now += self.seconds_between

    def until_quiet(self, most: float = 400_000) -> None:
        while self.journal.open or self.run:
            assert self.now < most, f"still open: {list(self.journal.open)[:5]}"
            self.tick()
            self.now += self.seconds_between

    def tick(self) -> Plan:
        if self.run and self.run.ends <= self.now:
            self._end(self.run)
        decision = plan(self._all_waiting(), self._situation())
        if self.run:
            assert (decision.send, decision.digest) == (None, ())
            return decision
        assert not (decision.send and decision.digest)
        for key in decision.give_up:
            self.given_up.append(key)
            self.journal.write(key, Closed(outcome="given_up", text="too old"))
        if decision.digest:
            self.ask(self._digest(decision.digest))
        if decision.send:
            assert decision.send not in decision.give_up
            self._start(decision.send, decision.only_fallback)
        return decision

    def delivered(self, channel: str = "telegram") -> list[str]:
        """What was told over a channel, in order; digests as what they tell."""
        told: list[str] = []
        for _, key in self.channels[channel].took:
            event = asked(self.journal.entries(key))
            told += event.notifications if isinstance(event, Digest) else [key]
        return told

    def told_at(self, key: str, channel: str = "telegram") -> list[float]:
        found = []
        for at, sent in self.channels[channel].took:
            event = asked(self.journal.entries(sent))
            if key == sent or (isinstance(event, Digest) and key in event.notifications):
                found.append(at)
        return found

    def told_together(self, channel: str = "telegram") -> list[tuple[float, tuple[str, ...]]]:
        """When each message left over a channel, and the notifications it told: several in a digest."""
        found = []
        for at, sent in self.channels[channel].took:
            event = asked(self.journal.entries(sent))
            found.append((at, event.notifications if isinstance(event, Digest) else (sent,)))
        return found

    def outcome(self, key: str) -> str:
        found = closed(self.journal.entries(key))
        return found.outcome if found else "open"

    def changed(self, key: str, entry: Entry) -> None:
        self._waiting.pop(key, None)
        if isinstance(entry, Sent) and entry.channel == "telegram":
            self.reached_at = self.now
        if isinstance(entry, Closed):
            self.closed_at.setdefault(key, self.now)

    def _start(self, key: str, only_fallback: bool) -> None:
        names = configured(self.settings)
        first = self.weather(names[0], self.now, key)
        slow = 0.0 if only_fallback else TAKES.get(first, 45.0)
        self.run = Run(key, self.now + (slow or 7.0), only_fallback)

    def _end(self, run: Run) -> None:
        event = asked(self.journal.entries(run.key))
        assert event is not None
        due = self.now - self.journal.asked_at[run.key] >= self.settings.fallback_after.total_seconds()
        courier = Courier(
            self.journal,
            self.channels,
            writer_at=lambda at: writer(now=at),
            draw=lambda _: b"",
            now=lambda: self.moment,
        )
        with suppress(Killed):
            courier.deliver(
                run.key,
                legs(event, self.settings),
                fallback=fallback(event, self.settings),
                fallback_due=due,
                only_fallback=run.only_fallback,
            )
        self.runs[run.key].append(self.now)
        self._waiting.pop(run.key, None)
        self.run = None

    def _all_waiting(self) -> list[Waiting]:
        for key in self.journal.open:
            if key not in self._waiting:
                entries = self.journal.entries(key)
                ended = self.runs[key]
                event = asked(entries)
                assert event is not None
                self._waiting[key] = waiting_for(
                    event,
                    entries,
                    self.settings,
                    asked_at=START + datetime.timedelta(seconds=self.journal.asked_at[key]),
                    tries=len(ended),
                    last_try_at=START + datetime.timedelta(seconds=ended[-1]) if ended else None,
                )
        return [self._waiting[key] for key in self.journal.open]

    def _situation(self) -> Situation:
        names = configured(self.settings)
        return Situation(
            now=self.moment,
            sending=self.run is not None,
            first_channel=names[0],
            has_fallback=len(names) > 1,
            fallback_after=self.settings.fallback_after,
            max_age=self.settings.message_max_age,
            reached_at=None if self.reached_at is None else START + datetime.timedelta(seconds=self.reached_at),
        )

    def _digest(self, keys: tuple[str, ...]) -> Digest:
        events = [asked(self.journal.entries(key)) for key in keys]
        severities = {event.severity for event in events if event}
        worst = next(severity for severity in SEVERITIES if severity in severities)
        return Digest(key=digest_key(keys), occurred_at=self.moment, severity=worst, notifications=keys)


class _Journal(MemoryJournal):
    """Knows what is open, and when it was asked for."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.open: dict[str, None] = {}
        self.asked_at: dict[str, float] = {}

    def write(self, key: str, entry: Entry) -> None:
        if isinstance(entry, Asked):
            self.asked_at.setdefault(key, self.world.now)
            if not closed(self.entries(key)):
                self.open[key] = None
        if isinstance(entry, Closed):
            self.open.pop(key, None)
        super().write(key, entry)
        self.world.changed(key, entry)
