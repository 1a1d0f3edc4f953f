"""The sources, probed every two minutes in a real ClickHouse: stale data, volumes, and what inhibits them."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pandas as pd
import pytest
import time_machine

from metrics_platform.defs.delivery.storage import event_log, history_of
from metrics_platform.defs.health.sensors import source_sensor
from metrics_platform.notifications.history import Queued
from metrics_platform.notifications.kinds import Event
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, slot_at
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.tables import INCIDENTS, METRIC_DAILY, MONITOR_TABLES, SLOT_METRICS, columns_of
from metrics_platform_tests.defs.post_office import PostOffice
from metrics_platform_tests.generated_events import FEED_COLUMNS, MESSAGE_COLUMNS, TYPES
from metrics_platform_tests.telegram.bot_api import BotApi
from metrics_platform_tests.worlds import SourceTables, insert_event_counts

NOON = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)
HOUR = datetime.timedelta(hours=1)
DAY = datetime.timedelta(days=1)
WHO = (1, 25, "", "", "iOS", "ads", 0)


@dataclass
class Desk:
    """The sensor, tick by tick, over source tables of its own."""

    settings: Settings
    instance: dg.DagsterInstance
    sources: SourceTables
    cursor: str | None = None
    said: str = ""
    shown: list[dg.AssetCheckEvaluation] = field(default_factory=list)

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

    def look(self, moment: datetime.datetime) -> list[str]:
        """A tick at `moment`; the keys of what it asks for."""
        before = {event.key for event in self.asked}
        context = dg.build_sensor_context(self.instance, cursor=self.cursor)
        result = source_sensor(self.settings, now=lambda: moment)(context)
        if isinstance(result, dg.SkipReason):
            self.said = str(result.skip_message)
            return []
        assert isinstance(result, dg.SensorResult)
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        self.shown = [each for each in result.asset_events if isinstance(each, dg.AssetCheckEvaluation)]
        self.cursor = result.cursor
        self.said = str(result.skip_reason.skip_message) if result.skip_reason else ""
        return [event.key for event in self.asked if event.key not in before]

    @property
    def asked(self) -> list[Any]:
        """Everything that was ever asked for."""
        stored = event_log(self.instance).since(0.0)
        return [each.entry.notification for each in stored if isinstance(each.entry, Queued)]

    def told(self, key: str) -> Any:
        """What was asked for by a key."""
        event: Event | None = history_of(self.instance, key).event
        assert event is not None
        return event

    def days(self, views: dict[datetime.date, int]) -> None:
        """Computed days of `metric_daily` (messages as many as views)."""
        create_tables(self.sources.warehouse, [METRIC_DAILY])
        for date, count in views.items():
            at = datetime.datetime.combine(date, datetime.time.min, tzinfo=datetime.UTC)
            self._count(METRIC_DAILY.name, {at: count})

    def slots(self, views: dict[datetime.datetime, int], *, taken_in: datetime.datetime) -> None:
        """Computed slots (messages as many as views), up to the last one that the monitor took in."""
        create_tables(self.sources.warehouse, MONITOR_TABLES)
        self._count(SLOT_METRICS.name, views)
        self.sources.warehouse.run(lambda client: client.insert("monitored_slots", [[taken_in, 1, 0, 0]]), doing="Test")

    def _count(self, table: str, views: dict[datetime.datetime, int]) -> None:
        for at, count in views.items():
            insert_event_counts(self.sources.warehouse, table, at, {"feed_actions": count, "message_actions": count})


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Dagster's storage in memory: where it lies is not tested here."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def desk(make_settings: Callable[..., Settings], instance: dg.DagsterInstance) -> Desk:
    """A product in Moscow with both source tables, empty."""
    settings = make_settings(timezone="Europe/Moscow", start_date=datetime.date(2026, 9, 1))
    return Desk(settings, instance, SourceTables.create(settings))


# --- freshness -------------------------------------------------------------------------------------------------------


def test_a_source_that_falls_silent_is_told_by_itself_and_its_end_too(desk: Desk) -> None:
    desk.event(NOON)
    assert desk.look(NOON + 59 * MINUTE) == []
    desk.event(NOON + 59 * MINUTE, feed=False)
    assert desk.look(NOON + 61 * MINUTE) == ["stale-feed_actions-2026-11-20T120000"]
    told = desk.told("stale-feed_actions-2026-11-20T120000")
    assert (told.table, told.last_event_at, told.limit, told.severity) == (
        desk.settings.feed_table, NOON, HOUR, "warning",
    )  # fmt: skip
    desk.event(NOON + 3 * HOUR, feed=False)
    assert desk.look(NOON + 3 * HOUR) == ["stale-feed_actions-2026-11-20T120000-critical"]
    desk.event(NOON + 3 * HOUR + MINUTE)
    assert desk.look(NOON + 3 * HOUR + 2 * MINUTE) == []
    desk.event(NOON + 3 * HOUR + 3 * MINUTE)
    over = "stale-feed_actions-2026-11-20T120000-resolved-1"
    assert desk.look(NOON + 3 * HOUR + 4 * MINUTE) == [over]
    event = desk.told(over)
    assert (event.kind, event.thread) == ("fresh_data", "stale-feed_actions-2026-11-20T120000")
    assert (event.stale_since, event.last_event_at) == (NOON, NOON + 3 * HOUR + 3 * MINUTE)


@pytest.mark.parametrize(
    ("usual", "keys"),
    [
        (0, []),  # users sleep at this time of the week
        (40, ["stale-feed_actions-2026-11-20T120000", "stale-message_actions-2026-11-20T120000"]),
    ],
)
def test_a_silence_counts_only_where_events_are_usual(desk: Desk, usual: int, keys: list[str]) -> None:
    desk.event(NOON)
    slots = [NOON + number * SLOT - week * 7 * DAY for week in range(1, 6) for number in range(12)]
    desk.slots(dict.fromkeys(slots, usual), taken_in=NOON - DAY)
    assert desk.look(NOON + 2 * HOUR) == keys
    assert [each.passed for each in desk.shown if each.check_name == "is_fresh"] == [not keys] * 2


@pytest.mark.parametrize(("mutes", "hours"), [("kind:stale_data", ""), ("", "source:feed_actions 16:00-16:01")])
def test_muted_stale_data_is_recorded_and_sent_when_the_mute_ends(desk: Desk, mutes: str, hours: str) -> None:
    usual = desk.settings
    desk.settings = usual.model_copy(
        update={"mutes": (mutes,) if mutes else (), "active_hours": (hours,) if hours else ()}
    )
    desk.event(NOON)
    desk.event(NOON + 2 * HOUR, feed=False)
    assert desk.look(NOON + 2 * HOUR) == []
    desk.settings = usual
    assert desk.look(NOON + 2 * HOUR + 2 * MINUTE) == ["stale-feed_actions-2026-11-20T120000"]


def test_the_messages_as_people_get_them(desk: Desk, api: BotApi) -> None:
    channel = {"telegram_chat_id": str(api.supergroup), "telegram_api_base": api.base}
    settings = desk.settings.model_copy(update={**channel, "telegram_bot_token": _secret(api.token)})
    office = PostOffice(settings, desk.instance)
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    desk.event(now - 4 * HOUR)
    desk.look(now)
    office.until_quiet()
    texts = [message.text.replace("\N{NO-BREAK SPACE}", " ") for message in api.messages(api.supergroup)]
    assert len(texts) == 2 and all(text.startswith("🔴 CRITICAL · Stale data: source_") for text in texts)
    assert all("4 h ago (limit 3 h)" in text for text in texts)


def _secret(token: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(token)


def test_a_source_without_any_event_is_told_but_not_on_a_products_first_hours(
    make_settings: Callable[..., Settings], instance: dg.DagsterInstance
) -> None:
    settings = make_settings(start_date=NOON.date())
    desk = Desk(settings, instance, SourceTables.create(settings))
    midnight = NOON - 12 * HOUR
    assert desk.look(midnight + 30 * MINUTE) == []
    assert desk.look(midnight + 3 * HOUR) == ["stale-feed_actions-never", "stale-message_actions-never"]


@pytest.mark.parametrize("dates", [{"start_date": "2026-11-21"}, {"end_date": "2026-11-19"}])
def test_where_no_events_are_expected_nothing_is_judged(
    make_settings: Callable[..., Settings], instance: dg.DagsterInstance, dates: dict[str, str]
) -> None:
    desk = Desk(make_settings(**dates), instance, SourceTables.create(make_settings()))
    assert desk.look(NOON) == []
    assert "No events are expected" in desk.said


def test_clickhouse_being_away_is_said_in_the_tick_and_forgets_nothing(desk: Desk) -> None:
    desk.event(NOON)
    desk.look(NOON + 2 * HOUR)
    cursor = desk.cursor
    settings = desk.settings
    desk.settings = settings.model_copy(update={"clickhouse_url": _secret("http://u:pa55-w0rd@127.0.0.1:1/metrics")})
    assert desk.look(NOON + 2 * HOUR + 2 * MINUTE) == []
    assert "cannot be probed" in desk.said and "pa55-w0rd" not in desk.said
    assert desk.cursor == cursor
    desk.settings = settings
    assert desk.look(NOON + 2 * HOUR + 4 * MINUTE) == []


def test_a_lost_cursor_asks_for_the_same_messages_and_so_for_none(desk: Desk) -> None:
    desk.event(NOON)
    desk.look(NOON + 2 * HOUR)
    desk.cursor = None
    assert desk.look(NOON + 2 * HOUR + 2 * MINUTE) == []


def test_severities_are_set_and_switched_off_by_setting(desk: Desk) -> None:
    desk.settings = desk.settings.model_copy(update={"severities": ("stale_data=critical",)})
    desk.event(NOON)
    assert len(desk.look(NOON + 2 * HOUR)) == 2
    assert {event.severity for event in desk.asked} == {"critical"}
    desk.settings = desk.settings.model_copy(update={"severities": ("stale_data=off",)})
    desk.event(NOON + 2 * HOUR + MINUTE)
    assert desk.look(NOON + 9 * HOUR) == []


# --- volume ----------------------------------------------------------------------------------------------------------

YESTERDAY = datetime.date(2026, 11, 19)


def weeks(rows: int, number: int = 5) -> dict[datetime.date, int]:
    """The same weekday before."""
    return {YESTERDAY - week * 7 * DAY: rows + week for week in range(1, number + 1)}


@pytest.mark.parametrize(
    ("rows", "severity"),
    [(600, "warning"), (500, "critical"), (0, "critical"), (1700, "warning"), (1003, None), (900, None)],
)
def test_a_day_with_other_than_the_usual_rows_is_told_once(desk: Desk, rows: int, severity: str | None) -> None:
    desk.event(NOON)
    desk.days({YESTERDAY: rows, YESTERDAY - DAY: 3, **weeks(1000)})
    expected = [f"volume-{source}-2026-11-19" for source in ("feed_actions", "message_actions")] if severity else []
    assert sorted(desk.look(NOON)) == expected
    assert desk.look(NOON + 2 * MINUTE) == []
    assert len(desk.asked) == len(expected)  # nothing was asked for a second time, not even by the same key
    if severity:
        told = desk.told(expected[0])
        assert (told.rows, told.expected, told.severity) == (rows, 1003, severity)
        assert told.period_end - told.period_start == DAY and told.period_start.hour == 21  # midnight in Moscow


def test_a_day_that_is_not_computed_or_has_too_few_weeks_before_is_not_judged(desk: Desk) -> None:
    desk.event(NOON)
    desk.days({**weeks(1000)})
    assert desk.look(NOON) == []
    assert not [each for each in desk.shown if each.check_name == "day_volume"]


def slots(last: datetime.datetime, counts: list[int], usual: int = 400) -> dict[datetime.datetime, int]:
    """The last slots, and the same ones of the weeks before."""
    found = {}
    for back, count in enumerate(reversed(counts)):
        at = last - back * SLOT
        found[at] = count
        found |= {at - week * 7 * DAY: usual + week for week in range(1, 6)}
    return found


def test_an_hour_of_odd_slots_is_told_once_where_nothing_else_says_it(desk: Desk) -> None:
    last = NOON - SLOT
    desk.event(NOON - HOUR)
    desk.event(NOON - 30 * MINUTE)
    desk.slots(slots(last, [400, 200, 190, 210, 205]), taken_in=last - 4 * SLOT)
    for number in range(-4, 1):
        at = last + number * SLOT
        desk.slots({}, taken_in=at)
        asked_for = desk.look(at + SLOT + MINUTE)
    assert sorted(asked_for) == [
        f"volume-{source}-{slot_at(last).key}" for source in ("feed_actions", "message_actions")
    ]
    told = desk.told(asked_for[0])
    assert (told.rows, told.period_start, told.period_end) == (805, NOON - HOUR, NOON)
    assert desk.look(NOON - MINUTE) == []


FOLDED = {"state": "open", "message": "anomaly-1"}


@pytest.mark.parametrize(
    ("incident", "told"),
    [
        (FOLDED, False),
        ({**FOLDED, "message": ""}, True),  # nobody has been told of it
        ({**FOLDED, "state": "resolved"}, False),  # it was a part of this hour
        ({**FOLDED, "state": "resolved", "opened_at": NOON - DAY, "last_at": NOON - DAY}, True),
        ({**FOLDED, "metric": "messages"}, True),  # it is about the other source
        ({**FOLDED, "dimension": "os", "dimension_value": "iOS"}, True),
    ],
)
def test_what_an_incident_has_told_is_not_told_again_as_a_volume(
    desk: Desk, incident: dict[str, Any], told: bool
) -> None:
    last = NOON - SLOT
    desk.event(NOON - HOUR)
    desk.event(NOON - 30 * MINUTE)
    desk.slots(slots(last, [400, 200, 190, 210, 205]), taken_in=last - 4 * SLOT)
    values: dict[str, Any] = {
        "slot_start": last - SLOT, "incident": "A7K2Q", "metric": "views", "dimension": "total",
        "dimension_value": "total", "direction": "down", "severity": "critical",
        "opened_at": last - SLOT, "last_at": last - SLOT, "needed": 2, "calm": 0, "change": "opened",
        "told_at": last - SLOT, "reminders": 0, "cleared": False, "folded_into": "", **incident,
    }  # fmt: skip
    row = [[values.get(column.name) for column in columns_of(INCIDENTS.file)]]
    desk.sources.warehouse.run(lambda client: client.insert("incidents", row), doing="Test")
    asked_for = []
    for number in range(-4, 1):
        desk.slots({}, taken_in=last + number * SLOT)
        asked_for += desk.look(last + number * SLOT + SLOT + MINUTE)
    assert (f"volume-feed_actions-{slot_at(last).key}" in asked_for) == told


def test_what_stale_data_say_is_not_told_again_as_a_volume(desk: Desk) -> None:
    last = NOON - SLOT
    desk.event(NOON - 70 * MINUTE, messages=False)
    desk.slots(slots(last, [0, 0, 0, 0]), taken_in=last - 3 * SLOT)
    asked_for = []
    for number in range(-3, 1):
        desk.slots({}, taken_in=last + number * SLOT)
        desk.event(last + number * SLOT + SLOT, feed=False)
        asked_for += desk.look(last + number * SLOT + SLOT + MINUTE)
    told = [key for key in asked_for if "never" not in key]
    assert told == ["stale-feed_actions-2026-11-20T105000", f"volume-message_actions-{slot_at(last).key}"]


# --- the checks ------------------------------------------------------------------------------------------------------


def test_the_checks_of_the_sources_show_what_was_found_and_are_written_again_only_when_it_changes(desk: Desk) -> None:
    desk.event(NOON)
    desk.days({YESTERDAY: 1000, **weeks(1000)})
    desk.look(NOON + MINUTE)
    assert {(each.asset_key.to_user_string(), each.check_name, each.passed) for each in desk.shown} == {
        ("feed_actions", "is_fresh", True), ("message_actions", "is_fresh", True),
        ("feed_actions", "day_volume", True), ("message_actions", "day_volume", True),
    }  # fmt: skip
    desk.event(NOON + 3 * MINUTE)
    desk.look(NOON + 3 * MINUTE)
    assert desk.shown == []
    desk.look(NOON + 2 * HOUR)
    assert {(each.check_name, each.passed) for each in desk.shown} == {("is_fresh", False), ("day_volume", True)}
    stored = desk.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey("feed_actions"), "is_fresh"), limit=1
    )
    (evaluation,) = [record.evaluation for record in stored]
    assert isinstance(evaluation, dg.AssetCheckEvaluation)
    assert "117 min ago (limit 60 min)" in (evaluation.description or "")


def by_hand(desk: Desk, name: str) -> dg.AssetCheckEvaluation:
    """A check of the feed executed two hours after NOON."""
    office = PostOffice(desk.settings, desk.instance)
    selection = dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("feed_actions"), name))
    job = dg.define_asset_job("by_hand", selection=selection)
    definitions = dg.Definitions.merge(office.definitions, dg.Definitions(jobs=[job]))
    with time_machine.travel(NOON + 2 * HOUR, tick=True):
        result = definitions.resolve_job_def("by_hand").execute_in_process(instance=desk.instance)
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation


@pytest.mark.parametrize("name", ["is_fresh", "day_volume", "slot_volume"])
def test_a_check_executed_by_hand_looks_at_once_and_tells_nobody(desk: Desk, name: str) -> None:
    desk.event(NOON)
    assert by_hand(desk, name).passed == (name != "is_fresh")
    assert desk.asked == []


def test_of_a_product_whose_events_have_ended_nothing_is_stale(desk: Desk) -> None:
    desk.event(NOON - 3 * DAY)
    desk.settings = desk.settings.model_copy(update={"end_date": NOON.date() - 2 * DAY})
    found = by_hand(desk, "is_fresh")
    assert found.passed and "METRICS_END_DATE 2026-11-18" in (found.description or "")
