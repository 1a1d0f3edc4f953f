"""The 15-minute rollup against the oracle, however it was computed: at once, slot by slot, again."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics_platform.calendar import SLOT, SlotRange
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.slots import SlotsResult, compute_slots
from metrics_platform_tests.generated_events import FEED_COLUMNS, TYPES, World, worlds
from metrics_platform_tests.slot_oracle import MEASURES, Key, slot_rows
from metrics_platform_tests.worlds import SourceTables

MIDNIGHT = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
DIMENSIONS = (("os", "source", "country"), ("gender", "city", "exp_group"), ())
MINUTE = datetime.timedelta(minutes=1)


@given(world=worlds(), dimensions=st.sampled_from(DIMENSIONS), cuts=st.lists(st.integers(0, 600), max_size=4))
def test_slots_computed_piece_by_piece_equal_the_oracle(
    make_settings: Callable[..., Settings], world: World, dimensions: tuple[str, ...], cuts: list[int]
) -> None:
    settings = make_settings(monitored_dimensions=dimensions)
    sources = SourceTables.create(settings, gender_as_text=world.gender_as_text, nullable=world.nullable)
    sources.insert_feed(world.feed)
    sources.insert_messages(world.messages.rename(columns={world.receiver_column: settings.receiver_column}))
    start = datetime.datetime.combine(world.days[0], datetime.time(22, 45), tzinfo=datetime.UTC)
    whole = SlotRange(start - datetime.timedelta(days=1), start + datetime.timedelta(days=len(world.days)))
    borders = sorted({whole.start, whole.end, *(whole.start + cut * SLOT for cut in cuts if cut < len(whole))})
    for first, end in itertools.pairwise(borders):
        _compute(sources.warehouse, SlotRange(first, end), settings)
    expected = slot_rows(world.feed, world.messages, whole.start, whole.end, dimensions)
    assert _rows(sources.warehouse) == expected


@pytest.fixture
def sources(make_settings: Callable[..., Settings]) -> SourceTables:
    return SourceTables.create(make_settings(monitored_dimensions=("os",)))


def test_computing_a_slot_again_takes_in_late_events_and_leaves_its_neighbours(sources: SourceTables) -> None:
    _views(sources, [(1, MIDNIGHT + 5 * MINUTE, "iOS"), (2, MIDNIGHT + 20 * MINUTE, "iOS")])
    _compute(sources.warehouse, SlotRange(MIDNIGHT, MIDNIGHT + 3 * SLOT), sources.settings)
    _views(sources, [(3, MIDNIGHT + 6 * MINUTE, "iOS"), (3, MIDNIGHT + 21 * MINUTE, "iOS")])
    for _ in range(2):
        _compute(sources.warehouse, SlotRange(MIDNIGHT + SLOT, MIDNIGHT + 2 * SLOT), sources.settings)
    rows = _rows(sources.warehouse)
    assert [rows[MIDNIGHT + number * SLOT, "total", "total"]["feed_users"] for number in range(3)] == [1, 2, 0]
    assert len(rows) == 6  # the total and iOS in three slots, each once


def test_a_slice_stays_on_the_grid_for_seven_days_after_its_last_event(sources: SourceTables) -> None:
    last = MIDNIGHT + 5 * SLOT
    _views(sources, [(1, MIDNIGHT, "Symbian"), (1, last, "Symbian")])
    end = MIDNIGHT + datetime.timedelta(days=8)
    _compute(sources.warehouse, SlotRange(MIDNIGHT, MIDNIGHT + 9 * SLOT), sources.settings)
    _compute(sources.warehouse, SlotRange(MIDNIGHT + 9 * SLOT, end), sources.settings)
    rows = _rows(sources.warehouse)
    alive = sorted(slot for slot, dimension, _ in rows if dimension == "os")
    assert alive[0] == MIDNIGHT
    assert alive[-1] == last + datetime.timedelta(days=7) - SLOT
    assert len(alive) == 7 * 96 + 5
    assert sum(dimension == "total" for _, dimension, _ in rows) == 8 * 96


def test_a_slot_without_any_event_stands_there_with_zeros_and_an_unknown_ctr(sources: SourceTables) -> None:
    _compute(sources.warehouse, SlotRange(MIDNIGHT, MIDNIGHT + SLOT), sources.settings)
    row = _rows(sources.warehouse)[MIDNIGHT, "total", "total"]
    assert row == {**dict.fromkeys(MEASURES, 0), "ctr": None}


def test_what_is_read_does_not_grow_with_the_source(make_settings: Callable[..., Settings]) -> None:
    read = []
    for days in (20, 100):  # both several granules of 8192 rows, the least that is read
        sources = SourceTables.create(make_settings())
        first = MIDNIGHT - datetime.timedelta(days=days)
        moments = [first + number * MINUTE for number in range(days * 24 * 60)]
        _views(sources, [(number % 500, moment, "iOS") for number, moment in enumerate(moments)])
        (result,) = _compute(sources.warehouse, SlotRange(MIDNIGHT - SLOT, MIDNIGHT), sources.settings)
        read.append(result.read_rows)
    assert read[1] <= read[0] * 1.5  # of five times as much


def _compute(warehouse: Warehouse, slots: SlotRange, settings: Settings) -> list[SlotsResult]:
    results = list(compute_slots(warehouse, slots, settings))
    assert [each.violations for each in results if each.violations] == []
    return results


def _rows(warehouse: Warehouse) -> dict[Key, dict[str, Any]]:
    rows = warehouse.query("SELECT * FROM slot_metrics").rows
    found = {
        (row.pop("slot_start").replace(tzinfo=datetime.UTC), row.pop("dimension"), row.pop("dimension_value")): row
        for row in map(dict, rows)
    }
    assert len(found) == len(rows)
    return found


def _views(sources: SourceTables, views: Iterable[tuple[int, datetime.datetime, str]]) -> None:
    rows = [(user, 1, "view", moment, 1, 25, "", "", os, "ads", 0) for user, moment, os in views]
    sources.insert_feed(pd.DataFrame(rows, columns=list(FEED_COLUMNS)).astype({"time": TYPES["time"]}))
