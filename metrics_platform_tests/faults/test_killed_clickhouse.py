"""ClickHouse killed while a run is going: what it acknowledged survives, and the run comes home."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from metrics_platform.warehouse.client import Parameters
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.partitions import publish, staged_partition
from metrics_platform.warehouse.tables import DIMENSION_METRICS
from metrics_platform_tests.faults.moments import CASES, EXHAUSTIVE, TELLING, moment
from metrics_platform_tests.faults.proxy import HangUpError
from metrics_platform_tests.faults.reader import Reader
from metrics_platform_tests.faults.run_day import Outcome, Plan, RunProcess, run_to_its_end
from metrics_platform_tests.faults.world import DAY, Case, MortalServer, World


def kill(server: MortalServer) -> Callable[[], None]:
    """`kill -9` of ClickHouse: no answer comes."""

    def strike() -> None:
        server.kill()
        raise HangUpError

    return strike


def bring_home(run: RunProcess, server: MortalServer, down_seconds: float) -> Outcome:
    """Start ClickHouse again whenever it has been down for a while, until the run has ended."""
    while run.alive:
        if not server.running:
            time.sleep(down_seconds)
            server.start()
        time.sleep(0.01)
    server.start()
    return run.wait()


def test_a_run_comes_home_though_clickhouse_is_killed_once_in_every_step(world: World) -> None:
    new = world.undisturbed()
    # One that is killed within the swap itself has tests of its own.
    moments = {**TELLING, "os_slice": "swapped and counted"}
    with world.case() as case, Reader(case.warehouse) as reader:
        with case.proxy(reader.look_now) as proxy:
            for table, name in moments.items():
                proxy.at(moment(table, name), kill(world.server))
            with RunProcess(Plan(case.through(proxy), DAY)) as run:
                outcome = bring_home(run, world.server, down_seconds=0.2)
            proxy.assert_all_struck()
        assert outcome.success, outcome
        case.assert_as(new)
        case.assert_clean_after_dropping_leftovers()
    reader.assert_saw_only(world.old, new)


@pytest.mark.parametrize(("table", "name"), CASES, ids=[f"{table}: {name}" for table, name in CASES])
def test_a_clickhouse_killed_at_any_moment_keeps_what_it_acknowledged(world: World, table: str, name: str) -> None:
    new = world.undisturbed()
    with world.case() as case, Reader(case.warehouse) as reader:
        with case.proxy(reader.look_now) as proxy:
            proxy.at(moment(table, name), kill(world.server))
            with RunProcess(Plan(case.through(proxy), DAY)) as run:
                outcome = bring_home(run, world.server, down_seconds=1.5)
            proxy.assert_all_struck()
        assert outcome.success, outcome
        case.assert_as(new)
        case.assert_clean_after_dropping_leftovers()
    if name != "while swapping":  # see the next test but one
        reader.assert_saw_only(world.old, new)


def test_a_run_fails_clearly_without_clickhouse_and_the_next_completes_it(
    world: World,
) -> None:
    assets = ("feed_user_daily", "users")
    new = world.undisturbed(assets=assets)
    with world.case() as case:
        with case.proxy() as proxy:
            proxy.at(moment("users", "checked and not swapped"), kill(world.server))
            plan = Plan(case.through(proxy), DAY, assets=assets)
            impatient = replace(plan, retry_delay=0.02, client_waits=(0.01, 0.01, 0.01))
            with RunProcess(impatient) as run:
                outcome = run.wait()
        assert outcome.retried == ("users",) * 3
        assert "No answer from ClickHouse" in outcome.failures["users"]
        assert "What to do: Is ClickHouse running at that address" in outcome.failures["users"]
        world.server.start()
        prints = case.prints()
        assert (prints["feed_user_daily"], prints["users"]) == (
            new.prints["feed_user_daily"],
            world.old.prints["users"],
        )
        assert run_to_its_end(Plan(case.settings, DAY, assets=assets)).success
        case.assert_as(new)
        case.assert_clean_after_dropping_leftovers()


def test_a_clickhouse_killed_during_a_swap_shows_both_days_until_the_next_swap(
    world: World,
) -> None:
    """ClickHouse's own limit: a REPLACE PARTITION that it never acknowledged may leave parts of both days active."""
    dice = random.Random(1)
    found: Counter[str] = Counter()
    with world.case() as case:
        shown = _shown(case)
        for attempt in range(1, 61 if EXHAUSTIVE else 4):
            old, new = shown, (shown[0], shown[1] + 1000 * attempt * shown[0])
            impatient = replace(case.warehouse, retry_waits=())
            acknowledged = False
            with staged_partition(impatient, DIMENSION_METRICS, DAY, _selects(1000 * attempt)) as staged:
                killer = threading.Timer(dice.uniform(0, 0.012), world.server.kill)
                killer.start()
                try:
                    swap = f"ALTER TABLE dimension_metrics REPLACE PARTITION '{DAY}' FROM `{staged.name}`"
                    impatient.execute(swap)
                    acknowledged = True
                except WarehouseError as error:
                    assert error.transient, error
                killer.join()
                world.server.start()
                after = _shown(case)
                both = (old[0] + new[0], old[1] + new[1])
                name = {old: "old", new: "new", both: "both"}.get(after, "parts of both")
                found[f"{name}, {'acknowledged' if acknowledged else 'no answer'}"] += 1
                assert after == new if acknowledged else after <= both and after[1] <= both[1], (after, old, new)
                publish(case.warehouse, staged)  # what the client's next try or the next run does
            shown = _shown(case)
            assert shown == new
    print(dict(found))  # noqa: T201  (how often: pytest -rP)


def _selects(extra_views: int) -> list[tuple[str, Parameters]]:
    """What a run writes, in as many INSERTs, with some more views in each row."""
    select = (
        "SELECT event_date, dimension, dimension_value, views + {extra:Int64}, likes, messages_received, "
        "messages_sent, users_received, users_sent FROM dimension_metrics "
        "WHERE event_date = {day:Date} AND dimension = {dimension:String}"
    )
    return [(select, {"extra": extra_views, "day": DAY, "dimension": name}) for name in ("os", "gender", "age")]


def _shown(case: Case) -> tuple[int, int]:
    """The day's rows and views, as readers see them."""
    rows, views = case.warehouse.value(
        "SELECT (count(), sum(views)) FROM dimension_metrics WHERE event_date = {day:Date}", {"day": DAY}
    )
    return int(rows), int(views)
