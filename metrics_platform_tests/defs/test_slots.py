"""Which slots a check computes and processes: after a downtime, in a backfill, of one metric."""

from __future__ import annotations

import datetime
import io
import re

import dagster as dg
import pytest
import time_machine
from dagster._core.definitions.run_request import InstigatorType
from pydantic import SecretStr
from rich.console import Console

from metrics_platform.defs.delivery.storage import history_of
from metrics_platform.defs.health.alert_store import AlertCursor
from metrics_platform.incidents.command import UnknownIncidentError, list_incidents, record_answer
from metrics_platform.notifications.kinds import AnomalyOpened, AnomalyResolved, AnomalyUpdated
from metrics_platform.time_windows import SLOT
from metrics_platform_tests.defs.monitor_world import LAG, NOON, OPENED, MonitorWorld, stale
from metrics_platform_tests.defs.running import check_outcomes, failure_texts
from metrics_platform_tests.defs.stored_ticks import switch_on
from metrics_platform_tests.watcher import PATH, QUERY, watcher


def test_after_a_downtime_only_what_still_lasts_is_sent(world: MonitorWorld) -> None:
    dead = {"iOS": 0.0, "Android": 0.0}
    for number in range(15):
        world.happens(number, **(dead if number in (1, 2, 13, 14) else {}))
    assert world.check(0, 14).success
    assert world.queued() == ["anomaly-2026-11-20-15:15"]
    totals = [row for row in world.rows("incidents") if row["dimension"] == "total"]
    assert {row["opened_at"].strftime("%H:%M") for row in totals} == {"12:15", "15:15"}


def test_a_check_computes_the_slots_that_a_downtime_left_out(world: MonitorWorld) -> None:
    for number in range(8):
        world.happens(number)
    assert world.check(0).success
    # A slot is computed alone, then someone materialises the day, and the schedule goes on with the next slot.
    assert world.check(3).success
    job = world.office.definitions.resolve_job_def("anomaly_check")
    with time_machine.travel(NOON + 6 * SLOT + LAG, tick=True):
        assert job.execute_in_process(instance=world.instance, partition_key="2026-11-20").success
    assert world.check(7).success
    views = [row for row in world.rows("slot_metrics") if (row["metric"], row["dimension"]) == ("views", "total")]
    assert [row["value"] for row in views[-8:]] == [240.0] * 8
    slots = sorted(row["slot_start"] for row in world.rows("monitored_slots"))
    assert slots == [(NOON + number * SLOT).replace(tzinfo=None) for number in range(8)]


def materialise(world: MonitorWorld, asset: str, metrics: list[str] | None = None) -> dg.ExecuteInProcessResult:
    """Run one asset of the day, for some of its metrics, as a person may from its page."""
    config = {"ops": {asset: {"config": {"metrics": metrics}}}} if metrics else {}
    with time_machine.travel(NOON + 2 * SLOT + LAG, tick=True):
        return world.office.definitions.resolve_job_def("anomaly_check").execute_in_process(
            instance=world.instance,
            raise_on_error=False,
            partition_key="2026-11-20",
            asset_selection=[dg.AssetKey(asset)],
            run_config=config,
        )


def test_an_asset_alone_takes_what_it_needs_and_changes_only_what_it_is_asked_for(world: MonitorWorld) -> None:
    failed = materialise(world, "verdicts")
    assert "Materialise `slot_metrics` of 2026-11-20 first." in failure_texts(failed)["verdicts"]

    world.happens(0)
    world.happens(1)
    assert world.check(0, 1).success
    world.happens(1)  # late events: recomputed metrics see them, the others do not
    before = [row for row in world.rows("slot_metrics") if row["metric"] not in ("likes", "feed_actions.events")]
    assert materialise(world, "slot_metrics", ["likes"]).success
    after = world.rows("slot_metrics")
    assert [row for row in after if row["metric"] not in ("likes", "feed_actions.events")] == before
    likes = [row["value"] for row in after if (row["metric"], row["dimension"]) == ("likes", "total")]
    assert likes[-1] == 2 * 81
    failed = materialise(world, "slot_metrics", ["vews"])
    assert "the catalogue has no metric 'vews'. Choose from feed_users, views" in failure_texts(failed)["slot_metrics"]

    # Of slots that were processed, other values open no incident.
    known = [world.rows(table) for table in ("incidents", "monitored_slots")]
    for table in (world.settings.feed_table, world.settings.messages_table):
        world.warehouse.execute(f"TRUNCATE TABLE {table}")
    assert world.check(0, 1).success
    views = [row for row in world.rows("verdicts") if (row["metric"], row["dimension"]) == ("views", "total")]
    assert [row["status"] for row in views[-2:]] == ["anomalous", "anomalous"]
    assert [world.rows(table) for table in ("incidents", "monitored_slots")] == known
    assert world.queued() == []


