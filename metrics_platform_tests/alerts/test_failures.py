"""Failures that repeat, and floods of them, through the alert engine and the store of a sensor."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_platform.alerts.alert import Condition, Notification, Subject
from metrics_platform.alerts.engine import MAX_ALERTS
from metrics_platform.alerts.policies import FAILED_CHECK
from metrics_platform.defs.health.alert_store import AlertCursor, update_alerts
from metrics_platform.defs.health.failed_runs import without_ids
from metrics_platform.settings import Settings, load_settings

START = datetime.datetime(2026, 11, 20, 20, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)
HOUR = datetime.timedelta(hours=1)
DAY = datetime.timedelta(days=1)
ETL = Subject("failed_run", "daily_etl")
OTHER = Subject("failed_run", "anomaly_check")
NAMES = {"notify": load_settings(None)}


@dataclass
class Watch:
    """A sensor that applies failures and successes tick by tick."""

    settings: Settings = field(default_factory=lambda: NAMES["notify"])
    now: datetime.datetime = START
    cursor: str = ""
    sent: list[Notification] = field(default_factory=list)
    number: int = 0

    def plays(self, script: str) -> str:
        """What is sent, with the number of failures that people have not been notified of.

        `F` is a failure of the nightly load and `F:cause` one with a cause, `O` of another job, `C7` of check 7; the
        same in small letters is a success. `T` is a tick without either. `15m`, `2h` and `1d` pass.
        """
        said = []
        for word in script.split():
            name, _, cause = word.partition(":")
            if name[0].isdigit():
                self.now += int(name[:-1]) * {"m": MINUTE, "h": HOUR, "d": DAY}[name[-1]]
                continue
            subject = {"F": ETL, "O": OTHER}.get(name[0].upper()) or check(int(name[1:] or 0))
            self.number += 1
            run = f"run-{self.number}"
            failure = Condition(subject, "firing", self.now, cause or "no answer", "failed", run, key=run)
            success = Condition(subject, "normal", self.now)
            said += self.tick(*([] if name == "T" else [failure if name[0].isupper() else success]))
        return ", ".join(said)

    def tick(self, *conditions: Condition) -> list[str]:
        """A tick, and what it sends."""
        alerts = AlertCursor.from_cursor(self.cursor).alerts
        alerts, found = update_alerts(alerts, self.now, conditions, self.settings)
        self.cursor = AlertCursor(alerts=alerts).model_dump_json()
        self.sent += found
        return [f"{notification.kind} {sum(notification.new_counts)}" for notification in found]


def word(number: int) -> str:
    """A word for a number: causes that differ in more than numbers."""
    return "".join("abcdefghij"[int(digit)] for digit in str(number))


def check(number: int) -> Subject:
    return Subject("failed_check", f"{word(number)}:c")


_TEN_CHECKS = " ".join(f"C{number}" for number in range(10))
_OPENED = "opened 1"


@pytest.mark.parametrize(
    ("script", "sent"),
    [
        # what repeats is counted, with reminders at doubled gaps; of a nightly job, every night
        ("F" + " 15m F" * 96, "opened 1, reminder 16, reminder 32"),
        ("F" + " 1d F" * 6, "opened 1" + ", reminder 1" * 6),
        ("F" + " 1h T" * 100, "opened 1"),
        # the next success of its own is the all-clear
        ("F 15m F 1m o 15m f 15m f", "opened 1, resolved 1"),
        # what fails again soon is announced, and must then succeed four times
        ("F 15m f 15m F" + " 15m f" * 4 + " 1d F", "opened 1, resolved 0, reminder 1, resolved 0, opened 1"),
        ("F 15m f" + " 15m F 15m f" * 19, "opened 1, resolved 0, reminder 1"),
        # each cause is an alert, and one success ends all
        ("F 1m F:table-is-missing 1m f", "opened 1, opened 1, resolved 0, resolved 0"),
        # after five in an hour the others share a message, have no all-clear of their own, and are counted on
        (_TEN_CHECKS + " 4m T 1m T 1m C9 1h T 1m c9", f"{', '.join([_OPENED] * 5)}, batch 5, batch 1"),
        # one or two that were held back have messages of their own
        ("C0 C1 C2 C3 C4 C5 5m T 1m c5", f"{', '.join([_OPENED] * 6)}, resolved 0"),
        # so has the third cause of a job, which shares a message, no influence on another job
        ("F:a F:b F:c F:d F:e 2h T 1m O", "opened 1, opened 1, batch 3, opened 1"),
    ],
)
def test_what_is_sent_of_failures(script: str, sent: str) -> None:
    assert Watch().plays(script) == sent


def test_reminders_and_all_clears_are_in_the_thread() -> None:
    watch = Watch()
    watch.plays("F 5h F 15m f")
    opened, reminder, over = watch.sent
    assert (opened.key, reminder.key) == ("run-1", "run-1-reminder-1")
    assert reminder.thread == over.thread == "run-1"
    assert over.alerts[0].count == 2 and over.alerts[0].normal_at == watch.now


def test_an_earlier_success_ends_nothing_and_a_run_read_again_counts_once() -> None:
    watch = Watch()
    failure = Condition(ETL, "firing", watch.now, "no answer", "failed", "run-1", key="run-1")
    watch.tick(failure)
    watch.plays("5h")
    assert watch.tick(failure, Condition(ETL, "normal", START - MINUTE)) == []
    (alert,) = AlertCursor.from_cursor(watch.cursor).alerts
    assert alert.is_open and alert.count == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("slots of 2026-11-21 do not add up: 17", "slots of 2026-11-22 do not add up: 3", True),
        ("query 7d1c3a55-96d1-4a60-9d2a-4a5b1c2d3e4f", "query 0b7c3a55-16d1-4a60-9d2a-4a5b1c2d3e40", True),
        ("object at 0x7f30deadbeef", "object at 0x55aa12345678", True),
        ("Code: 60. Table is missing", "Code: 241. Memory limit", False),
        ("facade decade", "decade facade", False),
    ],
)
def test_causes_are_the_same_where_only_numbers_and_ids_differ(one: str, other: str, same: bool) -> None:
    assert (without_ids(one) == without_ids(other)) == same


def test_a_failed_check_inhibits_the_run_that_it_failed() -> None:
    watch = Watch()
    run = Condition(ETL, "firing", START, FAILED_CHECK, "failed", "run-1", key="run-1")
    failed = Condition(Subject("failed_check", "t:c"), "firing", START, "", "critical", "run-1", key="check-1")
    assert watch.tick(run, failed) == ["opened 1"]
    assert watch.sent[0].key == "check-1"
    # The check holds again, and its job fails for another cause: only that is news.
    other = Condition(ETL, "firing", START + HOUR, "no answer", "failed", "run-2", key="run-2")
    watch.plays("1h")
    holds = Condition(failed.subject, "normal", watch.now)
    assert watch.tick(holds, other) == ["opened 1", "resolved 0"]
    assert watch.sent[1].key == "run-2"


def test_an_unreachable_code_location_inhibits_its_ticks() -> None:
    watch = Watch()
    subjects = [Subject("code_location", "desk"), *(Subject("failed_tick", f"sensor {name}") for name in "abc")]
    unreachable = [
        Condition(subject, "firing", START, "away", "failed", "desk", key=f"tick-{subject.name}".replace(" ", "-"))
        for subject in subjects
    ]
    assert watch.tick(*unreachable) == ["opened 1"]
    assert watch.sent[0].key == "tick-desk"
    watch.plays("1m")
    assert watch.tick(*(Condition(subject, "normal", watch.now) for subject in subjects)) == ["resolved 0"]


def test_a_muted_failure_is_notified_when_the_mute_ends_if_it_lasts() -> None:
    until = START + HOUR
    muted = Watch(load_settings(None, mutes=f"kind:failed_run until {until.isoformat()}"))
    assert muted.plays("F O 1m o") == ""
    assert muted.plays("1h T 1h T") == "opened 1"


# --- floods -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distinct", [True, False])
def test_a_night_with_200_failures_makes_a_handful_of_messages(distinct: bool) -> None:
    watch = Watch()
    watch.plays(" ".join(f"3m F:{word(number) if distinct else 'one'}" for number in range(200)) + " 9h T")
    assert len(watch.sent) <= (10 if distinct else 4)
    if distinct:
        assert sum(sum(found.new_counts) for found in watch.sent) == 200


def test_500_failures_at_once_are_three_messages() -> None:
    watch = Watch()
    watch.tick(*(Condition(ETL, "firing", START, word(n), "failed", f"run-{n}", key=f"run-{n}") for n in range(500)))
    watch.plays("5m T")
    assert [found.kind for found in watch.sent] == ["opened", "opened", "batch"]
    assert len(AlertCursor.from_cursor(watch.cursor).alerts) == MAX_ALERTS
    assert watch.plays("1h f") == "resolved 0, resolved 0"


_STEPS = st.lists(
    st.tuples(st.sampled_from(["F:one", "F:two", "O:one", "C0:one", "f", "o", "c0", "T"]), st.integers(1, 600)),
    max_size=40,
)


@settings(max_examples=max(10, settings().max_examples))
@given(_STEPS)
def test_no_message_is_sent_twice_and_every_thread_ends(steps: list[tuple[str, int]]) -> None:
    watch = Watch()
    at: list[datetime.datetime] = []
    for what, minutes in steps:
        sent = watch.plays(f"{minutes}m {what}").split(", ")
        at += [watch.now] * len([text for text in sent if text and not text.startswith("resolved")])
    for success in ("f", "o", "c0"):
        watch.plays(f" 1m {success}" * 97)
    keys = [found.key for found in watch.sent]
    assert len(set(keys)) == len(keys)
    for number, found in enumerate(watch.sent):
        assert not found.thread or found.thread in keys[:number]
    opened = {found.key for found in watch.sent if found.kind == "opened"}
    assert {found.thread for found in watch.sent if found.kind == "resolved"} == opened
    # Five failures alone, one message of the others, and reminders of nine causes.
    assert all(sum(moment <= other < moment + HOUR for other in at) <= 5 + 2 + 9 for moment in at)
