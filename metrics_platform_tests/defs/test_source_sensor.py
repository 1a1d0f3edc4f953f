"""The sources, probed every two minutes in a real ClickHouse: stale data, volumes, and what inhibits them."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import dagster as dg
import pandas as pd
import pytest
import time_machine
from pydantic import SecretStr

from metrics_platform.defs.delivery.storage import history_of
from metrics_platform.monitor_settings import parse_active_hours, parse_mute
from metrics_platform.notifications.kinds import Event
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, slot_at
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.tables import INCIDENTS, METRIC_DAILY, MONITOR_TABLES, SLOT_METRICS, columns_of
from metrics_platform_tests.defs.post_office import PostOffice, SensorTicks
from metrics_platform_tests.generated_events import FEED_COLUMNS, MESSAGE_COLUMNS, TYPES
from metrics_platform_tests.worlds import SourceTables, insert_event_counts

NOON = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)
HOUR = datetime.timedelta(hours=1)
DAY = datetime.timedelta(days=1)
WHO = (1, 25, "", "", "iOS", "ads", 0)


class Sensor(SensorTicks):
    """The sensor over source tables of its own."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        super().__init__(PostOffice(settings, instance), "sources")
        self.sources = SourceTables.create(settings)

    def change(self, **changes: Any) -> Settings:
        """Other settings; returns those before."""
        before = self.office.settings
        self.office = PostOffice(before.model_copy(update=changes), self.office.instance)
        return before

    def event(self, moment: datetime.datetime, *, feed: bool = True, messages: bool = True) -> None:
        """Something happens in the product."""
        time = {"time": TYPES["time"]}
        if feed:
            self.sources.insert_feed(
                pd.DataFrame([(1, 1, "view", moment, *WHO)], columns=list(FEED_COLUMNS)).astype(time)
            )
        if messages:
            self.sources.insert_messages(
                pd.DataFrame([(1, 2, moment, *WHO)], columns=list(MESSAGE_COLUMNS)).astype(time)
            )

    def probe(self, moment: datetime.datetime) -> list[str]:
        """A tick at `moment`; the keys of what it queues."""
        before = {event.key for event in self.queued}
        self.tick(moment)
        return [event.key for event in self.queued if event.key not in before]

    def notification(self, key: str) -> Any:
        """The queued notification with a key."""
        event: Event | None = history_of(self.office.instance, key).event
        assert event is not None
        return event

    def days(self, views: dict[datetime.date, int]) -> None:
        """Computed days of `metric_daily` (messages as many as views)."""
        create_tables(self.sources.warehouse, [METRIC_DAILY])
        midnight = datetime.time(tzinfo=datetime.UTC)
        days = {datetime.datetime.combine(date, midnight): count for date, count in views.items()}
        self._count(METRIC_DAILY.name, days)

    def slots(self, views: dict[datetime.datetime, int], *, last_processed: datetime.datetime) -> None:
        """Computed slots (messages as many as views), up to the last one that the monitor has processed."""
        create_tables(self.sources.warehouse, MONITOR_TABLES)
        self._count(SLOT_METRICS.name, views)
        self.sources.warehouse.run(
            lambda client: client.insert("monitored_slots", [[last_processed, 1, 0, 0]]), operation="Test"
        )

    def _count(self, table: str, views: dict[datetime.datetime, int]) -> None:
        counts = {at: {"feed_actions": count, "message_actions": count} for at, count in views.items()}
        insert_event_counts(self.sources.warehouse, table, counts)


@pytest.fixture
def sensor(make_settings: Callable[..., Settings], instance: dg.DagsterInstance) -> Sensor:
    """A product in Moscow with both source tables, empty."""
    settings = make_settings(timezone="Europe/Moscow", start_date=datetime.date(2026, 9, 1))
    return Sensor(settings, instance)


# --- freshness -------------------------------------------------------------------------------------------------------


