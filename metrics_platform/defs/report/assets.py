"""The asset `daily_report`: the report of a day as people get it, with its pictures; sent when asked to.

What writes and draws is imported on use: most processes of the platform load this page and never report.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of the functions it is given.

import datetime
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from metrics_platform.defs.daily.assets import RETRY_POLICY, day_partitions, failing_at_once
from metrics_platform.defs.resources import ClickHouseResource
from metrics_platform.settings import Settings
from metrics_platform.time_windows import Day, day_of_key
from metrics_platform.warehouse import tables
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    from metrics_platform.notifications.kinds import DailyReport
    from metrics_platform.report.facts import LoadState

ASSET = "daily_report"
GROUP = "report"
CHECK = "data_is_complete"
# The tag of a run that a schedule asked for: when the report was due (ISO 8601).
DUE_AT = "metrics/due_at"
_DESCRIPTION = """\
The morning report of a day: what stands out against the last eight weeks and the slices that explain it, the \
day's incidents, the headline metrics with their changes to the day before and a week before, and all other metrics \
folded in groups. Two pictures show the last seven days against the seven before. On Mondays, last week is added.

A materialisation shows the text and the pictures as people get them. **It sends nothing**, unless you set \
`send: true` in the run's config, as the schedule does every morning. Numbers that were sent are not sent again; if \
they have changed since, they are sent as a correction, in reply to the first report.
"""


class DailyReportConfig(dg.Config):
    """What a run does with the report beside showing it."""

    send: bool = Field(
        default=False,
        description="Send it to people. The same numbers are sent once; if they have changed since, a correction is "
        "sent. Of a range of days only the last is sent.",
    )


def daily_report_asset(settings: Settings) -> dg.AssetsDefinition:
    """The asset whose partitions are reports."""

    @dg.asset(
        name=ASSET,
        deps=[tables.APP_DAILY.name, tables.METRIC_DAILY.name],
        partitions_def=day_partitions(settings),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=RETRY_POLICY,
        group_name=GROUP,
        kinds={"python", "matplotlib"},
        owners=[settings.owner],
        description=_DESCRIPTION,
        check_specs=[
            dg.AssetCheckSpec(
                CHECK,
                asset=ASSET,
                description="All tables of the day were computed, after the day was over, and passed their checks.",
            )
        ],
    )
    def daily_report(
        context: dg.AssetExecutionContext, config: DailyReportConfig, clickhouse: ClickHouseResource
    ) -> Iterator[Any]:
        from metrics_platform.defs.report.metadata import check_result  # noqa: PLC0415

        days = [day_of_key(key, settings.zone) for key in sorted(context.partition_keys)]
        with failing_at_once():
            reports = _write_reports(context, clickhouse.warehouse(context, settings), days, settings, send=config.send)
        yield dg.MaterializeResult(check_results=[check_result(CHECK, reports)])

    return daily_report


def _write_reports(
    context: dg.AssetExecutionContext, warehouse: Warehouse, days: list[Day], settings: Settings, *, send: bool
) -> "list[DailyReport]":
    """Write the days' reports, show each with its partition, and send the last one, if `send`."""
    from metrics_platform.defs.report.load_state import load_state  # noqa: PLC0415
    from metrics_platform.defs.report.metadata import report_metadata  # noqa: PLC0415
    from metrics_platform.defs.report.sending import send_once  # noqa: PLC0415
    from metrics_platform.report.reading import read_reports  # noqa: PLC0415

    def load_of(day: Day, is_computed: bool) -> "LoadState":
        missing = _not_computed(context, warehouse, day, settings) if is_computed else ()
        return replace(load_state(context.instance, day.key), not_computed=missing)

    reports = []
    for report in read_reports(warehouse, days, settings, _occurred_at(context), load_of, context.run.run_id):
        reports.append(report)
        sent = send_once(context, report) if send and report.date == days[-1].date else ""
        context.add_asset_metadata(
            report_metadata(report, settings, sent=sent, warn=context.log.warning), partition_key=str(report.date)
        )
        context.log.info(f"{report.key}: {report.problem or 'complete'}. {sent}".strip())
    return reports


def _not_computed(
    context: dg.AssetExecutionContext, warehouse: Warehouse, day: Day, settings: Settings
) -> tuple[str, ...]:
    """The tables behind the report that have not been computed for the day.

    The report needs `app_daily` alone: sources that cannot be read now are no reason to send none.
    """
    from metrics_platform.warehouse.daily_sources import DailySources  # noqa: PLC0415
    from metrics_platform.warehouse.source_rows import SourceError  # noqa: PLC0415
    from metrics_platform.warehouse.upstream import not_computed  # noqa: PLC0415

    try:
        sources = DailySources.of(warehouse, settings)
        found = not_computed(sources, tables.APP_DAILY, day, settings)
    except (SourceError, WarehouseError) as error:
        if isinstance(error, WarehouseError) and error.transient:
            raise
        context.log.warning(f"Whether the data of {day.key} are whole is not known. {error}")
        return ()
    return tuple(each.table for each in found)


def _occurred_at(context: dg.AssetExecutionContext) -> datetime.datetime:
    """When the report was due; of a manual run, now."""
    due = context.run.tags.get(DUE_AT)
    return datetime.datetime.fromisoformat(due) if due else datetime.datetime.now(datetime.UTC)
