"""Files read and judged without a ClickHouse, against the layout of our own source tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metrics_platform.loading.events import Source, feed_source, messages_source
from metrics_platform.loading.judging import plan_for
from metrics_platform.loading.problems import BadRow
from metrics_platform.loading.readers import reader_for
from metrics_platform.loading.targets import Target, TargetColumn
from metrics_platform.warehouse.tables import columns_of

FEED = feed_source()
MESSAGES = messages_source("receiver_id")


@dataclass(frozen=True)
class Judged:
    """What a file was read as; times are Unix seconds, as they are sent to a DateTime."""

    rows: list[dict[str, Any]]
    bad: list[BadRow]
    notes: list[str]

    @property
    def numbers(self) -> list[int]:
        return [row.number for row in self.bad]


def judge(file: Path, source: Source = FEED, zone: str = "UTC", types: Mapping[str, str] | None = None) -> Judged:
    """Read a file to its end; `types` replaces column types of the table."""
    columns = {column.name: column.type for column in columns_of(source.schema)} | dict(types or {})
    described = {name: TargetColumn.of(name, type_) for name, type_ in columns.items()}
    target = Target("source", source.schema, described, "MergeTree", False, False, ())
    reader = reader_for(source, file)
    plan = plan_for(source, target, reader, file, zone)
    rows: list[dict[str, Any]] = []
    bad: list[BadRow] = []
    advanced: list[int] = []
    for batch in reader.batches(plan.places, advanced.append):
        good, wrong = plan.judge(batch)
        rows += good.to_pylist()
        bad += wrong
    assert sum(advanced) == file.stat().st_size
    return Judged(rows, bad, [*plan.notes, *plan.counted()])
