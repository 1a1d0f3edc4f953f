"""Two runs of one day at the same time: both end, and the day ends as one undisturbed run leaves it."""

from __future__ import annotations

import threading

from metrics_platform_tests.faults.moments import moment
from metrics_platform_tests.faults.reader import Reader
from metrics_platform_tests.faults.run_day import Outcome, Plan, RunProcess, run_to_its_end
from metrics_platform_tests.faults.world import DAY, LATE_USER, TABLES, Case, World, add_late_events

MERGED = TABLES[: TABLES.index("user_daily") + 1]  # what a day is merged from, and the merged table


def assert_ended_well_or_said_why(outcome: Outcome) -> None:
    """A run may lose against another, but says so in words a person can act on."""
    assert outcome.success or outcome.failures, outcome
    for text in outcome.failures.values():
        assert "What to do" in text or "un the partition again" in text, text


def rerun(case: Case, assets: tuple[str, ...], *outcomes: Outcome) -> None:
    """Where a run has failed, a further one is made."""
    for outcome in outcomes:
        assert_ended_well_or_said_why(outcome)
    if not all(outcome.success for outcome in outcomes):
        assert run_to_its_end(Plan(case.settings, DAY, assets=assets)).success


def test_two_runs_of_one_day_at_once_give_the_undisturbed_tables(world: World) -> None:
    new = world.undisturbed(assets=MERGED)
    with world.case() as case, Reader(case.warehouse) as reader:
        plan = Plan(case.settings, DAY, assets=MERGED)
        with RunProcess(plan) as first, RunProcess(plan) as second:
            outcomes = first.wait(), second.wait()
        rerun(case, MERGED, *outcomes)
        case.assert_as(new)
        case.assert_clean_after_dropping_leftovers()
    reader.assert_saw_only(world.old, new)


def test_a_run_overtaken_by_one_that_has_seen_more_events_leaves_the_newer_day(world: World) -> None:
    assets = (*MERGED, "app_daily")  # whose checks see that a table above it has fewer users
    with world.case(own_source=True) as case:
        with case.proxy() as proxy:
            overtaken = threading.Event()
            pause = proxy.at(moment("users", "checked and not swapped"), lambda: overtaken.wait(600))
            with RunProcess(Plan(case.through(proxy), DAY, assets=assets)) as run:
                assert pause.falling.wait(600)
                add_late_events(case.warehouse, case.settings, DAY, user=LATE_USER + 50)
                second = run_to_its_end(Plan(case.settings, DAY, assets=assets))
                newer = case.prints()
                overtaken.set()
                first = run.wait()
            proxy.assert_all_struck()
        assert second.success
        rerun(case, assets, first, second)
        assert case.prints() == newer
