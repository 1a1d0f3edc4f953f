"""What Dagster knows of the reported day: when its tables were computed, and what their checks said."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from functools import cache

import dagster as dg

from metrics_platform.report.facts import LoadState
from metrics_platform.time_windows import RANGE_END, RANGE_START
from metrics_platform.warehouse import tables

# Everything that `app_daily` is computed from, and itself.
LINEAGE = (tables.FEED_USER_DAILY, tables.MESSAGE_USER_DAILY, tables.USERS, tables.USER_DAILY, tables.APP_DAILY)
_PARTITION = "dagster/partition"
# How far back a check's runs are looked through for one that computed the day: nights recompute a few days each, and a
# longer stretch of other days is a backfill, which is one run.
_RUNS_LOOKED_AT = 40


def load_state(instance: dg.DagsterInstance, key: str) -> LoadState:
    """The state of the partition `key` (YYYY-MM-DD); tables that were not computed through Dagster are unknown."""
    computed = [_computed_at(instance, table.name, key) for table in LINEAGE]
    evaluations = {
        f"{evaluation.asset_key.to_user_string()}: {evaluation.check_name}": evaluation
        for evaluation in _evaluations(instance, key)
    }
    return LoadState(
        fresh_at=min(moment for moment in computed if moment) if all(computed) else None,
        checks_passed=sum(evaluation.passed for evaluation in evaluations.values()),
        checks_total=len(evaluations),
        failed_checks=tuple(
            name
            for name, evaluation in evaluations.items()
            if not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.ERROR
        ),
    )


def _computed_at(instance: dg.DagsterInstance, asset: str, key: str) -> datetime.datetime | None:
    selection = dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[key])
    records = instance.fetch_materializations(selection, limit=1).records
    return datetime.datetime.fromtimestamp(records[0].timestamp, datetime.UTC) if records else None


def _evaluations(instance: dg.DagsterInstance, key: str) -> Iterator[dg.AssetCheckEvaluation]:
    """The latest evaluation of each check in a run that computed the day."""

    @cache
    def computes_the_day(run_id: str) -> bool:
        run = instance.get_run_by_id(run_id)
        return run is not None and _is_of(run.tags, key)

    for table in LINEAGE:
        for name in table.checks:
            check = dg.AssetCheckKey(dg.AssetKey(table.name), name)
            history = instance.event_log_storage.get_asset_check_execution_history(check, limit=_RUNS_LOOKED_AT)
            for record in history:
                evaluation = record.evaluation
                if isinstance(evaluation, dg.AssetCheckEvaluation) and computes_the_day(record.run_id):
                    yield evaluation
                    break


def _is_of(tags: Mapping[str, str], key: str) -> bool:
    """Whether a run with these tags computes the partition; keys are dates, which sort as texts."""
    if _PARTITION in tags:
        return tags[_PARTITION] == key
    return RANGE_START in tags and tags[RANGE_START] <= key <= tags.get(RANGE_END, "")
