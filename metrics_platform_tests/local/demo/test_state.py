"""What a demo remembers, that only one runs in a directory, and its product's time: ours, or faster until then."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics_platform.local.demo.preparing import Clock, DemoError, State, exclusive_lock, lock_holder
from metrics_platform.local.demo.product import Product
from metrics_platform.time_windows import SLOT

FIRST, TODAY, ZONE = datetime.date(2026, 10, 23), datetime.date(2026, 11, 27), ZoneInfo("America/New_York")
NOW = datetime.datetime(2026, 11, 27, 17, 38, 12, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)


def _state(directory: Path) -> State:
    return State(directory=directory, product=Product(FIRST, TODAY, ZONE, seed=7), written_until=NOW)


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    _state(tmp_path).write()
    assert State.read(tmp_path) == _state(tmp_path)
    assert State.read(tmp_path / "new") is None


@pytest.mark.parametrize(
    "content",
    ["", "{", "{}", None],
    ids=["empty", "torn", "nothing in it", "no such zone"],
)
def test_a_broken_file_is_named_with_the_way_out(tmp_path: Path, content: str | None) -> None:
    _state(tmp_path).write()
    file = tmp_path / "demo.json"
    file.write_text(file.read_text().replace("New_York", "Nowhere") if content is None else content)
    with pytest.raises(DemoError, match=r"demo\.json is damaged.*--fresh"):
        State.read(tmp_path)


def test_one_demo_at_a_time_locks_a_directory(tmp_path: Path) -> None:
    with exclusive_lock(tmp_path / "new") as first, exclusive_lock(tmp_path / "new") as second:
        assert (first, second) == (True, False)
        assert lock_holder(tmp_path / "new") == str(os.getpid())
    with exclusive_lock(tmp_path / "new") as again:
        assert again


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
