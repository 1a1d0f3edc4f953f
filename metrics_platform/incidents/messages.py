"""From what the state machine wants told to the notification: facts, history and what explains it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from metrics_platform.calendar import SLOT, Slot
from metrics_platform.catalog_entries import Unit
from metrics_platform.incidents.contributions import contributions_to
from metrics_platform.incidents.incident import Incident, Series, Verdict
from metrics_platform.incidents.machine import Telling
from metrics_platform.incidents.store import verdicts_at
from metrics_platform.notifications.kinds import (
    Anomaly,
    AnomalyOpened,
    AnomalyResolved,
    AnomalyStillOpen,
    AnomalyUpdated,
    Contribution,
    Event,
    History,
    ResolvedAnomaly,
)
from metrics_platform.settings import Settings
from metrics_platform.warehouse.catalog_check import CheckedCatalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.sources import latest_event
from metrics_platform.warehouse.tables import read_sql

DAY = datetime.timedelta(days=1)
WEEK = datetime.timedelta(days=7)
# A chart shows a day and an hour, so that the same slot of yesterday is in it; of a longer incident all of it, up to
# three days.
_SHOWN = DAY + datetime.timedelta(hours=1)
_SHOWN_AT_MOST = datetime.timedelta(days=3)
_BEFORE_OPENING = datetime.timedelta(hours=2)
# More panels a picture does not have, and more rows nobody reads.
_WITH_HISTORY = 6
_TOLD_AT_MOST = 25


@dataclass(frozen=True)
class Teller:
    """Makes notifications for what is told at one slot.

    Attributes:
        run_id: the run that tells.
    """

    warehouse: Warehouse
    settings: Settings
    slot: Slot
    checked: CheckedCatalog
    run_id: str | None = None

    def event_of(self, telling: Telling) -> Event:
        """The notification.

        Raises:
            WarehouseError: ClickHouse refused, failed or did not answer.
        """
        verdicts = verdicts_at(self.warehouse, self.slot)
        telling = replace(telling, incidents=tuple(sorted(telling.incidents, key=self._importance)))
        if telling.kind == "resolved":
            return AnomalyResolved(
                key=telling.key,
                thread=telling.thread,
                occurred_at=self.slot.end,
                run_id=self.run_id,
                resolved=tuple(
                    self._over(incident, verdicts, with_history=number < _WITH_HISTORY)
                    for number, incident in enumerate(telling.incidents[:_TOLD_AT_MOST])
                ),
            )
        told = [each for each in telling.incidents if each.series in verdicts]
        now = [each for each in told if verdicts[each.series].status == "anomalous"]
        anomalies = tuple(
            self.anomaly(incident, verdicts, with_history=number < _WITH_HISTORY)
            for number, incident in enumerate((now or told)[:_TOLD_AT_MOST])
        )
        told_at = min((each.told_at for each in telling.incidents if each.told_at), default=self.slot.start)
        if telling.kind == "reminder":
            opened_at = min(each.opened_at for each in telling.incidents)
            return AnomalyStillOpen(
                key=telling.key,
                thread=telling.thread,
                occurred_at=self.slot.end,
                run_id=self.run_id,
                anomalies=anomalies,
                opened_at=opened_at,
            )
        if telling.kind == "joined":
            return AnomalyUpdated(
                key=telling.key,
                thread=telling.thread,
                occurred_at=told_at + SLOT,
                run_id=self.run_id,
                anomalies=anomalies,
                fresh_at=self._fresh_at(anomalies),
            )
        return AnomalyOpened(
            key=telling.key,
            occurred_at=self.slot.end,
            run_id=self.run_id,
            anomalies=anomalies,
            fresh_at=self._fresh_at(anomalies),
        )

    def anomaly(self, incident: Incident, verdicts: Mapping[Series, Verdict], *, with_history: bool) -> Anomaly:
        """An incident as the verdict of the slot shows it."""
        verdict, series = verdicts[incident.series], incident.series
        history, day_before = self._history(series, self.slot.end - _SHOWN) if with_history else (None, None)
        return Anomaly(
            **self._named(incident),
            severity="critical" if verdict.severity == "critical" else "warning",
            slot_start=self.slot.start,
            slot_end=self.slot.end,
            value=verdict.value,
            expected=verdict.expected,
            lower=verdict.lower,
            upper=verdict.upper,
            day_before=day_before,
            detector=verdict.detector,
            reason=verdict.reason,
            score=verdict.score,
            contributions=self._contributions(series, verdicts),
            history=history,
        )

    def _over(self, incident: Incident, verdicts: Mapping[Series, Verdict], *, with_history: bool) -> ResolvedAnomaly:
        series = incident.series
        since = max(min(self.slot.end - _SHOWN, incident.opened_at - _BEFORE_OPENING), self.slot.end - _SHOWN_AT_MOST)
        verdict = verdicts.get(series)
        return ResolvedAnomaly(
            **self._named(incident),
            opened_at=incident.opened_at,
            resolved_at=incident.closed_at or self.slot.start,
            value=verdict.value if verdict else None,
            worst_change=incident.worst_change,
            worst_at=incident.worst_at,
            history=self._history(series, since)[0] if with_history else None,
        )

    @staticmethod
    def _contributions(series: Series, verdicts: Mapping[Series, Verdict]) -> tuple[Contribution, ...]:
        if not series.is_total:
            return ()
        slices = (
            each for each in verdicts.values() if each.series.metric == series.metric and not each.series.is_total
        )
        return contributions_to(verdicts[series], slices)

    def _fresh_at(self, anomalies: Sequence[Anomaly]) -> datetime.datetime | None:
        """The latest event of the sources that the anomalies count; of two the earlier: one may have fallen silent."""
        now = max(self.slot.end, datetime.datetime.now(datetime.UTC))
        sources = sorted({source for each in anomalies for source in self._sources_of(each.metric)})
        rows = [self.checked.rows[source] for source in sources if source in self.checked.rows]
        latest = [latest_event(self.warehouse, found, self.settings, now) for found in rows]
        return min((each for each in latest if each is not None), default=None)

    def _history(self, series: Series, since: datetime.datetime) -> tuple[History, float | None]:
        """The values from `since` up to the slot, with those a day and a week before; and the slot's a day before."""
        rows = self.warehouse.query(
            read_sql("queries/slot_values.sql"),
            {
                "first_slot": f"{since - WEEK:%Y-%m-%d %H:%M:%S}",
                "end_slot": f"{self.slot.end:%Y-%m-%d %H:%M:%S}",
                "metric": series.metric,
                "dimension": series.dimension,
                "dimension_value": series.dimension_value,
            },
            doing=f"Reading the history of {series.metric}",
        ).rows
        found = {row["slot_start"].replace(tzinfo=datetime.UTC): row for row in rows}

        def value(moment: datetime.datetime) -> float | None:
            row = found.get(moment)
            return row["value"] if row else None

        def bound(moment: datetime.datetime, name: str) -> float | None:
            row = found.get(moment)
            return row[name] if row else None

        times = [since + number * SLOT for number in range((self.slot.end - since) // SLOT)]
        history = History(
            times=tuple(times),
            values=tuple(map(value, times)),
            lower=tuple(bound(each, "lower") for each in times),
            upper=tuple(bound(each, "upper") for each in times),
            day_before=tuple(value(each - DAY) for each in times),
            week_before=tuple(value(each - WEEK) for each in times),
        )
        return history, value(self.slot.start - DAY)

    def _sources_of(self, metric: str) -> set[str]:
        return self.checked.catalog.sources_of(metric) if metric in self.checked.metrics else set()

    def _named(self, incident: Incident) -> dict[str, Any]:
        """What an anomaly and its end are called by."""
        series = incident.series
        metric = self.checked.metrics.get(series.metric)
        unit: Unit = metric.unit if metric else "count"
        return {
            "incident": incident.incident,
            "metric": series.metric,
            "unit": unit,
            "dimension": None if series.is_total else series.dimension,
            "dimension_value": None if series.is_total else series.dimension_value,
        }

    def _importance(self, incident: Incident) -> tuple[bool, int, Series]:
        """The whole product before its slices, metrics in the order of the catalogue."""
        order = list(self.checked.metrics)
        name = incident.series.metric
        place = order.index(name) if name in order else len(order)
        return not incident.series.is_total, place, incident.series
