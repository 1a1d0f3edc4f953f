"""The incidents in ClickHouse: the alerts before a slot, and after each slot that was processed; and the verdicts."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metrics_platform.alerts.alert import Alert, Subject
from metrics_platform.alerts.anomalies import Series, Verdict
from metrics_platform.time_windows import SLOT, Slot, SlotRange
from metrics_platform.warehouse.client import Row, Warehouse
from metrics_platform.warehouse.schema import create_tables, tables_are_there
from metrics_platform.warehouse.tables import INCIDENTS, MONITORED_SLOTS, VERDICTS, columns_of, read_sql

_NUMBERS = ("value", "trials", "expected", "lower", "upper", "score")
# The columns that people query, and the fields of an alert.
_COLUMNS = {
    "incident": "id",
    "state": "state",
    "change": "change",
    "direction": "variant",
    "severity": "severity",
    "opened_at": "opened_at",
    "last_at": "last_at",
    "closed_at": "closed_at",
    "calm": "normal_streak",
    "needed": "normal_needed",
    "worst_change": "worst_change",
    "worst_at": "worst_at",
    "folded_into": "inhibited_by",
    "message": "notification",
    "told_at": "notified_at",
    "reminders": "reminders",
    "cleared": "cleared",
}


@dataclass(frozen=True)
class EvaluatedSlot:
    """A slot that has verdicts: how many, and how many of them are anomalous."""

    slot: Slot
    series: int
    anomalous: int


@dataclass(frozen=True)
class IncidentStore:
    """The `AlertStore` of anomalies: the alerts as they were before `slot`. `sources` are the metrics with theirs."""

    warehouse: Warehouse
    slot: Slot | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    def load(self) -> list[Alert]:
        """The alerts that were open, and those that ended in the eight days before."""
        if self.slot is None:
            return []
        rows = self.warehouse.query(
            read_sql("queries/incidents_before.sql"),
            _bounds(self.slot.start, self.slot.end),
            doing="Reading the incidents",
        ).rows
        return [_alert(row, self.sources) for row in rows]

    def save(self, steps: Sequence[tuple[datetime.datetime, Iterable[Alert]]]) -> None:
        """Write the alerts after slots. Rows of the same slot replace each other, so repeating it does no harm."""
        rows = [_row(at, alert) for at, alerts in steps for alert in alerts]
        _insert(self.warehouse, INCIDENTS.name, rows)

    def save_processed(self, slots: Sequence[tuple[EvaluatedSlot, int]]) -> None:
        """Write that slots were processed, with how many incidents were open then."""
        rows = [[found.slot.start, found.series, found.anomalous, count] for found, count in slots]
        _insert(self.warehouse, MONITORED_SLOTS.name, rows)


def incidents_after(warehouse: Warehouse, slot: Slot, sources: Mapping[str, str] | None = None) -> list[Alert]:
    """The open alerts after `slot`, and those that ended in the eight days before."""
    return IncidentStore(warehouse, Slot(slot.end), sources or {}).load()


def create_incident_tables(warehouse: Warehouse) -> None:
    """Create the tables that are missing; errors as of `create_tables`."""
    create_tables(warehouse, [VERDICTS, INCIDENTS, MONITORED_SLOTS])


def last_processed_slot(warehouse: Warehouse) -> Slot | None:
    """The latest slot that the incidents have processed; None: none yet."""
    if not tables_are_there(warehouse, [MONITORED_SLOTS]):
        return None
    latest = warehouse.value(
        "SELECT maxOrNull(slot_start) FROM monitored_slots", doing="Reading the last processed slot"
    )
    return Slot(_utc(latest)) if latest else None


def evaluated_slots(warehouse: Warehouse, date: datetime.date, slots: SlotRange) -> list[EvaluatedSlot]:
    """Those of `slots`, all on the day `date`, that have verdicts."""
    rows = warehouse.query(
        read_sql("queries/judged_slots.sql"),
        {"event_date": date, **_bounds(slots.start, slots.end)},
        doing="Reading which slots are evaluated",
    ).rows
    return [EvaluatedSlot(Slot(_utc(row["slot_start"])), row["series"], row["anomalous"]) for row in rows]


def unevaluated_since(warehouse: Warehouse, slots: SlotRange) -> datetime.datetime:
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
    evaluated = {_utc(row["slot_start"]) for row in rows}
    return next((slot.start for slot in slots if slot.start not in evaluated), slots.end)


def verdicts_of(
    warehouse: Warehouse, date: datetime.date, slots: SlotRange, known: Iterable[Series]
) -> dict[datetime.datetime, dict[Series, Verdict]]:
    """The verdicts of `slots` (on the day `date`) that incidents are made of, by the slot's begin and series."""
    series = sorted(set(known))
    rows = warehouse.query(
        read_sql("queries/verdicts_of_slots.sql"),
        {
            "event_date": date,
            **_bounds(slots.start, slots.end),
            "metrics": [one.metric for one in series],
            "series_dimensions": [one.dimension for one in series],
            "series_values": [one.dimension_value for one in series],
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
    return {verdict.series: verdict for verdict in found}


def verdict_of(row: Row) -> Verdict:
    """A row of `verdicts`."""
    series = Series(row["metric"], row["dimension"], row["dimension_value"])
    texts = {name: row[name] for name in ("status", "severity", "reason", "detector")}
    return Verdict(series, **texts, **{name: row[name] for name in _NUMBERS})


def _insert(warehouse: Warehouse, table: str, rows: Sequence[Sequence[Any]]) -> None:
    if not rows:
        return
    names = [column.name for column in columns_of(table)]
    warehouse.run(
        lambda client: client.insert(table, rows, column_names=names), doing=f"Writing {table}", repeatable=True
    )


def _row(at: datetime.datetime, alert: Alert) -> list[Any]:
    own = {column: getattr(alert, name) for column, name in _COLUMNS.items()}
    values = {"slot_start": at, **Series.of(alert)._asdict(), **own}
    return [values[column.name] for column in columns_of(INCIDENTS.file)]


def _alert(row: Row, sources: Mapping[str, str]) -> Alert:
    values: dict[str, Any] = {
        name: _utc(row[column]) if isinstance(row[column], datetime.datetime) else row[column]
        for column, name in _COLUMNS.items()
    }
    streak = values["normal_streak"]
    return Alert(
        subject=Subject("anomaly", row["metric"], row["dimension"], row["dimension_value"]),
        origin=sources.get(row["metric"], ""),
        normal_since=_utc(row["slot_start"]) - (streak - 1) * SLOT if streak else None,
        **values,
    )


def _utc(moment: datetime.datetime) -> datetime.datetime:
    return moment.replace(tzinfo=datetime.UTC) if moment.tzinfo is None else moment.astimezone(datetime.UTC)


def _bounds(start: datetime.datetime, end: datetime.datetime) -> dict[str, str]:
    return {"first_slot": f"{start:%Y-%m-%d %H:%M:%S}", "end_slot": f"{end:%Y-%m-%d %H:%M:%S}"}
