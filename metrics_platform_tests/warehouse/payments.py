"""A source of the user's own for tests: payments, with a catalogue file that tests change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from metrics_platform.catalog import load_catalog
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, SlotRange
from metrics_platform.warehouse.catalog_check import CheckedCatalog, check_catalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.metric_values import ValuesResult
from metrics_platform.warehouse.schema import create_database
from metrics_platform.warehouse.slots import compute_metric_days, compute_slots

MIDNIGHT = datetime(2026, 11, 20, tzinfo=UTC)
DAY = date(2026, 11, 20)
MINUTE = timedelta(minutes=1)
METRICS: Mapping[str, Mapping[str, Any]] = {
    "payers": {"source": "payments", "sql": "uniqExact(user)"},
    "revenue": {"source": "payments", "sql": "sum(amount)"},
    "arppu": {"numerator": "revenue", "denominator": "payers"},
}


@dataclass
class Payments:
    """The table `payments`, and the catalogue that describes it."""

    make_settings: Callable[..., Settings]
    directory: Path
    columns: str = "user UInt32, paid_at DateTime, plan String, amount Float64"
    source: dict[str, Any] = field(default_factory=dict)
    dimensions: dict[str, Any] = field(default_factory=lambda: {"plan": {}})
    metrics: dict[str, Any] = field(default_factory=lambda: dict(METRICS))
    more_sources: dict[str, Any] = field(default_factory=dict)
    checked: tuple[str, Warehouse, CheckedCatalog] | None = None

    def __post_init__(self) -> None:
        """Create the table, empty."""
        self.settings = self.make_settings(catalog=self.directory / "metrics.yaml", start_date=DAY - timedelta(days=30))
        self.warehouse = Warehouse.from_settings(self.settings)
        create_database(self.warehouse, self.warehouse.database)
        self.table = f"{self.warehouse.database}.payments"
        self.warehouse.execute(f"CREATE TABLE {self.table} ({self.columns}) ENGINE = MergeTree ORDER BY paid_at")

    def check(self) -> CheckedCatalog:
        """Write the catalogue file as it is now, and check it if it has changed."""
        source = {
            "table": self.table,
            "user": "user",
            "time": "paid_at",
            "dimensions": list(self.dimensions),
            **self.source,
        }
        content = {
            "sources": {
                "payments": source,
                **self.more_sources,
                "feed_actions": {"enabled": False},
                "message_actions": {"enabled": False},
            },
            "dimensions": self.dimensions,
            "metrics": self.metrics,
        }
        text = yaml.safe_dump(content, allow_unicode=True)
        if self.checked is None or self.checked[:2] != (text, self.warehouse):
            (self.directory / "metrics.yaml").write_text(text, encoding="utf-8")
            self.checked = text, self.warehouse, check_catalog(self.warehouse, load_catalog(self.settings))
        return self.checked[2]

    def pay(self, *payments: tuple[int, datetime, str, float]) -> None:
        """Add payments: user, time, plan, amount."""
        names = ["user", "paid_at", "plan", "amount"]
        self.warehouse.run(lambda client: client.insert(self.table, payments, names), operation="Inserting payments")

    def slots(self, first: int, end: int, metrics: Sequence[str] | None = None) -> list[ValuesResult]:
        """Compute slots, counted from MIDNIGHT."""
        checked = self.check()
        chosen = None if metrics is None else [checked.metrics[name] for name in metrics]
        span = SlotRange(MIDNIGHT + first * SLOT, MIDNIGHT + end * SLOT)
        return list(compute_slots(self.warehouse, span, checked, self.settings, chosen))

    def days(self, *dates: date) -> list[ValuesResult]:
        """Compute days."""
        return list(compute_metric_days(self.warehouse, dates, self.check(), self.settings))

    def values(self, metric: str, dimension: str = "total", table: str = "slot_metrics") -> dict[Any, float | None]:
        """What readers see of one metric: slot (counted from MIDNIGHT) or day, with the slice where there is one."""
        bucket = "intDiv(toUnixTimestamp(slot_start), 900)" if table == "slot_metrics" else "event_date"
        first = int(MIDNIGHT.timestamp()) // 900
        found = {}
        for row in self.warehouse.query(
            f"SELECT {bucket} AS bucket, dimension_value, value FROM {table} FINAL "
            "WHERE metric = {metric:String} AND dimension = {dimension:String}",
            {"metric": metric, "dimension": dimension},
        ).rows:
            at = row["bucket"] - first if table == "slot_metrics" else row["bucket"]
            found[at if dimension == "total" else (at, row["dimension_value"])] = row["value"]
        return found

    def chosen(self, day: date = DAY) -> set[str]:
        """The values of `plan` that are slices of their own on a day."""
        rows = self.warehouse.query(
            "SELECT dimension_value FROM slice_values FINAL WHERE event_date = {day:Date} AND dimension = 'plan'",
            {"day": day},
        ).rows
        return {row["dimension_value"] for row in rows}

    def visible(self, table: str = "slot_metrics", *, without: Iterable[str] = ()) -> list[tuple[Any, ...]]:
        """All rows that readers see, without the versions."""
        rows = self.warehouse.query(
            f"SELECT * EXCEPT (version, is_deleted) FROM {table} FINAL "
            "WHERE NOT has({without:Array(String)}, toString(metric)) ORDER BY ALL",
            {"without": list(without)},
        ).rows
        return [tuple(row.values()) for row in rows]
