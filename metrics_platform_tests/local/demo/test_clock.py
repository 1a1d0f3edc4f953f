"""The product's time: ours, or faster until it is ours."""

from __future__ import annotations

import datetime

from hypothesis import given
from hypothesis import strategies as st

from metrics_platform.local.demo.preparing import Clock

NOW = datetime.datetime(2026, 11, 27, 17, 38, 12, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)
SLOT = datetime.timedelta(minutes=15)


class _Watch:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime.datetime:
        return self.now


def test_a_fast_time_waits_for_its_start_and_then_replays_a_slot_in_a_minute() -> None:
    watch = _Watch()
    clock = Clock.fast(None, watch)
    begins = datetime.datetime(2026, 11, 27, 9, 30, tzinfo=datetime.UTC)  # eight hours ago, where a slot begins
    watch.now += 70 * SECOND
    assert clock.now() == begins
    clock.start()
    watch.now += 60 * SECOND
    assert clock.now() == begins + SLOT


def test_events_that_are_written_are_not_replayed() -> None:
    clock = Clock.fast(NOW - 2 * SLOT, _Watch())
    assert clock.now() == NOW - 2 * SLOT
    assert not Clock.fast(NOW, _Watch()).is_behind


@given(st.lists(st.integers(0, 600), max_size=30))
def test_a_fast_time_never_runs_back_nor_ahead_of_real_time(steps: list[int]) -> None:
    watch = _Watch()
    clock = Clock.fast(None, watch)
    clock.start()
    before = clock.now()
    for step in steps:
        watch.now += step * SECOND
        assert before <= clock.now() <= watch.now
        before = clock.now()
    watch.now = NOW + 40 * 60 * SECOND
    assert clock.now() == watch.now
    assert not clock.is_behind
