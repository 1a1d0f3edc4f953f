"""The journal in Dagster's event log: each entry is an observation of the asset `notifications`, in the partition of
its notification's key.

Dagster's storage is what the platform has that is durable without ClickHouse, so that «ClickHouse is down» gets out;
and in Dagster's UI a notification's partition shows everything that was ever tried with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import dagster as dg

from metrics_platform.notifications.journal import Asked, Entry, Sent, current, read_entry
from metrics_platform.notifications.kinds import Event

ASSET = "notifications"
KEY = dg.AssetKey(ASSET)
PARTITIONS = dg.DynamicPartitionsDefinition(name=ASSET)
_ENTRY = "entry"
_PAGE = 500


@dataclass(frozen=True)
class Stored:
    """An entry with where and when it was stored (seconds since 1970)."""

    storage_id: int
    at: float
    key: str
    entry: Entry


def ask(context: dg.OpExecutionContext | dg.AssetExecutionContext, *events: Event) -> None:
    """Ask for notifications from within a run: durable when this returns, sent by the job `notify`.

    Asking again for the same key changes nothing.
    """
    for event in events:
        context.log_event(observation(event.key, Asked(notification=event)))  # type: ignore[arg-type]


def asking(*events: Event) -> list[dg.AssetObservation]:
    """The same from a sensor, which returns them as `SensorResult(asset_events=…)`: stored with its cursor."""
    return [observation(event.key, Asked(notification=event)) for event in events]  # type: ignore[arg-type]


def observation(key: str, entry: Entry) -> dg.AssetObservation:
    """An entry as Dagster stores it."""
    return dg.AssetObservation(
        KEY,
        partition=key,
        description=entry.entry,
        metadata={_ENTRY: dg.MetadataValue.json(entry.model_dump(mode="json"))},
    )


@dataclass(frozen=True)
class DagsterJournal:
    """See `Journal`. Entries are written by `store`: a run's `log_event`, or the instance itself."""

    instance: dg.DagsterInstance
    store: Callable[[dg.AssetObservation], None]

    def entries(self, key: str) -> list[Entry]:
        """See `Journal`."""
        return current(stored.entry for stored in self.stored(key))

    def stored(self, key: str) -> list[Stored]:
        """Every entry of a notification, with when it was stored, oldest first."""
        return list(read(self.instance, dg.AssetRecordsFilter(KEY, asset_partitions=[key])))

    def write(self, key: str, entry: Entry) -> None:
        """See `Journal`."""
        self.store(observation(key, entry))


def journal_of(instance: dg.DagsterInstance) -> DagsterJournal:
    """The journal outside of a run."""
    return DagsterJournal(instance, instance.report_runless_asset_event)


def read(instance: dg.DagsterInstance, selection: dg.AssetRecordsFilter) -> Iterator[Stored]:
    """The entries that `selection` takes, oldest first; what is no entry of ours is left out."""
    cursor = None
    while True:
        page = instance.fetch_observations(selection, limit=_PAGE, cursor=cursor, ascending=True)
        for record in page.records:
            found = record.asset_observation
            metadata = found.metadata.get(_ENTRY) if found else None
            if found and found.partition and isinstance(metadata, dg.JsonMetadataValue):
                yield Stored(record.storage_id, record.timestamp, found.partition, read_entry(metadata.data))
        if not page.has_more:
            return
        cursor = page.cursor


def recent_sends(instance: dg.DagsterInstance, since: float) -> dict[str, list[float]]:
    """When Telegram's chats got messages after `since` (seconds since 1970), from any process: chat → moments."""
    moments: dict[str, list[float]] = defaultdict(list)
    for stored in _since(instance, since):
        entry = stored.entry
        if isinstance(entry, Sent) and entry.channel == "telegram" and entry.within is None:
            chat = entry.address.partition("/")[0]
            moments[chat] += [stored.at] * max(1, len(entry.message_ids))
    return moments


def _since(instance: dg.DagsterInstance, since: float) -> Iterable[Stored]:
    return read(instance, dg.AssetRecordsFilter(KEY, after_timestamp=since))
