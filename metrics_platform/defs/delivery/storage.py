"""The journal in Dagster's event log. An entry is an observation of the asset `notifications`, by message.

Dagster's storage does not need ClickHouse, so that "ClickHouse is down" is still sent. In Dagster's UI, a message's
partition shows every attempt to send it.
"""

from __future__ import annotations

import datetime
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import ValidationError

from metrics_platform.defs.delivery.notify import KEY
from metrics_platform.notifications.channel import mask_json
from metrics_platform.notifications.history import (
    ENTRIES,
    Entry,
    History,
    Journal,
    Position,
    Queued,
    Sent,
    Storage,
    Stored,
    Unreadable,
)
from metrics_platform.notifications.kinds import Event
from metrics_platform.redaction import mask
from metrics_platform.settings import Settings

_ENTRY = "entry"
_PAGE = 500
# Dagster's folder for a command without DAGSTER_HOME. `dagster dev` keeps it while it runs.
_TEMPORARY_HOME = ".tmp_dagster_home_"
# Partitions in one query: databases allow a few thousand parameters.
_KEYS = 400
# Without a stored position, a journal is read from this much before the longest wait.
_GRACE = datetime.timedelta(days=1)


def enqueue(context: dg.OpExecutionContext | dg.AssetExecutionContext, *events: Event) -> None:
    """Queue notifications from within a run. They are durable when this returns, and the job `notify` sends them.

    Queueing the same key again has no effect.

    Raises:
        dg.Failure: Dagster's storage ends with this command, so they would never be sent.
    """
    _require_lasting_storage(context.instance)
    for observation in queued(*events):
        context.log_event(observation)


def queued(*events: Event) -> list[dg.AssetObservation]:
    """Queue notifications from a sensor: it returns them as `SensorResult(asset_events=…)`."""
    return [observation(event.key, Queued(notification=event)) for event in events]  # type: ignore[arg-type]


def _require_lasting_storage(instance: dg.DagsterInstance) -> None:
    """Fail if the storage is temporary: a `dagster` command without DAGSTER_HOME deletes its events when it ends."""
    home = Path(instance.root_directory).name if instance.root_directory else ""
    if home.startswith(_TEMPORARY_HOME) and "DAGSTER_IS_DEV_CLI" not in os.environ:
        raise dg.Failure(
            "This message would never be sent: DAGSTER_HOME is not set, so Dagster forgets this run at its end. Set "
            "DAGSTER_HOME=${PWD}/.dagster in .env, as .env.example does, or export that of the running Dagster.",
            allow_retries=False,
        )


def observation(key: str, entry: Entry) -> dg.AssetObservation:
    """An entry as Dagster stores it. It is masked: an error may quote a URL, and every user of Dagster can read it."""
    return dg.AssetObservation(
        KEY,
        partition=key,
        description=entry.entry,
        metadata={_ENTRY: dg.MetadataValue.json(mask_json(entry.model_dump(mode="json"), mask))},
    )


@dataclass(frozen=True)
class EventLog(Storage):
    """See `Storage`. Entries are written by `store`: a run's `log_event`, or the instance itself."""

    instance: dg.DagsterInstance
    store: Callable[[dg.AssetObservation], None]

    def since(self, moment: float) -> Iterator[Stored]:
        return self._read(dg.AssetRecordsFilter(KEY, after_timestamp=max(0.0, moment)))

    def of(self, keys: Sequence[str]) -> dict[str, list[Stored]]:
        by_key: dict[str, list[Stored]] = defaultdict(list)
        for first in range(0, len(keys), _KEYS):
            for stored in self._read(dg.AssetRecordsFilter(KEY, asset_partitions=list(keys[first : first + _KEYS]))):
                by_key[stored.key].append(stored)
        return by_key

    def write(self, key: str, entry: Entry) -> Stored:
        self.store(observation(key, entry))
        return Stored(time.time(), key, entry)

    def _read(self, selection: dg.AssetRecordsFilter) -> Iterator[Stored]:
        """The entries in a selection, oldest first. Other observations are skipped."""
        cursor = None
        while True:
            page = self.instance.fetch_observations(selection, limit=_PAGE, cursor=cursor, ascending=True)
            for record in page.records:
                observed = record.asset_observation
                metadata = observed.metadata.get(_ENTRY) if observed else None
                if not (observed and observed.partition and isinstance(metadata, dg.JsonMetadataValue)):
                    continue
                if entry := _parse_entry(metadata.data):
                    yield Stored(record.timestamp, observed.partition, entry)
            if not page.has_more:
                return
            cursor = page.cursor


def event_log(instance: dg.DagsterInstance) -> EventLog:
    """The storage outside of a run."""
    return EventLog(instance, instance.report_runless_asset_event)


def history_of(instance: dg.DagsterInstance, key: str) -> History:
    """The history of one message; empty for an unknown key."""
    return History(key, event_log(instance).of([key]).get(key, ()))


def queue_of(storage: EventLog, settings: Settings, position: Position, now: datetime.datetime) -> Journal:
    """The journal from a position on. Without one, it begins where the oldest waiting message can be."""
    start = (now - datetime.timedelta(hours=settings.message_max_age_hours) - _GRACE).timestamp()
    return Journal(storage, position if position.read_until else position.model_copy(update={"read_until": start}))


def recent_sends(instance: dg.DagsterInstance, since: float) -> dict[str, list[float]]:
    """When each Telegram chat received messages after `since`, from any process (seconds since 1970)."""
    moments: dict[str, list[float]] = defaultdict(list)
    for stored in event_log(instance).since(since):
        entry = stored.entry
        if isinstance(entry, Sent) and entry.channel == "telegram" and entry.within is None:
            chat = entry.address.partition("/")[0]
            moments[chat] += [stored.at] * max(1, len(entry.message_ids))
    return moments


def _parse_entry(data: Any) -> Entry | None:
    """Parse an entry. A message that this version cannot read is given up, so that it does not block others."""
    try:
        return ENTRIES.validate_python(data)
    except ValidationError as caught:
        problems = "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in caught.errors()[:3])
    if isinstance(data, dict) and data.get("entry") in ("queued", "asked"):
        return Unreadable(text=f"This version of the platform cannot read it: {problems}")
    return None