def test_a_source_that_falls_silent_is_an_alert_with_an_end(sensor: Sensor) -> None:
    sensor.event(NOON)
    assert sensor.probe(NOON + 59 * MINUTE) == []
    sensor.event(NOON + 59 * MINUTE, feed=False)
    assert sensor.probe(NOON + 61 * MINUTE) == ["stale-feed_actions-2026-11-20T120000"]
    sent = sensor.notification("stale-feed_actions-2026-11-20T120000")
    assert (sent.table, sent.last_event_at, sent.limit, sent.severity) == (
        sensor.office.settings.feed_table, NOON, HOUR, "warning",
    )  # fmt: skip
    sensor.event(NOON + 3 * HOUR, feed=False)
    assert sensor.probe(NOON + 3 * HOUR) == ["stale-feed_actions-2026-11-20T120000-critical"]
    sensor.event(NOON + 3 * HOUR + MINUTE)
    assert sensor.probe(NOON + 3 * HOUR + 2 * MINUTE) == []
    sensor.event(NOON + 3 * HOUR + 3 * MINUTE)
    over = "stale-feed_actions-2026-11-20T120000-resolved-1"
    assert sensor.probe(NOON + 3 * HOUR + 4 * MINUTE) == [over]
    event = sensor.notification(over)
    assert (event.kind, event.thread) == ("fresh_data", "stale-feed_actions-2026-11-20T120000")
    assert (event.stale_since, event.last_event_at) == (NOON, NOON + 3 * HOUR + 3 * MINUTE)


@pytest.mark.parametrize(
    ("usual", "keys"),
    [
        (0, []),  # users sleep at this time of the week
        (40, ["stale-feed_actions-2026-11-20T120000", "stale-message_actions-2026-11-20T120000"]),
    ],
)
def test_a_silence_counts_only_where_events_are_usual(sensor: Sensor, usual: int, keys: list[str]) -> None:
    sensor.event(NOON)
    slots = [NOON + number * SLOT - week * 7 * DAY for week in range(1, 6) for number in range(12)]
    sensor.slots(dict.fromkeys(slots, usual), last_processed=NOON - DAY)
    assert sensor.probe(NOON + 2 * HOUR) == keys
    assert [evaluation.passed for evaluation in sensor.shown if evaluation.check_name == "is_fresh"] == [not keys] * 2


def test_muted_stale_data_is_recorded_and_sent_when_the_mute_ends(sensor: Sensor) -> None:
    hours = parse_active_hours("source:feed_actions 16:00-16:01")
    usual = sensor.change(mutes=(parse_mute("source:message_actions"),), active_hours=(hours,))
    sensor.event(NOON)
    assert sensor.probe(NOON + 2 * HOUR) == []
    sensor.office.settings = usual
    assert len(sensor.probe(NOON + 2 * HOUR + 2 * MINUTE)) == 2


def test_a_source_without_any_event_is_stale_but_not_in_a_products_first_hours(
    make_settings: Callable[..., Settings], instance: dg.DagsterInstance
) -> None:
    settings = make_settings(start_date=NOON.date())
    sensor = Sensor(settings, instance)
    midnight = NOON - 12 * HOUR
    assert sensor.probe(midnight + 30 * MINUTE) == []
    assert sensor.probe(midnight + 3 * HOUR) == ["stale-feed_actions-never", "stale-message_actions-never"]


def test_if_clickhouse_is_down_the_tick_says_so_and_keeps_its_cursor(sensor: Sensor) -> None:
    sensor.event(NOON)
    sensor.probe(NOON + 2 * HOUR)
    cursor = sensor.cursor
    settings = sensor.change(clickhouse_url=SecretStr("http://u:pa55-w0rd@127.0.0.1:1/metrics"))
    assert sensor.probe(NOON + 2 * HOUR + 2 * MINUTE) == []
    assert "cannot be probed" in sensor.summary and "pa55-w0rd" not in sensor.summary
    assert sensor.cursor == cursor
    sensor.office.settings = settings
    assert sensor.probe(NOON + 2 * HOUR + 4 * MINUTE) == []


