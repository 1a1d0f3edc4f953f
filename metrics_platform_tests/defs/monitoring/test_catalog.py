"""What a check does with the user's catalogue: mistakes, broken entries, removed and muted metrics."""

from __future__ import annotations

import dagster as dg

from metrics_platform_tests.defs.monitor_world import NOON, MonitorWorld
from metrics_platform_tests.defs.running import check_outcomes


def test_a_catalogue_that_is_not_valid_is_named_and_the_built_in_one_goes_on(world: MonitorWorld) -> None:
    world.use_catalog("metrics: {views: {kind: counts}}")
    world.happens(0)
    result = world.check(0)
    assert result.success
    check = check_outcomes(result)["slot_metrics: catalog_is_valid"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "metrics.views.kind = 'counts': write count, gauge, share or ratio; did you mean count?" in str(
        check.description
    )
    assert check_outcomes(result)["verdicts: views"].passed


def test_a_broken_entry_fails_its_own_check_and_the_others_go_on(world: MonitorWorld) -> None:
    world.use_catalog(
        "metrics:\n"
        "  countries: {source: feed_actions, sql: uniqExact(country)}\n"
        "  broken: {source: feed_actions, sql: sum(amount)}\n"
    )
    world.restart(start_date=NOON.date())  # no history of the new metrics to compute
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


def test_a_removed_metric_ends_its_incidents(world: MonitorWorld) -> None:
    world.happens(0)
    assert world.check(0, 1).success
    world.use_catalog("metrics: {feed_users: {enabled: false}}")
    assert world.check(2).success
    latest = {row["metric"]: row for row in world.rows("incidents") if row["dimension"] == "total"}
    assert (latest["feed_users"]["state"], latest["feed_users"]["change"]) == ("expired", "metric_removed")
    assert latest["views"]["state"] == "open"


def test_a_muted_metric_is_recorded_and_no_one_is_notified(world: MonitorWorld) -> None:
    names = ("feed_users", "views", "likes", "ctr", "messages", "senders")
    muted = "".join(f"  {name}: {{monitor: {{muted_until: 2026-11-21T00:00:00Z}}}}\n" for name in names)
    world.use_catalog(f"metrics:\n{muted}")
    world.happens(0)
    assert world.check(0, 1).success
    assert world.queued() == []
    assert {row["message"] for row in world.rows("incidents")} == {""}
