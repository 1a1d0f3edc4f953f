"""One notification of every kind, as a day at such a product brings them; several tests look at each."""

from __future__ import annotations

import datetime
import math
import zoneinfo

from metrics_platform.formats import Language
from metrics_platform.notifications import kinds
from metrics_platform.notifications.message import Message
from metrics_platform.notifications.templates import write
from metrics_platform.notifications.templates.writer import Writer

ZONE = zoneinfo.ZoneInfo("Europe/Moscow")
SLOT = datetime.timedelta(minutes=15)
NOON = datetime.datetime(2026, 11, 21, 10, 45, tzinfo=ZONE)
DAY = datetime.date(2026, 11, 21)


def writer(language: Language = "en", now: datetime.datetime = NOON + 2 * SLOT) -> Writer:
    """The writer of a desk in Moscow."""
    return Writer(
        language=language,
        zone=ZONE,
        environment="production",
        owner="team:metrics",
        now=now,
        dashboard_url="https://bi.example.com/dashboards/7",
        dagster_url="https://dagster.example.com",
    )


def told(language: Language, key: str) -> Message:
    """An example as it is told soon after it happened."""
    event = EXAMPLES[key]
    moment = event.occurred_at + datetime.timedelta(seconds=20)
    return write(event, writer(language, moment), parts_of_example(event))


def history(value: float = 4812, expected: float = 8160) -> kinds.History:
    """24 hours of slots with a daily curve; the last one should be `expected` and is `value`."""
    times = tuple(NOON - SLOT * (95 - number) for number in range(96))
    shape = [0.55 + 0.45 * math.sin((time.hour + time.minute / 60 - 9) / 24 * 2 * math.pi) for time in times]
    curve = [expected * each / shape[-1] for each in shape]
    wobble = [1 + 0.03 * math.sin(number * 1.7) for number in range(96)]
    values = [round(level * factor) for level, factor in zip(curve, wobble, strict=True)]
    values[-1] = round(value)
    return kinds.History(
        times=times,
        values=tuple(values),
        lower=tuple(value * 0.88 for value in curve),
        upper=tuple(value * 1.12 for value in curve),
        day_before=tuple(value * 0.97 for value in curve),
        week_before=tuple(value * 0.92 for value in curve),
    )


def anomaly(
    metric: str = "views", *, value: float | None = 4812, expected: float = 8160, **more: object
) -> kinds.Anomaly:
    """Views that fell by 41 %."""
    facts: dict[str, object] = {
        "incident": "A7K2Q",
        "metric": metric,
        "unit": "count",
        "slot_start": NOON,
        "slot_end": NOON + SLOT,
        "value": value,
        "expected": expected,
        "lower": expected * 0.93,
        "upper": expected * 1.09,
        "day_before": 8155,
        "detector": "seasonal",
        "score": 6.1,
    }
    return kinds.Anomaly.model_validate({**facts, **more})


_ROWS = [
    ("app_dau", "count", 22104, 22330, 21460),
    ("feed_dau", "count", 20877, 21011, 20301),
    ("messenger_dau", "count", 2433, 2433, 2390),
    ("feed_only", "count", 19671, 19800, 19100),
    ("both_services", "count", 1206, 1240, 1190),
    ("messages_sent", "count", 12897, 12897, 12870),
    ("sent_per_sender", "ratio", 5.3, 5.28, 5.41),
    ("new_users", "count", 812, 1320, 0),
    ("wau", "count", 61234, 60990, 58800),
    ("mau", "count", 128440, 128002, 121000),
    ("stickiness", "share", 0.1721, 0.1745, 0.1773),
    ("retention_d1", "share", 0.312, 0.298, None),
]
_FEED_ROWS = [
    ("feed_dau", "count", 20877, 21011, 20301),
    ("views", "count", 617487, 643215, 611373),
    ("likes", "count", 124494, 129681, 122053),
    ("ctr", "share", 0.2016, 0.2006, 0.2036),
]


