"""The work of a report run: read the state of the day's load, write the report, show it, and queue it once."""

from __future__ import annotations

import datetime
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache

import dagster as dg

from metrics_platform.defs.daily.schedule import JOB as DAILY_JOB
from metrics_platform.defs.delivery.sending import message_metadata
from metrics_platform.defs.delivery.storage import enqueue, history_of
from metrics_platform.defs.monitoring.assets import ACTIVE
from metrics_platform.defs.report.assets import DUE_AT
from metrics_platform.notifications.composer import Composer
from metrics_platform.notifications.history import History
from metrics_platform.notifications.kinds import DailyReport
from metrics_platform.report.facts import LoadState, content_of
from metrics_platform.report.reading import read_reports
from metrics_platform.settings import Settings
from metrics_platform.time_windows import RANGE_END, RANGE_START, Day
from metrics_platform.warehouse import tables
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.daily_sources import DailySources
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.source_rows import SourceError
from metrics_platform.warehouse.upstream import not_computed

# Everything that `app_daily` is computed from, and itself.
LINEAGE = (tables.FEED_USER_DAILY, tables.MESSAGE_USER_DAILY, tables.USERS, tables.USER_DAILY, tables.APP_DAILY)
_PARTITION = "dagster/partition"
# How many of a check's runs are searched for one that computed the day. A night recomputes only a few days, and a
# backfill of many days is a single run.
_MAX_CHECK_RUNS = 40
# A load that is due at the same time as the report has begun by then.
_LOAD_BEGINS_SECONDS = 60.0
# A report waits for its load for at most this long.
_MAX_WAIT_SECONDS = 2700.0
_POLL_SECONDS = 5.0
_PROBLEMS = {
    "missing": "no data: the day was not computed",
    "partial": "partial: a table upstream of app_daily was not computed for the day",
    "incomplete": "the day was computed before it was over",
    "failed_checks": "the day's checks failed",
}


def write_reports(
    context: dg.AssetExecutionContext, warehouse: Warehouse, days: list[Day], settings: Settings, *, send: bool
) -> list[DailyReport]:
    """Write the days' reports and attach each to its partition. With `send`, send the last one."""

    def load_of(day: Day, is_computed: bool) -> LoadState:
        missing = _not_computed(context, warehouse, day, settings) if is_computed else ()
        return replace(load_state(context.instance, day.key), not_computed=missing)

    due = context.run.tags.get(DUE_AT)
    if due:
        _wait_for_load(context, days[-1])
    occurred_at = datetime.datetime.fromisoformat(due) if due else datetime.datetime.now(datetime.UTC)
    reports = []
    for report in read_reports(warehouse, days, settings, occurred_at, load_of, context.run.run_id):
        reports.append(report)
        sent = _send_once(context, report) if send and report.date == days[-1].date else ""
        composer = Composer.for_settings(settings, context.log.warning)
        message = composer.message(report, datetime.datetime.now(datetime.UTC))
        metadata = {
            **message_metadata(message, composer.pictures(message)),
            "data": _data_state(report),
            "sent": sent or "Not sent. To send it, set `send: true` in the run's config.",
        }
        context.add_asset_metadata(metadata, partition_key=str(report.date))
        context.log.info(f"{report.key}: {report.problem or 'complete'}. {sent}".strip())
    return reports


def _not_computed(
    context: dg.AssetExecutionContext, warehouse: Warehouse, day: Day, settings: Settings
) -> tuple[str, ...]:
    """The tables behind the report that have not been computed for the day.

    The report only needs `app_daily`, so it is sent even if sources cannot be read now.
    """
    try:
        sources = DailySources.of(warehouse, settings)
        missing = not_computed(sources, tables.APP_DAILY, day, settings)
    except (SourceError, WarehouseError) as error:
        if isinstance(error, WarehouseError) and error.transient:
            raise
        context.log.warning(f"It is unknown whether the data of {day.key} is complete. {error}")
        return ()
    return tuple(upstream.table for upstream in missing)