def test_a_good_check_of_the_latest_slots_alone_sends_a_heartbeat_that_may_fail(
    world: MonitorWorld, caplog: pytest.LogCaptureFixture
) -> None:
    with watcher() as (url, beats):
        world.restart(heartbeat_url=SecretStr(url))
        world.happens(0)
        world.check(0)
        assert beats == [f"{PATH}?{QUERY}"]
        # A backfill of old slots says nothing of now, and sends nothing.
        assert world.check(0, 3, now=NOON + datetime.timedelta(days=2)).success
        assert {row["metric"] for row in world.rows("incidents")} >= {"views", "messages"}
        assert world.queued() == []
        world.restart(heartbeat_url=SecretStr("http://127.0.0.1:1/ping/5ecret"))
        result = world.check(0)
        assert result.success
        said = [entry.user_message for entry in world.instance.all_logs(result.run_id)]
        assert any("heartbeat" in text.lower() for text in said)
        assert not any("5ecret" in text for text in [*said, caplog.text])
        world.restart(heartbeat_url=SecretStr(url))
        world.warehouse.execute("DROP TABLE slot_metrics")
        world.warehouse.execute("CREATE TABLE slot_metrics (x UInt8) ENGINE = MergeTree ORDER BY x")
        assert not world.check(0).success
        assert beats == [f"{PATH}?{QUERY}"]


def check_with(world: MonitorWorld, catalog: str) -> dict[str, dg.AssetCheckEvaluation]:
    """The results of the checks of a slot with this METRICS_CATALOG."""
    world.use_catalog(catalog)
    world.happens(0)
    result = world.check(0)
    assert result.success
    return check_outcomes(result)


def test_a_check_without_a_metric_that_can_be_computed_names_the_mistakes(world: MonitorWorld) -> None:
    catalog = "sources: {feed_actions: {user: no_column}, message_actions: {user: no_column}}"
    check = check_with(world, catalog)["slot_metrics: catalog_is_valid"]
    assert not check.passed
    for name in ("feed_actions", "message_actions"):
        assert f"sources.{name}.user = 'no_column'" in str(check.description)


def test_a_mistake_in_the_catalogue_does_not_end_the_incidents_of_its_metrics(world: MonitorWorld) -> None:
    def state() -> tuple[str, str]:
        rows = [row for row in world.rows("incidents") if row["incident"] == "MINE5"]
        latest = max(rows, key=lambda row: row["slot_start"])
        return latest["state"], latest["change"]

    world.happens(0)
    assert world.check(0).success
    assert world.check(1, 2).success  # in which nothing happens
    world.warehouse.execute(
        "INSERT INTO incidents SELECT * REPLACE ('orders' AS metric, 'MINE5' AS incident) FROM "
        "(SELECT * FROM incidents FINAL WHERE metric = 'views' AND dimension = 'total')"
    )
    world.use_catalog("metrics: {orders: {source: feed_actions, sql: count(), kind: counts}}")
    assert world.check(3).success
    assert state()[0] == "open"
    world.use_catalog("metrics: {orders: {source: feed_actions, sql: sum(no_such_column)}}")
    assert world.check(4).success
    assert state()[0] == "open"

    world.use_catalog("metrics: {}")
    assert world.check(5).success
    assert state() == ("expired", "metric_removed")


def test_dagster_shows_a_name_with_signs_of_markdown_as_it_is(world: MonitorWorld) -> None:
    check = check_with(world, "metrics: {views: {title: {en: 'Views *of* <b>all</b>'}}}")["verdicts: views"]
    assert str(check.description).startswith(r"Views \*of\* \<b\>all\</b\> ")


