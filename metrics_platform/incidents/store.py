"""Store incidents in ClickHouse, updated by each evaluated slot once and in order, and read verdicts.

Each function raises WarehouseError if ClickHouse refused, failed or did not answer, and SchemaMismatchError if a table
has other columns.
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
from metrics_platform.alerts.policies import QUIET_FOR, mute_filter, policies
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, Slot, SlotRange
from metrics_platform.warehouse.catalog_check import CheckedCatalog
from metrics_platform.warehouse.client import Row, Warehouse
from metrics_platform.warehouse.schema import create_tables, tables_exist
from metrics_platform.warehouse.tables import (
    INCIDENT_ANSWERS,
    INCIDENTS,
    MONITORED_SLOTS,
    VERDICTS,
    columns_of,
    read_sql,
)

# Columns whose names differ from the fields of an alert. They stay, because users query them.
_FIELD_NAMES = {
    "incident": "id", "direction": "variant", "calm": "normal_streak", "needed": "normal_needed",
    "folded_into": "inhibited_by", "message": "notification", "told_at": "notified_at",
}  # fmt: skip
_COLUMNS = {
    column: _FIELD_NAMES.get(column, column)
    for column in (
        "incident", "state", "change", "direction", "severity", "opened_at", "last_at", "closed_at", "calm", "needed",
        "worst_change", "worst_at", "folded_into", "message", "told_at", "reminders", "cleared",
    )
}  # fmt: skip


class ProcessedSlot(NamedTuple):
    """A slot with verdicts: their number, how many are anomalous, and how many incidents are open after it."""

    slot: Slot
    series: int
    anomalous: int
    incidents: int = 0


@dataclass
class Update:
    """Processed slots of one day that are not written yet."""

    # The alerts that are open or have changed after each slot.
    steps: list[tuple[datetime.datetime, tuple[Alert, ...]]] = field(default_factory=list)
    processed: list[ProcessedSlot] = field(default_factory=list)
    # What to enqueue, with the slot it is about.
    notifications: list[tuple[Slot, Notification]] = field(default_factory=list)

    def write(self, warehouse: Warehouse) -> None:
        """Write the slots. Enqueue the notifications first.

        After a crash in between, the slots are processed again and enqueue the same keys. In the other order, the
        notifications would be lost. Rows of the same slot replace each other, so a repetition does no harm.
        """
        _insert(warehouse, INCIDENTS.name, [_row(at, alert) for at, alerts in self.steps for alert in alerts])
        _insert(warehouse, MONITORED_SLOTS.name, [[row.slot.start, *row[1:]] for row in self.processed])


def updates(  # noqa: PLR0917
    warehouse: Warehouse,
    slots: SlotRange,
    settings: Settings,
    checked: CheckedCatalog,
    now: datetime.datetime,
    inhibitors: Sequence[Alert] = (),
) -> Iterator[Update]:
    """Process `slots` by day. Write each update before you take the next.

    Slots that were already processed are skipped. Processing stops at the first slot without verdicts, because slots
    are processed in order. `inhibitors` are alerts about the platform. Slots that ended longer ago than
    METRICS_ALERT_MAX_AGE_MINUTES send no notifications.
    """
    rules = policies(datetime.timedelta(hours=settings.reminder_hours))
    oldest = now - datetime.timedelta(minutes=settings.alert_max_age_minutes)
    catalog, sources = checked.catalog, {name: metric.source for name, metric in checked.metrics.items()}
    for day, day_slots in slots.by_day(settings.zone):
        last = last_processed_slot(warehouse)
        remaining = SlotRange(max(day_slots.start, last.end) if last else day_slots.start, day_slots.end)
        if remaining.start >= remaining.end:
            continue
        alerts = {alert.id: alert for alert in incidents_before(warehouse, remaining.start, sources)}
        verdicts = _verdicts_of(warehouse, day.date, remaining, map(Series.of, alerts.values()))
        evaluated = _evaluated_slots(warehouse, day.date, remaining)
        update = Update()
        for slot in remaining:
            if slot not in evaluated:
                break
            result = step(
                slot.start,
                alerts.values(),
                conditions_of(slot, verdicts.get(slot, ()), _removable(alerts.values(), checked), sources),
                rules,
                notifies=slot.end >= oldest,
                is_muted=mute_filter(settings, slot.end, catalog),
                inhibitors=inhibitors,
            )
            alerts |= {alert.id: alert for alert in result.alerts}
            update.steps.append((slot.start, result.alerts))
            open_now = sum(alert.is_open for alert in alerts.values())
            update.processed.append(evaluated[slot]._replace(incidents=open_now))
            update.notifications += [(slot, notification) for notification in result.notifications]
        yield update
        if len(update.processed) < len(remaining):
            return


def _removable(alerts: Iterable[Alert], checked: CheckedCatalog) -> list[Alert]:
    """The alerts whose metric may have been removed: it is neither refused by ClickHouse nor in an ignored file."""
    if checked.catalog.problem:
        return []
    return [alert for alert in alerts if f"metrics.{alert.subject.name}" not in checked.problems]


def incidents_before(
    warehouse: Warehouse, moment: datetime.datetime, sources: Mapping[str, str] | None = None
) -> list[Alert]:
    """The incidents that were open before `moment`, and those that ended before it and may still inhibit others.

    The latter are those of the eight days before, and those marked as not an incident. `sources` maps metrics to their
    sources.
    """
    if not tables_exist(warehouse, [INCIDENTS, INCIDENT_ANSWERS]):
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
    """Write a user's answer to an incident. The latest answer counts."""
    answer = "incident" if is_incident else "not_an_incident"
    _insert(warehouse, INCIDENT_ANSWERS.name, [[alert.id, answer, now, who, note, alert.worst_change]])


