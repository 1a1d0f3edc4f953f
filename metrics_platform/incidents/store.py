"""The incidents in ClickHouse: how they stood before a slot, and what a few slots made of them."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from metrics_platform.calendar import Slot, SlotRange
from metrics_platform.incidents.incident import Incident, Series, Verdict
from metrics_platform.warehouse.client import Row, Warehouse
from metrics_platform.warehouse.schema import create_tables, tables_are_there
from metrics_platform.warehouse.tables import INCIDENTS, MONITORED_SLOTS, VERDICTS, columns_of, read_sql

_NUMBERS = ("value", "trials", "expected", "lower", "upper", "score")
_OWN = {"series"}
_PLAIN = tuple(each.name for each in fields(Incident) if each.name not in _OWN)


@dataclass(frozen=True)
class JudgedSlot:
    """A slot that has verdicts: how many, and how many of them are anomalous."""

    slot: Slot
    series: int
    anomalous: int


def create_incident_tables(warehouse: Warehouse) -> None:
    """Create the tables that are missing; errors as of `create_tables`."""
    create_tables(warehouse, [VERDICTS, INCIDENTS, MONITORED_SLOTS])


def last_slot_taken_in(warehouse: Warehouse) -> Slot | None:
    """The latest slot that has been taken into the incidents; None: none yet."""
    if not tables_are_there(warehouse, [MONITORED_SLOTS]):
        return None
    latest = warehouse.value(
        "SELECT maxOrNull(slot_start) FROM monitored_slots", doing="Reading how far the incidents are"
    )
    return Slot(_utc(latest)) if latest else None


def incidents_before(warehouse: Warehouse, slot: Slot) -> list[Incident]:
    """How the incidents stood before `slot`: the open ones, and those that ended in the days before."""
    rows = warehouse.query(
        read_sql("queries/incidents_before.sql"), _bounds(slot.start, slot.end), doing="Reading the incidents"
    ).rows
    return [_incident(row) for row in rows]


def judged_slots(warehouse: Warehouse, date: datetime.date, slots: SlotRange) -> list[JudgedSlot]:
    """Those of `slots`, all on the day `date`, that have verdicts."""
    rows = warehouse.query(
        read_sql("queries/judged_slots.sql"),
        {"event_date": date, **_bounds(slots.start, slots.end)},
        doing="Reading which slots are judged",
    ).rows
    return [JudgedSlot(Slot(_utc(row["slot_start"])), row["series"], row["anomalous"]) for row in rows]


def unjudged_since(warehouse: Warehouse, slots: SlotRange) -> datetime.datetime:
    """The start of the first of `slots` that has no verdict; their end where all have one."""
    rows = (
        warehouse.query(
            "SELECT DISTINCT slot_start FROM verdicts FINAL WHERE slot_start >= {first_slot:DateTime('UTC')} "
            "AND slot_start < {end_slot:DateTime('UTC')} AND dimension = 'total' "
            "AND event_date >= toDate({first_slot:DateTime('UTC')}) - 1",
            _bounds(slots.start, slots.end),
            doing="Looking for slots without verdicts",
        ).rows
        if tables_are_there(warehouse, [VERDICTS])
        else []
    )
    judged = {_utc(row["slot_start"]) for row in rows}
    return next((slot.start for slot in slots if slot.start not in judged), slots.end)


def verdicts_of(
    warehouse: Warehouse, date: datetime.date, slots: SlotRange, known: Iterable[Incident]
) -> dict[datetime.datetime, dict[Series, Verdict]]:
    """The verdicts of `slots` (on the day `date`) that incidents are made of, by the slot's begin and series."""
    series = sorted({each.series for each in known})
    rows = warehouse.query(
        read_sql("queries/verdicts_of_slots.sql"),
        {
            "event_date": date,
            **_bounds(slots.start, slots.end),
            "metrics": [each.metric for each in series],
            "series_dimensions": [each.dimension for each in series],
            "series_values": [each.dimension_value for each in series],
        },
        doing="Reading the verdicts",
    ).rows
    found: dict[datetime.datetime, dict[Series, Verdict]] = {}
    for row in rows:
        verdict = verdict_of(row)
        found.setdefault(_utc(row["slot_start"]), {})[verdict.series] = verdict
    return found


def verdicts_at(warehouse: Warehouse, slot: Slot) -> dict[Series, Verdict]:
    """Every verdict of a slot, by series."""
    rows = warehouse.query(
        "SELECT * FROM verdicts FINAL WHERE slot_start = {first_slot:DateTime('UTC')} "
        # Which day of the product it is does not matter: no zone is further from UTC.
        "AND event_date BETWEEN toDate({first_slot:DateTime('UTC')}) - 1 AND toDate({first_slot:DateTime('UTC')}) + 1",
        _bounds(slot.start, slot.end),
        doing=f"Reading the verdicts of {slot.key}",
    ).rows
    found = map(verdict_of, rows)
    return {each.series: each for each in found}


def verdict_of(row: Row) -> Verdict:
    """A row of `verdicts`."""
    series = Series(row["metric"], row["dimension"], row["dimension_value"])
    texts = {name: row[name] for name in ("status", "severity", "reason", "detector")}
    return Verdict(series, **texts, **{name: row[name] for name in _NUMBERS})


def write_step(
    warehouse: Warehouse,
    states: Sequence[tuple[Slot, Incident]],
    taken_in: Sequence[tuple[JudgedSlot, int]],
) -> None:
    """Write how incidents stand after slots, and that the slots have been taken in (with how many were open then).

    Rows of the same slot replace each other, so writing again after a crash does no harm.
    """
    _insert(warehouse, INCIDENTS.name, [_row(slot, incident) for slot, incident in states])
    _insert(
        warehouse,
        MONITORED_SLOTS.name,
        [[each.slot.start, each.series, each.anomalous, count] for each, count in taken_in],
    )


def _insert(warehouse: Warehouse, table: str, rows: Sequence[Sequence[Any]]) -> None:
    if not rows:
        return
    names = [column.name for column in columns_of(table)]
    warehouse.run(
        lambda client: client.insert(table, rows, column_names=names), doing=f"Writing {table}", repeatable=True
    )


def _row(slot: Slot, incident: Incident) -> list[Any]:
    values = {"slot_start": slot.start, **incident.series._asdict(), **{n: getattr(incident, n) for n in _PLAIN}}
    return [values[column.name] for column in columns_of(INCIDENTS.file)]


def _incident(row: Row) -> Incident:
    values: dict[str, Any] = {
        name: _utc(row[name]) if isinstance(row[name], datetime.datetime) else row[name] for name in _PLAIN
    }
    return Incident(series=Series(row["metric"], row["dimension"], row["dimension_value"]), **values)


def _utc(moment: datetime.datetime) -> datetime.datetime:
    return moment.replace(tzinfo=datetime.UTC) if moment.tzinfo is None else moment.astimezone(datetime.UTC)


def _bounds(start: datetime.datetime, end: datetime.datetime) -> dict[str, str]:
    return {"first_slot": f"{start:%Y-%m-%d %H:%M:%S}", "end_slot": f"{end:%Y-%m-%d %H:%M:%S}"}
