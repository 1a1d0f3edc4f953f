"""The back-test: faults, counting, any metric of a catalogue, and what the default detector must reach."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from metrics_platform.catalog import Catalog, load_catalog
from metrics_platform.cli import main
from metrics_platform.detection.config import DETECTORS, Detector, Kind
from metrics_platform.detection.series import SLOTS_A_DAY, Floats, SlotSeries
from metrics_platform.monitor import backtest
from metrics_platform.monitor.backtest import (
    FAULTS,
    GENERATED_DAYS,
    NAMES,
    WARM_UP_DAYS,
    BacktestError,
    Fault,
    Product,
    Row,
    backtest_history,
    generated_histories,
    inject,
)
from metrics_platform.monitor.verdicts import SlotHistory
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.tables import SLOT_METRICS
from metrics_platform_tests.detection.histories import BERLIN, START, catalog

_OWN = """
sources:
  payments: {table: shop.payments, user: user_id, time: paid_at, dimensions: [country]}
metrics:
  revenue: {source: payments, sql: sum(amount), kind: gauge}
  balance: {source: payments, sql: avg(balance), kind: gauge}
  payers: {source: payments, sql: uniqExact(user), kind: count}
  arppu: {numerator: revenue, denominator: payers, kind: ratio}
  hidden: {source: payments, sql: count(), monitor: false}
"""
_INSERT = """
INSERT INTO slot_metrics
    (event_date, slot_start, metric, dimension, dimension_value, value, numerator, denominator, definition,
     version)
SELECT
    toDate(slot), slot, found.1, slice, slice, found.2 / found.3, found.2, nullIf(found.3, 1),
    transform(found.1, {names:Array(String)}, {definitions:Array(UInt64)}, toUInt64(0)), 1
FROM (SELECT toDateTime('2026-01-01 00:00:00', 'UTC') + number * 900 AS slot, number FROM numbers(2400))
ARRAY JOIN ['total', 'slice'] AS slice
ARRAY JOIN [
    ('views', toFloat64(if(number = 2000, 0, 500 + number % 7)), 1), ('likes', 100., 1), ('ctr', 100., 500.)
] AS found
SETTINGS max_partitions_per_insert_block = 1000
"""


@pytest.fixture(scope="module")
def seasonal() -> list[Row]:
    """Two products; one of them has as many views as the detector's thresholds were chosen by, and faults."""
    rows = [Row(metric, "seasonal") for metric in catalog().metrics]
    for users, trials in ((900, 5), (400, 0)):
        histories = generated_histories(catalog(), Product(users, WARM_UP_DAYS + GENERATED_DAYS), users)
        for seed, row in enumerate(rows):
            row.add(histories[row.metric], GENERATED_DAYS * SLOTS_A_DAY, trials, seed)
    return rows


@pytest.fixture
def own_settings(make_settings: Callable[..., Settings], tmp_path: Path) -> Settings:
    (tmp_path / "own.yaml").write_text(_OWN)
    return make_settings(catalog=tmp_path / "own.yaml", start_date="2026-01-01")


def test_seasonal_raises_at_most_0_3_false_alerts_a_week_and_series(seasonal: list[Row]) -> None:
    assert [row.metric for row in seasonal] == list(catalog().metrics)
    for row in seasonal:
        assert row.days == 2 * GENERATED_DAYS
        assert row.alerts / row.days * 7 <= 0.3, row.metric
        assert row.slice_alerts / row.slice_days * 7 <= 0.3, row.metric


def test_seasonal_finds_outages_in_their_first_slot(seasonal: list[Row]) -> None:
    for fault in FAULTS:
        if fault.is_outage:
            found = {row.metric: row.delays[fault.name] for row in seasonal if fault.name in row.delays}
            assert set(found) == set(catalog().metrics) - {"ctr"}
            assert np.mean([row.share(fault) for row in seasonal if row.metric in found]) >= 0.95
            assert {float(np.nanmedian(delays)) for delays in found.values()} == {0.0}


def test_seasonal_finds_a_halved_share_and_a_dying_slice(seasonal: list[Row]) -> None:
    rows, faults = {row.metric: row for row in seasonal}, {fault.name: fault for fault in FAULTS}
    assert rows["ctr"].share(faults["÷2 2 h"]) >= 0.9
    assert rows["views"].share(faults["one slice −80 % 2 h"]) >= 0.9


def _row(values: Floats, slots: int, detector: Detector = "seasonal", names: tuple[tuple[str, str], ...] = NAMES[:1],
         trials: int = 0) -> Row:  # fmt: skip
    history = SlotHistory(catalog().metrics["views"], START, BERLIN, names, values, None)
    return Row("views", detector).add(history, slots, trials)


