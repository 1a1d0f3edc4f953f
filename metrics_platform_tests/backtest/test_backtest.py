"""The back-test: faults as they are meant, honest counting, and what the default detector must reach."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from metrics_platform.backtest.command import GENERATED_DAYS, WARM_UP_DAYS, BacktestError, try_on_history
from metrics_platform.backtest.faults import FAULTS, Fault, inject
from metrics_platform.backtest.generated import generated_history
from metrics_platform.backtest.report import cells, headings, markdown_table, merged
from metrics_platform.backtest.run import Backtest, Row
from metrics_platform.catalog import SLOT_METRICS, slot_metric
from metrics_platform.cli import main
from metrics_platform.detection.series import SLOTS_A_DAY
from metrics_platform.monitor.history import SlotHistory
from metrics_platform.settings import Settings
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.tables import SLOT_METRICS as SLOT_TABLE
from metrics_platform_tests.worlds import SourceTables

MONITORING = {metric.name: metric.monitoring for metric in SLOT_METRICS}


@pytest.fixture(scope="module")
def histories() -> list[SlotHistory]:
    return [generated_history(500, WARM_UP_DAYS + GENERATED_DAYS, seed=1)]


@pytest.fixture(scope="module")
def seasonal(histories: list[SlotHistory]) -> list[Row]:
    slots = GENERATED_DAYS * SLOTS_A_DAY
    tests = [
        Backtest(each, slots, MONITORING, ("seasonal",), trials=25, seed=number)
        for number, each in enumerate(histories)
    ]
    return merged(row for test in tests for row in test.run())


@pytest.mark.parametrize("metric", [metric.name for metric in SLOT_METRICS])
def test_seasonal_alerts_wrongly_at_most_0_3_times_a_week_per_series(seasonal: list[Row], metric: str) -> None:
    row = next(each for each in seasonal if each.metric == metric)
    assert row.days == GENERATED_DAYS
    assert row.alerts / row.days * 7 <= 0.3
    assert row.slice_alerts / row.slices / row.days * 7 <= 0.3


@pytest.mark.parametrize("fault", ["outage of a slot", "outage of an hour", "no data"])
def test_seasonal_finds_outages_and_no_data_in_their_first_slot(seasonal: list[Row], fault: str) -> None:
    found = {row.metric: row.found[fault] for row in seasonal if fault in row.found}
    assert set(found) == {"feed_users", "views", "likes", "messages", "senders"}
    assert (
        sum(each.share * each.trials for each in found.values()) / sum(each.trials for each in found.values()) >= 0.95
    )
    assert {each.delay for each in found.values()} == {0.0}


def test_seasonal_finds_a_halved_ctr_and_a_dying_slice(seasonal: list[Row]) -> None:
    by_name = {row.metric: row for row in seasonal}
    assert by_name["ctr"].found["CTR halved for 2 h"].share >= 0.95
    assert by_name["views"].found["one os −80 % for 2 h"].share >= 0.9


def test_a_perfect_world_has_no_alert_and_a_fault_that_changes_nothing_is_not_found(
    histories: list[SlotHistory],
) -> None:
    flat = {name: np.full((40 * SLOTS_A_DAY, 3), 300.0) for name in histories[0].columns}
    history = SlotHistory(histories[0].start, histories[0].zone, histories[0].names, flat)
    test = Backtest(history, 10 * SLOTS_A_DAY, MONITORING, trials=3)
    for row in test.run():
        assert (row.alerts, row.slice_alerts) == (0, 0), (row.metric, row.detector)
    nothing = Fault("nothing", (1.0,) * 4)
    how = MONITORING["views"]
    found = test._found(slot_metric("views"), nothing, how.total, how.slices)
    assert (found.share, found.delay) == (0.0, None)


def test_an_alert_in_the_other_direction_does_not_count_as_found(histories: list[SlotHistory]) -> None:
    values = np.full((40 * SLOTS_A_DAY, 1), 300.0)
    values[-96:] = 900.0  # a rise that is there anyway
    columns = dict.fromkeys(histories[0].columns, values)
    history = SlotHistory(histories[0].start, histories[0].zone, histories[0].names[:1], columns)
    how = MONITORING["views"]
    test = Backtest(history, 96, MONITORING, ("seasonal",), trials=3)
    assert test._found(slot_metric("views"), Fault("a fall", (0.95,)), how.total, how.slices).share == 0
    assert test._found(slot_metric("views"), Fault("a rise", (1.05,)), how.total, how.slices).share == 1


def test_an_alert_that_comes_back_within_two_hours_is_one(histories: list[SlotHistory]) -> None:
    values = np.full((40 * SLOTS_A_DAY, 1), 300.0)
    for slots_before_end in (50, 49, 44, 10):
        values[-slots_before_end] = 0
    columns = dict.fromkeys(histories[0].columns, values)
    history = SlotHistory(histories[0].start, histories[0].zone, histories[0].names[:1], columns)
    row = next(iter(Backtest(history, 96, MONITORING, ("seasonal",), trials=1).run()))
    assert row.alerts == 2
    assert row.slices == 0


@given(
    fault=st.sampled_from(FAULTS),
    seed=st.integers(0, 10**6),
    values=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 500)), min_size=30, max_size=40),
)
def test_a_fault_changes_its_own_slots_only_and_keeps_totals_and_slices_in_step(
    fault: Fault, seed: int, values: list[tuple[int, int]]
) -> None:
    before = np.array([(float(part + rest), float(part)) for part, rest in values])
    after = inject(before, fault, np.random.default_rng(seed))
    untouched = len(values) - len(fault.factors)
    np.testing.assert_array_equal(after[:untouched], before[:untouched])
    assert (after >= 0).all()
    np.testing.assert_array_equal(after, np.round(after))
    if fault.factors[0] <= 1:
        assert (after <= before).all()
    if fault.hits == "slice":
        np.testing.assert_array_equal(before[:, 0] - before[:, 1], after[:, 0] - after[:, 1])


def test_generated_traffic_is_the_same_for_a_seed_and_adds_up() -> None:
    one, two, other = (generated_history(50, 3, seed) for seed in (1, 1, 2))
    for name, values in one.columns.items():
        np.testing.assert_array_equal(values, two.columns[name])
        assert not np.array_equal(values, other.columns[name])
        np.testing.assert_array_equal(values[:, 0], values[:, 1] + values[:, 2])
        np.testing.assert_array_equal(values, np.round(values))
    assert (one.columns["likes"] <= one.columns["views"]).all()
    assert (one.columns["senders"] <= one.columns["messages"]).all()


def test_tables_have_a_cell_for_every_heading(seasonal: list[Row]) -> None:
    assert all(len(cells(row)) == len(headings()) for row in seasonal)
    lines = markdown_table(seasonal).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert len(lines) == len(seasonal) + 2


def test_the_command_prints_a_table_and_writes_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "deep" / "backtest.png"
    answer = CliRunner().invoke(
        main,
        ["backtest", "--generated", "300", "--products", "1", "--trials", "1", "--detector", "iqr", "--markdown",
         "--picture", str(picture)],
    )  # fmt: skip
    assert answer.exit_code == 0, answer.output
    assert len(re.findall(r"^\| \w+ \| iqr \|", answer.output, re.MULTILINE)) == 6
    with Image.open(picture) as image:
        assert image.width > 1000


def test_on_a_history_it_judges_the_days_asked_for(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(monitored_dimensions=("os",), start_date="2026-01-01")
    sources = SourceTables.create(settings)
    with pytest.raises(BacktestError, match="slot_metrics is empty: materialise it"):
        try_on_history(settings, None, None, detectors=("seasonal",), trials=1)
    assert create_tables(sources.warehouse, [SLOT_TABLE])  # it had made none
    sources.warehouse.execute(
        "INSERT INTO slot_metrics SELECT toDateTime('2026-01-01 00:00:00', 'UTC') + number * 900, 'total', 'total', "
        "if(number = 2000, 0, 500 + number % 7), 100, 300, 200, 90, 0.2 FROM numbers(2400)",
        settings={"max_partitions_per_insert_block": 1000},
    )
    first, last = (np.datetime64(day).astype(object) for day in ("2026-01-20", "2026-01-23"))
    rows, title = try_on_history(settings, first, last, detectors=("seasonal",), trials=2)
    assert "4.0 days of slot_metrics" in title
    assert {row.metric: row.alerts for row in rows} == {
        "feed_users": 0, "views": 1, "likes": 0, "ctr": 0, "messages": 0, "senders": 0,
    }  # fmt: skip
    with pytest.raises(BacktestError, match="none of them in the days asked for"):
        try_on_history(settings, np.datetime64("2027-01-01").astype(object), None, detectors=("seasonal",), trials=1)