def create_incident_tables(warehouse: Warehouse) -> None:
    create_tables(warehouse, [VERDICTS, INCIDENTS, MONITORED_SLOTS, INCIDENT_ANSWERS])


def last_processed_slot(warehouse: Warehouse) -> Slot | None:
    """The latest processed slot; None: none yet."""
    if not tables_exist(warehouse, [MONITORED_SLOTS]):
        return None
    latest = warehouse.value(
        "SELECT maxOrNull(slot_start) FROM monitored_slots", operation="Reading the last processed slot"
    )
    return Slot(_utc(latest)) if latest else None


def _evaluated_slots(warehouse: Warehouse, date: datetime.date, slots: SlotRange) -> dict[Slot, ProcessedSlot]:
    rows = warehouse.query(
        read_sql("queries/evaluated_slots.sql"),
        {"event_date": date, "first_slot": slots.start, "end_slot": slots.end},
        operation="Reading which slots are evaluated",
    ).rows
    processed = [ProcessedSlot(Slot(_utc(row["slot_start"])), row["series"], row["anomalous"]) for row in rows]
    return {slot.slot: slot for slot in processed}


def unevaluated_since(warehouse: Warehouse, slots: SlotRange) -> datetime.datetime:
    """The start of the first of `slots` without a verdict; their end if all have one."""
    if not tables_exist(warehouse, [VERDICTS]):
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
    warehouse: Warehouse, date: datetime.date, slots: SlotRange, also: Iterable[Series]
) -> dict[Slot, list[Verdict]]:
    """The verdicts that incidents need of `slots` on the day `date`, by slot; `also` are series to include always."""
    series = sorted(set(also))
    rows = warehouse.query(
        read_sql("queries/verdicts_of_slots.sql"),
        {
            "event_date": date,
            "first_slot": slots.start,
            "end_slot": slots.end,
            "metrics": [item.metric for item in series],
            "series_dimensions": [item.dimension for item in series],
            "series_values": [item.dimension_value for item in series],
        },
        operation="Reading the verdicts",
    ).rows
    by_slot: dict[Slot, list[Verdict]] = defaultdict(list)
    for row in rows:
        by_slot[Slot(_utc(row["slot_start"]))].append(_verdict(row))
    return by_slot


def verdicts_at(warehouse: Warehouse, slot: Slot) -> dict[Series, Verdict]:
    rows = warehouse.query(
        "SELECT * FROM verdicts FINAL WHERE slot_start = {first_slot:DateTime('UTC')} "
        # The days around the slot's UTC day cover every time zone.
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
    columns = {column: getattr(alert, name) for column, name in _COLUMNS.items()}
    values = {"slot_start": at, **Series.of(alert)._asdict(), **columns}
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
