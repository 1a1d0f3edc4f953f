"""What every template writes with: the language's phrases and formats, the product's zone, links and the last line."""

from __future__ import annotations

import datetime
import zoneinfo
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from metrics_platform.channel_settings import Severity
from metrics_platform.charts.model import Chart
from metrics_platform.formats import Formats, Language, formats_for
from metrics_platform.notifications.kinds import Event, Unit
from metrics_platform.notifications.message import (
    Block,
    Line,
    Link,
    Message,
    Paragraph,
    Span,
    bold,
    code,
    line,
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
    "digest": ("🗂", "state-digest"),
}
# A message that leaves later than this after what it tells says so.
LATE_AFTER = datetime.timedelta(minutes=10)


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
        )

    @cached_property
    def formats(self) -> Formats:
        """How numbers and dates are written."""
        return formats_for(self.language)

    @cached_property
    def say(self) -> Say:
        """How phrases are said."""
        return phrases(self.language)

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

    def value(self, value: float | None, unit: Unit) -> str:
        """A metric's value: a share as a percentage, anything else as a number."""
        return self.formats.percent(value, 2) if unit == "share" else self.formats.number(value)

    def band(self, lower: float, upper: float, unit: Unit) -> str:
        """«7,600–8,900»: two figures of each say enough of what was expected."""
        if unit == "share":
            return self.formats.interval(self.formats.percent(lower), self.formats.percent(upper))
        return self.formats.interval(self.formats.rough(lower), self.formats.rough(upper))

    def change(self, value: float | None, base: float | None, unit: Unit) -> str:
        """The change from `base`: per cent; percentage points for shares; «n/a» for a missing or zero base."""
        if value is None or base is None:
            return self.formats.not_available
        if unit == "share":
            return self.formats.points(value - base, narrow=True)
        return self.formats.change(value / base - 1) if base else self.formats.not_available

    def metric(self, metric: str, dimension: str | None = None, dimension_value: str | None = None) -> str:
        """A metric's name, with the slice it is of."""
        title = metric_title(self.language, metric)
        if dimension is None:
            return title
        return self.say("metric-of-slice", metric=title, dimension=dimension, value=dimension_value or "")

    def metric_short(self, metric: str) -> str:
        """A metric's name for tables: at most 12 characters."""
        return metric_title(self.language, metric, short=True)

    def joined(self, items: Iterable[str]) -> str:
        """«a, b and c»."""
        *first, last = list(items) or [""]
        return self.say("join-and", items=", ".join(first), last=last) if first else last

    def labelled(self, label: str, *parts: str | Span) -> Line:
        """A line that opens with a label in bold."""
        return line(bold(self.say(f"label-{label}")), "  ", *parts)

    def headline(self, state: str, subject: str | tuple[str | Span, ...]) -> Line:
        """The first line: a state word behind its emoji, then the subject."""
        emoji, phrase = STATES[state]
        parts = (subject,) if isinstance(subject, str) else subject
        return line(f"{emoji} ", bold(self.say(phrase)), " · ", *parts)

    def message(
        self,
        event: Event,
        headline: Line,
        blocks: Iterable[Block],
        *,
        identifier: str | None = None,
        charts: tuple[Callable[[], Chart], ...] = (),
        silent: bool | None = None,
        links: tuple[Link, ...] = (),
        severity: Severity | None = None,
    ) -> Message:
        """The message, with what is the same for all: the note of a late one, the links and the last line.

        Sound is for what is critical or failed; everything else comes silently.
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
            footer=line(" · ".join(filter(None, (self.environment, self.owner, identifier)))),
            links=(*links, *self._links(event)),
            charts=charts,
            silent=silent,
            language=self.language,
        )

    def _late(self, event: Event) -> tuple[Block, ...]:
        delay = self.now - event.occurred_at
        if delay < LATE_AFTER:
            return ()
        said = self.say("delayed", moment=self.moment(event.occurred_at), ago=self.formats.duration(delay))
        return (Paragraph((line("⏰ ", bold(self.say("label-delayed")), ": ", said),)),)

    def _links(self, event: Event) -> tuple[Link, ...]:
        links = []
        if self.dashboard_url:
            links.append(Link(self.say("link-dashboard"), self.dashboard_url))
        if self.dagster_url and event.run_id:
            links.append(Link(self.say("link-run"), f"{self.dagster_url.rstrip('/')}/runs/{event.run_id}"))
        return tuple(links)


def is_public(url: str) -> bool:
    """Whether messengers accept `url` as a link: they drop, or refuse, a host without a dot (`localhost`)."""
    host = urlsplit(url).hostname or ""
    return "." in host.strip(".") and urlsplit(url).scheme in ("http", "https")


__all__ = ["LATE_AFTER", "Writer", "bold", "code", "is_public", "line"]