def test_a_catalogues_mistakes_are_named_the_rest_goes_on_and_a_removed_metric_ends(world: MonitorWorld) -> None:
    checks = check_with(world, "metrics: {views: {kind: counts}}")
    check = checks["slot_metrics: catalog_is_valid"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "metrics.views.kind = 'counts': write count, gauge, share or ratio; did you mean count?" in str(
        check.description
    )
    assert checks["verdicts: views"].passed
    assert world.check(1, 2).success  # in which nothing happens

    world.use_catalog(
        "metrics:\n"
        "  feed_users: {enabled: false}\n"
        "  countries: {source: feed_actions, sql: uniqExact(country)}\n"
        "  broken: {source: feed_actions, sql: sum(amount)}\n"
    )
    world.restart(start_date=NOON.date())  # no history of the new metrics to compute
    result = world.check(3)
    assert result.success
    checks = check_outcomes(result)
    assert not checks["verdicts: broken"].passed
    assert "metrics.broken.sql = 'sum(amount)'" in str(checks["verdicts: broken"].description)
    assert "Unknown expression or function identifier `amount`" in str(
        checks["slot_metrics: catalog_is_valid"].description
    )
    assert checks["verdicts: countries"].passed
    assert {row["metric"] for row in world.rows("slot_metrics")} >= {"countries", "views"}
    latest = {row["metric"]: row for row in world.rows("incidents") if row["dimension"] == "total"}
    assert (latest["feed_users"]["state"], latest["feed_users"]["change"]) == ("expired", "metric_removed")
    assert latest["views"]["state"] == "open"


def test_the_all_clear_of_a_fall_says_that_a_rise_ended_it(world: MonitorWorld) -> None:
    world.happens(0)
    assert world.check(0, 2).success
    for number in (3, 4):
        world.happens(number, iOS=20.0, Android=20.0)
    assert world.check(3, 4).success
    events = [history_of(world.instance, key).event for key in world.queued()]
    (all_clear,) = [event for event in events if isinstance(event, AnomalyResolved)]
    assert {incident.turned for incident in all_clear.resolved if incident.metric != "ctr"} == {"up"}


@pytest.fixture
def stored_world(world: MonitorWorld, stored_instance: dg.DagsterInstance) -> MonitorWorld:
    """On a Dagster that stores the cursors of sensors."""
    world.instance = stored_instance
    world.restart()
    return world


def test_stale_data_inhibit_their_metrics_at_zero_and_muted_ones_are_recorded(stored_world: MonitorWorld) -> None:
    stored_world.use_catalog("metrics: {senders: {monitor: {muted_until: 2026-11-21T00:00:00Z}}}")
    alerts = stale("feed_actions", "stale"), stale("message_actions", "")  # the second one was not notified
    cursor = AlertCursor(alerts=alerts).model_dump_json()
    switch_on(stored_world.instance, "source_sensor", InstigatorType.SENSOR, cursor=cursor)
    stored_world.happens(0)
    assert stored_world.check(0, 1).success
    assert stored_world.queued() == [OPENED]
    totals = {
        row["metric"]: row["folded_into"] for row in stored_world.rows("incidents") if row["dimension"] == "total"
    }
    feed = ("feed_users", "views", "likes", "ctr")
    assert totals == {**dict.fromkeys(feed, "stale feed_actions"), "messages": "", "senders": "muted"}
    event = history_of(stored_world.instance, OPENED).event
    assert isinstance(event, AnomalyOpened)
    assert {anomaly.metric for anomaly in event.anomalies} == {"messages"}
    # Events are back, but too few: those of which nothing was sent are sent now.
    stored_world.happens(2, iOS=0.3, Android=0.3)
    assert stored_world.check(2).success
    (_, added) = stored_world.queued()
    event = history_of(stored_world.instance, added).event
    assert isinstance(event, AnomalyUpdated)
    assert {anomaly.metric for anomaly in event.anomalies} >= {"views", "feed_users"}


def test_what_is_marked_as_not_an_incident_is_sent_again_only_if_it_is_larger(world: MonitorWorld) -> None:
    shares = {1: 0.3, 2: 0.3, 15: 0.4, 16: 0.0}
    for number in range(17):
        world.happens(number, iOS=shares.get(number, 1.0), Android=shares.get(number, 1.0))
    world.check(0, 4)
    sent = world.queued()
    found = {row["incident"] for row in world.rows("incidents") if row["message"]}
    printed = io.StringIO()
    with time_machine.travel(NOON + 5 * SLOT, tick=True):
        for incident in found:
            said = record_answer(world.settings, incident, is_incident=False, who="ann", note="a [/deploy]")
            assert f"{incident} is marked as not an incident" in said
        with pytest.raises(UnknownIncidentError, match="`metrics-platform incidents` lists them"):
            record_answer(world.settings, "XXXXX", is_incident=False, who="ann", note="")
        list_incidents(world.settings, Console(file=printed, width=200))
    assert printed.getvalue().count("not an incident (ann): a [/deploy]") == len(found)

    result = world.check(5, 15)
    assert world.queued() == sent
    latest = [row for row in world.rows("incidents") if row["opened_at"].strftime("%H:%M") == "15:45"]
    assert {row["folded_into"] for row in latest if row["metric"] in ("views", "likes")} >= {
        f"answered {incident}"
        for incident in {row["incident"] for row in world.rows("incidents") if row["metric"] in ("views", "likes")}
        & found
    }
    quieter = str(check_outcomes(result)["verdicts: views"].metadata["quieter"].value)
    assert re.fullmatch(r"up to −7\d% until 2026-12-18 \S+, marked as not an incident \(ann\): a \[/deploy\]", quieter)
    world.check(16)
    assert world.queued() == [*sent, "anomaly-2026-11-20-16:00"]
