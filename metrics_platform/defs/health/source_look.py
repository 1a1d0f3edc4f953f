"""Every two minutes the sources are looked at: do events arrive, and as many as usual? What is wrong is told, once."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from metrics_platform.calendar import SLOT
from metrics_platform.defs.cursor import Cursor
from metrics_platform.defs.delivery.storage import queued
from metrics_platform.defs.health.source_checks import (
    CANNOT_LOOK,
    day_result,
    evaluations,
    fresh_result,
    quick_warehouse,
    slot_result,
)
from metrics_platform.defs.health.telling import as_set
from metrics_platform.health.freshness import Staleness
from metrics_platform.health.volume import TOLD_AFTER_SLOTS, Course, Judgement, follow, together
from metrics_platform.notifications.kinds import Event, OddVolume
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.source_rows import SourceError, SourceRows, resolve

if TYPE_CHECKING:
    from metrics_platform.calendar import Slot
    from metrics_platform.catalog import Catalog
    from metrics_platform.health.looking import Freshness, Volume

# A check that says the same is shown anew so often: each showing is an entry in Dagster's event log.
_SHOWN_AGAIN_AFTER = datetime.timedelta(hours=1)


class _Source(BaseModel):
    """What is remembered of one source."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    staleness: Staleness = Staleness()
    course: Course = Course()
    recent: tuple[tuple[int, float, float, float], ...] = ()  # rows and band of the last slots, for the message
    day_told: datetime.date | None = None


class _Remembered(Cursor):
    """The sensor's cursor."""

    sources: dict[str, _Source] = Field(default_factory=dict)
    slot: AwareDatetime | None = None  # the last slot that was judged
    shown: dict[str, tuple[bool, float]] = Field(default_factory=dict)  # by check: what it said when


def tick(
    context: dg.SensorEvaluationContext, settings: Settings, now: datetime.datetime
) -> dg.SensorResult | dg.SkipReason:
    """Look, and tell what is to be told."""
    from metrics_platform.catalog import load_catalog_or_builtin  # noqa: PLC0415
    from metrics_platform.health.looking import why_no_events  # noqa: PLC0415

    if reason := why_no_events(settings, now):
        return dg.SkipReason(reason)
    look = _Look(settings, load_catalog_or_builtin(settings), _Remembered.from_cursor(context.cursor), now)
    refusal = ""
    try:
        look.at_sources()
    except CANNOT_LOOK as error:
        refusal = str(error)
    if refusal:
        # Whatever needs ClickHouse fails meanwhile, and that is told; what is stale cannot be said.
        return dg.SkipReason(f"The sources cannot be looked at: {refusal}")
    told = as_set(look.events, settings)
    shown = evaluations(look.to_show())
    return dg.SensorResult(
        skip_reason=f"Told: {', '.join(event.key for event in told)}." if told else "; ".join(look.found),
        cursor=look.remembered().model_dump_json(),
        asset_events=[*queued(*told), *shown],
    )


