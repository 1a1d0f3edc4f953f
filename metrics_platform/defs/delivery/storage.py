"""The journal in Dagster's event log: each entry is an observation of the asset `notifications`, in the partition of
its notification's key.

Dagster's storage is what the platform has that is durable without ClickHouse, so that «ClickHouse is down» gets out;
and in Dagster's UI a notification's partition shows everything that was ever tried with it.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import ValidationError

from metrics_platform.defs.delivery.names import ASSET, KEY
from metrics_platform.notifications.journal import Asked, Closed, Entry, Sent, current, read_entry
from metrics_platform.notifications.kinds import Event
from metrics_platform.redaction import mask

_ENTRY = "entry"
_PAGE = 500
# As Dagster calls the folder of a command that is told of none; `dagster dev` keeps it for as long as it runs.
_THROWN_AWAY = ".tmp_dagster_home_"
# Partitions asked for in one query: databases take some thousands of parameters at most.
_KEYS = 400


@dataclass(frozen=True)
class Stored:
    """An entry with when it was stored (seconds since 1970).

    A notification that this version of the platform cannot read counts as given up, and says so: it must not stop
    all others.
    """

    at: float
    key: str
    entry: Entry
    readable: bool = True


def ask(context: dg.OpExecutionContext | dg.AssetExecutionContext, *events: Event) -> None:
    """Ask for notifications from within a run: durable when this returns, sent by the job `notify`.

    Asking again for the same key changes nothing.

    Raises:
        dg.Failure: Dagster's storage ends with this command: nobody would ever send them.
    """
    _refuse_to_lose(context.instance)
    for event in events:
        context.log_event(observation(event.key, Asked(notification=event)))  # type: ignore[arg-type]


def _refuse_to_lose(instance: dg.DagsterInstance) -> None:
    """A `dagster` command without DAGSTER_HOME keeps its events in a folder that it deletes at its end."""
    home = Path(instance.root_directory).name if instance.root_directory else ""
    if home.startswith(_THROWN_AWAY) and "DAGSTER_IS_DEV_CLI" not in os.environ:
        raise dg.Failure(
            "This message would never be sent: DAGSTER_HOME is not set, so Dagster forgets this run at its end. Set "
            "DAGSTER_HOME=${PWD}/.dagster in .env, as .env.example does, or export that of the running Dagster.",
            allow_retries=False,
        )


def asking(*events: Event) -> list[dg.AssetObservation]:
    """The same from a sensor, which returns them as `SensorResult(asset_events=…)`: stored before its cursor."""
    return [observation(event.key, Asked(notification=event)) for event in events]  # type: ignore[arg-type]


def observation(key: str, entry: Entry) -> dg.AssetObservation:
    """An entry as Dagster stores it."""
    return dg.AssetObservation(
        KEY,
        partition=key,
        description=entry.entry,
        metadata={_ENTRY: dg.MetadataValue.json(_masked(entry.model_dump(mode="json")))},
    )


def _masked(data: Any) -> Any:
    """JSON without what looks like a secret: an error's text may quote a URL, and whoever opens Dagster reads it."""
    if isinstance(data, dict):
        return {name: _masked(value) for name, value in data.items()}
    if isinstance(data, list):
        return [_masked(value) for value in data]
    return mask(data) if isinstance(data, str) else data


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
    """The entries that `selection` takes, oldest first; observations that are none of ours are left out."""
    cursor = None
    while True:
        page = instance.fetch_observations(selection, limit=_PAGE, cursor=cursor, ascending=True)
        for record in page.records:
            found = record.asset_observation
            metadata = found.metadata.get(_ENTRY) if found else None
            if found and found.partition and isinstance(metadata, dg.JsonMetadataValue):
                yield from _stored(record.timestamp, found.partition, metadata.data)
        if not page.has_more:
            return
        cursor = page.cursor


def read_since(instance: dg.DagsterInstance, moment: float) -> Iterator[Stored]:
    """The entries stored after `moment` (seconds since 1970), oldest first."""
    return read(instance, dg.AssetRecordsFilter(KEY, after_timestamp=moment))


def read_keys(instance: dg.DagsterInstance, keys: Sequence[str]) -> dict[str, list[Stored]]:
    """Every entry of these notifications, by key, oldest first."""
    found: dict[str, list[Stored]] = defaultdict(list)
    for first in range(0, len(keys), _KEYS):
        batch = keys[first : first + _KEYS]
        for stored in read(instance, dg.AssetRecordsFilter(KEY, asset_partitions=batch)):
            found[stored.key].append(stored)
    return found


def recent_sends(instance: dg.DagsterInstance, since: float) -> dict[str, list[float]]:
    """When Telegram's chats got messages after `since` (seconds since 1970), from any process: chat → moments."""
    moments: dict[str, list[float]] = defaultdict(list)
    for stored in read_since(instance, since):
        entry = stored.entry
        if isinstance(entry, Sent) and entry.channel == "telegram" and entry.within is None:
            chat = entry.address.partition("/")[0]
            moments[chat] += [stored.at] * max(1, len(entry.message_ids))
    return moments


def outdated_partitions(instance: dg.DagsterInstance, most: int, keep: Sequence[str]) -> list[str]:
    """The oldest partitions of `notifications` beyond `most`, without those to `keep`; their entries stay stored."""
    known = instance.get_dynamic_partitions(ASSET)
    return [key for key in known[: max(0, len(known) - most)] if key not in set(keep)]


def _stored(at: float, key: str, data: Any) -> Iterator[Stored]:
    problems = ""
    try:
        yield Stored(at, key, read_entry(data))
    except ValidationError as caught:
        problems = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in caught.errors()[:3])
    if problems and isinstance(data, dict) and data.get("entry") == "asked":
        closed = Closed(outcome="given_up", text=f"This version of the platform cannot read it: {problems}")
        yield Stored(at, key, closed, readable=False)
