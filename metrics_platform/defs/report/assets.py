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

from metrics_platform.catalog import load_catalog_or_builtin
from metrics_platform.defs.daily.assets import RETRY_POLICY, day_partitions
from metrics_platform.defs.resources import ClickHouseResource
from metrics_platform.settings import Settings
from metrics_platform.time_windows import Day, day_of_key
from metrics_platform.warehouse import tables
from metrics_platform.warehouse.client import NoWarehouseError, Warehouse
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.schema import SchemaMismatchError

if TYPE_CHECKING:
    from metrics_platform.notifications.kinds import DailyReport

ASSET = "daily_report"
GROUP = "report"
CHECK = "data_is_complete"
# The tag of a run that a schedule asked for: when the report was due (ISO 8601).
DUE_AT = "metrics/due_at"
_DESCRIPTION = """\
**The morning report** of a day, from `app_daily` alone: the feed's key metrics and the whole application, each metric \
with its change to the day before and to a week before, and a picture of the last seven days for each part.

A materialisation shows the text and the pictures as people get them. **It sends nothing**, unless asked: the schedule \
asks every morning; by hand, *Materialize* with the config `send: true`. What has been sent is not sent again: the \
same numbers are told once, other numbers as a correction, in reply to the first report.
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
        refusal = ""
        try:
            reports = _write_reports(context, clickhouse.warehouse(context, settings), days, settings, send=config.send)
        except (NoWarehouseError, SchemaMismatchError) as error:
            refusal = str(error)
        except WarehouseError as error:
            if error.transient:
                raise
            refusal = str(error)
        if refusal:
            # Outside the `except` block: the refusal says all there is to say, a chain of driver errors does not.
            raise dg.Failure(refusal, allow_retries=False)
        yield dg.MaterializeResult(check_results=[check_result(CHECK, reports)])

    return daily_report


def _write_reports(
    context: dg.AssetExecutionContext, warehouse: Warehouse, days: list[Day], settings: Settings, *, send: bool
) -> "list[DailyReport]":
    """Write the days' reports, show each with its partition, and ask for the last to be sent, if `send`."""
    from metrics_platform.defs.report.load_state import load_state  # noqa: PLC0415
    from metrics_platform.defs.report.metadata import report_metadata  # noqa: PLC0415
    from metrics_platform.defs.report.sending import send_once  # noqa: PLC0415
    from metrics_platform.report.facts import report_of  # noqa: PLC0415
    from metrics_platform.report.week import week_of  # noqa: PLC0415
    from metrics_platform.warehouse.report_data import (  # noqa: PLC0415
        read_day_incidents,
        read_report_data,
        read_weekly_cohorts,
    )

    catalog = load_catalog_or_builtin(settings)
    data = read_report_data(warehouse, [day.date for day in days], settings, catalog)
    reports = []
    for day in days:
        load = load_state(context.instance, day.key)
        if day.date in data.rows:
            load = replace(load, not_computed=_not_computed(context, warehouse, day, settings))
        occurred_at = _occurred_at(context)
        report = report_of(
            day,
            data,
            load,
            occurred_at=occurred_at,
            week=week_of(day.date, data.rows, read_weekly_cohorts(warehouse, day.date)),
            incidents=read_day_incidents(
                warehouse, day, min(occurred_at, day.end + datetime.timedelta(days=1)), catalog
            ),
            run_id=context.run.run_id,
        )
        reports.append(report)
        sent = send_once(context, report) if send and day == days[-1] else ""
        context.add_asset_metadata(
            report_metadata(report, settings, sent=sent, warn=context.log.warning), partition_key=day.key
        )
        context.log.info(f"{report.key}: {report.problem or 'complete'}. {sent}".strip())
    return reports


def _not_computed(
    context: dg.AssetExecutionContext, warehouse: Warehouse, day: Day, settings: Settings
) -> tuple[str, ...]:
    """The tables behind the report that have not been computed for the day.

    The report needs `app_daily` alone: sources that cannot be read now are no reason to send none.
    """
    from metrics_platform.warehouse.daily import query_parameters  # noqa: PLC0415
    from metrics_platform.warehouse.daily_sources import DailySources  # noqa: PLC0415
    from metrics_platform.warehouse.source_rows import SourceError  # noqa: PLC0415
    from metrics_platform.warehouse.upstream import not_computed  # noqa: PLC0415

    try:
        sources = DailySources.of(warehouse, settings)
        found = not_computed(sources, tables.APP_DAILY, day, settings, query_parameters(day, settings))
    except (SourceError, WarehouseError) as error:
        if isinstance(error, WarehouseError) and error.transient:
            raise
        context.log.warning(f"Whether the data of {day.key} are whole is not known. {error}")
        return ()
    return tuple(each.table for each in found)


def _occurred_at(context: dg.AssetExecutionContext) -> datetime.datetime:
    """When the report was due; of a run by hand, now."""
    due = context.run.tags.get(DUE_AT)
    return datetime.datetime.fromisoformat(due) if due else datetime.datetime.now(datetime.UTC)
