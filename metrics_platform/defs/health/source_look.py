"""Every two minutes the sources are looked at: do events arrive, and as many as usual? What is wrong is told, once."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from metrics_platform.calendar import SLOT
from metrics_platform.defs.cursor import Cursor
from metrics_platform.defs.delivery.storage import asking
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
from metrics_platform.warehouse.sources import SOURCES, source_table

if TYPE_CHECKING:
    from metrics_platform.calendar import Slot
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
    from metrics_platform.health.looking import why_no_events  # noqa: PLC0415

    if reason := why_no_events(settings, now):
        return dg.SkipReason(reason)
    look = _Look(settings, _Remembered.from_cursor(context.cursor), now)
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
        asset_events=[*asking(*told), *shown],
    )


class _Look:
    """One look at both sources."""

    def __init__(self, settings: Settings, before: _Remembered, now: datetime.datetime) -> None:
        self.settings = settings
        self.before = before
        self.now = now
        self.events: list[Event] = []
        self.found: list[str] = []
        self.results: list[dg.AssetCheckResult] = []
        self._sources = {source: before.sources.get(source, _Source()) for source in SOURCES}
        self._slot = before.slot
        self._shown = dict(before.shown)

    def at_sources(self) -> None:
        """Look; errors as of ClickHouse, and then nothing is remembered of this look."""
        from metrics_platform.health import looking  # noqa: PLC0415

        warehouse = quick_warehouse(self.settings)
        try:
            fresh = {
                source: looking.look_at_freshness(warehouse, source, self.settings, self.now) for source in SOURCES
            }
            for source, freshness in fresh.items():
                self._judge_freshness(source, freshness)
            for source, volume in looking.look_at_yesterday(warehouse, self.settings, self.now).items():
                self._judge_day(source, volume)
            slots = looking.look_at_slots(warehouse, self.settings, self.before.slot, self.now)
            for slot, judgements in slots:
                for source in SOURCES:
                    self._judge_slot(warehouse, source, slot, judgements[source], fresh[source])
                self._slot = slot.start
            if slots:
                self.results += [slot_result(source, *slots[-1], self.settings) for source in SOURCES]
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

    def _judge_freshness(self, source: str, found: Freshness) -> None:
        from metrics_platform.health.freshness import judge  # noqa: PLC0415
        from metrics_platform.health.messages import freshness_event  # noqa: PLC0415

        result = fresh_result(source, found, self.settings, self.now)
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
            table = source_table(self.settings, source)
            self.events.append(freshness_event(table, telling, known, found, self.now))

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
        if not tells or freshness.level != "fresh" or is_told_by_an_incident(warehouse, source, slot):
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
            table=source_table(self.settings, source),
            period_start=start,
            period_end=end,
            rows=judgement.rows,
            expected=judgement.expected or 0.0,
            lower=judgement.lower or 0.0,
            upper=judgement.upper or 0.0,
        )
