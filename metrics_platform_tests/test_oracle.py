"""The oracle against cases small enough to be computed manually, so that it can be trusted in other tests."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from metrics_platform_tests.generated_events import TRAPS, World, worlds
from metrics_platform_tests.oracle import SLICE_MEASURES, Oracle, age_group, assert_same_rows, day_interval

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


def test_a_receiver_without_own_events_is_not_in_the_snapshot() -> None:
    world = oracle([], [sent(1, 2, "2026-03-02 10:00:00")])
    assert set(by_user(world.users(MONDAY))) == {1}
    assert set(by_user(world.user_daily(MONDAY))) == {1, 2}


def test_any_feed_action_makes_a_feed_user_and_only_sending_makes_a_messenger_user() -> None:
    world = oracle([seen(1, "2026-03-02 10:00:00", action="share")], [sent(2, 3, "2026-03-02 10:00:00")])
    rows = by_user(world.user_daily(MONDAY))
    assert {user: (row["used_feed"], row["used_messenger"]) for user, row in rows.items()} == {
        1: (True, False), 2: (False, True), 3: (False, False),
    }  # fmt: skip


def test_a_message_to_oneself_is_sent_and_received_by_one_user() -> None:
    row = by_user(oracle([], [sent(1, 1, "2026-03-02 10:00:00")]).user_daily(MONDAY))[1]
    measures = ("messages_sent", "users_sent", "messages_received", "users_received")
    assert [row[m] for m in measures] == [1, 1, 1, 1]


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


@pytest.mark.parametrize(
    ("attribute", "spelling"),
    [
        *(("os", s) for s in ("", None, float("nan"), pd.NA)),
        *(("gender", s) for s in (-1, 2, "", "other", None, float("nan"), pd.NA)),
        *(("age", s) for s in (0, -1, None, float("nan"), pd.NA)),
        *(("exp_group", s) for s in (-1, None, pd.NA)),
        *((name, s) for name in ("source", "country", "city") for s in ("", None, float("nan"))),
    ],
)
def test_every_spelling_of_unknown_is_none_in_the_snapshot(attribute: str, spelling: Any) -> None:
    world = oracle([seen(1, "2026-03-02 10:00:00", **{attribute: spelling})], [])
    assert by_user(world.users(MONDAY))[1][attribute] is None
    assert values(world.slice(MONDAY, attribute), "views") == {"unknown": 1}


@pytest.mark.parametrize(("spelling", "gender"), [(1, "male"), (0, "female"), ("male", "male"), ("female", "female")])
def test_gender_is_accepted_as_a_number_and_as_text(spelling: Any, gender: str) -> None:
    world = oracle([seen(1, "2026-03-02 10:00:00", gender=spelling)], [])
    assert by_user(world.users(MONDAY))[1]["gender"] == gender


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


def test_a_message_before_the_first_feed_event_gives_the_source() -> None:
    world = oracle([seen(1, "2026-03-02 10:00:01")], [sent(1, 2, "2026-03-02 10:00:00", source="organic")])
    assert by_user(world.users(MONDAY))[1]["source"] == "organic"


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


def test_a_user_of_an_earlier_day_is_not_new_on_the_first_day() -> None:
    world = oracle([seen(1, "2026-03-01 12:00:00"), seen(1, "2026-03-02 12:00:00"), seen(2, "2026-03-02 12:00:00")], [])
    (row,) = world.app_daily(MONDAY).to_dict("records")
    assert (row["new_users"], row["cohort_d1"], row["retained_d1"]) == (1, 1, 1)


def test_an_empty_day_has_no_rows_and_the_snapshot_stays() -> None:
    world = oracle([seen(1, "2026-03-02 10:00:00")], [])
    assert world.user_daily(TUESDAY).empty
    assert world.dimension_metrics(TUESDAY).empty
    assert by_user(world.users(TUESDAY)) == by_user(world.users(MONDAY))


def test_days_that_leave_out_time_are_refused() -> None:
    with pytest.raises(ValueError, match="leave out time"):
        oracle([], [], days=[MONDAY, WEDNESDAY])


@pytest.mark.parametrize(
    ("timezone", "day", "first_instant", "hours"),
    [
        ("UTC", date(2026, 3, 8), "2026-03-08 00:00", 24),
        ("Europe/Moscow", date(2026, 3, 8), "2026-03-07 21:00", 24),
        ("America/New_York", date(2026, 3, 8), "2026-03-08 05:00", 23),
        ("America/New_York", date(2026, 11, 1), "2026-11-01 04:00", 25),
        ("America/Sao_Paulo", date(2018, 11, 4), "2018-11-04 03:00", 23),  # begins at 01:00, no midnight
        ("America/Sao_Paulo", date(2018, 2, 17), "2018-02-17 02:00", 25),
        ("America/Havana", date(2026, 11, 1), "2026-11-01 04:00", 25),  # midnight twice
        # the clock goes back at 00:01, into the day before: the new day has begun and goes on
        ("America/St_Johns", date(2010, 11, 6), "2010-11-06 02:30", 24),
        ("America/St_Johns", date(2010, 11, 7), "2010-11-07 02:30", 25),
        ("Asia/Kathmandu", date(2026, 3, 8), "2026-03-07 18:15", 24),
        ("Pacific/Apia", date(2011, 12, 29), "2011-12-29 10:00", 24),
        ("Pacific/Apia", date(2011, 12, 30), "2011-12-30 10:00", 0),
        ("Pacific/Apia", date(2011, 12, 31), "2011-12-30 10:00", 24),
        ("Australia/Lord_Howe", date(2026, 4, 5), "2026-04-04 13:00", 24.5),
    ],
)
def test_a_day_runs_from_its_first_instant_to_the_next_days(
    timezone: str, day: date, first_instant: str, hours: float
) -> None:
    start, end = day_interval(timezone, day)
    assert datetime.fromtimestamp(start, UTC) == datetime.fromisoformat(first_instant).replace(tzinfo=UTC)
    assert (end - start) / 3600 == hours


@given(
    timezone=st.sampled_from(["UTC", "America/New_York", "America/Sao_Paulo", "Asia/Kathmandu"]),
    second=st.integers(1_293_840_000, 1_798_761_599),  # 2011 to 2026
)
def test_an_instant_lies_in_the_interval_of_its_local_date(timezone: str, second: int) -> None:
    start, end = day_interval(timezone, datetime.fromtimestamp(second, ZoneInfo(timezone)).date())
    assert start <= second < end


def test_age_groups_have_these_borders() -> None:
    ages = (1, 17, 18, 24, 25, 34, 35, 44, 45, 54, 55, 99)
    groups = ("<18", "18-24", "25-34", "35-44", "45-54", "55+")
    assert [age_group(age) for age in ages] == [group for group in groups for _ in (1, 2)]
    assert age_group(None) is None


@given(world=worlds())
@settings(max_examples=50, deadline=None)
def test_the_invariants_hold_in_generated_worlds(world: World) -> None:
    expected = Oracle(world.feed, world.messages, world.zone, world.days, world.receiver_column)
    for day in world.days:
        final = expected.dimension_metrics(day, ("os", "gender", "age", "age_group", "source", "exp_group"))
        assert not final.duplicated(["event_date", "dimension", "dimension_value"]).any()
        assert not (final["dimension_value"] == "").any()
        sums = final.groupby("dimension")[list(SLICE_MEASURES)].sum()
        assert len(sums.drop_duplicates()) <= 1
        assert final["messages_sent"].sum() == final["messages_received"].sum()


@pytest.mark.parametrize("trap", TRAPS)
def test_generated_worlds_hit_this_trap(trap: str) -> None:
    only_look = settings(max_examples=500, phases=[Phase.generate], derandomize=True, deadline=None)
    assert TRAPS[trap](find(worlds(), TRAPS[trap], settings=only_look))


def test_the_same_rows_in_another_order_and_other_number_types_are_equal() -> None:
    assert_same_rows(
        pd.DataFrame({"user_id": [2, 1], "age": [None, 5.0], "day": pd.to_datetime([TUESDAY, MONDAY])}),
        pd.DataFrame({"user_id": [1, 2], "age": [5, pd.NA], "day": [MONDAY, TUESDAY]}, dtype=object),
        "user_id",
    )


@pytest.mark.parametrize(
    ("actual", "message"),
    [
        ({"user_id": [1, 2], "os": ["iOS", ""]}, r"\(2,\) os: actual '', expected None"),
        ({"user_id": [1], "os": ["iOS"]}, r"missing row \(2,\)"),
        ({"user_id": [1, 2, 3], "os": ["iOS", None, None]}, r"unexpected row \(3,\)"),
        ({"user_id": [1, 1, 2], "os": ["iOS", "iOS", None]}, r"actual: 2 rows for \(1,\)"),
        ({"user_id": [1, 2]}, r"columns: missing \['os'\]"),
        ({"user_id": [1, 2], "os": ["iOS", None], "age": [1, 1]}, r"unexpected \['age'\]"),
        ({"os": ["iOS"]}, r"the key \['user_id'\] is not in both"),
    ],
)
def test_a_difference_is_reported_with_its_key_and_column(actual: dict[str, Any], message: str) -> None:
    expected = pd.DataFrame({"user_id": [1, 2], "os": ["iOS", None]})
    with pytest.raises(AssertionError, match=message):
        assert_same_rows(pd.DataFrame(actual), expected, "user_id")
