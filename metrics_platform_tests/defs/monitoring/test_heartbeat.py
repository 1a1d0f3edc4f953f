"""The heartbeat that a check sends to a watcher."""

from __future__ import annotations

import datetime

import pytest
from pydantic import SecretStr

from metrics_platform_tests.defs.monitor_world import NOON, MonitorWorld
from metrics_platform_tests.watcher import PATH, QUERY, watcher


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
