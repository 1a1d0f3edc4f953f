"""One notification of every kind, as a day at such a product brings them. Many tests use them."""

from __future__ import annotations

import datetime
import math
import zoneinfo
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from metrics_platform.catalog import builtin_catalog
from metrics_platform.formats import Language
from metrics_platform.notifications import kinds
from metrics_platform.notifications.composer import render
from metrics_platform.notifications.message import Message, units
from metrics_platform.notifications.telegram_calls import TEXT_UNITS, parts_of
from metrics_platform.notifications.writer import Writer
from metrics_platform.settings import Settings
from metrics_platform_tests.telegram.parsing import MOST_ENTITIES, Parsed, parse_html

ZONE = zoneinfo.ZoneInfo("Europe/Moscow")
SLOT = datetime.timedelta(minutes=15)
NOON = datetime.datetime(2026, 11, 21, 10, 45, tzinfo=ZONE)
DAY = datetime.date(2026, 11, 21)


def writer(language: Language = "en", now: datetime.datetime = NOON + 2 * SLOT, **settings: Any) -> Writer:
    """The writer of an installation in Moscow."""
    given = {
        "language": language,
        "timezone": ZONE.key,
        "environment": "production",
        "owner": "team:metrics",
        "dashboard_url": "https://bi.example.com/dashboards/7",
        "dagster_url": "https://dagster.example.com",
    }
    return Writer(Settings.model_construct(**{**given, **settings}), now, builtin_catalog())


@cache
def told(language: Language, key: str) -> Message:
    """An example as it is sent soon after it happened."""
    event = EXAMPLES[key]
    moment = event.occurred_at + datetime.timedelta(seconds=20)
    return render(event, writer(language, moment), parts_of_example(event))


def seen(message: Message, limit: int = TEXT_UNITS) -> list[Parsed]:
    """The parts of a message as a person sees them in Telegram: each is accepted, not blank and within the limits."""
    parts = parts_of(message, limit)
    found = [parse_html(part.html) for part in parts]
    assert found
    for part, parsed in zip(parts, found, strict=True):
        assert 0 < parsed.length <= limit
        assert units(part.plain) <= limit
        assert len(parsed.entities) <= MOST_ENTITIES
    return found


def shown(message: Message) -> str:
    """The whole message as a person reads it in Telegram."""
    return "\n".join(parsed.text for parsed in seen(message))


def history(value: float = 4812, expected: float = 8160) -> kinds.History:
    """24 hours of slots with a daily curve; the last one should be `expected` and is `value`."""
    times = tuple(NOON - SLOT * (95 - number) for number in range(96))
    shape = [0.55 + 0.45 * math.sin((time.hour + time.minute / 60 - 9) / 24 * 2 * math.pi) for time in times]
    curve = [expected * level / shape[-1] for level in shape]
    values = [round(level * (1 + 0.03 * math.sin(number * 1.7))) for number, level in enumerate(curve)]
    return kinds.History(
        times=times,
        values=(*values[:-1], round(value)),
        lower=tuple(level * 0.88 for level in curve),
        upper=tuple(level * 1.12 for level in curve),
        day_before=tuple(level * 0.97 for level in curve),
    )


def anomaly(metric: str = "views", *, value: float | None = 4812, expected: float = 8160, **more: Any) -> kinds.Anomaly:
    """Views that fell by 41 %."""
    bounds = {"lower": expected * 0.93, "upper": expected * 1.09}
    return kinds.Anomaly(**{**_DATA["views"], "metric": metric, "value": value, "expected": expected, **bounds, **more})


def _report(day: int, parts: list[str], **more: Any) -> dict[str, Any]:
    """The report of a day, sent at 11:00 on the next one."""
    date = DAY.replace(day=day)
    midnight, next_midnight = (datetime.datetime(2026, 11, number, tzinfo=ZONE) for number in (day, day + 1))
    return {
        "kind": "daily_report",
        "key": f"report-{date}",
        "occurred_at": next_midnight.replace(hour=11),
        "date": date,
        "period_start": midnight,
        "period_end": next_midnight,
        "run_id": "0f4f3a55-96d1-4a60-9d2a-4a5b1c2d3e4f",
        "fresh_at": next_midnight.replace(hour=6, minute=2),
        "checks_passed": 96,
        "checks_total": 97,
        "parts": [_part(name, _DATA["report_rows"][name]) for name in parts],
        **more,
    }


def _part(name: str, rows: list[list[Any]]) -> dict[str, Any]:
    series = [
        {
            "metric": metric,
            "unit": unit,
            "values": [*(value * (1 + 0.05 * math.sin(number * 1.3 + len(metric))) for number in range(6)), value],
            "values_before": [value * (0.96 + 0.05 * math.sin(number + len(metric))) for number in range(7)],
        }
        for metric, unit, value, *_ in rows[:6]
    ]
    names = ("metric", "unit", "value", "day_before", "week_before")
    return {"name": name, "rows": [dict(zip(names, row, strict=True)) for row in rows], "series": series}


def _event(facts: dict[str, Any]) -> kinds.Event:
    for found in facts.get("anomalies", ()):
        if isinstance(found.get("history"), int):
            found["history"] = history(found["history"])
    return _READ.validate_python({"occurred_at": NOON + 2 * SLOT, **facts})


_DATA: dict[str, Any] = yaml.load(Path(__file__).with_suffix(".yaml").read_text("utf-8"), yaml.CSafeLoader)
_READ: TypeAdapter[kinds.Event] = TypeAdapter(kinds.Notification)
_EVENTS = [_event(facts) for facts in (*(_report(**report) for report in _DATA["reports"]), *_DATA["events"])]
_PARTS = tuple(event.key for event in _EVENTS if event.digestible and not isinstance(event, kinds.AnomalyUpdated))
_EVENTS.append(kinds.Digest(key="digest-1", occurred_at=NOON + 2 * SLOT, notifications=_PARTS))
EXAMPLES: dict[str, kinds.Event] = {event.key: event for event in _EVENTS}


def parts_of_example(event: kinds.Event) -> tuple[kinds.Event, ...]:
    """What a digest among the examples is written from."""
    keys = event.notifications if isinstance(event, kinds.Digest) else ()
    return tuple(EXAMPLES[key] for key in keys if key in EXAMPLES)
