"""A monitored product for tests: days of rollup made in ClickHouse, and raw events for the slots that are computed."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass

import dagster as dg
import pandas as pd
import time_machine

from metrics_platform.alerts.alert import Alert, Subject
from metrics_platform.catalog import load_catalog
from metrics_platform.defs.delivery.notify import KEY
from metrics_platform.defs.monitoring.assets import tags_of
from metrics_platform.settings import Settings
from metrics_platform.time_windows import RANGE_END, RANGE_START, SLOT, Slot, SlotRange, slot_at
from metrics_platform.warehouse.client import Row, Warehouse
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.tables import SLOT_METRICS
from metrics_platform_tests.defs.post_office import PostOffice
from metrics_platform_tests.defs.running import QUIET
from metrics_platform_tests.generated_events import FEED_COLUMNS, MESSAGE_COLUMNS, TYPES
from metrics_platform_tests.worlds import SourceTables

# A Friday; 12:00 in UTC.
NOON = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
HISTORY_DAYS = 9
LAG = datetime.timedelta(seconds=60)
OPENED = "anomaly-2026-11-20-12:15"  # the message of what is anomalous from the second slot after NOON on
# The users of each os in a slot: each sees a post and likes every third, and half of them write.
USERS = {"iOS": 80, "Android": 160}

# Those days as 15-minute values, restless by a hash of the slot's number.
_HISTORY = """
INSERT INTO slot_metrics
    (event_date, slot_start, metric, dimension, dimension_value, value, numerator, denominator, definition, version,
     is_deleted)
WITH
    240 AS usual,
    toInt64(slice.3 * (0.92 + 0.16 * (cityHash64(number, slice.2) % 1000) / 1000)) AS viewed,
    toInt64(viewed / 3) AS liked,
    toInt64(slice.3 / 2 * (0.92 + 0.16 * (cityHash64(number, slice.2, 1) % 1000) / 1000)) AS sent
SELECT
    toDate(toTimeZone(slot, {zone:String})) AS event_date, slot AS slot_start,
    found.1 AS metric, slice.1 AS dimension, slice.2 AS dimension_value,
    found.2 / found.3 AS value, found.2 AS numerator, nullIf(found.3, 1) AS denominator,
    transform(metric, {names:Array(String)}, {definitions:Array(UInt64)}, toUInt64(0)) AS definition,
    1 AS version, 0 AS is_deleted
