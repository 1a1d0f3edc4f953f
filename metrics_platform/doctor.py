"""`metrics-platform doctor`: checks the settings, ClickHouse, the message channels and Dagster."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from pathlib import Path

from metrics_platform.catalog import load_catalog
from metrics_platform.catalog_file import CatalogError
from metrics_platform.findings import Finding
from metrics_platform.notifications.channels import inspect_channels
from metrics_platform.report.highlights import DAILY_METRICS
from metrics_platform.settings import Settings, SettingsError, load_settings
from metrics_platform.suggestions import choose
from metrics_platform.warehouse.client import NoWarehouseError, Warehouse
from metrics_platform.warehouse.inspection import inspect_warehouse


def examine(env_file: Path | None = Path(".env")) -> Iterator[Finding]:
    """Check the settings, then what they refer to; yields findings as they are made."""
    try:
        settings = load_settings(env_file)
    except SettingsError as error:
        for line in str(error).splitlines()[1:]:
            problem, _, remedy = line.strip().removeprefix("- ").partition(": ")
            yield Finding("Settings", "problem", problem, remedy)
        return
    yield _examine_start(settings)
    yield from _examine_catalog(settings)
    yield from _examine_warehouse(settings)
    yield from inspect_channels(settings)
    yield from _examine_dagster(settings, env_file)


def _examine_dagster(settings: Settings, env_file: Path | None) -> Iterator[Finding]:
    """Check Dagster."""
    from metrics_platform.defs.inspection import inspect_dagster  # noqa: PLC0415

    now = datetime.datetime.now(datetime.UTC)
    yield from inspect_dagster(dagster_home(env_file), now, schedules_on=settings.schedules_on)


def dagster_home(env_file: Path | None = Path(".env")) -> str | None:
    """DAGSTER_HOME as Dagster's own commands read it: from `env_file` first, then from the environment."""
    from dotenv import dotenv_values  # noqa: PLC0415  (a dependency of pydantic-settings)

    own = dotenv_values(env_file, encoding="utf-8") if env_file is not None and env_file.exists() else {}
    return own.get("DAGSTER_HOME") or os.environ.get("DAGSTER_HOME")


def _examine_start(settings: Settings) -> Finding:
    """Check the first day. It may be in the future, but nothing is computed until it is over."""
    today = datetime.datetime.now(settings.zone).date()
    if settings.start_date < today:
        return Finding("Settings", "ok", _summary(settings))
    if settings.start_date == today:
        return Finding(
            "Settings", "note", f"{_summary(settings)}: no day is complete yet", "The first one is complete tomorrow."
        )
    return Finding(
        "Settings",
        "problem",
        f"METRICS_START_DATE = {settings.start_date} is in the future, so there is no day to compute",
        f"Set it to the first day with events. Today is {today}.",
    )


def _examine_catalog(settings: Settings) -> Iterator[Finding]:
    """Check the catalogue."""
    try:
        catalog = load_catalog(settings)
    except CatalogError as error:
        for problem in error.problems:
            yield Finding(
                "Catalogue", "problem", problem, f"Correct it in {settings.catalog}. Until then, the file is ignored."
            )
        return
    for name in settings.unknown_metrics(catalog.metrics):
        yield Finding(
            "Catalogue",
            "problem",
            f"METRICS_MUTES or METRICS_ACTIVE_HOURS: metric {choose(name, catalog.metrics)}",
            "Correct it in .env and restart. Until then, the entry has no effect.",
        )
    now = datetime.datetime.now(datetime.UTC)
    muted = [
        name
        for name, metric in catalog.metrics.items()
        if metric.monitor.muted_until is not None and metric.monitor.muted_until > now
    ]
    known = {*DAILY_METRICS, *(metric.name for metrics in catalog.sections.values() for metric in metrics)}
    if unknown := [name for name in settings.report_metrics if name not in known]:
        yield Finding(
            "Catalogue",
            "note",
            f"METRICS_REPORT_METRICS: {', '.join(unknown)}: the report has no such metric, so it leaves it out",
            f"Choose from {', '.join(sorted(known))}.",
        )
    mutes = f"; muted: {', '.join(muted)}" if muted else ""
    yield Finding("Catalogue", "ok", f"{len(catalog.sources)} sources, {len(catalog.metrics)} metrics{mutes}")


def _examine_warehouse(settings: Settings) -> Iterator[Finding]:
    try:
        warehouse = Warehouse.from_settings(settings, retry_waits=())  # do not keep the user waiting
    except NoWarehouseError as error:
        yield Finding("ClickHouse", "problem", *str(error).split(". ", 1))
        return
    yield from inspect_warehouse(warehouse, settings)


def _summary(settings: Settings) -> str:
    dimensions = ", ".join(settings.dimensions)
    return f"days of {settings.timezone} from {settings.start_date}, sliced by {dimensions}"
