"""What all assets with a partition per day have in common: partitions, retries, and a client of ClickHouse."""

# No `from __future__ import annotations` here: Dagster reads the annotations of the functions it is given.

import datetime
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import dagster as dg

from metrics_platform.defs.resources import ClickHouseResource
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import NoWarehouseError, Warehouse
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.schema import SchemaMismatchError
from metrics_platform.warehouse.source_rows import SourceError
from metrics_platform.warehouse.upstream import NotComputedError

# A restart of ClickHouse takes seconds, a failover minutes: retry after 10, 20 and 40 s, each ± jitter. Errors that
# waiting does not fix are not retried (see `fail_without_retry`).
RETRY_POLICY = dg.RetryPolicy(max_retries=3, delay=10, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
_NOT_RETRIED = (NoWarehouseError, NotComputedError, SchemaMismatchError, SourceError)


def day_partitions(settings: Settings, *, with_today: bool = False) -> dg.DailyPartitionsDefinition:
    """One partition per day of the product's zone, from METRICS_START_DATE to METRICS_END_DATE, yesterday or today."""
    midnight = datetime.time.min
    after_end = settings.end_date and settings.end_date + datetime.timedelta(days=1)
    return dg.DailyPartitionsDefinition(
        start_date=datetime.datetime.combine(settings.start_date, midnight),
        end_date=datetime.datetime.combine(after_end, midnight) if after_end else None,
        timezone=settings.timezone,
        end_offset=1 if with_today and not after_end else 0,
    )


def day_asset(
    name: str,
    settings: Settings,
    compute: Callable[[dg.AssetExecutionContext, Warehouse, Any], Iterator[Any]],
    *,
    config: type[dg.Config] | None = None,
    with_today: bool = False,
    **options: Any,
) -> dg.AssetsDefinition:
    """An asset with a partition per day. A run computes all its days with `compute`, from ClickHouse.

    `compute` gets the run, a client and the run's `config` (None: it has none). `options` are further ones of
    `dg.asset`. A range of days is a single run, unless they say otherwise.
    """

    @dg.asset(
        name=name,
        partitions_def=day_partitions(settings, with_today=with_today),
        retry_policy=RETRY_POLICY,
        owners=[settings.owner],
        config_schema=config.to_config_schema() if config else None,
        **{"backfill_policy": dg.BackfillPolicy.single_run(), **options},
    )
    def compute_days(context: dg.AssetExecutionContext, clickhouse: ClickHouseResource) -> Iterator[Any]:
        given = config(**context.op_execution_context.op_config) if config else None
        with fail_without_retry():
            yield from compute(context, clickhouse.warehouse(context, settings), given)

    return cast(dg.AssetsDefinition, compute_days)


@contextmanager
def fail_without_retry(*others: type[Exception]) -> Iterator[None]:
    """Fail the step without a retry for permanent errors and `others`, with the error's own text."""
    permanent: tuple[type[Exception], ...] = (*_NOT_RETRIED, *others, WarehouseError)
    try:
        yield
    except permanent as error:
        if isinstance(error, WarehouseError) and error.transient:
            raise
        raise dg.Failure(str(error), allow_retries=False) from None
