"""Running the day's assets through Dagster, in this process, against a test's own databases."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

import dagster as dg
import pandas as pd

from metrics_platform.defs import build_definitions
from metrics_platform.settings import Settings
from metrics_platform.time_windows import RANGE_END, RANGE_START
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.tables import daily_tables
from metrics_platform_tests.worlds import read_table

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class CodeLocation:
    """The code location of some settings with a Dagster instance of its own."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.settings = settings
        self.instance = instance
        self.definitions = build_definitions(settings)
        self.job = self.definitions.resolve_job_def("daily_etl")

    def run(
        self, first: date, last: date | None = None, assets: Iterable[str] | None = None
    ) -> dg.ExecuteInProcessResult:
        """Run `daily_etl` for one partition, or for a range in one run; only `assets`, if named."""
        options: dict[str, Any] = {"partition_key": first.isoformat()}
        if last is not None:
            options = {"tags": {RANGE_START: first.isoformat(), RANGE_END: last.isoformat()}}
        return self.job.execute_in_process(
            instance=self.instance,
            raise_on_error=False,
            run_config=QUIET,
            asset_selection=[dg.AssetKey(name) for name in assets] if assets else None,
            **options,
        )

    def tables(self) -> dict[str, pd.DataFrame]:
        """All rows of all daily tables, in a fixed order."""
        warehouse = Warehouse.from_settings(self.settings)
        return {table.name: read_table(warehouse, table.name) for table in daily_tables(self.settings.dimensions)}


def assert_same_tables(actual: dict[str, pd.DataFrame], expected: dict[str, pd.DataFrame]) -> None:
    """Every table has the same rows."""
    assert actual.keys() == expected.keys()
    for name, frame in expected.items():
        pd.testing.assert_frame_equal(actual[name], frame, obj=name)


def failure_texts(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Step → what Dagster shows as the cause of its failure."""
    texts = {}
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            shown = [data.error.message if data.error else ""]
            if data.user_failure_data:
                shown.append(data.user_failure_data.description or "")
            texts[str(event.step_key)] = "\n".join(shown)
    return texts


def check_outcomes(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    """Return the evaluations of the run by "asset: check"."""
    return {
        f"{evaluation.asset_key.to_user_string()}: {evaluation.check_name}": evaluation
        for evaluation in result.get_asset_check_evaluations()
    }
