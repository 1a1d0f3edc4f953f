"""What every template writes with: the language's phrases and formats, the product's zone, links and the last line."""

from __future__ import annotations

import datetime
import re
import zoneinfo
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import urlsplit

from metrics_platform.catalog import Catalog, builtin_catalog, load_catalog_or_builtin
from metrics_platform.catalog_entries import Unit
from metrics_platform.channel_settings import Severity
from metrics_platform.charts.model import Chart
from metrics_platform.formats import Formats, Language, formats_for
from metrics_platform.notifications.kinds import Event
from metrics_platform.notifications.message import (
    Block,
    Line,
    Link,
    Message,
    Paragraph,
    Parts,
    Span,
    bold,
    clean,
    line,
    named,
)
from metrics_platform.notifications.phrases import Say, metric_title, phrases
from metrics_platform.settings import Settings

# An emoji never stands without its word.
STATES: dict[str, tuple[str, str]] = {
    "critical": ("🔴", "state-critical"),
    "warning": ("🟠", "state-warning"),
    "failed": ("❌", "state-failed"),
    "resolved": ("✅", "state-resolved"),
    "done": ("✅", "state-done"),
    "test": ("👋", "state-test"),
    "digest": ("🗂️", "state-digest"),
}
# A message that leaves later than this after what it tells says so.
LATE_AFTER = datetime.timedelta(minutes=10)

_IDENTIFIERS_SHOWN = 4


