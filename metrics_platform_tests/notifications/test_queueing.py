"""What is sent next, case by case: each decision has the named reason that Dagster shows."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Any

import pytest

from metrics_platform.notifications.history import (
    Entry,
    Failed,
    History,
    Queued,
    Reopened,
    Sending,
    Sent,
    Started,
    Stored,
)
from metrics_platform.notifications.kinds import (
    AnomalyOpened,
    Event,
    FailedRun,
    StaleData,
)
from metrics_platform.notifications.queueing import BURST, MAX_DIGEST, Step, digest_of, next_step
from metrics_platform.settings import load_settings
from metrics_platform_tests.notifications.examples import EXAMPLES, anomaly

NOW = datetime.datetime(2026, 11, 21, 12, 0, tzinfo=datetime.UTC)
SLACK = {"slack_webhook_url": "https://hooks.slack.com/services/T0/B0/x"}
BOTH = {**SLACK, "smtp_url": "smtp://localhost", "email_from": "a@example.com", "email_to": "b@example.com"}
COPIES = {**SLACK, "copy_to_slack": "failed,warning,critical"}
LIMIT = datetime.timedelta(hours=3)


def ago(seconds: float) -> datetime.datetime:
    return NOW - datetime.timedelta(seconds=seconds)


def message(event: Event, queued: float, *entries: tuple[float, Entry]) -> History:
    """A message that was queued this many seconds ago, with what was recorded since: seconds ago and entry."""
    found = [(queued, Queued(notification=event)), *entries]  # type: ignore[arg-type]
    return History(event.key, [Stored(ago(seconds).timestamp(), event.key, entry) for seconds, entry in found])


def loud(key: str = "a", queued: float = 10, *entries: tuple[float, Entry], thread: str | None = None) -> History:
    event = FailedRun(key=key, occurred_at=ago(queued), job="job", cause="x", thread=thread)
    return message(event, queued, *entries)


def silent(key: str = "a", queued: float = 10, *entries: tuple[float, Entry], thread: str | None = None) -> History:
    event = StaleData(key=key, occurred_at=NOW, table="t", last_event_at=None, limit=LIMIT, thread=thread)
    return message(event, queued, *entries)


def opening(key: str, queued: float, *entries: tuple[float, Entry]) -> History:
    return message(AnomalyOpened(key=key, occurred_at=ago(queued), anomalies=(anomaly(),)), queued, *entries)


def all_clear(key: str, thread: str, queued: float, *entries: tuple[float, Entry]) -> History:
    return message(
        EXAMPLES["anomaly-A7K2Q-resolved"].model_copy(update={"key": key, "thread": thread}), queued, *entries
    )


def report(key: str, queued: float, *entries: tuple[float, Entry]) -> History:
    return message(EXAMPLES["report-2026-11-21"].model_copy(update={"key": key}), queued, *entries)


def failed(reason: Any, *seconds: float, channel: str = "telegram", **more: Any) -> list[tuple[float, Entry]]:
    """Attempts that failed this many seconds ago."""
    entry = Failed(channel=channel, reason=reason, text="no", **more)
    return [(ago, stored) for ago in seconds for stored in (Started(channel=channel), entry)]


def sent(seconds: float, channel: str = "telegram", steps: int = 1) -> tuple[float, Entry]:
    return (seconds, Sent(channel=channel, step=0, steps=steps))


def crashed(*seconds: float) -> list[tuple[float, Entry]]:
    return [(ago, Started(channel="telegram")) for ago in seconds]


def many(number: int, *entries: tuple[float, Entry]) -> list[History]:
    return [loud(f"m{index:02d}", 1000 - index, *entries) for index in range(number)]


def keys(number: int) -> tuple[str, ...]:
    return tuple(f"m{index:02d}" for index in range(number))


def digest(number: int, queued: float, *entries: tuple[float, Entry]) -> History:
    event = digest_of([message.event for message in many(number) if message.event])
    return message(event.model_copy(update={"key": "d"}), queued, *entries)


@dataclass
class Case:
    name: str
    given: list[History]
    send: tuple[str, str] | None = None
    reason: str = "due"
    digest: tuple[str, ...] = ()
    give_up: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    reached: float | None = None  # seconds ago


def down(number: int, until: str) -> str:
    return f"telegram cannot be reached: {number} waiting, next try at {until} UTC"


A = ("a", "telegram")
B = ("b", "telegram")
M00 = ("m00", "telegram")
FOUR = (1400.0, 1300.0, 1200.0, 1100.0)
RECENTLY = (500.0, 400.0, 300.0, 200.0, 100.0)
BEGUN = (5.0, Sending(channel="telegram", step=0, composed_at=NOW))
DOWN = failed("unreachable", 5)
LONG_DOWN = failed("unreachable", *FOUR, 100)
ASKED_TO_WAIT = failed("unreachable", 400, retry_after=600)
WRONG = failed("misconfigured", 5)
BURST_OF_6 = "a burst: 6 messages become one"
CASES = [
    Case("nothing", [], reason="nothing is waiting"),
    Case("one", [loud()], A),
    Case("one of two parts sent", [loud("a", 10, sent(5, steps=2))], A),
    Case("the oldest first", [loud("b", 5), loud("a", 20)], A),
    Case("sound before silence", [silent("a", 20), loud("b", 5)], B),
    # --- again ---
    Case("just failed", [loud("a", 9, *DOWN)], reason=down(1, "12:00:10")),
    Case("failed a while ago", [loud("a", 99, *failed("unreachable", 16))], A),
    Case("failed five times", [loud("a", 2000, *failed("unreachable", *FOUR, 200))], reason=down(1, "12:01:40")),
    Case("five minutes after that", [loud("a", 2000, *failed("unreachable", *FOUR, 301))], A),
    Case("asked to wait for ten minutes: all do", [loud("a", 500, *ASKED_TO_WAIT), loud("b", 5)],
         reason=down(2, "12:03:20")),
    Case("asked to wait, though another was taken since", [loud("a", 500, *ASKED_TO_WAIT)],
         reason="1 waiting, next try at 12:03:20 UTC", reached=60),
    Case("the channel has taken another since", [loud("a", 2000, *failed("unreachable", *FOUR, 61))], A, reached=30),
    Case("failures before a part was sent do not count",
         [loud("a", 999, *failed("unreachable", *RECENTLY), sent(90, steps=2), *failed("unreachable", 16))], A),
    Case("killed twice", [loud("a", 100, *crashed(90, 30))], reason="1 waiting, next try at 12:00:30 UTC"),
    Case("a message that kills its runs holds up no other", [loud("a", 1000, *crashed(99, 60, 20)), loud("b", 5)], B),
    Case("a configuration error comes last", [loud("a", 1000, *failed("misconfigured", 61)), loud("b", 5)], B),
    Case("but it comes", [loud("a", 1000, *failed("misconfigured", 61))], A),
    Case("a lost answer may be one more copy", [loud("a", 9000, *failed("unknown", 5000, 4000, 3000, 2000, 1000))],
         reason="1 waiting, next try at 12:13:20 UTC"),
    # --- a channel that is down ---
    Case("the others wait with it", [loud("a", 100, *DOWN), loud("b", 50)], reason=down(2, "12:00:10")),
    Case("another one finds out whether it is back", [loud("a", 2000, *failed("unreachable", 16)), loud("b", 5)], B),
    Case("which is not a digest", [loud("a", 2000, *failed("unreachable", 16)), *many(9)], M00),
    Case("all failures count",
         [*(loud(f"f{number}", 500, *failed("unreachable", 100 + number)) for number in range(4)), loud("b", 4)],
         reason=down(5, "12:00:20")),
    Case("a lost answer says so, too", [loud("a", 100, *failed("unknown", 5)), loud("b", 50)],
         reason=down(2, "12:00:10")),
    Case("a configuration error does not", [loud("a", 100, *WRONG), loud("b", 50)], B),
    Case("nor do failures before the latest success", [loud("a", 2000, *failed("unknown", *FOUR, 61)), *many(BURST)],
         digest=keys(6), reason=BURST_OF_6, reached=60),
    # --- bursts ---
    Case("just below a burst", many(BURST - 1), M00),
    Case("a burst", many(BURST), digest=keys(6), reason=BURST_OF_6),
    Case("a large burst", many(50), digest=keys(MAX_DIGEST), reason="a burst: 40 messages become one"),
    Case("not of reports", [report(f"m{number}", 9) for number in range(9)], ("m0", "telegram")),
    Case("not of what has begun", many(9, BEGUN), M00),
    Case("not of what goes elsewhere", [*many(5), *(silent(f"n{number}", 5) for number in range(5))], M00,
         settings={"telegram_routes": "failed=-100987"}),
    Case("the messages of a digest are not sent themselves", [*many(6), digest(6, 1)], ("d", "telegram")),
    Case("a refused digest is sent individually", [*many(6), digest(6, 500, *failed("refused", 5))], M00),
    Case("and given up after its messages", [digest(6, 500, *failed("refused", 5))], reason="given up", give_up=("d",)),
    Case("so is a digest that kills its runs", [*many(6), digest(6, 500, *crashed(400, 300, 200))], M00),
    # --- threads ---
    Case("an all-clear waits for its alert", [opening("a", 100, *failed("unreachable", 61)), all_clear("b", "a", 50)],
         A, reached=60),
    Case("also if that is in a digest", [*many(6), digest(6, 50), all_clear("b", "m03", 40)], ("d", "telegram")),
    Case("not if that needs a person", [opening("a", 100, *WRONG), all_clear("b", "a", 50)], B),
    Case("nor if only a copy is missing",
         [opening("a", 100, sent(9), *failed("misconfigured", 5, channel="slack")), all_clear("b", "a", 50)], B,
         settings=COPIES),
    Case("nor if that is gone", [all_clear("b", "a", 50)], B),
    Case("answers keep their order",
         [silent("b", 50, *failed("unreachable", 61), thread="a"), loud("c", 5, thread="a")], B, reached=60),
    # --- the fallback ---
    Case("not before its time", [loud("a", 800, *failed("unreachable", *RECENTLY))], None, down(1, "12:01:40"),
         settings=SLACK),
    Case("reopened, its time begins again", [loud("a", 2000, (60, Reopened()), *DOWN)], reason=down(1, "12:00:10"),
         settings=SLACK),
    Case("at its time", [loud("a", 901, *failed("unreachable", *RECENTLY))], ("a", "slack"), settings=SLACK),
    Case("also for what was never tried, if the channel is down", [loud("f", 100, *DOWN), loud("a", 901)],
         ("a", "slack"), settings=SLACK),
    Case("not while the channel is up", [loud("a", 901)], A, settings=SLACK),
    Case("at once if misconfigured", [loud("a", 9, *WRONG)], ("a", "slack"), settings=SLACK),
    Case("the fallback rests, too, while it is down",
         [loud("a", 2000, *LONG_DOWN, *failed("unreachable", 20, 10, channel="slack"))], reason=down(1, "12:00:20"),
         settings=SLACK),
    Case("not if only an edit is missing", [all_clear("a", "x", 2000, sent(1500), *LONG_DOWN)],
         reason=down(1, "12:03:20"), settings=SLACK),
    Case("only once", [loud("a", 2000, *LONG_DOWN, sent(50, "slack"))], reason=down(1, "12:03:20"), settings=SLACK),
    Case("a burst is one message there, too", [loud("f", 50, *DOWN), *many(BURST)], reason=BURST_OF_6, digest=keys(6),
         settings={**SLACK, "fallback_after_minutes": 1}),
    Case("what the fallback has is apart",
         [*many(4, sent(5, "slack")), *(loud(f"n{number}", 5) for number in range(4))], M00, settings=SLACK),
    Case("there, too, an all-clear waits for its alert", [opening("a", 100, *DOWN), all_clear("b", "a", 2000)],
         reason=down(2, "12:00:10"), settings=SLACK),
    Case("a report that may have arrived is only closed", [report("a", 2000, *failed("unknown", 1900))], A,
         settings=SLACK),
    Case("the next fallback where the first one fails",
         [loud("a", 2000, *LONG_DOWN, *failed("misconfigured", 20, channel="slack"))], ("a", "email"), settings=BOTH),
    Case("both fallbacks in turn",
         [loud("a", 2000, *LONG_DOWN, *failed("unreachable", 90, channel="slack"),
               *failed("unreachable", 70, channel="email"))], ("a", "slack"), settings=BOTH),
    Case("only one of both fallbacks",
         [loud("a", 2000, *LONG_DOWN, *failed("unreachable", 900, channel="slack"), sent(50, "email"))],
         reason=down(1, "12:03:20"), settings=BOTH),
    Case("a report that a fallback may have got is only tried where it belongs",
         [report("a", 2000, *failed("unreachable", 301), *failed("unknown", 200, channel="slack"))], A, settings=BOTH),
    # --- copies ---
    Case("copies do not wait for the first channel", [loud("f", 100, *DOWN, sent(4, "slack")), loud("a", 5)],
         ("a", "slack"), settings=COPIES),
    Case("only a copy is missing", [loud("a", 500, sent(61))], ("a", "slack"), settings=COPIES),
    Case("only the end is missing", [loud("a", 500, sent(61))], A),
    # --- age ---
    Case("too old", [loud("a", 86401, *failed("unreachable", 100)), loud("b", 5)], B, give_up=("a",), reached=50),
    Case("too old and never tried", [loud("a", 300_000)], A),
    Case("too old, and no one was there", [loud("a", 300_000, *failed("unreachable", 200_000))], A),
    Case("a digest is as old as its oldest message, and takes only old ones with it",
         [loud("m00", 86401), loud("m01", 500), digest(2, 400, *failed("unreachable", 100))], reason="given up",
         give_up=("d", "m00")),
]  # fmt: skip


def decide(case: Case, given: list[History]) -> Step:
    settings = load_settings(
        None, telegram_bot_token="123456789:" + "A" * 35, telegram_chat_id="-1001234567890", **case.settings
    )
    reached = {"telegram": ago(case.reached)} if case.reached is not None else {}
    return next_step(given, settings, NOW, reached)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_decision_has_its_reason(case: Case) -> None:
    for given in (case.given, case.given[::-1]):  # the order in which they are listed does not matter
        step = decide(case, given)
        assert (step.send, step.reason, step.digest) == (case.send, case.reason, case.digest)
        assert tuple(sorted(step.give_up)) == case.give_up


def test_a_digest_has_the_key_of_its_messages_and_the_worst_severity() -> None:
    events = [message.event for message in many(6) if message.event]
    assert digest_of(events).key == digest_of(list(events)).key
    assert digest_of(events).key != digest_of(events[1:]).key
    assert digest_of(events).severity == "failed"
    assert digest_of(events).occurred_at == ago(1000)
