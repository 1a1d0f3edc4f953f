"""Build the facts of notifications about incidents: values, history and explanations."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from metrics_platform.alerts.alert import Alert, Notification
from metrics_platform.alerts.anomalies import Series, Verdict, contributions_to
from metrics_platform.incidents.store import verdicts_at
from metrics_platform.notifications import kinds
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, Slot
from metrics_platform.warehouse.catalog_check import CheckedCatalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.source_rows import latest_event
from metrics_platform.warehouse.tables import read_sql

DAY = datetime.timedelta(days=1)
# A chart shows a day and an hour, so that it includes yesterday's slot. A longer incident is shown completely, up to
# three days.
_CHART_SPAN = DAY + datetime.timedelta(hours=1)
_MAX_CHART_SPAN = datetime.timedelta(days=3)
_BEFORE_OPENING = datetime.timedelta(hours=2)
# A picture has at most this many panels, and no one reads more rows.
_MAX_WITH_HISTORY = 6
_MAX_ALERTS = 25
# A metric without an anomaly counts as correlated with an incident from this score and this change on.
_CORRELATED_SCORE, _CORRELATED_CHANGE = 2.0, 0.1


@dataclass(frozen=True)
class NotificationBuilder:
    """Builds notifications about one slot. The run `run_id` enqueues them."""

    warehouse: Warehouse
    settings: Settings
    slot: Slot
    checked: CheckedCatalog
    run_id: str | None = None

    @cached_property
    def verdicts(self) -> Mapping[Series, Verdict]:
        return verdicts_at(self.warehouse, self.slot)

    def build(self, notification: Notification) -> kinds.Event:
        """Build the notification. Raises WarehouseError if ClickHouse refused, failed or did not answer."""
        alerts = sorted(notification.alerts, key=self._importance)
        common: dict[str, Any] = {"key": notification.key, "run_id": self.run_id, "occurred_at": self.slot.end}
        if notification.thread:
            common["thread"] = notification.thread
        if notification.kind == "resolved":
            resolved = [self._resolved_anomaly(alert, number) for number, alert in enumerate(alerts[:_MAX_ALERTS])]
            return kinds.AnomalyResolved(**common, resolved=tuple(resolved))
        with_verdict = [alert for alert in alerts if Series.of(alert) in self.verdicts]
        firing = [alert for alert in with_verdict if self.verdicts[Series.of(alert)].status == "anomalous"]
        included = (firing or with_verdict)[:_MAX_ALERTS]
        anomalies = tuple(
            self._anomaly(alert, with_history=number < _MAX_WITH_HISTORY) for number, alert in enumerate(included)
        )
        if notification.kind == "reminder":
            return kinds.AnomalyStillOpen(
                **common, anomalies=anomalies, opened_at=min(alert.opened_at for alert in alerts)
            )
        common |= {
            "anomalies": anomalies,
            "moved_with": self._correlated(alerts),
            "fresh_at": self._fresh_at({anomaly.metric for anomaly in anomalies}),
        }
        if notification.kind == "updated":
            notified_at = min(alert.notified_at or self.slot.start for alert in alerts)
            return kinds.AnomalyUpdated(**{**common, "occurred_at": notified_at + SLOT})
        return kinds.AnomalyOpened(**common)

    def _anomaly(self, alert: Alert, *, with_history: bool) -> kinds.Anomaly:
        series = Series.of(alert)
        verdict = self.verdicts[series]
        history, day_before = self._history(series, self.slot.end - _CHART_SPAN) if with_history else (None, None)
        slices = [
            slice_verdict
            for key, slice_verdict in self.verdicts.items()
            if key.metric == series.metric and not key.is_total
        ]
        copied = ("value", "expected", "lower", "upper", "detector", "reason", "score")
        return kinds.Anomaly(
            **self._identity(alert),
            **{name: getattr(verdict, name) for name in copied},
            severity="critical" if verdict.severity == "critical" else "warning",
            slot_start=self.slot.start,
            slot_end=self.slot.end,
            day_before=day_before,
            contributions=contributions_to(verdict, slices) if series.is_total else (),
            history=history,
        )

    def _resolved_anomaly(self, alert: Alert, number: int) -> kinds.ResolvedAnomaly:
        series = Series.of(alert)
        since = max(
            min(self.slot.end - _CHART_SPAN, alert.opened_at - _BEFORE_OPENING), self.slot.end - _MAX_CHART_SPAN
        )
        verdict = self.verdicts.get(series)
        turned = verdict if verdict and verdict.status == "anomalous" and verdict.direction != alert.variant else None
        return kinds.ResolvedAnomaly(
            **self._identity(alert),
            opened_at=alert.opened_at,
            resolved_at=alert.closed_at or self.slot.start,
            value=verdict.value if verdict else None,
            worst_change=alert.worst_change,
            worst_at=alert.worst_at,
            new_normal=alert.is_accepted,
            turned=turned.direction if turned else "",
            history=self._history(series, since)[0] if number < _MAX_WITH_HISTORY else None,
        )

    def _correlated(self, alerts: Sequence[Alert]) -> tuple[str, ...]:
        """The other metrics that moved in the same direction at the same time, without an incident of their own."""
        directions = {alert.variant for alert in alerts}
        verdicts = (self.verdicts.get(Series(name)) for name in self.checked.metrics)
        return tuple(
            verdict.series.metric
            for verdict in verdicts
            if verdict is not None
            and verdict.direction in directions
            and abs(verdict.score or 0.0) >= _CORRELATED_SCORE
            and abs(verdict.change or 0.0) >= _CORRELATED_CHANGE
            and verdict.series.metric not in {alert.subject.name for alert in alerts}
        )

    def _fresh_at(self, metrics: Iterable[str]) -> datetime.datetime | None:
        """The latest event of the metrics' sources; the earliest of several, because one may have gone silent."""
        now = max(self.slot.end, datetime.datetime.now(datetime.UTC))
        known = [metric for metric in metrics if metric in self.checked.metrics]
        sources = sorted({source for metric in known for source in self.checked.catalog.sources_of(metric)})
        rows = [self.checked.rows[source] for source in sources if source in self.checked.rows]
        latest = [latest_event(self.warehouse, source_rows, self.settings, now) for source_rows in rows]
        return min((moment for moment in latest if moment is not None), default=None)

    def _history(self, series: Series, since: datetime.datetime) -> tuple[kinds.History, float | None]:
        """The values from `since` to the slot and a day before each, and the slot's value a day before."""
        rows = self.warehouse.query(
            read_sql("queries/slot_values.sql"),
            {
                "first_slot": since - DAY,
                "end_slot": self.slot.end,
                **series._asdict(),
            },
            operation=f"Reading the history of {series.metric}",
        ).rows
        by_slot = {row["slot_start"].replace(tzinfo=datetime.UTC): row for row in rows}

        def value(moment: datetime.datetime, name: str = "value") -> float | None:
            row = by_slot.get(moment)
            return row[name] if row else None

        times = [since + number * SLOT for number in range((self.slot.end - since) // SLOT)]
        history = kinds.History(
            times=tuple(times),
            values=tuple(map(value, times)),
            lower=tuple(value(time, "lower") for time in times),
            upper=tuple(value(time, "upper") for time in times),
            day_before=tuple(value(time - DAY) for time in times),
        )
        return history, value(self.slot.start - DAY)

    def _identity(self, alert: Alert) -> dict[str, Any]:
        """The id of an alert, and its metric and slice."""
        metric = self.checked.metrics.get(alert.subject.name)
        series = Series.of(alert)._asdict()
        if alert.is_total:
            series |= {"dimension": None, "dimension_value": None}
        return {"incident": alert.id, "unit": metric.unit if metric else "count", **series}

    def _importance(self, alert: Alert) -> tuple[bool, int, Series]:
        """The sort key: totals before slices, then metrics in the order of the catalogue."""
        order = [*self.checked.metrics, alert.subject.name]
        return not alert.is_total, order.index(alert.subject.name), Series.of(alert)
