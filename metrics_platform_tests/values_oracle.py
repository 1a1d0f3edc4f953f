"""The long tables computed a second time, from docs/metrics.md and in plain loops, without a database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

QUARTER = timedelta(minutes=15)
WEEK = timedelta(days=7)
DIMENSIONS = ("plan", "size")
Number = float | None
# A row's key: the start of its slot (or its day), metric, dimension, value.
Key = tuple[Any, str, str, str]


class Event(NamedTuple):
    """One row of a source, under the names that the catalogue gives its columns."""

    user: int | None
    time: datetime
    status: str | None
    plan: str | None
    amount: Any


class OracleMetric(NamedTuple):
    """A metric: its SQL and the same in Python, or a quotient."""

    name: str
    source: str
    sql: str = ""
    value: Callable[[list[Event]], Number] | None = None
    is_zero: bool = False
    numerator: str = ""
    denominator: str = ""


def metrics_over(sources: Collection[str], accepted: Mapping[str, Collection[str] | None]) -> Metrics:
    """Metrics of every kind over each of the sources, and quotients within and across them."""
    found = []
    for source in sources:
        for name, (sql, value, is_zero) in AGGREGATES.items():
            found.append(OracleMetric(f"{source}_{name}", source, sql, value, is_zero))
    first, last = next(iter(sources)), list(sources)[-1]
    # The quotient stands before its parts: the order in the file has no meaning.
    across = OracleMetric("a_quotient", "", numerator=f"{first}_total_amount", denominator=f"{last}_users")
    within = OracleMetric("accepted_share", "", numerator=f"{first}_ok", denominator=f"{first}_rows")
    # A name that the platform's own SQL uses, too.
    events = OracleMetric("events", first, *AGGREGATES["users"])
    return Metrics((across, *found, within, events), dict(accepted))


class Metrics(tuple[OracleMetric, ...]):
    """The metrics of a catalogue, with the statuses that each source lets pass; None: all."""

    accepted: Mapping[str, Collection[str] | None]

    def __new__(cls, metrics: Iterable[OracleMetric], accepted: Mapping[str, Collection[str] | None]) -> Metrics:
        made = super().__new__(cls, metrics)
        made.accepted = accepted
        return made


def _amounts(events: list[Event], status: str = "") -> list[float]:
    return [float(event.amount) for event in events if event.amount is not None and status in ("", event.status)]


def _exact_quantile(events: list[Event]) -> Number:
    found = sorted(_amounts(events))
    return found[len(found) // 2] if found else None


# name → SQL, the same in Python, and whether no rows mean zero.
AGGREGATES: Mapping[str, tuple[str, Callable[[list[Event]], Number], bool]] = {
    "rows": ("count()", len, True),
    "ok": ("countIf(status = 'ok')", lambda events: sum(event.status == "ok" for event in events), True),
    "odd": (
        "countIf(status = 'new; {x} -- it\\'s')",
        lambda events: sum(event.status == "new; {x} -- it's" for event in events),
        True,
    ),
    "total_amount": ("sum(amount)", lambda events: sum(_amounts(events)), True),
    "ok_amount": ("sumIf(amount, status = 'ok')", lambda events: sum(_amounts(events, "ok")), True),
    "mean": ("avg(amount)", lambda events: _mean(_amounts(events)), False),
    "least": ("min(amount)", lambda events: min(_amounts(events), default=None), False),
    "largest_ok": ("maxIf(amount, status = 'ok')", lambda events: max(_amounts(events, "ok"), default=None), False),
    "users": ("uniqExact(user)", lambda events: len({event.user for event in events}), True),
    "typical": ("quantileExact(0.5)(amount)", _exact_quantile, False),
    "distinct": ("count(DISTINCT user)", lambda events: len({event.user for event in events}), False),
    "per_user": (
        "count() / uniqExact(user)",
        lambda events: len(events) / len({event.user for event in events}),
        False,
    ),
    # Names that the platform's own SQL uses, too.
    "bucket": ("sum(bucket)", lambda events: 7 * len(events), True),
    "slice": ("countIf(slice = 'x')", len, True),
    "lambda": (
        "arraySum(x -> x * 2, groupArray(toFloat64(ifNull(amount, 0))))",
        lambda events: 2 * sum(_amounts(events)),
        False,
    ),
}


def _mean(values: list[float]) -> Number:
    return sum(values) / len(values) if values else None


@dataclass(frozen=True)
class Product:
    """What there is: events by source, how many values a dimension keeps, and the metrics."""

    zone: str
    events: Mapping[str, tuple[Event, ...]]
    limits: Mapping[str, int]
    metrics: Metrics

    def kept(self, source: str) -> list[Event]:
        """The events that count: they have a user and pass the filter."""
        accepted = self.metrics.accepted[source]
        return [
            event
            for event in self.events[source]
            if event.user is not None and (accepted is None or event.status in accepted)
        ]

    def day_start(self, day: date) -> datetime:
        """The first instant of a day, found by trying every minute."""
        moment = datetime.combine(day, time(), UTC) - timedelta(hours=15)
        while moment.astimezone(ZoneInfo(self.zone)).date() < day:
            moment += timedelta(minutes=1)
        return moment

    def day_of(self, moment: datetime) -> date:
        """The day that an instant lies in."""
        return moment.astimezone(ZoneInfo(self.zone)).date()


def slices_of(event: Event) -> dict[str, str]:
    """Dimension → value of an event, before small ones are folded."""
    plan = (event.plan or "").strip(" ") or "unknown"
    return {"plan": plan, "size": "big" if event.amount is not None and event.amount > 10 else "small"}


@dataclass
class Oracle:
    """The tables after a sequence of computations."""

    product: Product
    chosen: dict[tuple[date, str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    # (source, dimension, value) → the slots in which it had events.
    seen: dict[tuple[str, str, str], set[datetime]] = field(default_factory=lambda: defaultdict(set))
    slots: dict[Key, tuple[Number, Number, Number]] = field(default_factory=dict)
    days: dict[Key, tuple[Number, Number, Number]] = field(default_factory=dict)

    def compute_slots(self, start: datetime, end: datetime) -> None:
        """Compute the slots of [start, end), day by day."""
        while start < end:
            day = self.product.day_of(start)
            stop = min(end, self.product.day_start(day + timedelta(days=1)))
            self._choose(day, start, stop)
            for source in self.product.events:
                self._fill_slots(source, day, start, stop)
            self._divide(self.slots, [start + number * QUARTER for number in range((stop - start) // QUARTER)])
            start = stop

    def compute_day(self, day: date) -> None:
        """Compute the metrics of a day."""
        start, end = self.product.day_start(day), self.product.day_start(day + timedelta(days=1))
        self._choose(day, start, end)
        for source in self.product.events:
            for slice_, events in self._sliced(source, day, start, end).items():
                for metric, value in self._values(source, events):
                    self.days[day, metric, *slice_] = (value, value, None)
            for metric, value in self._empty(source):
                self.days.setdefault((day, metric, "total", "total"), (value, value, None))
        self._divide(self.days, [day])

    def _choose(self, day: date, start: datetime, end: datetime) -> None:
        """Values that are slices of their own: those of the week before by volume, then those of the stretch."""
        first = self.product.day_start(day)
        for source in self.product.events:
            for dimension in DIMENSIONS:
                chosen = self.chosen[day, source, dimension]
                stretches = [] if chosen else [(self.product.day_start(day - WEEK), first)]
                for begin, stop in [*stretches, (start, end)]:
                    volumes: dict[str, int] = defaultdict(int)
                    for event in self.product.kept(source):
                        if begin <= event.time < stop:
                            volumes[slices_of(event)[dimension]] += 1
                    for value in sorted(volumes, key=lambda name: (-volumes[name], name.encode())):
                        has_room = len(chosen) < self.product.limits[dimension]
                        if value not in ("unknown", "other") and has_room:
                            chosen.add(value)

    def _sliced(self, source: str, day: date, start: datetime, end: datetime) -> dict[tuple[str, str], list[Event]]:
        found: dict[tuple[str, str], list[Event]] = defaultdict(list)
        for event in self.product.kept(source):
            if start <= event.time < end:
                found["total", "total"].append(event)
                for dimension, value in slices_of(event).items():
                    is_own = value == "unknown" or value in self.chosen[day, source, dimension]
                    found[dimension, value if is_own else "other"].append(event)
        return found

    def _fill_slots(self, source: str, day: date, start: datetime, end: datetime) -> None:
        slot = start
        while slot < end:
            sliced = self._sliced(source, day, slot, slot + QUARTER)
            for slice_, events in sliced.items():
                if slice_ != ("total", "total"):
                    self.seen[source, *slice_].add(slot)
                for metric, value in self._values(source, events):
                    self.slots[slot, metric, *slice_] = (value, value, None)
            for dimension, value in {("total", "total"), *self._alive(source, day, slot)} - set(sliced):
                for metric, empty in self._empty(source):
                    self.slots[slot, metric, dimension, value] = (empty, empty, None)
            slot += QUARTER

    def _alive(self, source: str, day: date, slot: datetime) -> set[tuple[str, str]]:
        """The slices that had events in the seven days before, and that are slices of this day."""
        return {
            (dimension, value)
            for (of, dimension, value), seen in self.seen.items()
            if of == source and any(slot - WEEK < at < slot for at in seen)
            if value in ("unknown", "other") or value in self.chosen[day, source, dimension]
        }

    def _values(self, source: str, events: list[Event]) -> list[tuple[str, Number]]:
        own = [metric for metric in self.product.metrics if metric.source == source and metric.value]
        return [(f"{source}.events", len(events)), *((metric.name, metric.value(events)) for metric in own)]  # type: ignore[misc]

    def _empty(self, source: str) -> list[tuple[str, Number]]:
        own = [metric for metric in self.product.metrics if metric.source == source and metric.value]
        return [(f"{source}.events", 0), *((metric.name, 0 if metric.is_zero else None) for metric in own)]

    def _divide(self, rows: dict[Key, tuple[Number, Number, Number]], at: list[Any]) -> None:
        for metric in self.product.metrics:
            if metric.value:
                continue
            for moment, name, *slice_ in [key for key in rows if key[0] in at and key[1] == metric.numerator]:
                below = rows.get((moment, metric.denominator, *slice_))
                if below is None:
                    continue
                numerator, denominator = rows[moment, name, *slice_][0], below[0]
                known = numerator is not None and denominator
                value = numerator / denominator if known else None  # type: ignore[operator]
                rows[moment, metric.name, *slice_] = (value, numerator, denominator)
