"""The asset `daily_report`: the report of a day as people get it, with its pictures; sent when asked to.

What writes and draws is imported on use: most processes of the platform load this page and never report.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of the functions it is given.

from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from metrics_platform.defs.daily.assets import RETRY_POLICY, day_partitions, failing_at_once
from metrics_platform.defs.resources import ClickHouseResource
from metrics_platform.settings import Settings
from metrics_platform.time_windows import day_of_key
from metrics_platform.warehouse import tables

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
        from metrics_platform.defs.report.writing import check_result, write_reports  # noqa: PLC0415

        days = [day_of_key(key, settings.zone) for key in sorted(context.partition_keys)]
        with failing_at_once():
            reports = write_reports(context, clickhouse.warehouse(context, settings), days, settings, send=config.send)
        yield dg.MaterializeResult(check_results=[check_result(CHECK, reports)])

    return daily_report
