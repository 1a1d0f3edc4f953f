"""Events that come in while the day is computed: what is published is the source as it was at one moment, or nothing.

Whoever writes events does not wait for the load. An extract is computed at one moment and compared with its source at a
later one, so it looks up to three times; a source that never pauses is a failure that says so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from metrics_platform_tests.faults.proxy import Kind, Moment, Phase, Proxy
from metrics_platform_tests.faults.run_day import Plan, RunProcess, run_to_its_end
from metrics_platform_tests.faults.world import DAY, LATE_USER, TABLES, Case, World, add_late_events

LOOKS = 3
EXTRACTS = ("feed_user_daily", "message_user_daily")
WRITER_USER = LATE_USER + 100  # users of the events that come in during the run
BATCH_EVENTS, BATCH_USERS = 30, 5


def more_events(case: Case) -> Callable[[], None]:
    """A batch of late events for both services, of new users each time."""
    numbers = iter(range(1000))

    def strike() -> None:
        add_late_events(case.warehouse, case.settings, DAY, user=WRITER_USER + 10 * next(numbers))

    return strike


def grow_before_check(proxy: Proxy, case: Case, table: str, times: int) -> None:
    """Events come in after the extract has read its source and before it is compared, in each of its looks."""
    strike = more_events(case)
    for look in range(1, times + 1):
        proxy.at(Moment(table, Phase.AFTER, Kind.INSERT, occurrence=look), strike)


@pytest.mark.parametrize("table", EXTRACTS)
def test_an_extract_is_repeated_when_events_arrive_meanwhile(world: World, table: str) -> None:
    times = LOOKS - 1
    with world.case(own_source=True) as case:
        with case.proxy() as proxy:
            grow_before_check(proxy, case, table, times)
            outcome = run_to_its_end(Plan(case.through(proxy), DAY, assets=(table,)))
            proxy.assert_all_struck()
        assert (outcome.success, outcome.retried) == (True, ()), outcome
        looks = [statement for statement in proxy.done if (statement.kind, statement.table) == (Kind.CHECK, table)]
        assert len(looks) == times + 1
        assert case.prints()[table] == world.undisturbed_on(case, assets=(table,))[table]
        assert case.staging_tables() == []


def test_a_source_that_never_pauses_fails_the_run_and_keeps_the_old_day(world: World) -> None:
    table = EXTRACTS[0]
    with world.case(own_source=True) as case:
        with case.proxy() as proxy:
            grow_before_check(proxy, case, table, LOOKS)
            outcome = run_to_its_end(Plan(case.through(proxy), DAY, assets=(table,)))
            proxy.assert_all_struck()
        assert (outcome.success, outcome.retried) == (False, ())
        assert f"{table} of {DAY} does not add up" in outcome.failures[table]
        assert "What to do" in outcome.failures[table]
        assert case.prints()[table] == world.old.prints[table]
        assert case.staging_tables() == []

        assert run_to_its_end(Plan(case.settings, DAY, assets=(table,))).success
        assert case.prints() == world.undisturbed_on(case, assets=(table,))


def test_events_that_come_in_after_the_extracts_change_nothing(world: World) -> None:
    with world.case(own_source=True) as case:
        with case.proxy() as proxy:
            proxy.at(Moment("dimension_metrics", Phase.BEFORE, Kind.CHECK), more_events(case))
            outcome = run_to_its_end(Plan(case.through(proxy), DAY, assets=TABLES))
            proxy.assert_all_struck()
        assert (outcome.success, outcome.retried) == (True, ()), outcome
        case.assert_as(world.undisturbed())


@contextmanager
def writing(case: Case) -> Iterator[Callable[[], int]]:
    """Write batches all the time in another thread; yields how many there are."""
    ended = threading.Event()
    written = [0]

    def write() -> None:
        warehouse = case.own_client()
        while not ended.is_set():
            user = WRITER_USER + 10 * written[0]
            add_late_events(warehouse, case.settings, DAY, user=user, events=BATCH_EVENTS)
            written[0] += 1
            time.sleep(0.1)
        warehouse.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield lambda: written[0]
    finally:
        ended.set()
        thread.join()


def test_whatever_is_published_while_events_pour_in_is_the_source_of_one_moment(world: World) -> None:
    with world.case(own_source=True) as case:
        with writing(case) as written, RunProcess(Plan(case.settings, DAY, assets=EXTRACTS)) as run:
            while not written():
                time.sleep(0.001)
            outcome = run.wait()
            batches = written()
        for text in outcome.failures.values():
            assert "does not add up" in text and "What to do" in text
        for table in EXTRACTS:
            if case.prints()[table] != world.old.prints[table]:
                assert_whole_batches(case, table, batches)

        assert run_to_its_end(Plan(case.settings, DAY, assets=EXTRACTS)).success
        assert case.prints() == world.undisturbed_on(case, assets=EXTRACTS)


def assert_whole_batches(case: Case, table: str, written: int) -> None:
    """Of the batches the first ones are there, each complete, and nothing of the others."""
    measure, per_user = (
        ("views", BATCH_EVENTS // BATCH_USERS)
        if table == "feed_user_daily"
        else ("messages_sent", BATCH_EVENTS // 2 // BATCH_USERS)
    )
    rows = case.warehouse.query(
        f"SELECT intDiv(user_id - {WRITER_USER}, 10) AS batch, count() AS users, min({measure}) AS low, "
        f"max({measure}) AS high FROM {table} WHERE user_id >= {WRITER_USER} GROUP BY batch ORDER BY batch"
    ).rows
    assert [tuple(row.values()) for row in rows] == [(n, BATCH_USERS, per_user, per_user) for n in range(len(rows))]
    assert len(rows) <= written