@dataclass(frozen=True)
class Writer:
    """The words, numbers and links of one desk, at the moment `now` (aware) at which a message is written."""

    language: Language
    zone: zoneinfo.ZoneInfo
    environment: str
    owner: str
    now: datetime.datetime
    dashboard_url: str | None = None
    dagster_url: str | None = None
    catalog: Catalog = field(default_factory=builtin_catalog)

    @classmethod
    def for_settings(cls, settings: Settings, now: datetime.datetime) -> Writer:
        """The writer of these settings."""
        return cls(
            language=settings.language,
            zone=settings.zone,
            environment=settings.environment,
            owner=settings.owner,
            now=now,
            dashboard_url=settings.dashboard_url,
            dagster_url=settings.dagster_url,
            catalog=load_catalog_or_builtin(settings),
        )

    @cached_property
    def formats(self) -> Formats:
        """How numbers and dates are written."""
        return formats_for(self.language)

    @cached_property
    def say(self) -> Say:
        """How phrases are said."""
        return phrases(self.language)

    def tell(self, phrase: str, **variables: str | int | Span | Parts) -> Parts:
        """A phrase as parts of a line: spans stand where the phrase has their variables."""
        given: dict[str, str | int] = {}
        inserted: list[Parts] = []
        for name, value in variables.items():
            if isinstance(value, int):
                given[name] = value
            elif isinstance(value, str):
                given[name] = clean(value)  # without NUL, which marks the places of the others
            else:
                given[name] = f"\0{len(inserted)}\0"
                inserted.append((value,) if isinstance(value, Span) else value)
        parts: list[str | Span] = []
        for number, text in enumerate(re.split("\0([0-9]+)\0", self.say(phrase, **given))):
            parts += inserted[int(text)] if number % 2 else [text]
        return tuple(parts)

    def local(self, moment: datetime.datetime) -> datetime.datetime:
        """`moment` on the product's clocks."""
        return moment.astimezone(self.zone)

    def moment(self, moment: datetime.datetime) -> str:
        """«10:45», or with its day where it is not of the same day as `now`."""
        local = self.local(moment)
        same_day = local.date() == self.local(self.now).date()
        return self.formats.time(local) if same_day else self.formats.moment(local)

    def times(self, start: datetime.datetime, end: datetime.datetime) -> str:
        """«10:45–11:00» on the product's clocks."""
        return self.formats.times(self.local(start), self.local(end))

    def value(self, value: float | None, unit: Unit, metric: str = "") -> str:
        """A metric's value: a share as a percentage, a count without decimals where it is not a small mean.

        With `metric`, the unit that the catalogue gives it is written after the value.
        """
        if (sign := self.unit_text(metric)) and value is not None:
            return f"{self.value(value, unit)}\N{NO-BREAK SPACE}{sign}"
        if unit == "share":
            return self.formats.percent(value, 2)
        if unit == "count" and value is not None:
            return self.formats.number(value, 1 if abs(value) < 10 and value != int(value) else 0)
        return self.formats.number(value)

    def unit_text(self, metric: str) -> str:
        """What the catalogue writes after a metric's values, such as €; empty: nothing."""
        found = self.catalog.metrics.get(metric)
        return found.unit_text if found else ""

    def cell(self, value: float | None, unit: Unit) -> str:
        """A metric's value in a table, where a million and more has no room: «6.17M»."""
        if unit != "share" and value is not None and abs(value) >= 1_000_000:
            return self.formats.compact(value, 2)
        return self.value(value, unit)

    def band(self, lower: float, upper: float, unit: Unit) -> str:
        """«7,600–8,900»: a few figures of each say enough of what was expected."""
        if unit == "share":
            return self.formats.interval(self.formats.percent(lower), self.formats.percent(upper))
        if unit == "count":
            lower, upper = round(lower), round(upper)
        return self.formats.interval(self.formats.rough(lower), self.formats.rough(upper))

    def change(self, value: float | None, base: float | None, unit: Unit) -> str:
        """The change from `base`: per cent; percentage points for shares; «n/a» for a missing or zero base."""
        if value is None or base is None:
            return self.formats.not_available
        if unit == "share":
            return self.formats.points(value - base, narrow=True)
        return self.formats.change(value / base - 1) if base else self.formats.not_available

    def metric(self, metric: str, dimension: str | None = None, dimension_value: str | None = None) -> Parts:
        """A metric's name, with the slice it is of."""
        title = self._metric_title(metric) or named(metric)
        if dimension is None:
            return (title,)
        return self.tell("slice-of-metric", metric=(title,), slice=self.slice(dimension, dimension_value or ""))

    def slice(self, dimension: str, value: str, *, short: bool = False) -> Parts:
        """«OS Android»; `short` is «Android», or «age 25» where the value alone says nothing."""
        if short and value[:1].isalpha() and value != "unknown":
            return (named(value),)
        title = self.catalog.dimension_title(dimension, self.language)
        return (title or named(dimension), " ", named(value))

    def metric_short(self, metric: str) -> str:
        """A metric's name for tables: at most 10 characters."""
        title = self._metric_title(metric, short=True) or metric
        sign = self.unit_text(metric)
        return f"{title}, {sign}" if sign else title

    def _metric_title(self, metric: str, *, short: bool = False) -> str | None:
        """Its title in the catalogue, or among the phrases: those of the report's own metrics."""
        title = self.catalog.title(metric, self.language, short=short)
        return title or metric_title(self.language, metric, short=short)

    def joined(self, items: Iterable[Parts]) -> Parts:
        """«a, b and c»."""
        *first, last = list(items) or [("",)]
        return self.tell("join-and", items=listed(first), last=last) if first else last

    def labelled(self, label: str, *parts: str | Span) -> Line:
        """A line that opens with a label in bold."""
        return line(bold(self.say(f"label-{label}")), "  ", *parts)

    def headline(self, state: str, *subject: str | Span) -> Line:
        """The first line: a state word behind its emoji, then the subject."""
        emoji, phrase = STATES[state]
        return line(f"{emoji} ", bold(self.say(phrase)), " · ", *subject)

    def message(
        self,
        event: Event,
        headline: Line,
        blocks: Iterable[Block],
        *,
        identifiers: Sequence[str] = (),
        charts: tuple[Callable[[], Chart], ...] = (),
        silent: bool | None = None,
        severity: Severity | None = None,
    ) -> Message:
        """The message, with what is the same for all: the note of a late one, the links and the last line.

        Sound is for what is critical or failed; everything else comes silently. The last line ends with what it can
        be found by: an incident, a run, else the notification's key, which is its partition in Dagster.
        """
        severity = severity or event.severity
        if silent is None:
            silent = severity not in ("critical", "failed")
        return Message(
            key=event.key,
            kind=getattr(event, "kind", "event"),
            severity=severity,
            headline=headline,
            blocks=(*self._late(event), *blocks),
            footer=self._footer(identifiers or (event.key,)),
            links=self._links(event),
            charts=charts,
            silent=silent,
            language=self.language,
        )

    def _footer(self, identifiers: Sequence[str]) -> Line:
        shown = [(named(each, 80),) for each in dict.fromkeys(identifiers)]
        more = ("…",) if len(shown) > _IDENTIFIERS_SHOWN else ()
        identifier = self.tell("id", id=(*listed(shown[:_IDENTIFIERS_SHOWN]), *more))
        return line(named(self.environment, 40), " · ", named(self.owner, 80), " · ", *identifier)

    def _late(self, event: Event) -> tuple[Block, ...]:
        delay = self.now - event.occurred_at
        if delay < LATE_AFTER:
            return ()
        said = self.say("delayed", moment=self.moment(event.occurred_at), ago=self.formats.duration(delay))
        return (Paragraph((line("⏰ ", bold(self.say("label-delayed")), " ", said),)),)

    def _links(self, event: Event) -> tuple[Link, ...]:
        """The dashboard and the run; of failures the run alone, for no dashboard explains them."""
        links = []
        if self.dagster_url and event.run_id:
            links.append(Link(self.say("link-run"), f"{self.dagster_url.rstrip('/')}/runs/{event.run_id}"))
        elif self.dagster_url:
            links.append(Link(self.say("link-dagster"), self.dagster_url))
        if self.dashboard_url and (event.severity != "failed" or not links):
            links.insert(0, Link(self.say("link-dashboard"), self.dashboard_url))
        return tuple(links)


def listed(items: Iterable[Parts]) -> Parts:
    """«a, b, c»."""
    parts: list[str | Span] = []
    for item in items:
        parts += [", ", *item] if parts else item
    return tuple(parts)


def bolded(parts: Parts) -> Parts:
    """The texts in bold; spans keep their styles."""
    return tuple(bold(part) if isinstance(part, str) else part for part in parts)


def sentence(*parts: str | Span) -> Line:
    """A line with its first letter a capital, where it opens with words."""
    spans = line(*parts)
    if spans and spans[0].style == "plain":
        first = spans[0].text
        spans = (Span(first[:1].upper() + first[1:], "plain", spans[0].url), *spans[1:])
    return spans


def is_public(url: str) -> bool:
    """Whether messengers accept `url` as a link: they drop, or refuse, a host without a dot (`localhost`)."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return "." in (parts.hostname or "").strip(".") and parts.scheme in ("http", "https")


__all__ = ["LATE_AFTER", "Writer", "bolded", "is_public", "listed", "sentence"]
