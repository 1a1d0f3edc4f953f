"""Stale data: told once, told when it gets worse, told again after hours, and an all-clear when events flow again."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_platform.health.freshness import Limits, Staleness, Telling, judge, stale_key

START = datetime.datetime(2026, 11, 20, 10, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)
HOUR = datetime.timedelta(hours=1)
LIMITS = Limits(HOUR, 3 * HOUR)


@dataclass
class Source:
    """A source that is looked at every few minutes."""

    limits: Limits = LIMITS
    now: datetime.datetime = START
    latest: datetime.datetime | None = START
    known: Staleness = field(default_factory=Staleness)
    told: list[Telling] = field(default_factory=list)

    def look(self) -> str:
        """A look; what it tells: the kind and the level."""
        before = Staleness.model_validate_json(self.known.model_dump_json())
        self.known, telling = judge("t", before, self.latest, self.now, limits=self.limits, reminded_after=4 * HOUR)
        if telling is None:
            return ""
        self.told.append(telling)
        return f"{telling.kind} {telling.level}"

    def silent_for(self, span: datetime.timedelta, every: datetime.timedelta = 2 * MINUTE) -> list[str]:
        """No events for so long; what the looks tell, with when."""
        return self._goes_on(span, every, events=False)

    def lives_for(self, span: datetime.timedelta, every: datetime.timedelta = 2 * MINUTE) -> list[str]:
        """An event at each look."""
        return self._goes_on(span, every, events=True)

    def _goes_on(self, span: datetime.timedelta, every: datetime.timedelta, *, events: bool) -> list[str]:
        said = []
        end = self.now + span
        while self.now < end:
            self.now += every
            if events:
                self.latest = self.now
            if look := self.look():
                said.append(f"{(self.now - START) // MINUTE} min: {look}")
        return said


def test_a_source_with_events_is_fresh() -> None:
    source = Source()
    assert source.lives_for(24 * HOUR) == []


def test_silence_is_a_warning_after_an_hour_and_critical_after_three_and_reminded_at_doubling_gaps() -> None:
    source = Source()
    assert source.silent_for(24 * HOUR) == [
        "60 min: stale warning",
        "180 min: worse critical",
        "420 min: still critical",
        "900 min: still critical",
    ]
    first, *others = source.told
    assert first.thread == "" and {each.thread for each in others} == {first.key}
    assert first.key == "stale-t-2026-11-20T100000"


def test_events_that_flow_again_are_the_all_clear_in_the_same_thread() -> None:
    source = Source()
    source.silent_for(2 * HOUR)
    assert source.lives_for(10 * MINUTE) == ["124 min: fresh fresh"]
    assert source.told[-1].thread == source.told[0].key
    assert source.lives_for(HOUR) == []


def test_a_single_event_every_hour_or_so_does_not_end_and_begin_the_alert_each_time() -> None:
    source = Source()
    said = source.silent_for(61 * MINUTE)
    for _ in range(8):
        source.latest = source.now
        said += source.silent_for(62 * MINUTE)
    assert [each.partition(": ")[2] for each in said] == ["stale warning", "still warning"]


def test_a_source_loaded_once_a_night_is_fresh_an_hour_after_its_load() -> None:
    source = Source(limits=Limits(26 * HOUR, 30 * HOUR))
    assert source.silent_for(27 * HOUR) == ["1560 min: stale warning"]
    source.latest = source.now
    assert source.silent_for(2 * HOUR) == [f"{27 * 60 + 2 + 60} min: fresh fresh"]


def test_late_events_that_are_old_themselves_leave_it_stale_without_a_second_message() -> None:
    source = Source()
    source.silent_for(2 * HOUR)
    source.latest = START + 30 * MINUTE
    assert source.silent_for(30 * MINUTE) == []


def test_without_any_event_it_is_critical_at_once() -> None:
    source = Source(latest=None)
    assert source.look() == "stale critical"
    assert source.told[0].key == stale_key("t", None) == "stale-t-never"


def test_a_downtime_of_the_platform_that_outlasts_both_limits_tells_once_as_critical() -> None:
    source = Source()
    source.now += 5 * HOUR
    assert source.look() == "stale critical"
    assert source.silent_for(HOUR) == []


@pytest.mark.parametrize("hours", [1, 2])
def test_a_second_silence_is_another_alert(hours: int) -> None:
    source = Source()
    source.silent_for(2 * HOUR)
    source.lives_for(hours * HOUR)
    assert [each.partition(": ")[2] for each in source.silent_for(2 * HOUR)] == ["stale warning"]
    assert source.told[-1].key != source.told[0].key


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 90), st.sampled_from(["event", "late", "nothing"])), max_size=80))
def test_whatever_happens_messages_are_unique_answer_what_was_told_and_alternate(steps: list[tuple[int, str]]) -> None:
    source = Source()
    for minutes, what in steps:
        source.now += minutes * MINUTE
        if what == "event":
            source.latest = source.now
        elif what == "late" and source.latest is not None:
            source.latest += (source.now - source.latest) / 2
        source.look()
    keys = [each.key for each in source.told]
    assert len(set(keys)) == len(keys)
    is_open = ""
    for each in source.told:
        if each.kind == "stale":
            assert not is_open and not each.thread
            is_open = each.key
        else:
            assert each.thread == is_open != ""
            is_open = "" if each.kind == "fresh" else is_open
    # Stale is told at the first look that finds it so; nothing is stale untold.
    assert bool(source.known.key) == bool(is_open)
    if LIMITS.level(source.latest, source.now) != "fresh":
        assert is_open
