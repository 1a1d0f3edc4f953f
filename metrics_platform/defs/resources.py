"""The resources of the code location, and what several features share: defaults, run config, cursors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import dagster as dg
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metrics_platform.catalog import Metric
from metrics_platform.settings import Settings
from metrics_platform.warehouse.catalog_check import CheckedCatalog
from metrics_platform.warehouse.client import Warehouse

if TYPE_CHECKING:
    from metrics_platform.notifications.channel import RetryPolicy


class ClickHouseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The ClickHouse of METRICS_CLICKHOUSE_URL, or the embedded one.

    The URL holds a password, and Dagster shows and stores fields, so it is not one. Steps read it from the settings.
    """

    timeout_seconds: int = Field(description="Time limit of a ClickHouse query, in seconds.")
    max_memory_mb: int = Field(
        description="Memory limit of a ClickHouse query, in MiB. It spills to disk at half of it."
    )

    @classmethod
    def for_settings(cls, settings: Settings) -> ClickHouseResource:
        """The resource with the limits of these settings; a run's config may set others."""
        return cls(
            timeout_seconds=settings.clickhouse_timeout_seconds,
            max_memory_mb=settings.clickhouse_max_memory_mb,
        )

    def warehouse(self, context: dg.AssetExecutionContext, settings: Settings) -> Warehouse:
        """A client whose queries are tagged with the run, the asset and the partitions of `context`."""
        warehouse = Warehouse.from_settings(settings, tags=_tags(context), on_retry=context.log.warning)
        return replace(warehouse, timeout_seconds=self.timeout_seconds, max_memory_mb=self.max_memory_mb)


class TelegramResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The chat that messages go to, and how long delivery is retried.

    Dagster shows and stores fields, so the bot's token (TELEGRAM_BOT_TOKEN), the webhook and the mail server's login
    are not fields. They are read from the settings when a message is sent.
    """

    chat_id: str = Field(
        description="The chat: a number or @name. Empty: TELEGRAM_CHAT_ID is not set. Routes by kind and severity "
        "(TELEGRAM_ROUTES) take precedence."
    )
    thread_id: int = Field(description="Topic of the chat. 0: none.")
    api_base: str = Field(description="The Bot API server.")
    budget_seconds: float = Field(
        default=45.0,
        description="Seconds that one step of a delivery is retried within a run. After that, a later run tries again.",
    )

    @classmethod
    def for_settings(cls, settings: Settings) -> TelegramResource:
        """The resource of these settings; a run's config may name another chat."""
        return cls(
            chat_id=settings.telegram_chat_id or "",
            thread_id=settings.telegram_thread_id or 0,
            api_base=settings.telegram_api_base,
        )

    def apply_to(self, settings: Settings) -> Settings:
        return settings.model_copy(
            update={
                "telegram_chat_id": self.chat_id or None,
                "telegram_thread_id": self.thread_id or None,
                "telegram_api_base": self.api_base,
            }
        )

    @property
    def retry_policy(self) -> RetryPolicy:
        from metrics_platform.notifications.channel import RetryPolicy  # noqa: PLC0415

        return RetryPolicy(budget=self.budget_seconds)


def _tags(context: dg.AssetExecutionContext) -> dict[str, str]:
    first, *others = context.partition_keys
    return {
        "run_id": context.run.run_id,
        "job": context.job_name,
        "asset": context.asset_key.to_user_string(),
        "partition": f"{first}…{others[-1]}" if others else first,
    }


def default_schedule_status(settings: Settings) -> dg.DefaultScheduleStatus:
    """The status of a schedule until it is switched in Dagster's UI."""
    return dg.DefaultScheduleStatus.RUNNING if settings.schedules_on else dg.DefaultScheduleStatus.STOPPED


class MetricsConfig(dg.Config):
    """The run's config."""

    metrics: list[str] = Field(
        default=[], description="Metrics to compute. The rows of all others stay as they are. Empty: all metrics."
    )


def select_metrics(names: Sequence[str], checked: CheckedCatalog) -> tuple[Metric, ...] | None:
    """The metrics named in the config; None means all. Fails the run if one of them cannot be computed."""
    if not names:
        return None
    unknown = [name for name in names if name not in checked.metrics]
    if unknown:
        problems = [
            checked.problems.get(f"metrics.{name}", f"the catalogue has no metric {name!r}") for name in unknown
        ]
        raise dg.Failure(
            f"The run's config names metrics that cannot be computed: {'; '.join(problems)}. Choose from "
            f"{', '.join(checked.metrics)}.",
            allow_retries=False,
        )
    return tuple(checked.metrics[name] for name in names)


class Cursor(BaseModel):
    """Base class of the sensors' cursors. Every field has a default."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    @classmethod
    def from_cursor(cls, cursor: str | None) -> Self:
        """Parse `cursor`. An unreadable one counts as empty; message keys then prevent duplicates."""
        try:
            return cls.model_validate_json(cursor or "{}")
        except ValidationError:
            return cls()
