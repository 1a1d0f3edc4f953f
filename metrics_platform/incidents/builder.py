"""The facts of a notification about incidents: values, history, and what explains it."""

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
# A chart shows a day and an hour, so that the same slot of yesterday is in it; of a longer incident all of it, up to
# three days.
_SHOWN = DAY + datetime.timedelta(hours=1)
_SHOWN_AT_MOST = datetime.timedelta(days=3)
_BEFORE_OPENING = datetime.timedelta(hours=2)
# A picture has no more panels, and no one reads more rows.
_MOST_WITH_HISTORY = 6
_MOST_ALERTS = 25
# A metric that is not anomalous itself has moved with an incident from this many deviations and this change on.
_CORRELATED_SCORE, _CORRELATED_CHANGE = 2.0, 0.1


@dataclass(frozen=True)
class NotificationBuilder:
    """Builds notifications about one slot, which the run `run_id` enqueues."""

    warehouse: Warehouse
    settings: Settings
    slot: Slot
    checked: CheckedCatalog
    run_id: str | None = None

    @cached_property
    def verdicts(self) -> Mapping[Series, Verdict]:
        return verdicts_at(self.warehouse, self.slot)

    def build(self, notification: Notification) -> kinds.Event:
        """The notification; raises WarehouseError if ClickHouse refused, failed or did not answer."""
        alerts = sorted(notification.alerts, key=self._importance)
        common: dict[str, Any] = {"key": notification.key, "run_id": self.run_id, "occurred_at": self.slot.end}
        if notification.thread:
            common["thread"] = notification.thread
        if notification.kind == "resolved":
            resolved = [self._resolved(alert, number) for number, alert in enumerate(alerts[:_MOST_ALERTS])]
            return kinds.AnomalyResolved(**common, resolved=tuple(resolved))
        known = [alert for alert in alerts if Series.of(alert) in self.verdicts]
        firing = [alert for alert in known if self.verdicts[Series.of(alert)].status == "anomalous"]
        shown = (firing or known)[:_MOST_ALERTS]
        anomalies = tuple(
            self._anomaly(alert, with_history=number < _MOST_WITH_HISTORY) for number, alert in enumerate(shown)
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
        history, day_before = self._history(series, self.slot.end - _SHOWN) if with_history else (None, None)
        slices = [one for key, one in self.verdicts.items() if key.metric == series.metric and not key.is_total]
        shown = ("value", "expected", "lower", "upper", "detector", "reason", "score")
        return kinds.Anomaly(
            **self._named(alert),
            **{name: getattr(verdict, name) for name in shown},
            severity="critical" if verdict.severity == "critical" else "warning",
            slot_start=self.slot.start,
            slot_end=self.slot.end,
            day_before=day_before,
            contributions=contributions_to(verdict, slices) if series.is_total else (),
            history=history,
        )

    def _resolved(self, alert: Alert, number: int) -> kinds.ResolvedAnomaly:
        series = Series.of(alert)
        since = max(min(self.slot.end - _SHOWN, alert.opened_at - _BEFORE_OPENING), self.slot.end - _SHOWN_AT_MOST)
        verdict = self.verdicts.get(series)
        turned = verdict if verdict and verdict.status == "anomalous" and verdict.direction != alert.variant else None
        return kinds.ResolvedAnomaly(
            **self._named(alert),
            opened_at=alert.opened_at,
            resolved_at=alert.closed_at or self.slot.start,
            value=verdict.value if verdict else None,
            worst_change=alert.worst_change,
            worst_at=alert.worst_at,
            new_normal=alert.is_accepted,
            turned=turned.direction if turned else "",
            history=self._history(series, since)[0] if number < _MOST_WITH_HISTORY else None,
        )

    def _correlated(self, alerts: Sequence[Alert]) -> tuple[str, ...]:
        """The other metrics that moved in the same direction at the same time, without an incident of their own."""
        directions = {alert.variant for alert in alerts}
        found = (self.verdicts.get(Series(name)) for name in self.checked.metrics)
        return tuple(
            verdict.series.metric
            for verdict in found
            if verdict is not None
            and verdict.direction in directions
            and abs(verdict.score or 0.0) >= _CORRELATED_SCORE
            and abs(verdict.change or 0.0) >= _CORRELATED_CHANGE
            and verdict.series.metric not in {alert.subject.name for alert in alerts}
        )

    def _fresh_at(self, metrics: Iterable[str]) -> datetime.datetime | None:
        """The latest event of the metrics' sources. Of two, the earlier: one may have fallen silent."""
        now = max(self.slot.end, datetime.datetime.now(datetime.UTC))
        known = [metric for metric in metrics if metric in self.checked.metrics]
        sources = sorted({source for metric in known for source in self.checked.catalog.sources_of(metric)})
        rows = [self.checked.rows[source] for source in sources if source in self.checked.rows]
        latest = [latest_event(self.warehouse, found, self.settings, now) for found in rows]
        return min((moment for moment in latest if moment is not None), default=None)

    def _history(self, series: Series, since: datetime.datetime) -> tuple[kinds.History, float | None]:
        """The values from `since` up to the slot, with those a day before; and the slot's a day before."""
        rows = self.warehouse.query(
            read_sql("queries/slot_values.sql"),
            {
                "first_slot": since - DAY,
                "end_slot": self.slot.end,
                **series._asdict(),
            },
            operation=f"Reading the history of {series.metric}",
        ).rows
        found = {row["slot_start"].replace(tzinfo=datetime.UTC): row for row in rows}

        def value(moment: datetime.datetime, name: str = "value") -> float | None:
            row = found.get(moment)
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

    def _named(self, alert: Alert) -> dict[str, Any]:
        """The id, and the names of what an alert is about."""
        metric = self.checked.metrics.get(alert.subject.name)
        about = Series.of(alert)._asdict()
        if alert.is_total:
            about |= {"dimension": None, "dimension_value": None}
        return {"incident": alert.id, "unit": metric.unit if metric else "count", **about}

    def _importance(self, alert: Alert) -> tuple[bool, int, Series]:
        """The whole product before its slices, metrics in the order of the catalogue."""
        order = [*self.checked.metrics, alert.subject.name]
        return not alert.is_total, order.index(alert.subject.name), Series.of(alert)