@pytest.mark.parametrize("detector", DETECTORS)
def test_without_faults_nothing_is_found(monkeypatch: pytest.MonkeyPatch, detector: Detector) -> None:
    monkeypatch.setattr(backtest, "FAULTS", (Fault("nothing", (1.0,) * 4),))
    row = _row(np.full((40 * SLOTS_A_DAY, 3), 300.0), 10 * SLOTS_A_DAY, detector, NAMES, trials=3)
    assert (row.alerts, row.slice_alerts) == (0, 0)
    assert np.isnan(row.delays["nothing"]).all()


def test_an_alert_in_the_other_direction_does_not_count_as_found(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = Fault("a fall", (0.95,)), Fault("a rise", (1.05,))
    monkeypatch.setattr(backtest, "FAULTS", faults)
    values = np.full((40 * SLOTS_A_DAY, 1), 300.0)
    values[-1:] = 900.0  # a rise that is there anyway
    row = _row(values, 1, trials=3)
    assert [row.share(fault) for fault in faults] == [0, 1]


@pytest.mark.parametrize(
    ("slots_before_end", "evaluated", "alerts"),
    [
        ((50, 49, 44, 10), 96, 2),  # what comes back within two hours is one
        ((12, 11, 10, 9), 10, 0),  # it began before
        ((12, 11, 10, 9), 12, 1),
    ],
)
def test_incidents_are_counted_by_their_own_rules(slots_before_end: list[int], evaluated: int, alerts: int) -> None:
    values = np.full((40 * SLOTS_A_DAY, 1), 300.0)
    values[[-slots for slots in slots_before_end]] = 0
    row = _row(values, evaluated)
    assert (row.alerts, row.slice_days) == (alerts, 0)


@given(
    fault=st.sampled_from(FAULTS),
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(["count", "gauge", "share"]),
    values=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 500)), min_size=30, max_size=40),
)
def test_a_fault_changes_its_own_slots_only(fault: Fault, seed: int, kind: Kind, values: list[tuple[int, int]]) -> None:
    columns = np.array([(float(part + rest), float(part)) for part, rest in values])
    trials = np.ceil(columns * 1.2) if kind == "share" else None
    both = SlotSeries(START, BERLIN, columns, trials, kind)
    hit = inject(fault, both.part(0, 1), both.part(1, 2) if fault.hits_slice else None, np.random.default_rng(seed))
    untouched = len(values) - len(fault.factors)
    for number, after in enumerate(hit):
        before = both.part(number, number + 1)
        np.testing.assert_array_equal(after.values[:untouched], before.values[:untouched])
        assert (after.values >= 0).all()
        if kind != "gauge":
            np.testing.assert_array_equal(after.values, np.round(after.values))
        if after.trials is not None:
            assert (after.values <= after.trials).all()
        if fault.factors[0] <= 1:
            assert (after.values <= before.values).all()
    if fault.hits_slice and kind != "gauge":
        rest = both.values[:, :1] - both.values[:, 1:]
        np.testing.assert_array_equal(hit[0].values - hit[1].values, rest)


def test_generated_histories_are_the_same_for_a_seed_and_add_up(own_settings: Settings) -> None:
    own = load_catalog(own_settings)
    one, two, other = (generated_histories(own, Product(50, 3), seed) for seed in (1, 1, 2))
    assert list(one) == list(own.metrics)
    for name, history in one.items():
        np.testing.assert_array_equal(history.numerators, two[name].numerators)
        assert not np.array_equal(history.numerators, other[name].numerators)
        np.testing.assert_allclose(history.numerators[:, 0], history.numerators[:, 1:].sum(axis=1))
        if history.metric.kind == "count":
            np.testing.assert_array_equal(history.numerators, np.round(history.numerators))
    shares = one["ctr"]
    assert shares.denominators is not None
    np.testing.assert_array_equal(shares.numerators, one["likes"].numerators)
    assert (shares.numerators <= shares.denominators).all()


def test_shares_of_each_other_can_be_generated() -> None:
    metrics = dict(catalog().metrics)
    metrics["back"] = replace(metrics["ctr"], name="back", numerator="views", denominator="likes")
    found = generated_histories(Catalog({}, {}, metrics), Product(50, 2), 1)
    assert found["back"].numerators.sum() > 0


