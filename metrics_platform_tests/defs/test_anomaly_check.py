"""The monitor through Dagster: from events to the message in Telegram, and back to the all-clear."""

from __future__ import annotations

import datetime
import io
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import time_machine
from dagster._core.definitions.run_request import InstigatorType
from pydantic import SecretStr
from rich.console import Console

from metrics_platform.alerts.alert import Alert, Subject
from metrics_platform.catalog import builtin_catalog
from metrics_platform.defs.delivery import sensor
from metrics_platform.defs.delivery.storage import history_of
from metrics_platform.defs.health.alert_store import AlertCursor
from metrics_platform.incidents.command import UnknownIncidentError, answer, list_incidents
from metrics_platform.incidents.store import Update
from metrics_platform.local.clickhouse import EmbeddedServer
from metrics_platform.notifications import dispatcher
from metrics_platform.notifications.kinds import AnomalyOpened, AnomalyResolved, DayIncident
from metrics_platform.report.reading import read_day_incidents
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, day_of
from metrics_platform_tests.conftest import settings_factory
from metrics_platform_tests.defs.monitor_world import LAG, NOON, MonitorWorld
from metrics_platform_tests.defs.running import check_outcomes, failure_texts
from metrics_platform_tests.defs.stored_ticks import switch_on
from metrics_platform_tests.telegram.bot_api import BotApi, bot_api_server
from metrics_platform_tests.watcher import PATH, QUERY, watcher

TABLES = ("slot_metrics", "verdicts", "incidents", "monitored_slots")
OPENED = "anomaly-2026-11-20-12:15"
RESOLVED = f"{OPENED}-resolved-2026-11-20-13:00"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Dagster's storage in memory: a check writes fifty events, and what is tested here is not where they lie."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def world(
    make_settings: Callable[..., Settings], instance: dg.DagsterInstance, api: BotApi, tmp_path: Path
) -> MonitorWorld:
    return MonitorWorld.create(
        make_settings,
        instance,
        telegram_bot_token=api.token,
        telegram_chat_id=str(api.supergroup),
        telegram_api_base=api.base,
        data_dir=tmp_path / "data",
    )


def _asked(world: MonitorWorld) -> list[str]:
    """The keys of everything that was asked for."""
    records = world.instance.fetch_observations(dg.AssetKey("notifications"), limit=100, ascending=True).records
    return list(dict.fromkeys(str(each.asset_observation.partition) for each in records if each.asset_observation))


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
        patched.setattr(sensor, "TICK_SECONDS", 0)
        patched.setattr(dispatcher, "LINGER", datetime.timedelta(0))
        world = MonitorWorld.create(
            settings_factory(clickhouse_server.url),
            instance,
            telegram_bot_token=api.token,
            telegram_chat_id=str(api.supergroup),
            telegram_api_base=api.base,
            data_dir=tmp_path_factory.mktemp("outage"),
        )
        checks = []
        for number in range(5):
            world.happens(number, **({"iOS": 0.0, "Android": 0.0} if number in (1, 2) else {}))
            checks.append(world.check(max(0, number - 2), number))  # the slots before again, as the schedule asks
            assert checks[-1].success, failure_texts(checks[-1])
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
    assert _asked(outage.world) == [OPENED, RESOLVED]
    event = history_of(outage.world.instance, OPENED).event
    assert isinstance(event, AnomalyOpened)
    assert {each.metric for each in event.anomalies} == {"feed_users", "views", "likes", "ctr", "messages", "senders"}
    assert {each.metric: each.value for each in event.anomalies if each.value != 0} == {"ctr": None}
    assert all(each.dimension is None for each in event.anomalies)
    assert event.occurred_at == NOON + datetime.timedelta(minutes=30)
    history = event.anomalies[0].history
    assert history is not None
    assert len(history.times) == 100
    assert history.times[-1] == NOON + datetime.timedelta(minutes=15)


def test_the_all_clear_carries_how_long_and_how_bad_it_was(outage: Outage) -> None:
    event = history_of(outage.world.instance, RESOLVED).event
    assert isinstance(event, AnomalyResolved)
    views = next(each for each in event.resolved if each.metric == "views")
    assert views.resolved_at - views.opened_at == datetime.timedelta(minutes=30)
    assert views.worst_change == -1
    assert views.value is not None and views.value > 200


