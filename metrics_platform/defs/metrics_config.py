"""Run config that selects the metrics that `slot_metrics` or `metric_daily` computes."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg
from pydantic import Field

from metrics_platform.catalog import Metric
from metrics_platform.warehouse.catalog_check import CheckedCatalog


class MetricsConfig(dg.Config):
    """The run's config."""

    metrics: list[str] = Field(
        default=[], description="Metrics to compute. The rows of all others stay as they are. Empty: all metrics."
    )


def chosen_metrics(names: Sequence[str], checked: CheckedCatalog) -> tuple[Metric, ...] | None:
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
