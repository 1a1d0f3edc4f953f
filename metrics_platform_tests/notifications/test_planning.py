"""What to send now, case by case: each has the named reason that Dagster shows."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Any

import pytest

from metrics_platform.notifications.journal import Failed
from metrics_platform.notifications.planning import BURST, MAX_DIGEST, Plan, Situation, Waiting, digest_key, plan

NOW = datetime.datetime(2026, 11, 21, 12, 0, tzinfo=datetime.UTC)


def ago(seconds: float) -> datetime.datetime:
    return NOW - datetime.timedelta(seconds=seconds)


def situation(**more: Any) -> Situation:
    given: dict[str, Any] = {
        "now": NOW,
        "sending": False,
        "first_channel": "telegram",
        "has_fallback": False,
        "fallback_after": datetime.timedelta(minutes=15),
        "max_age": datetime.timedelta(hours=24),
    }
    return Situation(**{**given, **more})


def waiting(key: str = "a", asked: float = 10, **more: Any) -> Waiting:
    return Waiting(key=key, asked_at=ago(asked), **more)


def failed(reason: Any, seconds: float, number: int = 1, channel: str = "telegram", **more: Any) -> dict[str, Any]:
    """A message whose last try failed so many seconds ago."""
    found = Failed(channel=channel, reason=reason, text="no", at=ago(seconds), number=number, **more)
    return {"tries": number, "last_try_at": ago(seconds), "failures": {channel: found}}


def both(first: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A message that failed over both channels in its last try."""
    return {**first, "failures": {**first["failures"], **other["failures"]}}


def many(number: int, **more: Any) -> list[Waiting]:
    return [waiting(f"m{index:02d}", asked=1000 - index, **more) for index in range(number)]


SENT = {"reached_at": ago(60)}
FALLBACK = {"has_fallback": True}


@dataclass
class Case:
    name: str
    given: list[Waiting]
    expected: Plan
    when: dict[str, Any] = field(default_factory=dict)


def keys(number: int) -> tuple[str, ...]:
    return tuple(f"m{index:02d}" for index in range(number))


