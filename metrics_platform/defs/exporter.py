"""The Prometheus exporter: each scrape reads the platform's state from ClickHouse and Dagster's storage."""

from __future__ import annotations

import datetime
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from wsgiref.simple_server import WSGIServer

import dagster as dg
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from metrics_platform.defs.delivery.storage import event_log, queue_of
from metrics_platform.defs.health.alert_store import stored_alerts
from metrics_platform.notifications.history import Position
from metrics_platform.settings import Settings
from metrics_platform.time_windows import Slot, day_of
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import tables_exist
from metrics_platform.warehouse.tables import APP_DAILY, INCIDENTS, MONITORED_SLOTS, read_sql

# Prometheus waits 10 seconds for the whole page.
_TIMEOUT_SECONDS = 5
# Their cursors hold the alerts about the platform.
_SENSORS = ("failed_run_sensor", "source_sensor", "report_watch_sensor")


def serve(settings: Settings, host: str, port: int) -> tuple[WSGIServer, threading.Thread]:
    """Start the exporter on a thread; port 0 takes a free one.

    Raises:
        OSError: the port is taken.
    """
    registry = CollectorRegistry()
    registry.register(PlatformState(settings))
    return start_http_server(port, host, registry)


@dataclass(frozen=True, eq=False)
class PlatformState(Collector):
    """The state of the platform. A part that cannot be read is left out, and its `up` is 0."""

    settings: Settings

    def collect(self) -> Iterator[GaugeMetricFamily]:
        up = GaugeMetricFamily("metrics_platform_up", "1 if the part answers, else 0.", labels=["part"])
        for part, read in (("clickhouse", self._warehouse), ("dagster", self._dagster)):
            try:
                yield from list(read())
                up.add_metric([part], 1)
            except Exception:  # noqa: BLE001  (storages raise many types, and a scrape must say which part is down)
                up.add_metric([part], 0)
        yield up

    def _warehouse(self) -> Iterator[GaugeMetricFamily]:
        short_timeout = self.settings.model_copy(update={"clickhouse_timeout_seconds": _TIMEOUT_SECONDS})
        warehouse = Warehouse.from_settings(short_timeout, tags={"job": "exporter"}, retry_waits=())
        if tables_exist(warehouse, [APP_DAILY]):
            date = warehouse.value("SELECT maxOrNull(event_date) FROM app_daily", operation="Reading the last day")
            if date:
                loaded = day_of(date, self.settings.zone).end.timestamp()
                yield _gauge("last_day_end_timestamp_seconds", "End of the last day in app_daily.", loaded)
        if tables_exist(warehouse, [INCIDENTS, MONITORED_SLOTS]):
            state = warehouse.query(read_sql("queries/platform_state.sql"), operation="Reading open incidents").rows[0]
            if start := state["last_slot"]:
                evaluated = Slot(start.replace(tzinfo=datetime.UTC)).end.timestamp()
                yield _gauge("last_slot_end_timestamp_seconds", "End of the last evaluated slot.", evaluated)
            counts = {severity: state[severity] for severity in ("critical", "warning")}
            yield _by_severity("open_incidents", "Open incidents of metrics.", counts)

    def _dagster(self) -> Iterator[GaugeMetricFamily]:
        now = datetime.datetime.now(datetime.UTC)
        with dg.DagsterInstance.get() as instance:
            stored = [alert for sensor in _SENSORS for alert in stored_alerts(instance, sensor)]
            waiting = queue_of(event_log(instance), self.settings, Position(), now).waiting()
        counts = Counter({"critical": 0, "failed": 0, "warning": 0})
        counts.update(alert.severity for alert in stored if alert.is_open and not alert.inhibited_by)
        yield _by_severity("open_platform_alerts", "Open alerts about the platform itself.", counts)
        yield _gauge("waiting_messages", "Messages that are queued and not delivered yet.", len(waiting))
        oldest = min((history.queued_at for history in waiting), default=now)
        age = (now - oldest).total_seconds()
        yield _gauge("oldest_waiting_message_seconds", "How long the oldest of them has waited.", age)


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"metrics_platform_{name}", meaning, value=value)


def _by_severity(name: str, meaning: str, counts: Mapping[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"metrics_platform_{name}", meaning, labels=["severity"])
    for severity, count in counts.items():
        family.add_metric([severity], count)
    return family
