"""The incidents in ClickHouse: updated by evaluated slots in their order, each once; and the verdicts.

Each function raises WarehouseError if ClickHouse refused, failed or did not answer, and SchemaMismatchError if a table
is there with other columns.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from metrics_platform.alerts.alert import Alert, Notification, Subject
from metrics_platform.alerts.anomalies import Series, Verdict, conditions_of
from metrics_platform.alerts.engine import step
from metrics_platform.alerts.policies import QUIET_FOR, muting, policies
from metrics_platform.catalog import Catalog
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, Slot, SlotRange
from metrics_platform.warehouse.client import Row, Warehouse
from metrics_platform.warehouse.schema import create_tables, tables_are_there
from metrics_platform.warehouse.tables import (
    INCIDENT_ANSWERS,
    INCIDENTS,
    MONITORED_SLOTS,
    VERDICTS,
    columns_of,
    read_sql,
)

# The columns that people query, where they are called otherwise than the fields of an alert.
_RENAMED = {
    "incident": "id", "direction": "variant", "calm": "normal_streak", "needed": "normal_needed",
    "folded_into": "inhibited_by", "message": "notification", "told_at": "notified_at",
}  # fmt: skip
_COLUMNS = {
    column: _RENAMED.get(column, column)
    for column in (
        "incident", "state", "change", "direction", "severity", "opened_at", "last_at", "closed_at", "calm", "needed",
        "worst_change", "worst_at", "folded_into", "message", "told_at", "reminders", "cleared",
    )
}  # fmt: skip


class ProcessedSlot(NamedTuple):
    """A slot that has verdicts: how many, how many are anomalous, and how many incidents are open after it."""

    slot: Slot
    series: int
    anomalous: int
    incidents: int = 0


@dataclass
class Update:
    """Slots of one day, processed and not yet written."""

    # The alerts that are open or have changed after each slot.
    steps: list[tuple[datetime.datetime, tuple[Alert, ...]]] = field(default_factory=list)
    processed: list[ProcessedSlot] = field(default_factory=list)
    # What to enqueue, with the slot it is about.
    notifications: list[tuple[Slot, Notification]] = field(default_factory=list)

    def write(self, warehouse: Warehouse) -> None:
        """Write it, after its notifications have been enqueued.

        After a crash in between, the slots are processed again and enqueue the same keys. The other way round, the
        notifications would be lost. Rows of the same slot replace each other, so repeating it does no harm.
        """
        _insert(warehouse, INCIDENTS.name, [_row(at, alert) for at, alerts in self.steps for alert in alerts])
        _insert(warehouse, MONITORED_SLOTS.name, [[row.slot.start, *row[1:]] for row in self.processed])


def updates(  # noqa: PLR0917
    warehouse: Warehouse,
    slots: SlotRange,
    settings: Settings,
    catalog: Catalog,
    now: datetime.datetime,
    inhibitors: Sequence[Alert] = (),
) -> Iterator[Update]:
    """Process `slots`, by day; each update must have been written before the next is asked for.

    Slots up to the last one that was processed change nothing. The first slot without verdicts ends it: slots are
    processed in their order. `inhibitors` are alerts about the platform. Slots that ended longer ago than
    METRICS_ALERT_MAX_AGE_MINUTES send no notifications.
    """
    rules = policies(datetime.timedelta(hours=settings.reminder_hours))
    oldest = now - datetime.timedelta(minutes=settings.alert_max_age_minutes)
    sources = {name: metric.source for name, metric in catalog.metrics.items()}
    for day, piece in slots.by_day(settings.zone):
        last = last_processed_slot(warehouse)
        rest = SlotRange(max(piece.start, last.end) if last else piece.start, piece.end)
        if rest.start >= rest.end:
            continue
        alerts = {alert.id: alert for alert in incidents_before(warehouse, rest.start, sources)}
        verdicts = _verdicts_of(warehouse, day.date, rest, map(Series.of, alerts.values()))
        evaluated = _evaluated_slots(warehouse, day.date, rest)
        update = Update()
        for slot in rest:
            if slot not in evaluated:
                break
            found = step(
                slot.start,
                alerts.values(),
                conditions_of(slot, verdicts.get(slot, ()), alerts.values(), sources),
                rules,
                notifies=slot.end >= oldest,
                is_muted=muting(settings, slot.end, catalog),
                inhibitors=inhibitors,
            )
            alerts |= {alert.id: alert for alert in found.alerts}
            update.steps.append((slot.start, found.alerts))
            open_now = sum(alert.is_open for alert in alerts.values())
            update.processed.append(evaluated[slot]._replace(incidents=open_now))
            update.notifications += [(slot, notification) for notification in found.notifications]
        yield update
        if len(update.processed) < len(rest):
            return


def incidents_before(
    warehouse: Warehouse, moment: datetime.datetime, sources: Mapping[str, str] | None = None
) -> list[Alert]:
    """The incidents that were open before `moment`, and those that ended before it and may still inhibit others.

    These are all of the eight days before, and those that are marked as not an incident. `sources` are the metrics,
    each with its source.
    """
    if not tables_are_there(warehouse, [INCIDENTS, INCIDENT_ANSWERS]):
        return []
    rows = warehouse.query(
        read_sql("queries/incidents_before.sql"),
        {"first_slot": moment, "quiet_days": QUIET_FOR.days + 1},
        operation="Reading the incidents",
    ).rows
    return [_alert(row, sources or {}) for row in rows]


def save_answer(
    warehouse: Warehouse, alert: Alert, now: datetime.datetime, *, is_incident: bool, who: str, note: str
) -> None:
    """Write a person's answer to an incident. Of several, the latest counts."""
    given = "incident" if is_incident else "not_an_incident"
    _insert(warehouse, INCIDENT_ANSWERS.name, [[alert.id, given, now, who, note, alert.worst_change]])