FROM
(
    SELECT toDateTime({first:DateTime('UTC')}, 'UTC') + number * 900 AS slot, number
    FROM numbers({slots:UInt32})
)
ARRAY JOIN [('total', 'total', 240), ('os', 'iOS', 80), ('os', 'Android', 160)] AS slice
ARRAY JOIN [
    ('views', viewed, 1), ('likes', liked, 1), ('feed_users', viewed, 1), ('messages', sent, 1), ('senders', sent, 1),
    ('ctr', liked, viewed), ('feed_actions.events', viewed + liked, 1), ('message_actions.events', sent, 1)
] AS found
"""


@dataclass
class MonitorWorld:
    """A monitored product, its events and its Dagster instance."""

    settings: Settings
    instance: dg.DagsterInstance
    sources: SourceTables
    office: PostOffice

    @classmethod
    def create(
        cls, make_settings: Callable[..., Settings], instance: dg.DagsterInstance, **more: object
    ) -> MonitorWorld:
        """With days of history up to NOON."""
        first = NOON.replace(hour=0) - datetime.timedelta(days=HISTORY_DAYS)  # a part of a day would be computed first
        settings = make_settings(monitored_dimensions=("os",), start_date=first.date(), **more)
        sources = SourceTables.create(settings)
        create_tables(sources.warehouse, [SLOT_METRICS])
        metrics = load_catalog(settings).metrics.values()
        sources.warehouse.execute(
            _HISTORY,
            {
                "first": f"{first:%Y-%m-%d %H:%M:%S}",
                "slots": (NOON - first) // SLOT,
                "zone": settings.timezone,
                "names": [metric.name for metric in metrics],
                "definitions": [metric.definition for metric in metrics],
            },
            settings={"max_partitions_per_insert_block": 1000},
        )
        return cls(settings, instance, sources, PostOffice(settings, instance))

    @property
    def warehouse(self) -> Warehouse:
        """The product's ClickHouse."""
        return self.sources.warehouse

    def restart(self, **changes: object) -> None:
        """The code location loaded again with other settings."""
        self.settings = self.settings.model_copy(update=changes)
        self.office = PostOffice(self.settings, self.instance)

    def use_catalog(self, text: str) -> None:
        """The code location loaded again with this METRICS_CATALOG."""
        file = self.settings.data_dir / "catalog.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        self.restart(catalog=file)

    def queued(self) -> list[str]:
        """The keys of all messages that were queued."""
        records = self.instance.fetch_observations(KEY, limit=100, ascending=True).records
        return list(
            dict.fromkeys(str(record.asset_observation.partition) for record in records if record.asset_observation)
        )

    def happens(self, number: int, *, messages_too: bool = True, **share: float) -> Slot:
        """Events of the slot `number` after NOON; `share` of the usual by os (1 where not named)."""
        slot = slot_at(NOON + number * SLOT)
        feed, messages = [], []
        user = 0
        for os, count in USERS.items():
            for position in range(round(count * share.get(os, 1.0))):
                user += 1
                moment = slot.start + datetime.timedelta(seconds=position)
                who = (1, 25, "", "", os, "ads", 0)
                feed.append((user, 1, "view", moment, *who))
                if position % 3 == 0:
                    feed.append((user, 1, "like", moment, *who))
                if position % 2 == 0 and messages_too:
                    messages.append((user, 7, moment, *who))
        time = {"time": TYPES["time"]}
        self.sources.insert_feed(pd.DataFrame(feed, columns=list(FEED_COLUMNS)).astype(time))
        self.sources.insert_messages(pd.DataFrame(messages, columns=list(MESSAGE_COLUMNS)).astype(time))
        return slot

    def check(
        self, first: int, last: int | None = None, *, now: datetime.datetime | None = None
    ) -> dg.ExecuteInProcessResult:
        """Run `anomaly_check` for slots after NOON, as the schedule asks for it just after the last one's end."""
        slots = SlotRange.of(slot_at(NOON + first * SLOT), slot_at(NOON + (first if last is None else last) * SLOT))
        job = self.office.definitions.resolve_job_def("anomaly_check")
        days = [day.key for day, _ in slots.by_day(self.settings.zone)]
        tags = {RANGE_START: days[0], RANGE_END: days[-1], **tags_of(slots)}
        with time_machine.travel(now or slots.end + LAG, tick=True):
            return job.execute_in_process(instance=self.instance, raise_on_error=False, run_config=QUIET, tags=tags)

    def deliver(self, number: int) -> None:
        """The ticks of `notify_sensor` after the check of the slot `number` after NOON."""
        with time_machine.travel(NOON + (number + 1) * SLOT + 2 * LAG, tick=True):
            self.office.until_quiet()

    def rows(self, table: str) -> list[Row]:
        """Everything that readers see of one of the monitor's tables."""
        final = "FINAL" if table in _REPLACING else ""
        rows = self.warehouse.query(f"SELECT * FROM {table} {final} ORDER BY ALL").rows
        return [{name: value for name, value in row.items() if name != "version"} for row in rows]


_REPLACING = ("slot_metrics", "slice_values", "verdicts", "incidents", "monitored_slots")


def stale(source: str, notification: str) -> Alert:
    """A stale source, as the cursor of `source_sensor` holds it."""
    return Alert(
        "STALE", Subject("stale_data", source), "", "open", "warning", NOON, NOON, 2, "opened",
        origin=source, notification=notification, notified_at=NOON,
    )  # fmt: skip
