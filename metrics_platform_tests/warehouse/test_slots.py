"""The long tables against the oracle, however they were computed: at once, piece by piece, again."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_platform.catalog import load_catalog
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SlotRange
from metrics_platform.warehouse.catalog_check import CheckedCatalog, check_catalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.slots import compute_metric_days, compute_slots, missing_days, missing_slots
from metrics_platform_tests.generated_catalogs import GeneratedCatalog, catalogs
from metrics_platform_tests.generated_events import World, worlds
from metrics_platform_tests.values_oracle import QUARTER, Key, Oracle
from metrics_platform_tests.worlds import SourceTables

_numbers = itertools.count(1)
_FEW = settings(max_examples=max(3, settings().max_examples - 2))


@_FEW
@given(world=catalogs(), cuts=st.lists(st.integers(1, 200), max_size=2), days_first=st.booleans())
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
    assert missing_days(warehouse, world.days[0], world.days[-1], checked, settings.zone) == []
    # Again, from the last cut on.
    list(compute_slots(warehouse, SlotRange(borders[-2], borders[-1]), checked, settings))
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


_GENDERS = {"1": "male", "male": "male", "0": "female", "female": "female"}
_AGES = ((18, "<18"), (25, "18-24"), (35, "25-34"), (45, "35-44"), (55, "45-54"), (999, "55+"))
_BUILTIN = ("os", "gender", "age", "age_group", "source", "country", "city", "exp_group")


@_FEW
@given(world=worlds(most_days=2), lacks_columns=st.booleans())
def test_values_of_the_builtin_catalogue_equal_plain_python(
    make_settings: Callable[..., Settings],
    tmp_path_factory: pytest.TempPathFactory,
    world: World,
    lacks_columns: bool,
) -> None:
    file = tmp_path_factory.mktemp("catalog") / "metrics.yaml"
    file.write_text(yaml.safe_dump({"dimensions": {name: {"monitor": True} for name in _BUILTIN}}), encoding="utf-8")
    settings = make_settings(timezone=world.zone, start_date=world.days[0], catalog=file)
    sources = SourceTables.create(settings, gender_as_text=world.gender_as_text, nullable=world.nullable)
    sources.insert_feed(world.feed)
    sources.insert_messages(world.messages.rename(columns={world.receiver_column: settings.receiver_column}))
    missing = ("country", "city", "source", "exp_group") if lacks_columns else ()
    for column in missing:
        sources.warehouse.execute(f"ALTER TABLE {settings.messages_table} DROP COLUMN {column}")
    checked = check_catalog(sources.warehouse, load_catalog(settings))
    assert checked.problems == {}
    start = datetime.combine(world.days[0], time(), UTC)
    whole = SlotRange(start, start + timedelta(days=len(world.days)))
    for result in compute_slots(sources.warehouse, whole, checked, settings):
        assert (result.violations, dict(result.problems)) == ((), {})
    # A row without its user or receiver belongs to no user.
    feed = world.feed.dropna(subset=["user_id"])
    messages = world.messages.dropna(subset=["user_id", world.receiver_column]).assign(**dict.fromkeys(missing))
    expected = _builtin_values(feed, messages, whole)
    found = {
        key: values[0]
        for key, values in rows_of(sources.warehouse, "slot_metrics").items()
        if key[1] in ("feed_users", "views", "likes", "ctr", "messages", "senders")
    }
    # Where nothing happened, the grid has zeros, and no ctr.
    empty = {key: None if key[1] == "ctr" else 0 for key in found if key not in expected}
    assert differences(found, {**empty, **expected}) == []


def _builtin_values(feed: pd.DataFrame, messages: pd.DataFrame, whole: SlotRange) -> dict[Key, float | None]:
    """The built-in metrics of every slot and slice in which their source has events."""
    values: dict[Key, float | None] = {}
    for events, users in ((feed, "feed_users"), (messages, "senders")):
        cells: dict[tuple[Any, str, str], list[dict[str, Any]]] = defaultdict(list)
        for event in events.to_dict("records"):
            moment = event["time"].to_pydatetime()
            if whole.start <= moment < whole.end:
                slot = moment.replace(minute=moment.minute // 15 * 15, second=0)
                for dimension, value in [("total", "total"), *_builtin_slices(event).items()]:
                    cells[slot, dimension, value].append(event)
        for (slot, dimension, value), rows in cells.items():
            found: dict[str, float | None] = {users: len({row["user_id"] for row in rows})}
            if users == "senders":
                found["messages"] = len(rows)
            else:
                found["views"] = sum(row["action"] == "view" for row in rows)
                found["likes"] = sum(row["action"] == "like" for row in rows)
                found["ctr"] = found["likes"] / found["views"] if found["views"] else None
            values |= {(slot, metric, dimension, value): number for metric, number in found.items()}
    return values


def _builtin_slices(event: dict[str, Any]) -> dict[str, str]:
    texts = {name: "" if pd.isna(event[name]) else str(event[name]) for name in _BUILTIN if name != "age_group"}
    age, group = (int(float(texts[name])) if texts[name] else -1 for name in ("age", "exp_group"))
    named = {
        **texts,
        "gender": _GENDERS.get(texts["gender"].removesuffix(".0"), ""),
        "age": str(age) if age > 0 else "",
        "age_group": next(label for limit, label in _AGES if age < limit) if age > 0 else "",
        "exp_group": str(group) if group >= 0 else "",
    }
    return {name: value or "unknown" for name, value in named.items()}
