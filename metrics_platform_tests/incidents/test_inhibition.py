"""While a source is stale, incidents that only say that there is nothing are a part of that, and not told again."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics_platform.calendar import SLOT, Slot, SlotRange
from metrics_platform.catalog import builtin_catalog, load_catalog
from metrics_platform.incidents.inhibition import is_silent, metrics_of, silent_sources, slots_of
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.tables import SLOT_METRICS
from metrics_platform_tests.incidents.course import LIKES, MESSAGES, START, VIEWS, VIEWS_ON_ANDROID, Course
from metrics_platform_tests.worlds import insert_event_counts

FEED_STALE = metrics_of(("feed_actions",), builtin_catalog())


def while_stale(first: int, last: int) -> dict[int, dict[str, str]]:
    """The feed is stale in these slots."""
    return dict.fromkeys(range(first, last + 1), FEED_STALE)


# --- the rule --------------------------------------------------------------------------------------------------------


def test_what_falls_to_nothing_in_a_stale_source_is_said_by_that_and_not_told() -> None:
    course = Course()
    assert course.run({VIEWS: "..000", LIKES: "..000"}, stale=while_stale(2, 4)) == []
    assert course.said_by == [(2, "feed_actions"), (3, "feed_actions"), (4, "feed_actions")]
    assert {each.folded_into for each in course.open} == {"stale feed_actions"}
    assert course.run({VIEWS: "..", LIKES: ".."}) == []


def test_what_is_low_and_not_at_nothing_is_told_though_its_source_is_stale() -> None:
    assert Course().run({VIEWS: "..=..", LIKES: "..0.."}, stale=while_stale(2, 2)) == [(2, "opened"), (4, "resolved")]


def test_what_stays_low_when_events_are_back_is_told_then() -> None:
    course = Course()
    assert course.run({VIEWS: "..00==.."}, stale=while_stale(2, 3)) == [(4, "opened"), (7, "resolved")]
    assert [each.folded_into for each in course.incidents.values()] == [""]


def test_the_other_service_is_told_as_ever() -> None:
    course = Course()
    assert course.run({VIEWS: "..00..", MESSAGES: "..00.."}, stale=while_stale(2, 3)) == [
        (2, "opened"),
        (5, "resolved"),
    ]
    assert [series.metric for _, telling in course.told for series in [telling.incidents[0].series]] == ["messages"] * 2


def test_what_was_told_before_its_source_went_stale_is_not_reminded_meanwhile_and_has_its_all_clear() -> None:
    course = Course()
    line = "." + "0" * 40 + ".."
    assert course.run({VIEWS: line}, stale=while_stale(5, 40)) == [(1, "opened"), (42, "resolved")]
    assert course.said_by == []


def test_slices_at_nothing_are_a_part_of_it_too() -> None:
    assert Course().run({VIEWS: "..00..", VIEWS_ON_ANDROID: "..00.."}, stale=while_stale(2, 3)) == []


def test_old_slots_ask_for_nothing() -> None:
    course = Course()
    course.run({VIEWS: "..00.."}, stale=while_stale(2, 3), silent=[2, 3])
    assert course.said_by == []


# --- when a source is silent ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("minutes", "slots"), [(1, 1), (15, 1), (16, 2), (60, 4), (90, 6)])
def test_a_limit_is_so_many_whole_slots(minutes: int, slots: int) -> None:
    assert slots_of(datetime.timedelta(minutes=minutes)) == slots


@given(st.lists(st.none() | st.integers(0, 2), min_size=1, max_size=40), st.integers(1, 6))
def test_a_source_is_silent_where_as_many_slots_in_a_row_are_there_and_empty(
    counts: list[int | None], span: int
) -> None:
    slots = [Slot(START + number * SLOT) for number in range(len(counts))]
    rows = {slot: {"feed_actions": count} for slot, count in zip(slots, counts, strict=True) if count is not None}
    series = pd.Series([float("nan") if count is None else float(count) for count in counts])
    expected = (series.rolling(span, min_periods=span).sum() == 0).tolist()
    assert [is_silent(rows, "feed_actions", slot, span) for slot in slots] == expected


def test_silence_is_read_from_the_rollup_for_each_source_with_its_own_limit(
    make_settings: Callable[..., Settings],
) -> None:
    settings = make_settings(feed_stale_hours="0.5,1", messages_stale_hours="0.25,1")
    warehouse = Warehouse.from_settings(settings)
    create_tables(warehouse, [SLOT_METRICS])
    feed, messages = [5, 0, 0, 0, 3], [4, 4, 0, 2, 0]
    for number in range(5):
        counts = {"feed_actions": feed[number], "message_actions": messages[number]}
        insert_event_counts(warehouse, SLOT_METRICS.name, START + number * SLOT, counts)
    slots = SlotRange(START, START + 5 * SLOT)
    found = silent_sources(warehouse, slots, settings, load_catalog(settings))
    assert list(found.values()) == [
        (), (), ("feed_actions", "message_actions"), ("feed_actions",), ("message_actions",),
    ]  # fmt: skip
    told_otherwise = settings.model_copy(update={"severities": ("stale_data=off",)})
    assert silent_sources(warehouse, slots, told_otherwise, load_catalog(told_otherwise)) == {}
