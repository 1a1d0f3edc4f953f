"""A run that is killed, at any moment of any step: readers see whole days, and running it again repairs everything."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from metrics_platform_tests.faults.moments import CASES, TELLING, is_published, leaves_staging, moment
from metrics_platform_tests.faults.proxy import HangUpError, Kind, Moment, Phase
from metrics_platform_tests.faults.reader import Reader
from metrics_platform_tests.faults.run_day import KILLED, Plan, RunProcess, run_to_its_end
from metrics_platform_tests.faults.world import DAY, DAYS, TABLES, Case, World


def kill(run: RunProcess) -> Callable[[], None]:
    """`kill -9` of the run; the statement it waits for stops, and its answer is not read."""

    def strike() -> None:
        run.send(signal.SIGKILL)
        raise HangUpError

    return strike


def assert_as_killed(world: World, case: Case, table: str, name: str, swapped: set[str]) -> None:
    """What was swapped in is new, all else is old; the killed run was in that step's `name`."""
    new = world.undisturbed()
    for other, days in case.prints().items():
        either = other == table and name == "while swapping" and days == new.prints[other]
        assert days == (new if other in swapped or either else world.old).prints[other], other
    assert (table in swapped) in (is_published(name), False)


def test_a_run_killed_once_in_every_step_ends_with_correct_tables(world: World) -> None:
    new = world.undisturbed()
    swapped: set[str] = set()
    left: list[str] = []
    with world.case() as case, Reader(case.warehouse) as reader:
        for table, name in TELLING.items():
            missing = tuple(other for other in TABLES if other not in swapped)
            with case.proxy(reader.look_now) as proxy:
                run = RunProcess(Plan(case.through(proxy), DAY, assets=missing))
                proxy.at(moment(table, name), kill(run))
                with run:
                    assert run.wait().exit_code == KILLED
                proxy.assert_all_struck()
            swapped |= proxy.swapped()
            assert_as_killed(world, case, table, name, swapped)
            left += [table] if leaves_staging(name) else []
            # On a slow machine, what lay there for a minute has been tidied up by the runs after it.
            lying = {staging.split("__")[1] for staging in case.staging_tables()}
            assert lying <= set(left)
            assert table in lying or not leaves_staging(name)

        again = run_to_its_end(Plan(case.settings, DAY, assets=TABLES))
        assert (again.success, again.retried) == (True, ()), again
        case.assert_as(new)
        case.assert_clean_after_dropping_leftovers()
    reader.assert_saw_only(world.old, new)


@pytest.mark.parametrize(("table", "name"), CASES, ids=[f"{table}: {name}" for table, name in CASES])
def test_a_run_killed_at_any_moment_leaves_whole_days(world: World, table: str, name: str) -> None:
    new = world.undisturbed()
    with world.case() as case, Reader(case.warehouse) as reader:
        with case.proxy(reader.look_now) as proxy:
            run = RunProcess(Plan(case.through(proxy), DAY))
            proxy.at(moment(table, name), kill(run))
            with run:
                assert run.wait().exit_code == KILLED
            proxy.assert_all_struck()
        assert_as_killed(world, case, table, name, proxy.swapped())
        left = [staging.split("__")[1] for staging in case.staging_tables()]
        assert left == ([table] if leaves_staging(name) else [])

        again = run_to_its_end(Plan(case.settings, DAY, assets=TABLES))
        assert (again.success, again.retried) == (True, ()), again
        case.assert_as(new)
        case.assert_clean_after_dropping_leftovers()
    reader.assert_saw_only(world.old, new)


def test_a_range_killed_at_its_second_day_keeps_the_first_and_is_completed(world: World) -> None:
    table, (first, second) = "feed_user_daily", DAYS[1:]
    new = world.undisturbed(first, second, (table,))
    with world.case() as case:
        with case.proxy() as proxy:
            run = RunProcess(Plan(case.through(proxy), first, second, (table,)))
            proxy.at(Moment(table, Phase.BEFORE, Kind.SWAP, date=second), kill(run))
            with run:
                assert run.wait().exit_code == KILLED
            proxy.assert_all_struck()
        assert case.prints()[table] == {**new.prints[table], second: world.old.prints[table][second]}

        again = run_to_its_end(Plan(case.settings, first, second, (table,)))
        assert (again.success, again.retried) == (True, ()), again
        case.assert_as(new)
        case.assert_clean_after_dropping_leftovers()


def test_leftovers_of_a_killed_run_are_dropped_after_a_minute(world: World) -> None:
    with world.case() as case:
        with case.proxy() as proxy:
            run = RunProcess(Plan(case.through(proxy), DAY, assets=("message_user_daily",)))
            proxy.at(moment("message_user_daily", "checked and not swapped"), kill(run))
            with run:
                assert run.wait().exit_code == KILLED
        (left,) = case.staging_tables()

        # A minute passes: ClickHouse goes by the files' times.
        world.server.stop()
        _age(world.server.path / "data", seconds=61)
        world.server.start()
        assert run_to_its_end(Plan(case.settings, DAY, assets=("feed_user_daily",))).success
        assert case.staging_tables() == [left]  # a run looks after the tables that it writes
        assert run_to_its_end(Plan(case.settings, DAY, assets=("message_user_daily",))).success
        assert case.staging_tables() == []


def test_a_step_that_is_asked_to_stop_drops_its_staging(world: World) -> None:
    table = "feed_user_daily"
    new = world.undisturbed(assets=(table,))
    with world.case() as case:
        with case.proxy() as proxy:
            run = RunProcess(Plan(case.through(proxy), DAY, assets=(table,)))
            proxy.at(moment(table, "staging half filled"), lambda: run.send(signal.SIGTERM))
            with run:
                outcome = run.wait()
            proxy.assert_all_struck()
        # Within one process Dagster takes the signal for a failure of the step, and retries it.
        assert outcome.retried == (table,) or "Interrupt" in outcome.crash, outcome
        assert case.staging_tables() == []

        if not outcome.success:
            assert case.prints()[table] == world.old.prints[table]
            assert run_to_its_end(Plan(case.settings, DAY, assets=(table,))).success
        case.assert_as(new)


def _age(directory: Path, seconds: float) -> None:
    for path in [directory, *directory.rglob("*")]:
        times = path.stat()
        os.utime(path, (times.st_atime - seconds, times.st_mtime - seconds))