DOWN = "telegram cannot be reached"
CASES = [
    Case("nothing at all", [], Plan("nothing is waiting")),
    Case("one", [waiting()], Plan("due", send="a")),
    Case("one on its way", [waiting()], Plan("a message is being sent: one at a time"), {"sending": True}),
    Case("the oldest first", [waiting("b", 5), waiting("a", 20)], Plan("due", send="a")),
    Case("sound before silence", [waiting("a", 20), waiting("b", 5, urgent=True)], Plan("due", send="b")),
    # --- again ---
    Case(
        "failed just now",
        [waiting(**failed("unreachable", 5))],
        Plan(f"{DOWN}: 1 waiting, next try at 12:00:10 UTC"),
    ),
    Case("failed a while ago", [waiting(**failed("unreachable", 16))], Plan("due", send="a")),
    Case(
        "failed the fifth time",
        [waiting(**failed("unreachable", 200, 5))],
        Plan("tried in vain: 1 waiting, next try at 12:01:40 UTC"),
    ),
    Case("five minutes after that", [waiting(**failed("unreachable", 301, 5))], Plan("due", send="a")),
    Case(
        "told to wait for ten minutes",
        [waiting("a", **failed("unreachable", 400, retry_after=600)), waiting("b", 5)],
        Plan(f"{DOWN}: 2 waiting, next try at 12:03:20 UTC"),
    ),
    Case(
        "told to wait, whatever else gets through",
        [waiting("a", **failed("unreachable", 400, retry_after=600))],
        Plan("tried in vain: 1 waiting, next try at 12:03:20 UTC"),
        SENT,
    ),
    Case(
        "the channel has taken another one since",
        [waiting("a", **failed("unreachable", 61, 5))],
        Plan("due", send="a"),
        SENT,
    ),
    Case(
        "a run that ended without a word",
        [waiting("a", 100, tries=2, last_try_at=ago(30))],
        Plan("tried in vain: 1 waiting, next try at 12:00:30 UTC"),
    ),
    Case(
        "runs that end without a word hold up nobody",
        [waiting("a", 1000, tries=9, last_try_at=ago(5)), waiting("b", 5)],
        Plan("due", send="b"),
    ),
    Case(
        "what waits for a person comes last",
        [waiting("a", 1000, **failed("misconfigured", 61)), waiting("b", 5)],
        Plan("due", send="b"),
    ),
    Case("but it comes", [waiting("a", 1000, **failed("misconfigured", 61))], Plan("due", send="a")),
    Case(
        "runs that end without a word after a failure count, too",
        [waiting("a", 1000, **{**failed("unreachable", 100), "tries": 4, "last_try_at": ago(30)})],
        Plan("tried in vain: 1 waiting, next try at 12:14:30 UTC"),
    ),
    Case(
        "each try whose answer is lost may be one more copy",
        [waiting("a", 9000, begun=True, **failed("unknown", 1000, 5))],
        Plan("tried in vain: 1 waiting, next try at 12:13:20 UTC"),
    ),
    # --- down ---
    Case(
        "the others wait with the one that found it down",
        [waiting("a", 100, **failed("unreachable", 5)), waiting("b", 50)],
        Plan(f"{DOWN}: 2 waiting, next try at 12:00:10 UTC"),
    ),
    Case(
        "one of them finds out whether it is back, and not as a digest",
        [waiting("a", 2000, **failed("unreachable", 16)), *many(9)],
        Plan("due", send="a"),
    ),
    Case(
        "the more of them failed, the longer all wait",
        [waiting(f"f{number}", 500, **failed("unreachable", 100 + number)) for number in range(5)],
        Plan(f"{DOWN}: 5 waiting, next try at 12:03:20 UTC"),
    ),
    Case(
        "a lost answer says that it is down, too",
        [waiting("a", 100, begun=True, **failed("unknown", 5)), waiting("b", 50)],
        Plan(f"{DOWN}: 2 waiting, next try at 12:00:10 UTC"),
    ),
    Case(
        "what is set up wrongly says nothing about the channel",
        [waiting("a", 100, **failed("misconfigured", 5)), waiting("b", 50)],
        Plan("due", send="b"),
    ),
    Case(
        "what failed before another one got through says nothing",
        [waiting("a", 100, **failed("unreachable", 61)), waiting("b", 50)],
        Plan("due", send="a"),
        SENT,
    ),
    Case(
        "nor does it keep a burst apart",
        [waiting("a", 2000, begun=True, **failed("unreachable", 61, 5)), *many(BURST)],
        Plan("a burst: 6 messages become one", digest=keys(6)),
        SENT,
    ),
    # --- bursts ---
    Case("just below a burst", many(BURST - 1), Plan("due", send="m00")),
    Case("a burst", many(BURST), Plan("a burst: 6 messages become one", digest=keys(6))),
    Case("a large burst", many(50), Plan("a burst: 40 messages become one", digest=keys(MAX_DIGEST))),
    Case("not what must be its own message", many(9, digestible=False), Plan("due", send="m00")),
    Case("not what has begun", many(9, begun=True), Plan("due", send="m00")),
    Case(
        "not what goes other ways",
        [*many(5, group="here"), *(waiting(f"n{number}", 5, group="there") for number in range(5))],
        Plan("due", send="m00"),
    ),
    Case(
        "what a digest tells is not sent by itself",
        [*many(6), waiting("d", 1, digestible=False, parts=keys(6))],
        Plan("due", send="d"),
    ),
    Case(
        "a digest that is refused is told one by one",
        [*many(6), waiting("d", 500, digestible=False, parts=keys(6), **failed("refused", 5))],
        Plan("due", send="m00"),
    ),
    Case(
        "and goes when its parts have gone",
        [waiting("d", 500, digestible=False, parts=keys(6), **failed("refused", 5))],
        Plan("too old: given up", give_up=("d",)),
    ),
    # --- threads ---
    Case(
        "an all-clear waits for its alert",
        [waiting("a", 100, **failed("unreachable", 61, 5)), waiting("b", 50, thread="a", urgent=True)],
        Plan("due", send="a"),
        SENT,
    ),
    Case(
        "… though that is in a digest",
        [*many(6), waiting("d", 50, digestible=False, parts=keys(6)), waiting("b", 40, thread="m03", urgent=True)],
        Plan("due", send="d"),
    ),
    Case(
        "… but not where that waits for a person",
        [waiting("a", 100, **failed("misconfigured", 5)), waiting("b", 50, thread="a")],
        Plan("due", send="b"),
    ),
    Case(
        "… nor where only a copy of it is missing",
        [
            waiting(
                "a", 100, first_sent=True, copies_left=("slack",), begun=True, **failed("misconfigured", 5, 1, "slack")
            ),
            waiting("b", 50, thread="a"),
        ],
        Plan("due", send="b"),
    ),
    Case("… nor where that has gone", [waiting("b", 50, thread="a")], Plan("due", send="b")),
    Case(
        "answers keep their order",
        [waiting("b", 50, thread="a", **failed("unreachable", 61, 5)), waiting("c", 5, thread="a", urgent=True)],
        Plan("due", send="b"),
        SENT,
    ),
    Case(
        "what the fallback has is told together, apart from what it has not",
        [*many(4, fallback_sent=True), *(waiting(f"n{number}", 5) for number in range(4))],
        Plan("due", send="m00"),
        FALLBACK,
    ),
    # --- the fallback ---
    Case(
        "not before its time",
        [waiting("a", 800, **failed("unreachable", 100, 5))],
        Plan("tried in vain: 1 waiting, next try at 12:01:40 UTC"),
        FALLBACK,
    ),
    Case(
        "at its time",
        [waiting("a", 901, **failed("unreachable", 100, 5))],
        Plan("tried in vain: the other channels get it", send="a", only_fallback=True),
        FALLBACK,
    ),
    Case(
        "while the channel is known to be down",
        [waiting("f", 100, **failed("unreachable", 5)), waiting("a", 901)],
        Plan(f"{DOWN}: the other channels get it", send="a", only_fallback=True),
        FALLBACK,
    ),
    Case(
        "a minute after its last try, whatever came of that",
        [waiting("a", 2000, tries=7, last_try_at=ago(30), failures=failed("unreachable", 100, 5)["failures"])],
        Plan("tried in vain: 1 waiting, next try at 12:00:30 UTC"),
        FALLBACK,
    ),
    Case(
        "at once, where the first channel waits for a person and the fallback was down",
        [
            waiting(
                "a",
                100,
                fallback="slack",
                **both(failed("misconfigured", 61, 2), failed("unreachable", 61, 1, "slack")),
            )
        ],
        Plan("tried in vain: the other channels get it", send="a", only_fallback=True),
        FALLBACK,
    ),
    Case(
        "the fallback, too, is left alone while it is down",
        [
            waiting(
                f"f{number}",
                2000,
                fallback="slack",
                **both(failed("unreachable", 100, 5), failed("unreachable", 100, 1, "slack")),
            )
            for number in range(5)
        ],
        Plan(f"{DOWN}: 5 waiting, next try at 12:03:20 UTC"),
        FALLBACK,
    ),
    Case(
        "not where only an edit is missing",
        [waiting("a", 2000, first_sent=True, begun=True, **failed("unreachable", 100, 5))],
        Plan("tried in vain: 1 waiting, next try at 12:03:20 UTC"),
        FALLBACK,
    ),
    Case(
        "only once",
        [waiting("a", 2000, fallback_sent=True, **failed("unreachable", 100, 5))],
        Plan("tried in vain: 1 waiting, next try at 12:03:20 UTC"),
        FALLBACK,
    ),
    Case(
        "not for what has none",
        [waiting("a", 2000, fallback=None, **failed("unreachable", 100, 5))],
        Plan("tried in vain: 1 waiting, next try at 12:03:20 UTC"),
        FALLBACK,
    ),
    Case(
        "a burst of them is one message there, too",
        [waiting("f", 100, **failed("unreachable", 5)), *many(BURST)],
        Plan("a burst: 6 messages become one for the fallback", digest=keys(6)),
        FALLBACK,
    ),
    Case(
        "but none with an all-clear in it whose alert has to come before it",
        [
            waiting("a", 2000, fallback_sent=True, **failed("unreachable", 5)),
            *many(BURST - 1),
            waiting("b", 901, thread="a"),
        ],
        Plan(f"{DOWN}: the other channels get it", send="m00", only_fallback=True),
        FALLBACK,
    ),
    Case(
        "there, too, an all-clear does not overtake its alert",
        [waiting("a", 100, **failed("unreachable", 5)), waiting("b", 2000, thread="a")],
        Plan(f"{DOWN}: 2 waiting, next try at 12:00:10 UTC"),
        FALLBACK,
    ),
    Case(
        "copies do not wait for the first channel",
        [waiting("f", 100, **failed("unreachable", 5)), waiting("a", 5, copies_left=("slack",))],
        Plan(f"{DOWN}: the other channels get it", send="a", only_fallback=True),
    ),
    Case(
        "where only a copy is missing the first channel is not asked",
        [waiting("a", 500, first_sent=True, begun=True, copies_left=("slack",), tries=1, last_try_at=ago(61))],
        Plan("tried in vain: the other channels get it", send="a", only_fallback=True),
    ),
    Case("where only the end is missing it is closed", [waiting("a", 500, first_sent=True)], Plan("due", send="a")),
    # --- age ---
    Case(
        "too old",
        [waiting("a", 86401, **failed("unreachable", 100, 5)), waiting("b", 5)],
        Plan("due", send="b", give_up=("a",)),
    ),
    Case("too old and never tried", [waiting("a", 300_000)], Plan("due", send="a")),
    Case(
        "too old, and nobody was there",
        [waiting("a", 300_000, **failed("unreachable", 200_000))],
        Plan("due", send="a"),
    ),
    Case(
        "a digest is as old as its oldest part, and takes only the old ones with it",
        [
            waiting("old", 86401),
            waiting("young", 500),
            waiting("d", 400, digestible=False, parts=("old", "young"), **failed("unreachable", 100)),
        ],
        Plan("too old: given up", give_up=("old", "d")),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_decision_has_its_reason(case: Case) -> None:
    assert plan(case.given, situation(**case.when)) == case.expected


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_order_in_which_they_are_listed_does_not_matter(case: Case) -> None:
    found = plan(list(reversed(case.given)), situation(**case.when))
    assert (found.reason, found.send, found.digest) == (
        case.expected.reason,
        case.expected.send,
        case.expected.digest,
    )
    assert set(found.give_up) == set(case.expected.give_up)


def test_failures_without_a_moment_and_a_number_are_those_of_the_last_try() -> None:
    old = {"telegram": Failed(channel="telegram", reason="unreachable", text="no")}
    given = waiting("a", 1000, tries=3, last_try_at=ago(50), failures=old)
    assert plan([given], situation()).send is None
    assert plan([given], situation(now=NOW + datetime.timedelta(seconds=11))).send == "a"


def test_the_key_of_a_digest_is_the_same_for_the_same_messages_only() -> None:
    assert digest_key(["a", "b"]) == digest_key(("a", "b"))
    assert digest_key(["a", "b"]) != digest_key(["a", "c"])
    assert digest_key(["a", "b"]).startswith("digest-")