def test_each_metric_is_a_check_that_warns_and_the_run_succeeds(outage: Outage) -> None:
    normal, outcomes = map(check_outcomes, outage.checks[:2])
    assert all(each.passed for each in normal.values())
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
    assert all(each.passed for name, each in outcomes.items() if name.startswith("slot_metrics"))


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
    for first, last in ((0, 4), (1, 1), (2, 3)):
        assert outage.world.check(first, last).success
    assert {table: outage.world.rows(table) for table in TABLES} == before
    assert _asked(outage.world) == [OPENED, RESOLVED]


def test_an_outage_of_one_os_says_where(world: MonitorWorld) -> None:
    world.happens(0)
    world.happens(1, Android=0.2)
    result = world.check(0, 1)
    (key,) = _asked(world)
    event = history_of(world.instance, key).event
    assert isinstance(event, AnomalyOpened)
    views = next(each for each in event.anomalies if each.metric == "views")
    assert views.dimension is None
    first = views.contributions[0]
    assert (first.dimension, first.value) == ("os", "Android")
    assert first.change == pytest.approx(-0.8, abs=0.05)
    assert first.share_of_change == pytest.approx(1.0, abs=0.1)
    assert "os Android -8" in str(check_outcomes(result)["verdicts: views"].description)


def test_after_a_downtime_only_what_still_lasts_is_sent(world: MonitorWorld) -> None:
    dead = {"iOS": 0.0, "Android": 0.0}
    for number in range(15):
        world.happens(number, **(dead if number in (1, 2, 13, 14) else {}))
    assert world.check(0, 14).success
    assert _asked(world) == ["anomaly-2026-11-20-15:15"]
    totals = [row for row in world.rows("incidents") if row["dimension"] == "total"]
    assert {row["opened_at"].strftime("%H:%M") for row in totals} == {"12:15", "15:15"}


def test_a_processed_slot_whose_data_change_opens_no_incident(world: MonitorWorld) -> None:
    world.happens(0)
    world.happens(1)
    world.check(0, 1)
    before = [world.rows(table) for table in ("incidents", "monitored_slots")]
    for table in (world.settings.feed_table, world.settings.messages_table):
        world.warehouse.execute(f"TRUNCATE TABLE {table}")
    assert world.check(0, 1).success
    views = [row for row in world.rows("verdicts") if (row["metric"], row["dimension"]) == ("views", "total")]
    assert [row["status"] for row in views[-2:]] == ["anomalous", "anomalous"]
    assert [world.rows(table) for table in ("incidents", "monitored_slots")] == before
    assert _asked(world) == []


def test_a_backfill_of_old_slots_sends_nothing(world: MonitorWorld) -> None:
    world.happens(0)
    result = world.check(0, 3, now=NOON + datetime.timedelta(days=2))
    assert result.success
    assert _asked(world) == []
    assert {row["metric"] for row in world.rows("incidents")} >= {"views", "messages"}


