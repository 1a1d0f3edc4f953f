"""What keeps an anomaly from being sent: stale data, and the answer that it is not an incident."""

from __future__ import annotations

import io
import re

import dagster as dg
import pytest
import time_machine
from dagster._core.definitions.run_request import InstigatorType
from rich.console import Console

from metrics_platform.defs.health.alert_store import AlertCursor
from metrics_platform.incidents.command import UnknownIncidentError, answer, list_incidents
from metrics_platform.time_windows import SLOT
from metrics_platform_tests.defs.monitor_world import NOON, OPENED, MonitorWorld, stale
from metrics_platform_tests.defs.running import check_outcomes
from metrics_platform_tests.defs.stored_ticks import switch_on


@pytest.fixture
def stored_world(world: MonitorWorld, stored_instance: dg.DagsterInstance) -> MonitorWorld:
    """On a Dagster that stores the cursors of sensors."""
    world.instance = stored_instance
    world.restart()
    return world


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
    assert stored_world.queued() == sent
    totals = [row for row in stored_world.rows("incidents") if row["dimension"] == "total"]
    assert {row["folded_into"] for row in totals} == inhibited_by
    # Events are back, but too few: if nothing was sent of the metrics, they are sent now.
    stored_world.happens(2, iOS=0.3, Android=0.3)
    assert stored_world.check(2).success
    assert stored_world.queued() == (sent or ["anomaly-2026-11-20-12:30"])


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
            said = answer(world.settings, incident, is_incident=False, who="ann", note="a deploy")
            assert f"{incident} is marked as not an incident" in said
        with pytest.raises(UnknownIncidentError, match="`metrics-platform incidents` lists them"):
            answer(world.settings, "XXXXX", is_incident=False, who="ann", note="")
        list_incidents(world.settings, Console(file=printed, width=200))
    assert printed.getvalue().count("not an incident (ann): a deploy") == len(found)

    result = world.check(5, 15)
    assert world.queued() == sent
    latest = [row for row in world.rows("incidents") if row["opened_at"].strftime("%H:%M") == "15:45"]
    assert {row["folded_into"] for row in latest if row["metric"] in ("views", "likes")} >= {
        f"answered {each}"
        for each in {row["incident"] for row in world.rows("incidents") if row["metric"] in ("views", "likes")} & found
    }
    quieter = str(check_outcomes(result)["verdicts: views"].metadata["quieter"].value)
    assert re.fullmatch(r"up to -7\d% until 2026-12-18 \S+, marked as not an incident \(ann\): a deploy", quieter)
    world.check(16)
    assert world.queued() == [*sent, "anomaly-2026-11-20-16:00"]