def create_incident_tables(warehouse: Warehouse) -> None:
    create_tables(warehouse, [VERDICTS, INCIDENTS, MONITORED_SLOTS, INCIDENT_ANSWERS])


def last_processed_slot(warehouse: Warehouse) -> Slot | None:
    """The latest slot that the incidents have processed; None: none yet."""
    if not tables_are_there(warehouse, [MONITORED_SLOTS]):
        return None
    latest = warehouse.value(
        "SELECT maxOrNull(slot_start) FROM monitored_slots", operation="Reading the last processed slot"
    )
    return Slot(_utc(latest)) if latest else None


def _evaluated_slots(warehouse: Warehouse, date: datetime.date, slots: SlotRange) -> dict[Slot, ProcessedSlot]:
    rows = warehouse.query(
        read_sql("queries/judged_slots.sql"),
        {"event_date": date, "first_slot": slots.start, "end_slot": slots.end},
        operation="Reading which slots are evaluated",
    ).rows
    found = [ProcessedSlot(Slot(_utc(row["slot_start"])), row["series"], row["anomalous"]) for row in rows]
    return {slot.slot: slot for slot in found}


def unevaluated_since(warehouse: Warehouse, slots: SlotRange) -> datetime.datetime:
    """The start of the first of `slots` that has no verdict; their end where all have one."""
    if not tables_are_there(warehouse, [VERDICTS]):
        return slots.start
    rows = warehouse.query(
        "SELECT DISTINCT slot_start FROM verdicts FINAL WHERE slot_start >= {first_slot:DateTime('UTC')} "
        "AND slot_start < {end_slot:DateTime('UTC')} AND dimension = 'total' "
        "AND event_date >= toDate({first_slot:DateTime('UTC')}) - 1",
        {"first_slot": slots.start, "end_slot": slots.end},
        operation="Looking for slots without verdicts",
    ).rows
    evaluated = {_utc(row["slot_start"]) for row in rows}
    return next((slot.start for slot in slots if slot.start not in evaluated), slots.end)


def _verdicts_of(
    warehouse: Warehouse, date: datetime.date, slots: SlotRange, known: Iterable[Series]
) -> dict[Slot, list[Verdict]]:
    """The verdicts of `slots` (on the day `date`) that incidents are made of, by slot."""
    series = sorted(set(known))
    rows = warehouse.query(
        read_sql("queries/verdicts_of_slots.sql"),
        {
            "event_date": date,
            "first_slot": slots.start,
            "end_slot": slots.end,
            "metrics": [one.metric for one in series],
            "series_dimensions": [one.dimension for one in series],
            "series_values": [one.dimension_value for one in series],
        },
        operation="Reading the verdicts",
    ).rows
    found: dict[Slot, list[Verdict]] = defaultdict(list)
    for row in rows:
        found[Slot(_utc(row["slot_start"]))].append(_verdict(row))
    return found


def verdicts_at(warehouse: Warehouse, slot: Slot) -> dict[Series, Verdict]:
    rows = warehouse.query(
        "SELECT * FROM verdicts FINAL WHERE slot_start = {first_slot:DateTime('UTC')} "
        # Which day of the product it is does not matter: no zone is further from UTC.
        "AND event_date BETWEEN toDate({first_slot:DateTime('UTC')}) - 1 AND toDate({first_slot:DateTime('UTC')}) + 1",
        {"first_slot": slot.start},
        operation=f"Reading the verdicts of {slot.key}",
    ).rows
    return {verdict.series: verdict for verdict in map(_verdict, rows)}


def _verdict(row: Row) -> Verdict:
    fields = ("status", "severity", "reason", "detector", "value", "trials", "expected", "lower", "upper", "score")
    series = Series(row["metric"], row["dimension"], row["dimension_value"])
    return Verdict(series, **{name: row[name] for name in fields})


def _insert(warehouse: Warehouse, table: str, rows: Sequence[Sequence[Any]]) -> None:
    if not rows:
        return
    names = [column.name for column in columns_of(table)]
    warehouse.run(
        lambda client: client.insert(table, rows, column_names=names), operation=f"Writing {table}", repeatable=True
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
        **{name: row[name] for name in ("answered_by", "note", "quiet_up_to")},
    )


def _utc(moment: datetime.datetime) -> datetime.datetime:
    return moment.replace(tzinfo=datetime.UTC) if moment.tzinfo is None else moment.astimezone(datetime.UTC)