def test_a_run_that_dies_after_queueing_sends_nothing_twice(
    world: MonitorWorld, api: BotApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.happens(0)
    world.check(0)
    with monkeypatch.context() as patched:

        def dies(_self: Update, _warehouse: Any) -> None:
            raise dg.Failure("the machine is gone", allow_retries=False)

        patched.setattr(Update, "write", dies)
        assert not world.check(1).success
    assert {row["slot_start"].minute for row in world.rows("monitored_slots")} == {0}
    world.deliver(1)
    assert world.check(1).success
    world.deliver(1)
    assert len(_asked(world)) == 1
    assert len(api.messages(api.supergroup)) == 1


def test_a_muted_metric_is_recorded_and_no_one_is_notified(world: MonitorWorld, tmp_path: Path) -> None:
    file = tmp_path / "catalog.yaml"
    names = ("feed_users", "views", "likes", "ctr", "messages", "senders")
    muted = "".join(f"  {name}: {{monitor: {{muted_until: 2026-11-21T00:00:00Z}}}}\n" for name in names)
    file.write_text(f"metrics:\n{muted}", "utf-8")
    world.restart(catalog=file)
    world.happens(0)
    assert world.check(0, 1).success
    assert _asked(world) == []
    assert {row["message"] for row in world.rows("incidents")} == {""}


def test_a_catalogue_that_is_not_valid_is_named_and_the_built_in_one_goes_on(
    world: MonitorWorld, tmp_path: Path
) -> None:
    file = tmp_path / "catalog.yaml"
    file.write_text("metrics: {views: {kind: counts}}", "utf-8")
    world.restart(catalog=file)
    world.happens(0)
    result = world.check(0)
    assert result.success
    check = check_outcomes(result)["slot_metrics: catalog_is_valid"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "metrics.views.kind = 'counts': write count, gauge, share or ratio; did you mean count?" in str(
        check.description
    )
    assert check_outcomes(result)["verdicts: views"].passed


def test_a_broken_entry_fails_its_own_check_and_the_others_go_on(world: MonitorWorld, tmp_path: Path) -> None:
    file = tmp_path / "catalog.yaml"
    file.write_text(
        "metrics:\n"
        "  countries: {source: feed_actions, sql: uniqExact(country)}\n"
        "  broken: {source: feed_actions, sql: sum(amount)}\n",
        "utf-8",
    )
    world.restart(catalog=file)
    world.happens(0)
    result = world.check(0)
    assert result.success
    checks = check_outcomes(result)
    assert not checks["verdicts: broken"].passed
    assert "metrics.broken.sql = 'sum(amount)'" in str(checks["verdicts: broken"].description)
    assert "Unknown expression or function identifier `amount`" in str(
        checks["slot_metrics: catalog_is_valid"].description
    )
    assert checks["verdicts: countries"].passed
    assert {row["metric"] for row in world.rows("slot_metrics")} >= {"countries", "views"}


def test_a_day_computed_manually_after_a_downtime_leaves_no_slot_out(world: MonitorWorld) -> None:
    for number in range(8):
        world.happens(number)
    assert world.check(0).success
    # A downtime; then someone materialises the day, and the schedule goes on with the next slot.
    job = world.office.definitions.resolve_job_def("anomaly_check")
    with time_machine.travel(NOON + 6 * SLOT + LAG, tick=True):
        assert job.execute_in_process(instance=world.instance, partition_key="2026-11-20").success
    assert world.check(7).success
    slots = {row["slot_start"] for row in world.rows("monitored_slots")}
    assert slots == {(NOON + number * SLOT).replace(tzinfo=None) for number in range(8)}


def test_a_check_computes_the_slots_that_a_downtime_left_out(world: MonitorWorld) -> None:
    for number in range(8):
        world.happens(number)
    assert world.check(0).success
    # One of them was computed alone meanwhile: the ones before it are still found.
    assert world.check(5).success
    assert world.check(7).success
    views = [row for row in world.rows("slot_metrics") if (row["metric"], row["dimension"]) == ("views", "total")]
    assert [row["value"] for row in views[-8:]] == [240.0] * 8
    slots = sorted(row["slot_start"] for row in world.rows("monitored_slots"))
    assert slots == [(NOON + number * SLOT).replace(tzinfo=None) for number in range(8)]


def test_a_removed_metric_ends_its_incidents(world: MonitorWorld, tmp_path: Path) -> None:
    world.happens(0)
    assert world.check(0, 1).success
    file = tmp_path / "catalog.yaml"
    file.write_text("metrics: {feed_users: {enabled: false}}", "utf-8")
    world.restart(catalog=file)
    assert world.check(2).success
    latest = {row["metric"]: row for row in world.rows("incidents") if row["dimension"] == "total"}
    assert (latest["feed_users"]["state"], latest["feed_users"]["change"]) == ("expired", "metric_removed")
    assert latest["views"]["state"] == "open"


def test_verdicts_of_slots_without_values_name_what_to_materialise(world: MonitorWorld) -> None:
    job = world.office.definitions.resolve_job_def("anomaly_check")
    with time_machine.travel(NOON + 5 * SLOT, tick=True):
        result = job.execute_in_process(
            instance=world.instance,
            raise_on_error=False,
            partition_key="2026-11-20",
            asset_selection=[dg.AssetKey("verdicts")],
        )
    assert not result.success
    assert "Materialise `slot_metrics` of 2026-11-20 first." in failure_texts(result)["verdicts"]


def stale(source: str, notification: str) -> Alert:
    """A stale source, as the cursor of `source_sensor` holds it."""
    return Alert(
        "STALE", Subject("stale_data", source), "", "open", "warning", NOON, NOON, 2, "opened",
        origin=source, notification=notification, notified_at=NOON,
    )  # fmt: skip


@pytest.fixture
def stored_world(world: MonitorWorld, empty_home: Path, tmp_path: Path) -> Iterator[MonitorWorld]:
    """On a Dagster that stores the cursors of sensors."""
    shutil.copytree(empty_home, tmp_path / "dagster")
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        world.instance = instance
        world.restart()
        yield world


@pytest.mark.parametrize(
    ("notification", "sent", "inhibited_by"),
    [("stale", [], {"stale feed_actions", "stale message_actions"}), ("", [OPENED], {""})],
)
def test_stale_data_that_was_notified_inhibits_metrics_at_zero(
    stored_world: MonitorWorld, notification: str, sent: list[str], inhibited_by: set[str]
) -> None:
    alerts = tuple(stale(source, notification) for source in ("feed_actions", "message_actions"))
    cursor = AlertCursor(alerts=alerts).model_dump_json()
    switch_on(stored_world.instance, "source_sensor", InstigatorType.SENSOR, cursor=cursor)
    stored_world.happens(0)
    assert stored_world.check(0, 1).success
    assert _asked(stored_world) == sent
    totals = [row for row in stored_world.rows("incidents") if row["dimension"] == "total"]
    assert {row["folded_into"] for row in totals} == inhibited_by
    # Events are back, but too few: if nothing was sent of the metrics, they are sent now.
    stored_world.happens(2, iOS=0.3, Android=0.3)
    assert stored_world.check(2).success
    assert _asked(stored_world) == (sent or ["anomaly-2026-11-20-12:30"])


def test_what_is_marked_as_not_an_incident_is_sent_again_only_if_it_is_larger(world: MonitorWorld) -> None:
    shares = {1: 0.3, 2: 0.3, 15: 0.4, 16: 0.0}
    for number in range(17):
        world.happens(number, iOS=shares.get(number, 1.0), Android=shares.get(number, 1.0))
    world.check(0, 4)
    sent = _asked(world)
    found = {row["incident"] for row in world.rows("incidents") if row["message"]}
    printed = io.StringIO()
    with time_machine.travel(NOON + 5 * SLOT, tick=True):
        for incident in found:
            said = answer(world.settings, incident, is_incident=False, who="ann", note="a deploy")
            assert f"{incident} is marked as not an incident" in said
        with pytest.raises(UnknownIncidentError, match="`metrics-platform incidents` lists them"):
            answer(world.settings, "XXXXX", is_incident=False, who="ann", note="")
        list_incidents(world.settings, Console(file=printed, width=200))
    assert printed.getvalue().count("not an incident (ann): a deploy") == len(found)

    result = world.check(5, 15)
    assert _asked(world) == sent
    latest = [row for row in world.rows("incidents") if row["opened_at"].strftime("%H:%M") == "15:45"]
    assert {row["folded_into"] for row in latest if row["metric"] in ("views", "likes")} >= {
        f"answered {each}"
        for each in {row["incident"] for row in world.rows("incidents") if row["metric"] in ("views", "likes")} & found
    }
    quieter = str(check_outcomes(result)["verdicts: views"].metadata["quieter"].value)
    assert re.fullmatch(r"up to -7\d% until 2026-12-18 \S+, marked as not an incident \(ann\): a deploy", quieter)
    world.check(16)
    assert _asked(world) == [*sent, "anomaly-2026-11-20-16:00"]


def test_metrics_that_moved_along_without_an_incident_are_named(world: MonitorWorld, tmp_path: Path) -> None:
    file = tmp_path / "catalog.yaml"
    file.write_text("metrics: {likes: {monitor: {seasonal: {minimum_change: 0.9}}}}", "utf-8")
    world.restart(catalog=file)
    world.happens(0)
    world.happens(1, iOS=0.6, Android=0.6)  # beside its siblings, half of the least change would be enough
    world.check(0, 1)
    event = history_of(world.instance, OPENED).event
    assert isinstance(event, AnomalyOpened)
    assert "likes" not in {anomaly.metric for anomaly in event.anomalies}
    assert event.moved_with == ("likes",)


def test_an_alert_shows_the_last_event_of_its_own_source(world: MonitorWorld) -> None:
    world.happens(0)
    world.happens(1, messages_too=False)
    world.check(0, 1)
    event = history_of(world.instance, OPENED).event
    assert isinstance(event, AnomalyOpened)
    assert {each.metric for each in event.anomalies} == {"messages", "senders"}
    assert event.fresh_at == NOON + datetime.timedelta(minutes=2, seconds=38)


def test_each_good_check_of_the_latest_slots_sends_a_heartbeat(world: MonitorWorld) -> None:
    with watcher() as (url, beats):
        world.restart(heartbeat_url=SecretStr(url))
        world.happens(0)
        world.check(0)
        assert beats == [f"{PATH}?{QUERY}"]
        world.check(0, now=NOON + datetime.timedelta(days=2))  # of old slots: says nothing of now
        world.warehouse.execute("DROP TABLE slot_metrics")
        world.warehouse.execute("CREATE TABLE slot_metrics (x UInt8) ENGINE = MergeTree ORDER BY x")
        assert not world.check(0).success
        assert beats == [f"{PATH}?{QUERY}"]


def test_a_heartbeat_that_fails_fails_no_check_and_shows_no_address(
    world: MonitorWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world.restart(heartbeat_url=SecretStr("http://127.0.0.1:1/ping/5ecret"))
    world.happens(0)
    result = world.check(0)
    assert result.success
    said = [entry.user_message for entry in world.instance.all_logs(result.run_id)]
    assert any("heartbeat" in each.lower() for each in said)
    assert not any("5ecret" in each for each in [*said, caplog.text])


def test_the_morning_report_has_the_incidents_of_the_day(world: MonitorWorld) -> None:
    day = day_of(NOON.astimezone(world.settings.zone).date(), world.settings.zone)

    def incidents() -> tuple[DayIncident, ...]:
        return read_day_incidents(world.warehouse, day, day.end, builtin_catalog())

    assert incidents() == ()  # the monitor has not run yet
    world.happens(0)
    world.check(0)
    assert incidents() == ()
    world.happens(1, iOS=0.0)
    world.check(1)
    found = incidents()
    assert {incident.metric for incident in found} >= {"views", "feed_users"}
    assert {incident.closed_at for incident in found} == {None}
    assert all(incident.worst_change is not None and incident.worst_change < -0.1 for incident in found)
    world.warehouse.execute("ALTER TABLE incidents ADD COLUMN more UInt8")
    assert incidents() == ()  # the report goes without


def test_a_run_of_one_metric_leaves_the_others_and_refuses_an_unknown_one(world: MonitorWorld) -> None:
    world.happens(0)
    world.check(0)
    world.happens(0)  # late events: recomputed metrics see them, the others do not
    before = [row for row in world.rows("slot_metrics") if row["metric"] not in ("likes", "feed_actions.events")]
    job = world.office.definitions.resolve_job_def("anomaly_check")
    with time_machine.travel(NOON + SLOT + LAG, tick=True):
        result = job.execute_in_process(
            instance=world.instance,
            partition_key="2026-11-20",
            asset_selection=[dg.AssetKey("slot_metrics")],
            run_config={"ops": {"slot_metrics": {"config": {"metrics": ["likes"]}}}},
        )
    assert result.success
    after = world.rows("slot_metrics")
    assert [row for row in after if row["metric"] not in ("likes", "feed_actions.events")] == before
    likes = [row["value"] for row in after if (row["metric"], row["dimension"]) == ("likes", "total")]
    assert likes[-1] == 2 * 81
    with time_machine.travel(NOON + SLOT + LAG, tick=True):
        result = job.execute_in_process(
            instance=world.instance,
            raise_on_error=False,
            partition_key="2026-11-20",
            asset_selection=[dg.AssetKey("slot_metrics")],
            run_config={"ops": {"slot_metrics": {"config": {"metrics": ["vews"]}}}},
        )
    assert not result.success
    assert "the catalogue has no metric 'vews'. Choose from feed_users, views" in failure_texts(result)["slot_metrics"]
