"""`slot_metrics` computed a second time, from DOMAIN.md and in plain loops, without a database."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

Key = tuple[datetime.datetime, str, str]  # the slot's begin in UTC, dimension, value
MEASURES = ("views", "likes", "feed_users", "messages", "senders")
_QUARTER = datetime.timedelta(minutes=15)
_WEEK = datetime.timedelta(days=7)


def slot_rows(
    feed: pd.DataFrame,
    messages: pd.DataFrame,
    start: datetime.datetime,
    end: datetime.datetime,
    dimensions: Iterable[str],
) -> dict[Key, dict[str, Any]]:
    """What the rollup of [start, end) must hold: key → measures and ctr."""
    names = tuple(dimensions)
    counts: dict[Key, dict[str, int]] = defaultdict(lambda: dict.fromkeys(MEASURES, 0))
    users: dict[tuple[Key, str], set[int]] = defaultdict(set)
    feed = feed.dropna(subset=["user_id"])
    messages = messages.dropna(subset=["user_id", next(name for name in messages if name.startswith("rec"))])
    for service, events in (("feed_users", feed), ("senders", messages)):
        for event in events.to_dict("records"):
            moment = event["time"].to_pydatetime()
            if not start <= moment < end:
                continue
            begin = moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0)
            for dimension, value in _slices(event, names):
                key = (begin, dimension, value)
                users[key, service].add(event["user_id"])
                counted = {"view": "views", "like": "likes"}.get(event["action"]) if "action" in event else "messages"
                if counted:
                    counts[key][counted] += 1
                counts[key][service] = len(users[key, service])
    rows: dict[Key, dict[str, Any]] = {}
    slots = list(_grid(start, end))
    values = {(dimension, value) for _, dimension, value in counts} | {("total", "total")}
    for dimension, value in values:
        # An action that is neither view nor like makes a feed user, and no event that counts.
        events_at = [slot for slot in slots if _events(counts.get((slot, dimension, value)))]
        for slot in slots:
            key = (slot, dimension, value)
            alive = any(slot - _WEEK < each <= slot for each in events_at)
            if key in counts or alive or dimension == "total":
                rows[key] = dict(counts[key]) if key in counts else dict.fromkeys(MEASURES, 0)
    for row in rows.values():
        row["ctr"] = row["likes"] / row["views"] if row["views"] else None
    return rows


def _events(row: dict[str, int] | None) -> int:
    return row["views"] + row["likes"] + row["messages"] if row else 0


def _grid(start: datetime.datetime, end: datetime.datetime) -> Iterator[datetime.datetime]:
    while start < end:
        yield start
        start += _QUARTER


def _slices(event: dict[str, Any], dimensions: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    yield "total", "total"
    for dimension in dimensions:
        value = event[dimension]
        if dimension == "gender":
            named = {"1": "male", "male": "male", "0": "female", "female": "female"}
            yield dimension, named.get(_text(value), "unknown")
        elif dimension == "exp_group":
            yield dimension, "unknown" if pd.isna(value) or value < 0 else str(int(value))
        else:
            yield dimension, _text(value) or "unknown"


def _text(value: Any) -> str:
    if value is None or pd.isna(value):
        return ""
    return str(int(value)) if isinstance(value, float) else str(value)