def test_a_lost_cursor_sends_nothing_twice(sensor: Sensor) -> None:
    sensor.event(NOON)
    sensor.probe(NOON + 2 * HOUR)
    sensor.cursor = None
    assert sensor.probe(NOON + 2 * HOUR + 2 * MINUTE) == []


# --- volume ----------------------------------------------------------------------------------------------------------

YESTERDAY = datetime.date(2026, 11, 19)


def weeks(rows: int, number: int = 5) -> dict[datetime.date, int]:
    """The same weekday before."""
    return {YESTERDAY - week * 7 * DAY: rows + week for week in range(1, number + 1)}


@pytest.mark.parametrize(
    ("rows", "severity"),
    [(500, "critical"), (900, None)],
)
def test_a_day_with_an_unusual_number_of_rows_is_sent_once(sensor: Sensor, rows: int, severity: str | None) -> None:
    sensor.event(NOON)
    sensor.days({YESTERDAY: rows, YESTERDAY - DAY: 3, **weeks(1000)})
    expected = [f"volume-{source}-2026-11-19" for source in ("feed_actions", "message_actions")] if severity else []
    assert sorted(sensor.probe(NOON)) == expected
    assert sensor.probe(NOON + 2 * MINUTE) == []
    assert len(sensor.queued) == len(expected)  # nothing was queued a second time, not even by the same key
    if severity:
        sent = sensor.notification(expected[0])
        assert (sent.rows, sent.expected, sent.severity) == (rows, 1003, severity)
        assert sent.period_end - sent.period_start == DAY and sent.period_start.hour == 21  # midnight in Moscow


def test_a_day_that_is_not_computed_is_not_evaluated(sensor: Sensor) -> None:
    sensor.event(NOON)
    sensor.days({**weeks(1000)})
    assert sensor.probe(NOON) == []
    assert not [evaluation for evaluation in sensor.shown if evaluation.check_name == "day_volume"]


def slots(last: datetime.datetime, counts: list[int], usual: int = 400) -> dict[datetime.datetime, int]:
    """The last slots, and the same ones of the weeks before."""
    found = {}
    for back, count in enumerate(reversed(counts)):
        at = last - back * SLOT
        found[at] = count
        found |= {at - week * 7 * DAY: usual + week for week in range(1, 6)}
    return found


def test_an_hour_of_unusual_slots_is_sent_once(sensor: Sensor) -> None:
    last = NOON - SLOT
    sensor.event(NOON - HOUR)
    sensor.event(NOON - 30 * MINUTE)
    sensor.slots(slots(last, [400, 200, 190, 210, 205]), last_processed=last - 4 * SLOT)
    for number in range(-4, 1):
        at = last + number * SLOT
        sensor.slots({}, last_processed=at)
        queued = sensor.probe(at + SLOT + MINUTE)
    assert sorted(queued) == [f"volume-{source}-{slot_at(last).key}" for source in ("feed_actions", "message_actions")]
    sent = sensor.notification(queued[0])
    assert (sent.rows, sent.period_start, sent.period_end) == (805, NOON - HOUR, NOON)
    assert sensor.probe(NOON - MINUTE) == []


def test_a_volume_that_a_notified_incident_explains_is_not_sent(sensor: Sensor) -> None:
    last = NOON - SLOT
    sensor.event(NOON - HOUR)
    sensor.event(NOON - 30 * MINUTE)
    sensor.slots(slots(last, [400, 200, 190, 210, 205]), last_processed=last - 4 * SLOT)
    values: dict[str, Any] = {
        "slot_start": last - SLOT, "dimension": "total",
        "dimension_value": "total", "direction": "down", "severity": "critical",
        "opened_at": last - SLOT, "last_at": last - SLOT, "needed": 2, "calm": 0, "change": "opened",
        "told_at": last - SLOT, "reminders": 0, "cleared": False, "folded_into": "", "state": "open",
    }  # fmt: skip
    for incident, metric, message in (("A7K2Q", "views", "anomaly-1"), ("B7K2Q", "messages", "")):
        of_metric = {**values, "incident": incident, "metric": metric, "message": message}
        row = [[of_metric.get(column.name) for column in columns_of(INCIDENTS.file)]]
        sensor.sources.warehouse.run(lambda client, row=row: client.insert("incidents", row), operation="Test")
    sensor.probe(last - 3 * SLOT + MINUTE)
    sensor.slots({}, last_processed=last)
    assert sensor.probe(NOON + MINUTE) == [f"volume-message_actions-{slot_at(last).key}"]


