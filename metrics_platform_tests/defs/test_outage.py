"""An outage through Dagster: from events to the message in Telegram, and back to the all-clear."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pytest

from metrics_platform.catalog import builtin_catalog
from metrics_platform.defs.delivery import notify
from metrics_platform.defs.delivery.storage import history_of
from metrics_platform.incidents.store import Update
from metrics_platform.local.clickhouse import EmbeddedServer
from metrics_platform.notifications import dispatcher
from metrics_platform.notifications.kinds import AnomalyOpened, AnomalyResolved, DayIncident
from metrics_platform.report.reading import read_day_incidents
from metrics_platform.time_windows import day_of
from metrics_platform_tests.conftest import settings_factory
from metrics_platform_tests.defs.monitor_world import NOON, OPENED, MonitorWorld
from metrics_platform_tests.defs.running import check_outcomes, failure_texts
from metrics_platform_tests.telegram.bot_api import BotApi, bot_api_server

TABLES = ("slot_metrics", "verdicts", "incidents", "monitored_slots")
RESOLVED = f"{OPENED}-resolved-2026-11-20-13:00"


@dataclass
class Outage:
    """A world whose events stop in two slots: its checks, and Telegram. Tests only read it."""

    world: MonitorWorld
    api: BotApi
    checks: list[dg.ExecuteInProcessResult]


@pytest.fixture(scope="module")
def outage(clickhouse_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outage]:
    with (
        dg.DagsterInstance.ephemeral() as instance,
        bot_api_server() as api,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setattr(notify, "TICK_SECONDS", 0)
        patched.setattr(dispatcher, "LINGER", datetime.timedelta(0))
        world = MonitorWorld.create(
            settings_factory(clickhouse_server.url),
            instance,
            **api.settings,
            data_dir=tmp_path_factory.mktemp("outage"),
        )
        checks = []
        for number in range(5):
            world.happens(number, **({"iOS": 0.0, "Android": 0.0} if number in (1, 2) else {}))
            checks.append(world.check(max(0, number - 2), number))  # the slots before again, as the schedule asks
            assert checks[-1].success, failure_texts(checks[-1])
            if number in (1, 4):  # it opens, and is over
                world.deliver(number)
        yield Outage(world, api, checks)


def test_an_outage_is_one_message_with_its_chart_and_its_end_in_reply(outage: Outage) -> None:
    messages = outage.api.messages(outage.api.supergroup)
    said = [(message.kind, message.silent, bool(message.photo)) for message in messages]
    assert said == [("photo", False, True), ("photo", True, True)]
    first, second = messages
    assert first.text.splitlines()[0].startswith("✅ RESOLVED")
    assert second.reply_to == first.message_id
    assert "open for 30\u00a0min" in second.text
    assert outage.world.queued() == [OPENED, RESOLVED]
    event = history_of(outage.world.instance, OPENED).event
    assert isinstance(event, AnomalyOpened)
    assert {anomaly.metric for anomaly in event.anomalies} == {
        "feed_users",
        "views",
        "likes",
        "ctr",
        "messages",
        "senders",
    }
    assert {anomaly.metric: anomaly.value for anomaly in event.anomalies if anomaly.value != 0} == {"ctr": None}
    assert all(anomaly.dimension is None for anomaly in event.anomalies)
    assert event.occurred_at == NOON + datetime.timedelta(minutes=30)
    history = event.anomalies[0].history
    assert history is not None
    assert len(history.times) == 100
    assert history.times[-1] == NOON + datetime.timedelta(minutes=15)


def test_the_all_clear_carries_how_long_and_how_bad_it_was(outage: Outage) -> None:
    event = history_of(outage.world.instance, RESOLVED).event
    assert isinstance(event, AnomalyResolved)
    views = next(incident for incident in event.resolved if incident.metric == "views")
    assert views.resolved_at - views.opened_at == datetime.timedelta(minutes=30)
    assert views.worst_change == -1
    assert views.value is not None and views.value > 200


def test_each_metric_is_a_check_that_warns_and_the_run_succeeds(outage: Outage) -> None:
    normal, outcomes = map(check_outcomes, outage.checks[:2])
    assert all(outcome.passed for outcome in normal.values())
    views = outcomes["verdicts: views"]
    assert not views.passed
    assert views.severity == dg.AssetCheckSeverity.WARN
    assert views.metadata["value"].value == 0
    assert 200 < float(str(views.metadata["expected"].value)) < 280
    assert float(str(views.metadata["lower"].value)) > 100
    assert views.metadata["reason"].value == "no data"
    assert views.metadata["detector"].value == "seasonal"
    assert re.fullmatch(
        r"Views 0 at 2026-\S+ \S+ UTC, expected 2\d\d \(\d+ – \d+\), −100%: anomalous\.", str(views.description)
    )
    ctr = str(normal["verdicts: ctr"].description)
    assert re.match(r"CTR \d+\.\d% at .*, expected \d+\.\d% \(\d+\.\d% – \d+\.\d%\), .* normal\.", ctr)
    assert not outcomes["verdicts: ctr"].passed  # no views to have a share of
    assert all(outcome.passed for name, outcome in outcomes.items() if name.startswith("slot_metrics"))


def test_a_day_shows_the_totals_of_its_last_slot_and_its_open_incidents(outage: Outage) -> None:
    shown = {}
    for asset in ("slot_metrics", "incidents"):
        records = outage.world.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=["2026-11-20"]),
            limit=2,
            ascending=True,
        ).records
        assert records[1].asset_materialization is not None
        shown[asset] = records[1].asset_materialization.metadata
    assert shown["slot_metrics"]["views"].value == 0
    assert shown["slot_metrics"]["last slot"].value == "2026-11-20 12:15 UTC"
    assert shown["incidents"]["notifications"].value == OPENED
    assert "incidents" in shown["incidents"]


def test_running_any_slot_again_changes_and_sends_nothing(outage: Outage) -> None:
    before = {table: outage.world.rows(table) for table in TABLES}
    for first, last in ((1, 1), (0, 4)):
        assert outage.world.check(first, last).success
    assert {table: outage.world.rows(table) for table in TABLES} == before
    assert outage.world.queued() == [OPENED, RESOLVED]


def test_an_outage_of_one_os_says_where_and_what_moved_along_and_is_in_the_report(world: MonitorWorld) -> None:
    day = day_of(NOON.astimezone(world.settings.zone).date(), world.settings.zone)

    def incidents() -> tuple[DayIncident, ...]:
        return read_day_incidents(world.warehouse, day, day.end, builtin_catalog())

    assert incidents() == ()  # the monitor has not run yet
    world.use_catalog("metrics: {likes: {monitor: {seasonal: {minimum_change: 0.9}}}}")
    world.happens(0)
    world.happens(1, Android=0.2)
    result = world.check(0, 1)
    (key,) = world.queued()
    event = history_of(world.instance, key).event
    assert isinstance(event, AnomalyOpened)
    views = next(anomaly for anomaly in event.anomalies if anomaly.metric == "views")
    assert views.dimension is None
    assert "likes" not in {anomaly.metric for anomaly in event.anomalies}
    assert event.moved_with == ("likes",)  # without an incident
    first = views.contributions[0]
    assert (first.dimension, first.value) == ("os", "Android")
    assert first.change == pytest.approx(-0.8, abs=0.05)
    assert first.share_of_change == pytest.approx(1.0, abs=0.1)
    assert "os Android −8" in str(check_outcomes(result)["verdicts: views"].description)
    found = incidents()
    assert {incident.metric for incident in found} >= {"views", "feed_users"}
    assert {incident.closed_at for incident in found} == {None}
    assert all(incident.worst_change is not None and incident.worst_change < -0.1 for incident in found)
    world.warehouse.execute("ALTER TABLE incidents ADD COLUMN more UInt8")
    assert incidents() == ()  # the report goes without


def test_a_run_that_dies_after_queueing_sends_one_message_about_its_own_source(
    world: MonitorWorld, api: BotApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.happens(0)
    world.happens(1, messages_too=False)
    with monkeypatch.context() as patched:

        def dies(_self: Update, _warehouse: Any) -> None:
            raise dg.Failure("the machine is gone", allow_retries=False)

        patched.setattr(Update, "write", dies)
        assert not world.check(0, 1).success
    assert world.rows("monitored_slots") == []
    world.deliver(1)
    assert world.check(0, 1).success
    world.deliver(1)
    assert world.queued() == [OPENED]
    assert len(api.messages(api.supergroup)) == 1
    event = history_of(world.instance, OPENED).event
    assert isinstance(event, AnomalyOpened)
    assert {anomaly.metric for anomaly in event.anomalies} == {"messages", "senders"}
    assert event.fresh_at == NOON + datetime.timedelta(minutes=2, seconds=38)
