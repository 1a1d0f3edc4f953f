"""The resources of the code location."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse

if TYPE_CHECKING:
    from metrics_platform.notifications.retry import RetryPolicy


class ClickHouseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The ClickHouse that METRICS_CLICKHOUSE_URL names (or the embedded one).

    The URL, which holds a password, is no field of the resource: Dagster shows and stores fields. It is read from the
    settings when a step needs it.
    """

    timeout_seconds: int = Field(description="Longest time one query may take in ClickHouse.")
    max_memory_mb: int = Field(
        description="Most memory (MiB) one query may take in ClickHouse; at a quarter of it it goes to disk."
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
        limits = {
            "clickhouse_timeout_seconds": self.timeout_seconds,
            "clickhouse_max_memory_mb": self.max_memory_mb,
        }
        return Warehouse.from_settings(
            settings.model_copy(update=limits), tags=_tags(context), on_retry=context.log.warning
        )


class TelegramResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The chat that messages go to, and how patiently one is delivered.

    The bot's token (TELEGRAM_BOT_TOKEN) is no field of the resource: Dagster shows and stores fields. It is read from
    the settings when a message leaves, and so are the webhook and the mail server's login.
    """

    chat_id: str = Field(
        description="The chat: a number or @name; empty: TELEGRAM_CHAT_ID is not set. Routes by kind and severity "
        "(TELEGRAM_ROUTES) go before it."
    )
    thread_id: int = Field(description="The topic in it; 0 is none.")
    api_base: str = Field(description="The Bot API server.")
    budget_seconds: float = Field(
        default=45.0,
        description="How long one step of a delivery is tried within a run; then the message is asked for again.",
    )

    @classmethod
    def for_settings(cls, settings: Settings) -> TelegramResource:
        """The resource of these settings; a run's config may name another chat."""
        return cls(
            chat_id=settings.telegram_chat_id or "",
            thread_id=settings.telegram_thread_id or 0,
            api_base=settings.telegram_api_base,
        )

    def applied_to(self, settings: Settings) -> Settings:
        """`settings` with this resource's chat."""
        return settings.model_copy(
            update={
                "telegram_chat_id": self.chat_id or None,
                "telegram_thread_id": self.thread_id or None,
                "telegram_api_base": self.api_base,
            }
        )

    @property
    def retry_policy(self) -> RetryPolicy:
        """How long a run tries."""
        from metrics_platform.notifications.retry import RetryPolicy  # noqa: PLC0415

        return RetryPolicy(budget=self.budget_seconds)


def _tags(context: dg.AssetExecutionContext) -> dict[str, str]:
    first, *others = context.partition_keys
    return {
        "run_id": context.run.run_id,
        "job": context.job_name,
        "asset": context.asset_key.to_user_string(),
        "partition": f"{first}…{others[-1]}" if others else first,
    }