def test_every_kind_of_metric_of_a_catalogue_is_tested(own_settings: Settings) -> None:
    rows, title = backtest.backtest_generated(
        own_settings, 300, 1, detectors=("seasonal",), trials=2, names=["revenue", "balance", "arppu", "payers"]
    )
    assert [row.metric for row in rows] == ["revenue", "balance", "payers", "arppu"]
    by_name = {row.metric: row for row in rows}
    faults = {fault.name: fault for fault in FAULTS}
    assert by_name["revenue"].share(faults["no data 1 h"]) == 1
    assert "no data 1 h" not in by_name["balance"].delays
    assert by_name["arppu"].share(faults["÷2 2 h"]) == 1
    assert "300 active users" in title


def test_an_unknown_or_unmonitored_metric_is_refused_by_name(own_settings: Settings) -> None:
    options = {"detectors": ("iqr",), "trials": 1}
    with pytest.raises(BacktestError, match=r"Unknown metric 'revenues'. Choose from feed_users, .*revenue"):
        backtest.backtest_generated(own_settings, 300, 1, names=["revenues"], **options)  # type: ignore[arg-type]
    with pytest.raises(BacktestError, match=r"hidden is not monitored. Remove `monitor: false` from metrics.hidden"):
        backtest_history(own_settings, None, None, names=["hidden"], **options)  # type: ignore[arg-type]


def test_the_command_prints_a_table_and_writes_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "deep" / "backtest.png"
    command = ["backtest", "--generated", "300", "--products", "1", "--trials", "1", "--detector", "iqr"]
    command += ["--metric", "views", "--metric", "ctr", "--markdown", "--picture", str(picture)]
    answer = CliRunner().invoke(main, command)
    assert answer.exit_code == 0, answer.output
    assert re.findall(r"^\| (\w+) +\| iqr +\|", answer.output, re.MULTILINE) == ["views", "ctr"]
    with Image.open(picture) as image:
        assert image.width > 1000
    said: list[str] = []
    rows = [Row("views", "iqr"), Row("ctr", "iqr")]
    backtest.show(rows, "a title", markdown=False, picture=None, echo=said.append)
    assert re.findall(r"│ (\w+) +│ iqr", said[0]) == ["views", "ctr"]


@pytest.fixture
def stored(make_settings: Callable[..., Settings]) -> Settings:
    """Settings of a product with 25 days of slots."""
    settings = make_settings(start_date="2026-01-01", timezone="UTC")
    warehouse = Warehouse.from_settings(settings)
    create_tables(warehouse, [SLOT_METRICS])
    metrics = catalog().metrics.values()
    definitions = {
        "names": [metric.name for metric in metrics],
        "definitions": [metric.definition for metric in metrics],
    }
    warehouse.execute(_INSERT, definitions)
    return settings


def test_without_a_history_the_command_says_what_to_do(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    create_tables(Warehouse.from_settings(settings), [])
    with pytest.raises(BacktestError, match=r"slot_metrics has no slots of these metrics\. Materialise"):
        backtest_history(settings, None, None, detectors=("seasonal",), trials=2)
    assert create_tables(Warehouse.from_settings(settings), [SLOT_METRICS])  # it had created none


def test_a_history_is_evaluated_on_the_days_asked_for(stored: Settings) -> None:
    first, last = datetime.date(2026, 1, 20), datetime.date(2026, 1, 23)
    rows, title = backtest_history(stored, first, last, detectors=("seasonal",), trials=2)
    assert "4.0 days of slot_metrics, 2026-01-20 00:00 – 2026-01-24 00:00 UTC" in title
    assert {row.metric: (row.alerts, row.slice_alerts) for row in rows} == {
        "views": (1, 0),
        "likes": (0, 0),
        "ctr": (0, 0),
    }
    rows, _ = backtest_history(stored, first, last, detectors=("iqr",), trials=2, names=["views"])
    assert [row.metric for row in rows] == ["views"]
    with pytest.raises(BacktestError, match="no slots of these metrics in the days from 2027-01-01 to the last"):
        backtest_history(stored, datetime.date(2027, 1, 1), None, detectors=("iqr",), trials=2)


def test_a_history_in_pieces_gives_the_same_alerts_as_in_one(stored: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def alerts() -> list[tuple[str, int, int, float, int]]:
        names = ["views", "ctr"]
        rows, _ = backtest_history(stored, None, None, detectors=("seasonal",), trials=2, names=names)
        trials = [sum(map(len, row.delays.values())) for row in rows]
        return [(row.metric, row.alerts, row.slice_alerts, row.days, n) for row, n in zip(rows, trials, strict=True)]

    whole = alerts()
    monkeypatch.setattr(backtest, "_SLOTS_AT_A_TIME", 500)
    monkeypatch.setattr(backtest, "_CELLS_AT_A_TIME", 500)
    assert alerts() == whole
