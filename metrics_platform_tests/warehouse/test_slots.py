"""The long tables against the oracle, however they were computed: at once, piece by piece, again."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from metrics_platform.calendar import SlotRange
from metrics_platform.catalog import load_catalog
from metrics_platform.settings import Settings
from metrics_platform.warehouse.catalog_check import CheckedCatalog, check_catalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.metric_days import compute_metric_days, missing_days
from metrics_platform.warehouse.slots import compute_slots, missing_slots
from metrics_platform_tests.generated_catalogs import GeneratedCatalog, catalogs
from metrics_platform_tests.values_oracle import QUARTER, Key, Oracle

_numbers = itertools.count(1)


@given(world=catalogs(), cuts=st.lists(st.integers(1, 300), max_size=3), days_first=st.booleans())
def test_values_of_generated_catalogues_equal_plain_python(
    make_settings: Callable[..., Settings],
    tmp_path_factory: pytest.TempPathFactory,
    world: GeneratedCatalog,
    cuts: list[int],
    days_first: bool,
) -> None:
    settings, checked, warehouse = _prepare(make_settings, tmp_path_factory.mktemp("catalog"), world)
    oracle = Oracle(world.product)
    product = world.product
    whole = SlotRange(product.day_start(world.days[0]), product.day_start(world.days[-1] + timedelta(days=1)))
    borders = sorted({whole.start, whole.end, *(whole.start + cut * QUARTER for cut in cuts if cut < len(whole))})

    def days() -> None:
        for result in compute_metric_days(warehouse, world.days, checked, settings):
            assert result.violations == ()
        for day in world.days:
            oracle.compute_day(day)

    if days_first:
        days()
    for start, end in itertools.pairwise(borders):
        for result in compute_slots(warehouse, SlotRange(start, end), checked, settings):
            assert (result.violations, dict(result.problems)) == ((), {})
        oracle.compute_slots(start, end)
    if not days_first:
        days()
    assert differences(rows_of(warehouse, "slot_metrics"), oracle.slots) == []
    assert differences(rows_of(warehouse, "metric_daily"), oracle.days) == []
    assert missing_slots(warehouse, whole, checked, settings) == []
    assert missing_days(warehouse, world.days[0], world.days[-1], checked) == []
    # Again, latest first.
    for start, end in reversed(list(itertools.pairwise(borders))):
        list(compute_slots(warehouse, SlotRange(start, end), checked, settings))
    assert differences(rows_of(warehouse, "slot_metrics"), oracle.slots) == []


def _prepare(
    make_settings: Callable[..., Settings], directory: Path, world: GeneratedCatalog
) -> tuple[Settings, CheckedCatalog, Warehouse]:
    file = directory / "metrics.yaml"
    settings = make_settings(timezone=world.zone, start_date=world.days[0], catalog=file)
    content = world.write(settings, f"events-{next(_numbers)}.{directory.name}")
    file.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    warehouse = Warehouse.from_settings(settings)
    checked = check_catalog(warehouse, load_catalog(settings))
    assert checked.problems == {}
    return settings, checked, warehouse


def rows_of(warehouse: Warehouse, table: str) -> dict[Key, tuple[float | None, ...]]:
    """What readers see: key → value, numerator and denominator."""
    start = "slot_start" if table == "slot_metrics" else "event_date"
    rows = warehouse.query(
        f"SELECT {start} AS bucket, metric, dimension, dimension_value, value, numerator, denominator "
        f"FROM {table} FINAL"
    ).rows
    found: dict[Key, Any] = {}
    for row in rows:
        bucket, metric, dimension, value, *numbers = row.values()
        moment = bucket.replace(tzinfo=UTC) if table == "slot_metrics" else bucket
        found[moment, metric, dimension, value] = tuple(numbers)
    assert len(found) == len(rows)
    return found


def differences(found: dict[Key, Any], expected: dict[Key, Any]) -> list[str]:
    """The first rows that are not the same, for people."""
    odd = [key for key in {**found, **expected} if found.get(key) != expected.get(key)]
    return [f"{key}: is {found.get(key)}, expected {expected.get(key)}" for key in sorted(odd)[:20]]