class _Look:
    """One look at all sources."""

    def __init__(self, settings: Settings, catalog: Catalog, before: _Remembered, now: datetime.datetime) -> None:
        self.settings = settings
        self.catalog = catalog
        self.before = before
        self.now = now
        self.events: list[Event] = []
        self.found: list[str] = []
        self.results: list[dg.AssetCheckResult] = []
        self._sources = {source: before.sources.get(source, _Source()) for source in catalog.sources}
        self._slot = before.slot
        self._shown = dict(before.shown)

    def at_sources(self) -> None:
        """Look; errors as of ClickHouse, and then nothing is remembered of this look."""
        from metrics_platform.health import looking  # noqa: PLC0415

        warehouse = quick_warehouse(self.settings)
        try:
            fresh = {}
            for source in self.catalog.sources.values():
                try:
                    rows = resolve(warehouse, source)
                except SourceError as error:
                    # The check of the catalogue names it; the other sources go on.
                    self.found.append(str(error))
                    continue
                fresh[source.name] = looking.look_at_freshness(warehouse, rows, self.settings, self.now)
                self._judge_freshness(rows, fresh[source.name])
            for name, volume in looking.look_at_yesterday(warehouse, self.settings, self.now).items():
                if name in fresh:
                    self._judge_day(name, volume)
            slots = looking.look_at_slots(warehouse, self.settings, self.before.slot, self.now)
            for slot, judgements in slots:
                for name in fresh.keys() & judgements.keys():
                    self._judge_slot(warehouse, name, slot, judgements[name], fresh[name])
                self._slot = slot.start
            if slots:
                slot, judgements = slots[-1]
                self.results += [
                    slot_result(name, slot, judgements, self.settings) for name in fresh if name in judgements
                ]
        finally:
            warehouse.close()

    def remembered(self) -> _Remembered:
        """What is to be remembered."""
        return _Remembered(sources=self._sources, slot=self._slot, shown=self._shown)

    def to_show(self) -> Iterator[dg.AssetCheckResult]:
        """The results that differ from what the checks show, or were shown long ago."""
        for result in self.results:
            name = f"{result.asset_key.to_user_string() if result.asset_key else ''}:{result.check_name}"
            passed, at = self.before.shown.get(name, (None, 0.0))
            if passed == result.passed and self.now.timestamp() - at < _SHOWN_AGAIN_AFTER.total_seconds():
                continue
            self._shown[name] = (bool(result.passed), self.now.timestamp())
            yield result

    def _judge_freshness(self, rows: SourceRows, found: Freshness) -> None:
        from metrics_platform.health.freshness import judge  # noqa: PLC0415
        from metrics_platform.health.messages import freshness_event  # noqa: PLC0415

        source = rows.source.name
        result = fresh_result(rows, found, self.settings, self.now)
        self.results.append(result)
        self.found.append(str(result.description))
        known = self._sources[source].staleness
        after, telling = judge(
            source,
            known,
            found.since,
            self.now,
            limits=found.limits,
            reminded_after=datetime.timedelta(hours=self.settings.reminder_hours),
        )
        self._sources[source] = self._sources[source].model_copy(update={"staleness": after})
        if telling is not None:
            self.events.append(freshness_event(str(rows.source.table), telling, known, found, self.now))

    def _judge_day(self, source: str, found: Volume) -> None:
        self.results.append(day_result(source, found, self.settings))
        date = found.start.astimezone(self.settings.zone).date()
        if found.judgement.status != "odd" or self._sources[source].day_told == date:
            return
        self._sources[source] = self._sources[source].model_copy(update={"day_told": date})
        self.events.append(
            self._odd(source, f"volume-{source}-{date}", found.start, found.end, found.judgement, at=self.now)
        )

    def _judge_slot(
        self, warehouse: Warehouse, source: str, slot: Slot, judgement: Judgement, freshness: Freshness
    ) -> None:
        from metrics_platform.health.looking import is_told_by_an_incident  # noqa: PLC0415

        known = self._sources[source]
        course, tells = follow(known.course, judgement)
        band = (judgement.rows, judgement.expected or 0.0, judgement.lower or 0.0, judgement.upper or 0.0)
        recent = (*known.recent, band)[-TOLD_AFTER_SLOTS:]
        self._sources[source] = known.model_copy(update={"course": course, "recent": recent})
        # What a stale source or an incident says already is not said again in other words.
        if not tells or freshness.level != "fresh" or is_told_by_an_incident(warehouse, source, slot, self.catalog):
            return
        whole = together([Judgement("odd", rows, 0, *rest) for rows, *rest in recent])
        start = slot.end - len(recent) * SLOT
        self.events.append(self._odd(source, f"volume-{source}-{slot.key}", start, slot.end, whole, at=slot.end))

    def _odd(
        self,
        source: str,
        key: str,
        start: datetime.datetime,
        end: datetime.datetime,
        judgement: Judgement,
        *,
        at: datetime.datetime,
    ) -> OddVolume:
        return OddVolume(
            key=key,
            occurred_at=at,
            severity=judgement.severity,
            table=str(self.catalog.sources[source].table),
            period_start=start,
            period_end=end,
            rows=judgement.rows,
            expected=judgement.expected or 0.0,
            lower=judgement.lower or 0.0,
            upper=judgement.upper or 0.0,
        )
