"""What a demo remembers, and that only one runs in a directory."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from metrics_platform.local.demo.preparing import DemoError, State, exclusive_lock, lock_holder
from metrics_platform.local.demo.product import Product

FIRST, TODAY, ZONE = datetime.date(2026, 10, 23), datetime.date(2026, 11, 27), ZoneInfo("America/New_York")
NOW = datetime.datetime(2026, 11, 27, 17, 30, tzinfo=datetime.UTC)


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
    with pytest.raises(DemoError, match=r"demo\.json cannot be read.*--fresh"):
        State.read(tmp_path)


def test_one_demo_at_a_time_locks_a_directory(tmp_path: Path) -> None:
    with exclusive_lock(tmp_path / "new") as first, exclusive_lock(tmp_path / "new") as second:
        assert (first, second) == (True, False)
        assert lock_holder(tmp_path / "new") == str(os.getpid())
    with exclusive_lock(tmp_path / "new") as again:
        assert again
