"""Batches of a file → rows for ClickHouse and bad rows, by the rules of the table's columns.

Which column of the file goes where is settled once per file, together with the lines that tell people what
is not loaded; then every batch is judged by the same plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from metrics_platform.loading.batches import Batch, Reader, value_of
from metrics_platform.loading.events import Source
from metrics_platform.loading.problems import BadRow, listed, shown
from metrics_platform.loading.targets import Target, constant_for, rule_for
from metrics_platform.loading.times import TimeRule
from metrics_platform.loading.values import GenderRule, Outcome, Rule


@dataclass(frozen=True)
class _Read:
    """A table's column that is read from the file."""

    name: str
    place: int
    rule: Rule


@dataclass(frozen=True)
class Plan:
    """What is done with each column of one file.

    Attributes:
        reads: the columns read from the file.
        constants: column → the value (a pyarrow scalar) of those the file does not have.
        notes: what people should know before: columns that are not used.
    """

    file: Path
    reads: tuple[_Read, ...]
    constants: dict[str, Any]
    notes: tuple[str, ...]

    @property
    def places(self) -> list[int]:
        """The places in the file of the columns that are read."""
        return [read.place for read in self.reads]

    @property
    def columns(self) -> list[str]:
        """The table's columns that are written."""
        return [*(read.name for read in self.reads), *self.constants]

    def judge(self, batch: Batch) -> tuple[Any, list[BadRow]]:
        """The good rows as a `pyarrow.RecordBatch` of `columns`, and the bad ones in the file's order."""
        outcomes = [read.rule.read(batch.columns[read.place]) for read in self.reads]
        wrong = np.logical_or.reduce([outcome.wrong for outcome in outcomes])
        values = [outcome.values for outcome in outcomes]
        if wrong.any():
            good = pa.array(~wrong)
            values = [column.filter(good) for column in values]
        rows = len(batch.numbers) - int(wrong.sum())
        values += [pa.repeat(constant, rows) for constant in self.constants.values()]
        bad = [*batch.bad, *self._bad_rows(batch, outcomes, [int(row) for row in np.flatnonzero(wrong)])]
        return pa.RecordBatch.from_arrays(values, self.columns), sorted(bad, key=lambda row: row.number)

    def counted(self) -> Iterator[str]:
        """What people should know after: values that were taken for something they did not say."""
        for read in self.reads:
            rule = read.rule
            if isinstance(rule, GenderRule) and rule.other_rows:
                words = ", ".join(shown(word, 20) for word in rule.others)
                yield (
                    f"{self.file}: in {rule.other_rows} rows the gender is neither male nor female (such as {words}); "
                    "taken as not known."
                )
            if isinstance(rule, TimeRule) and rule.ambiguous:
                yield (
                    f"{self.file}: {rule.ambiguous} times lie in an hour that happens twice in {rule.zone}; taken as "
                    "the first of the two."
                )

    def _bad_rows(self, batch: Batch, outcomes: list[Outcome], rows: list[int]) -> Iterator[BadRow]:
        if not rows:
            return
        for row, text in zip(rows, batch.texts(rows), strict=True):
            reasons = [
                f"{read.name} is {_shown_value(batch.columns[read.place], row)}; expected {read.rule.expected}"
                for read, outcome in zip(self.reads, outcomes, strict=True)
                if outcome.wrong[row]
            ]
            yield BadRow(int(batch.numbers[row]), "; ".join(reasons), text)


def plan_for(source: Source, target: Target, reader: Reader, file: Path, zone: str) -> Plan:
    """Settle which column of the file goes where.

    Raises:
        LoadError: a required column is missing in the file.
    """
    found = source.find(reader.names, file)
    reads = tuple(
        _Read(field.name, place, rule_for(field, target.columns[field.name], zone))
        for field, place in found.items()
        if field.name in target.columns
    )
    absent = [field for field in source.fields if field not in found and field.name in target.columns]
    constants = {field.name: constant_for(field, target.columns[field.name]) for field in absent}
    return Plan(
        file,
        reads,
        {name: constant for name, constant in constants.items() if constant is not None},
        tuple(_notes(target, reader, file, set(found.values()), {read.place for read in reads})),
    )


def _notes(target: Target, reader: Reader, file: Path, known: set[int], read: set[int]) -> Iterator[str]:
    unknown = [name or "(no name)" for place, name in enumerate(reader.names) if place not in known]
    if unknown:
        yield f"{file}: columns that are no part of an event are not loaded: {listed(unknown)}."
    nowhere = [reader.names[place] for place in sorted(known - read)]
    if nowhere:
        yield f"{file}: table {target.name} has no column {listed(nowhere)}, so it is not loaded."


def _shown_value(column: Any, row: int) -> str:
    value = value_of(column, row)
    return "empty" if value is None or value == "" else shown(value)
