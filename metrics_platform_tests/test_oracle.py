"""The oracle against cases small enough to be computed manually, so that it can be trusted in other tests."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd
import pytest

from metrics_platform_tests.oracle import Oracle, age_group

MONDAY, TUESDAY, WEDNESDAY = date(2026, 3, 2), date(2026, 3, 3), date(2026, 3, 4)
DAYS = [MONDAY, TUESDAY, WEDNESDAY]
PROFILE: dict[str, Any] = {
    "gender": 1, "age": 25, "country": "Russia", "city": "Moscow",
    "os": "iOS", "source": "ads", "exp_group": 2,
}  # fmt: skip
UNKNOWN_USER: dict[str, Any] = {
    "gender": -1, "age": 0, "country": "", "city": None, "os": "", "source": None, "exp_group": -1,
}  # fmt: skip


def seen(user_id: int, time: str, action: str = "view", post_id: int = 1, **changed: Any) -> dict[str, Any]:
    return {"user_id": user_id, "post_id": post_id, "action": action, "time": time, **PROFILE, **changed}


def sent(user_id: int, receiver_id: int, time: str, **changed: Any) -> dict[str, Any]:
    return {"user_id": user_id, "receiver_id": receiver_id, "time": time, **PROFILE, **changed}


def oracle(feed: list[dict[str, Any]], messages: list[dict[str, Any]], days: list[date] = DAYS) -> Oracle:
    def frame(rows: list[dict[str, Any]], example: dict[str, Any]) -> pd.DataFrame:
        table = pd.DataFrame(rows, columns=list(example), dtype=object)
        return table.assign(time=pd.to_datetime(table["time"], utc=True).dt.as_unit("s"))

    return Oracle(frame(feed, seen(1, "")), frame(messages, sent(1, 2, "")), "UTC", days)


def by_user(table: pd.DataFrame) -> dict[int, dict[Any, Any]]:
    return {row.pop("user_id"): row for row in table.to_dict("records")}


def values(table: pd.DataFrame, measure: str) -> dict[str, int]:
    return dict(zip(table["dimension_value"], table[measure], strict=True))


def test_a_small_day_has_the_expected_numbers() -> None:
    world = oracle(
        feed=[
            seen(1, "2026-03-02 10:00:00"),
            seen(1, "2026-03-02 10:00:00"),
            seen(1, "2026-03-02 10:00:00", action="like"),
            seen(1, "2026-03-02 10:00:01", action="share"),
            seen(2, "2026-03-02 11:00:00", os="Android", gender=0, age=40, source="organic"),
        ],
        messages=[
            sent(1, 2, "2026-03-02 12:00:00"),
            sent(1, 2, "2026-03-02 12:05:00"),
            sent(1, 3, "2026-03-02 12:06:00"),
            sent(2, 2, "2026-03-02 12:07:00", os="Android", gender=0, age=40),
        ],
    )
    rows = world.user_daily(MONDAY)[["user_id", "views", "likes", "messages_sent", "users_sent"]]
    assert rows.to_numpy().tolist() == [[1, 2, 1, 3, 2], [2, 1, 0, 1, 1], [3, 0, 0, 0, 0]]
    rows = world.user_daily(MONDAY)[["user_id", "messages_received", "users_received"]]
    assert rows.to_numpy().tolist() == [[1, 0, 0], [2, 3, 2], [3, 1, 1]]
    final = world.dimension_metrics(MONDAY)
    assert list(final.columns) == [
        "event_date", "dimension", "dimension_value", "views", "likes",
        "messages_received", "messages_sent", "users_received", "users_sent",
    ]  # fmt: skip
    assert final.to_numpy().tolist() == [
        [MONDAY, "os", "Android", 1, 0, 3, 1, 2, 1],
        [MONDAY, "os", "iOS", 2, 1, 0, 3, 0, 2],
        [MONDAY, "os", "unknown", 0, 0, 1, 0, 1, 0],
        [MONDAY, "gender", "female", 1, 0, 3, 1, 2, 1],
        [MONDAY, "gender", "male", 2, 1, 0, 3, 0, 2],
        [MONDAY, "gender", "unknown", 0, 0, 1, 0, 1, 0],
        [MONDAY, "age", "25", 2, 1, 0, 3, 0, 2],
        [MONDAY, "age", "40", 1, 0, 3, 1, 2, 1],
        [MONDAY, "age", "unknown", 0, 0, 1, 0, 1, 0],
    ]


def test_a_received_message_counts_for_the_receivers_slice_of_earlier_days() -> None:
    world = oracle([seen(2, "2026-03-02 10:00:00", os="Android")], [sent(1, 2, "2026-03-03 10:00:00")])
    assert values(world.slice(TUESDAY, "os"), "messages_received") == {"Android": 1, "iOS": 0}


def test_a_receiver_whose_first_event_comes_on_a_later_day_is_unknown_until_then() -> None:
    world = oracle(
        [seen(2, "2026-03-03 23:59:59", os="Android")],
        [sent(1, 2, "2026-03-02 10:00:00"), sent(1, 2, "2026-03-03 10:00:00")],
    )
    assert values(world.slice(MONDAY, "os"), "messages_received") == {"iOS": 0, "unknown": 1}
    assert values(world.slice(TUESDAY, "os"), "messages_received") == {"Android": 1, "iOS": 0}


def test_an_attribute_is_its_latest_known_value_and_missing_values_change_nothing() -> None:
    world = oracle(
        [seen(1, "2026-03-02 10:00:00"), seen(1, "2026-03-03 10:00:00", **{**UNKNOWN_USER, "os": "Android"})],
        [sent(1, 2, "2026-03-03 09:00:00", **{**UNKNOWN_USER, "gender": 0, "age": 26})],
    )
    user = by_user(world.users(TUESDAY))[1]
    assert user == {
        "os": "Android", "gender": "female", "age": 26, "country": "Russia", "city": "Moscow", "exp_group": 2,
        "source": "ads", "first_day": MONDAY, "last_active_day": TUESDAY,
    }  # fmt: skip


def test_every_spelling_of_unknown_is_none_in_the_snapshot() -> None:
    spellings = {"os": ("", None), "gender": (-1, 2, "other", pd.NA), "age": (0, -1, pd.NA), "exp_group": (-1, None)}
    for attribute, values_of_unknown in spellings.items():
        for spelling in values_of_unknown:
            world = oracle([seen(1, "2026-03-02 10:00:00", **{attribute: spelling})], [])
            assert by_user(world.users(MONDAY))[1][attribute] is None
            assert values(world.slice(MONDAY, attribute), "views") == {"unknown": 1}


def test_of_two_known_values_in_one_second_the_greatest_is_taken_over_both_services() -> None:
    world = oracle(
        [seen(1, "2026-03-02 10:00:00", os="Android", gender=1, age=30, city="A", exp_group=4)],
        [sent(1, 2, "2026-03-02 10:00:00", os="iOS", gender=0, age=29, city="B", exp_group=0)],
    )
    user = by_user(world.users(MONDAY))[1]
    assert [user[n] for n in ("os", "gender", "age", "city", "exp_group")] == ["iOS", "male", 30, "B", 4]


@pytest.mark.parametrize(
    ("feed_sources", "message_sources", "source"),
    [
        (["ads"], ["organic"], "ads"),  # the feed's before the messenger's
        ([], ["ads", "organic"], "organic"),  # then the greatest
        (["ads", None, "organic"], [], "organic"),
        (["", "ads"], ["organic"], "ads"),
        (["", None], ["organic"], None),  # the feed's first second knows none: no look at anything later
    ],
)
def test_the_source_is_that_of_the_first_event(
    feed_sources: list[Any], message_sources: list[Any], source: str | None
) -> None:
    world = oracle(
        [seen(1, "2026-03-02 10:00:00", source=s) for s in feed_sources]
        + [seen(1, "2026-03-02 10:00:01", source="zzz"), seen(1, "2026-03-03 10:00:00", source="zzz")],
        [sent(1, 2, "2026-03-02 10:00:00", source=s) for s in message_sources],
    )
    assert by_user(world.users(TUESDAY))[1]["source"] == source


def test_events_before_the_first_day_are_in_its_snapshot() -> None:
    world = oracle([seen(1, "2026-02-27 23:59:59"), seen(2, "2026-03-05 00:00:00")], [])
    assert list(by_user(world.users(MONDAY))) == [1]
    assert by_user(world.users(WEDNESDAY))[1]["first_day"] == date(2026, 2, 27)
    assert all(world.user_daily(day).empty for day in DAYS)


def test_a_window_is_known_from_its_first_day_with_history_on() -> None:
    world = oracle([seen(1, "2026-02-25 12:00:00"), seen(2, "2026-03-03 12:00:00")], [])
    rows = [world.app_daily(day).to_dict("records")[0] for day in DAYS]
    assert [row["wau"] for row in rows] == [None, 2, 1]  # the 25th to the 3rd are seven days
    assert [row["mau"] for row in rows] == [None, None, None]
    assert [row["stickiness"] for row in rows] == [None, None, None]


def test_age_groups_have_these_borders() -> None:
    ages = (1, 17, 18, 24, 25, 34, 35, 44, 45, 54, 55, 99)
    groups = ("<18", "18-24", "25-34", "35-44", "45-54", "55+")
    assert [age_group(age) for age in ages] == [group for group in groups for _ in (1, 2)]
    assert age_group(None) is None