def _part(
    name: str, rows: list[tuple[str, str, float, float, float | None]], panels: int, last: datetime.date = DAY
) -> kinds.ReportPart:
    days = tuple(last - datetime.timedelta(days=6 - number) for number in range(7))
    series = []
    for metric, unit, value, _, _ in rows[:panels]:
        now = tuple(value * (1 + 0.05 * math.sin(number * 1.3 + len(metric))) for number in range(6))
        before = tuple(value * (0.96 + 0.05 * math.sin(number + len(metric))) for number in range(7))
        series.append({"metric": metric, "unit": unit, "values": (*now, value), "values_before": before})
    table = [
        {"metric": metric, "unit": unit, "value": value, "day_before": day, "week_before": week}
        for metric, unit, value, day, week in rows
    ]
    return kinds.ReportPart.model_validate({"name": name, "rows": table, "days": days, "series": series})


def _report_of(day: int) -> dict[str, object]:
    date = DAY.replace(day=day)
    midnight, next_midnight = (datetime.datetime(2026, 11, each, tzinfo=ZONE) for each in (day, day + 1))
    return {
        "key": f"report-{date}",
        "occurred_at": next_midnight.replace(hour=11),
        "date": date,
        "period_start": midnight,
        "period_end": next_midnight,
        "run_id": "0f4f3a55-96d1-4a60-9d2a-4a5b1c2d3e4f",
        "fresh_at": next_midnight.replace(hour=6, minute=2),
        "checks_passed": 96,
        "checks_total": 97,
    }


_NOTHING = {"fresh_at": None, "checks_passed": None, "checks_total": None}
_ERROR = """\
metrics_platform.warehouse.errors.WarehouseError: ClickHouse refused `users` of 2026-11-21 (code 241):
Memory limit (for query) exceeded: would use 4.12 GiB, maximum: 4.00 GiB.
Remedy: raise METRICS_CLICKHOUSE_MAX_MEMORY_MB, or compute fewer days in one run."""
_OPENING = "anomaly-A7K2Q"