def test_a_volume_that_stale_data_explain_is_not_sent(sensor: Sensor) -> None:
    last = NOON - SLOT
    sensor.event(NOON - 70 * MINUTE, messages=False)
    sensor.slots(slots(last, [0, 0, 0, 0]), last_processed=last - 3 * SLOT)
    queued = []
    for number in range(-3, 1):
        sensor.slots({}, last_processed=last + number * SLOT)
        sensor.event(last + number * SLOT + SLOT, feed=False)
        queued += sensor.probe(last + number * SLOT + SLOT + MINUTE)
    sent = [key for key in queued if "never" not in key]
    assert sent == ["stale-feed_actions-2026-11-20T105000", f"volume-message_actions-{slot_at(last).key}"]


# --- the checks ------------------------------------------------------------------------------------------------------


def test_the_checks_are_written_again_only_when_they_change(sensor: Sensor) -> None:
    sensor.event(NOON)
    sensor.days({YESTERDAY: 1000, **weeks(1000)})
    sensor.probe(NOON + MINUTE)
    assert {(check.asset_key.to_user_string(), check.check_name, check.passed) for check in sensor.shown} == {
        ("feed_actions", "is_fresh", True), ("message_actions", "is_fresh", True),
        ("feed_actions", "day_volume", True), ("message_actions", "day_volume", True),
    }  # fmt: skip
    sensor.event(NOON + 3 * MINUTE)
    sensor.probe(NOON + 3 * MINUTE)
    assert sensor.shown == []
    sensor.probe(NOON + 2 * HOUR)
    assert {(evaluation.check_name, evaluation.passed) for evaluation in sensor.shown} == {
        ("is_fresh", False),
        ("day_volume", True),
    }
    stored = sensor.office.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey("feed_actions"), "is_fresh"), limit=1
    )
    (evaluation,) = [record.evaluation for record in stored]
    assert isinstance(evaluation, dg.AssetCheckEvaluation)
    assert "117 min ago (limit 60 min)" in (evaluation.description or "")


def executed(sensor: Sensor) -> dict[str, dg.AssetCheckEvaluation]:
    """The checks of the feed, executed two hours after NOON."""
    names = ("is_fresh", "day_volume", "slot_volume")
    keys = [dg.AssetCheckKey(dg.AssetKey("feed_actions"), name) for name in names]
    job = dg.define_asset_job("manual", selection=dg.AssetSelection.checks(*keys))
    definitions = dg.Definitions.merge(sensor.office.definitions, dg.Definitions(jobs=[job]))
    with time_machine.travel(NOON + 2 * HOUR, tick=True):
        result = definitions.resolve_job_def("manual").execute_in_process(instance=sensor.office.instance)
    return {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}


def test_checks_executed_manually_probe_at_once_and_send_nothing(sensor: Sensor) -> None:
    sensor.event(NOON)
    sensor.days({YESTERDAY: 500, **weeks(1000)})
    found = executed(sensor)
    assert {name: evaluation.passed for name, evaluation in found.items()} == {
        "is_fresh": False, "day_volume": False, "slot_volume": True,
    }  # fmt: skip
    assert found["slot_volume"].description == "Nothing to compare with yet."
    assert sensor.queued == []


def test_of_a_product_whose_events_have_ended_nothing_is_stale(sensor: Sensor) -> None:
    sensor.event(NOON - 3 * DAY)
    sensor.change(end_date=NOON.date() - 2 * DAY)
    assert sensor.probe(NOON) == []
    assert "No events are expected" in sensor.summary
    found = executed(sensor)["is_fresh"]
    assert found.passed and "METRICS_END_DATE 2026-11-18" in (found.description or "")
