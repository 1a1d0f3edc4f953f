"""What a start of the demo has to compute, and in which runs."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from metrics_platform.local.demo import preparing
from metrics_platform.local.demo.preparing import days_between
from metrics_platform.local.demo.product import Product

FIRST = datetime.date(2026, 11, 1)
PRODUCT = Product(FIRST, datetime.date(2026, 11, 27), ZoneInfo("Europe/Berlin"))
NOW = datetime.datetime(2026, 11, 5, 23, 30, tzinfo=datetime.UTC)  # in Berlin it is the sixth


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with dg.DagsterInstance.get() as found:
        yield found


def _materialize(instance: dg.DagsterInstance, table: str, *days: int) -> None:
    for day in days:
        event = dg.AssetMaterialization(table, partition=FIRST.replace(day=day).isoformat())
        instance.report_runless_asset_event(event)


def test_days_are_missing_from_the_first_one_that_lacks_a_last_table(instance: dg.DagsterInstance) -> None:
    assert preparing.missing_days(PRODUCT, NOW) == days_between(FIRST, FIRST.replace(day=6))
    _materialize(instance, "app_daily", 1, 2, 3, 4, 5)
    _materialize(instance, "metric_daily", 1, 2, 3, 4, 5)
    _materialize(instance, "dimension_metrics", 1, 2, 4, 5)
    assert preparing.missing_days(PRODUCT, NOW) == days_between(FIRST.replace(day=3), FIRST.replace(day=6))
    _materialize(instance, "dimension_metrics", 3)
    assert preparing.missing_days(PRODUCT, NOW) == []


def test_runs_that_an_earlier_stop_cut_off_are_cancelled(instance: dg.DagsterInstance) -> None:
    @dg.job
    def cut_off() -> None:
        """A job."""

    lost = instance.create_run_for_job(cut_off, status=dg.DagsterRunStatus.STARTED)
    done = instance.create_run_for_job(cut_off, status=dg.DagsterRunStatus.SUCCESS)
    preparing.cancel_lost_runs()
    statuses = [run.status for run in map(instance.get_run_by_id, (lost.run_id, done.run_id)) if run]
    assert statuses == [dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.SUCCESS]