def _wait_for_load(context: dg.AssetExecutionContext, day: Day) -> None:
    """Wait while the day is being loaded: after a downtime, the schedules start its load and its report together."""
    started = time.monotonic()
    is_logged = False
    while not _is_loaded(context.instance, day) and (waited := time.monotonic() - started) < _MAX_WAIT_SECONDS:
        if _is_being_loaded(context.instance, day.key):
            if not is_logged:
                context.log.info(f"{day.key} is being loaded. The report waits for it.")
                is_logged = True
        elif waited >= _LOAD_BEGINS_SECONDS:
            break
        time.sleep(_POLL_SECONDS)


def _is_loaded(instance: dg.DagsterInstance, day: Day) -> bool:
    computed_at = _computed_at(instance, tables.APP_DAILY.name, day.key)
    return computed_at is not None and computed_at >= day.end


def _is_being_loaded(instance: dg.DagsterInstance, key: str) -> bool:
    runs = instance.get_runs(dg.RunsFilter(statuses=ACTIVE))
    app_daily = dg.AssetKey(tables.APP_DAILY.name)
    return any(
        _covers_day(run.tags, key) and (run.job_name == DAILY_JOB or app_daily in (run.asset_selection or ()))
        for run in runs
    )


# --- the state of the load --------------------------------------------------------------------------------------------


def load_state(instance: dg.DagsterInstance, key: str) -> LoadState:
    """The state of the partition `key` (YYYY-MM-DD). The state of tables not computed by Dagster is unknown."""
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
        return run is not None and _covers_day(run.tags, key)

    for table in LINEAGE:
        for name in table.checks:
            check = dg.AssetCheckKey(dg.AssetKey(table.name), name)
            history = instance.event_log_storage.get_asset_check_execution_history(check, limit=_MAX_CHECK_RUNS)
            for record in history:
                evaluation = record.evaluation
                if isinstance(evaluation, dg.AssetCheckEvaluation) and computes_the_day(record.run_id):
                    yield evaluation
                    break


def _covers_day(tags: Mapping[str, str], key: str) -> bool:
    """Whether a run with these tags computes the day `key`."""
    if _PARTITION in tags:
        return tags[_PARTITION] == key
    return RANGE_START in tags and tags[RANGE_START] <= key <= tags.get(RANGE_END, "")  # dates sort as texts


def check_result(name: str, reports: Sequence[DailyReport]) -> dg.AssetCheckResult:
    """Whether the data of all these days was complete. It only warns, because the report itself says so."""
    problems = [f"{report.date}: {_data_state(report)}" for report in reports if report.problem]
    return dg.AssetCheckResult(
        check_name=name,
        passed=not problems,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(problems) or f"Complete for {', '.join(str(report.date) for report in reports[-1:])}.",
        metadata={"days": len(reports), "days with a problem": len(problems)},
    )


def _data_state(report: DailyReport) -> str:
    """The state of the day's data, as text for Dagster's UI."""
    text = _PROBLEMS[report.problem] if report.problem else "complete"
    return f"{text} ({', '.join(report.not_computed)})" if report.problem == "partial" else text


# --- sending ----------------------------------------------------------------------------------------------------------


def _send_once(context: dg.AssetExecutionContext, report: DailyReport) -> str:
    """Queue the report, unless the day's last report has the same numbers. Returns a sentence about what was done.

    If the numbers have changed, the report is sent as a correction, in reply to the first one. A report that was given
    up does not count, because no one received it.
    """
    # The keys of a day's reports, in order: report-2026-11-21, report-2026-11-21-2 …
    keys = itertools.chain([report.key], (f"{report.key}-{number}" for number in itertools.count(2)))
    earlier: list[History] = []
    for key in keys:
        history = history_of(context.instance, key)
        if not history.stored:
            break
        if history.closed is None or history.closed.outcome != "given_up":
            earlier.append(history)
    if not earlier:
        enqueue(context, report.model_copy(update={"key": key}))
        return f"Queued as {key}."
    last = earlier[-1]
    if isinstance(last.event, DailyReport) and content_of(last.event) == content_of(report):
        outcome = last.closed.outcome.replace("_", " ") if last.closed else "on its way"
        return (
            f"Not queued: these numbers were queued before, as {last.key} ({outcome}). To send them once more, "
            "materialise that partition of the asset notifications with the config again: true."
        )
    enqueue(context, report.model_copy(update={"key": key, "correction": True, "thread": earlier[0].key}))
    return f"Queued as a correction, {key}: the numbers have changed since {last.key}."
