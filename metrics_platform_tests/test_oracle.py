"""A day small enough to be computed manually, so that the oracle of the daily tables is anchored in numbers."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd

from metrics_platform_tests.oracle import Oracle

MONDAY = date(2026, 3, 2)
PROFILE: dict[str, Any] = {
    "gender": 1, "age": 25, "country": "Russia", "city": "Moscow",
    "os": "iOS", "source": "ads", "exp_group": 2,
}  # fmt: skip


def seen(user_id: int, time: str, action: str = "view", post_id: int = 1, **changed: Any) -> dict[str, Any]:
    return {"user_id": user_id, "post_id": post_id, "action": action, "time": time, **PROFILE, **changed}


def sent(user_id: int, receiver_id: int, time: str, **changed: Any) -> dict[str, Any]:
    return {"user_id": user_id, "receiver_id": receiver_id, "time": time, **PROFILE, **changed}


def oracle(feed: list[dict[str, Any]], messages: list[dict[str, Any]]) -> Oracle:
    def frame(rows: list[dict[str, Any]], example: dict[str, Any]) -> pd.DataFrame:
        table = pd.DataFrame(rows, columns=list(example), dtype=object)
        return table.assign(time=pd.to_datetime(table["time"], utc=True).dt.as_unit("s"))

    return Oracle(frame(feed, seen(1, "")), frame(messages, sent(1, 2, "")), "UTC", [MONDAY])


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