_EVENTS: list[kinds.Event] = [
    kinds.DailyReport.model_validate(
        {
            **_report_of(21),
            "parts": [_part("feed", _FEED_ROWS, 4), _part("application", _ROWS, 6)],
            "critical": 1,
            "warning": 1,
            "normal": 12,
            "incidents": [
                anomaly(
                    "likes",
                    value=74,
                    expected=125,
                    contributions=[{"dimension": "os", "value": "Android", "change": -0.68}],
                ),
                anomaly("ctr", value=0.166, expected=0.2003, unit="share", severity="warning", incident="D5E6F"),
            ],
        }
    ),
    kinds.DailyReport.model_validate(
        {**_report_of(20), "parts": [_part("feed", _FEED_ROWS, 4, DAY.replace(day=20))], "problem": "incomplete"}
    ),
    kinds.DailyReport.model_validate({**_report_of(19), "parts": [], "problem": "missing", **_NOTHING}),
    kinds.DailyReport.model_validate(
        {
            **_report_of(19),
            "key": "report-2026-11-19-2",
            "thread": "report-2026-11-19",
            "correction": True,
            "parts": [_part("feed", _FEED_ROWS, 4, DAY.replace(day=19))],
        }
    ),
    kinds.AnomalyOpened(
        key=_OPENING,
        occurred_at=NOON + SLOT + SLOT,
        run_id="7d1c3a55-96d1-4a60-9d2a-4a5b1c2d3e4f",
        fresh_at=NOON + SLOT + datetime.timedelta(seconds=20),
        moved_with=("likes", "feed_users"),
        anomalies=(
            anomaly(
                history=history(),
                contributions=[
                    {"dimension": "os", "value": "Android", "change": -0.68, "share_of_change": 0.82},
                    {"dimension": "os", "value": "iOS", "change": -0.04},
                ],
            ),
        ),
    ),
    kinds.AnomalyOpened(
        key="anomaly-no-data",
        occurred_at=NOON + SLOT + SLOT,
        complete=False,
        anomalies=(anomaly("messages", value=None, expected=130, day_before=127, incident="B1C2D"),),
    ),
    kinds.AnomalyOpened(
        key="anomaly-several",
        occurred_at=NOON + SLOT + SLOT,
        anomalies=(
            anomaly(history=history()),
            anomaly("likes", value=800, expected=1650, incident="C3D4E"),
            anomaly("ctr", value=0.166, expected=0.2003, unit="share", severity="warning", incident="D5E6F"),
            anomaly("feed_users", value=410, expected=620, incident="E7F8G", dimension="os", dimension_value="Android"),
        ),
    ),
    kinds.AnomalyUpdated(
        key="anomaly-A7K2Q-2",
        thread=_OPENING,
        occurred_at=NOON + 3 * SLOT,
        anomalies=(anomaly(history=history()), anomaly("likes", value=800, expected=1650, incident="C3D4E")),
    ),
    kinds.AnomalyStillOpen(
        key="anomaly-A7K2Q-reminder-1",
        thread=_OPENING,
        occurred_at=NOON + 2 * SLOT,
        opened_at=NOON - 10 * SLOT,
        anomalies=(anomaly(value=5301, history=history(5301)),),
    ),
    kinds.AnomalyResolved(
        key="anomaly-A7K2Q-resolved",
        thread=_OPENING,
        occurred_at=NOON + 6 * SLOT,
        resolved=(
            kinds.ResolvedAnomaly(
                incident="A7K2Q",
                metric="views",
                unit="count",
                opened_at=NOON + SLOT,
                resolved_at=NOON + 6 * SLOT,
                value=8011,
                worst_change=-0.52,
                worst_at=NOON + 2 * SLOT,
            ),
        ),
    ),
    kinds.FailedRun(
        key="run-7d1c3a55",
        occurred_at=NOON + 2 * SLOT,
        run_id="7d1c3a55-96d1-4a60-9d2a-4a5b1c2d3e4f",
        job="daily_etl",
        steps=("users",),
        partition="2026-11-21",
        attempt=3,
        attempts=3,
        cause=_ERROR,
        impact=("users", "user_daily", "os_slice", "gender_slice", "age_slice", "dimension_metrics"),
        repeats=2,
    ),
    kinds.FailedRun(key="run-killed", occurred_at=NOON + 2 * SLOT, job="daily_etl", cause="", killed=True),
    kinds.FailedRun(
        key="run-never-started",
        occurred_at=NOON + 2 * SLOT,
        job="anomaly_check",
        attempt=1,
        attempts=3,
        cause="Run timed out due to taking longer than 1800 seconds to start.",
        never_started=True,
    ),
    kinds.FailedTick(
        key="tick-4711-1763721000000",
        occurred_at=NOON + 2 * SLOT,
        automation="sensor",
        name="source_sensor",
        cause=_ERROR,
        repeats=2,
    ),
    kinds.FailedTick(
        key="tick-4712-1763721000000",
        occurred_at=NOON + 2 * SLOT,
        automation="code location",
        name="metrics_platform",
        cause="The code server does not answer.",
    ),
    kinds.Recovered(
        key="tick-4711-1763721000000-over-3",
        thread="tick-4711-1763721000000",
        occurred_at=NOON + 4 * SLOT,
        automation="sensor",
        name="source_sensor",
        failures=3,
        failed_since=NOON - datetime.timedelta(hours=3),
        failed_until=NOON + 2 * SLOT,
    ),
    kinds.FailedRuns(
        key="failures-2026-11-21T103000",
        occurred_at=NOON + 2 * SLOT,
        failures=37,
        since=NOON - datetime.timedelta(hours=8),
        subjects=(("daily_etl", 20), ("anomaly_check", 15), ("check dimension_metrics:keys_are_unique", 2)),
        causes=(("No space left on device", 21), ("Memory limit (for query) exceeded: would use 4.2 GiB", 14)),
    ),
    kinds.Recovered(
        key="run-7d1c3a55-over-3",
        thread="run-7d1c3a55",
        occurred_at=NOON + 4 * SLOT,
        job="daily_etl",
        failures=3,
        failed_since=NOON - datetime.timedelta(hours=3),
        failed_until=NOON + 2 * SLOT,
    ),
    kinds.Recovered(
        key="check-dimension_metrics-over-1",
        thread="check-dimension_metrics-2026-11-21",
        occurred_at=NOON + 4 * SLOT,
        asset="dimension_metrics",
        check="agrees_with_source",
        failures=1,
        failed_since=NOON + 2 * SLOT,
        failed_until=NOON + 2 * SLOT,
    ),
    kinds.FailedCheck(
        key="check-dimension_metrics-2026-11-21",
        occurred_at=NOON + 2 * SLOT,
        asset="dimension_metrics",
        check="agrees_with_source",
        partition="2026-11-21",
        description="views over os are 617,487, counted in simulator.feed_actions 617,493",
        blocking=True,
        numbers=(("views over os", "617,487"), ("views in the source", "617,493")),
        repeats=1,
    ),
    kinds.StaleData(
        key="stale-feed_actions-1",
        occurred_at=NOON + 2 * SLOT,
        table="feed_actions",
        last_event_at=NOON - datetime.timedelta(hours=5, minutes=20),
        limit=datetime.timedelta(hours=3),
    ),
    kinds.StaleData(
        key="stale-feed_actions-2",
        occurred_at=NOON + 2 * SLOT,
        table="feed_actions",
        last_event_at=None,
        limit=datetime.timedelta(hours=3),
        severity="critical",
        still=True,
    ),
    kinds.FreshData(
        key="fresh-feed_actions",
        thread="stale-feed_actions-1",
        occurred_at=NOON + 2 * SLOT,
        table="feed_actions",
        stale_since=NOON - datetime.timedelta(hours=5),
        last_event_at=NOON,
    ),
    kinds.OddVolume(
        key="volume-message_actions-2026-11-20",
        occurred_at=NOON + 2 * SLOT,
        table="message_actions",
        period_start=datetime.datetime(2026, 11, 20, tzinfo=ZONE),
        period_end=datetime.datetime(2026, 11, 21, tzinfo=ZONE),
        rows=8121,
        expected=12890,
        lower=11900,
        upper=13800,
    ),
    kinds.Success(
        key="success-2026-11-21",
        occurred_at=NOON + 2 * SLOT,
        run_id="7d1c3a55-96d1-4a60-9d2a-4a5b1c2d3e4f",
        job="daily_etl",
        partition="2026-11-21",
        took=datetime.timedelta(minutes=3, seconds=12),
        warnings=2,
    ),
    kinds.ReportNotDelivered(
        key="no-report-2026-11-21",
        occurred_at=datetime.datetime(2026, 11, 22, 11, 15, tzinfo=ZONE),
        date=DAY,
        due_at=datetime.datetime(2026, 11, 22, 11, tzinfo=ZONE),
        reason="Telegram refuses: 403 Forbidden: bot was kicked from the supergroup chat. Add it again.",
    ),
    kinds.TestMessage(key="test-1", occurred_at=NOON),
]
_EVENTS.append(
    kinds.Digest(
        key="digest-1",
        occurred_at=NOON + 2 * SLOT,
        notifications=tuple(event.key for event in _EVENTS if event.digestible and event.kind != "anomaly_updated"),
    )
)
EXAMPLES: dict[str, kinds.Event] = {event.key: event for event in _EVENTS}


def parts_of_example(event: kinds.Event) -> tuple[kinds.Event, ...]:
    """What a digest among the examples is written from."""
    return tuple(EXAMPLES[key] for key in event.notifications) if isinstance(event, kinds.Digest) else ()
