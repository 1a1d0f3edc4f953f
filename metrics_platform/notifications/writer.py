"""What every template writes with: the language's phrases and formats, the product's zone, links and the last line.

Templates print plain facts, and every public method of `Writer` is a filter in them. How a fact is written follows from
its type: `{{ event.failures }}` is grouped by thousands, an instant is on the product's clocks, a duration is
"1 h 15 min". Whatever is printed is escaped.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from metrics_platform.catalog import Catalog
from metrics_platform.catalog_entries import Unit
from metrics_platform.charts.model import Drawable
from metrics_platform.formats import Formats, Language, formats_for
from metrics_platform.notifications.kinds import Anomaly, Event, Highlight, OfMetric, OfSeries
from metrics_platform.notifications.message import Details, Link, Message, Paragraph, clean, read_blocks, text_of
from metrics_platform.redaction import mask
from metrics_platform.settings import Settings
from metrics_platform.time_windows import day_of

# A message that leaves this long after the event says so.
LATE_AFTER = datetime.timedelta(minutes=10)
# Letters and figures, with single spaces, hyphens, colons or underscores between them: no messenger makes a link of
# these, except of long numbers (telephones, cards).
_WORDS = re.compile(r"[^\W_]+(?:[ _:-][^\W_]+)*")
_LONG_NUMBER = re.compile(r"\d{5}")
# The modules of an error's class: longer than a phone is wide, and in the run's log anyway.
_MODULES = re.compile(r"^(?:\w{1,64}\.){1,16}(?=[A-Z]\w{0,64}(?:Error|Exception|Failure|Timeout): )", re.MULTILINE)
# Letters of the reader's system, in e-mails and in the outbox alike.
_FONTS = {
    "sans": "-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,'Noto Sans','DejaVu Sans',sans-serif",
    "mono": "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace",
}
# What is read of an error, and what is shown: its beginning says what, its end says where.
_ERROR_READ, _ERROR_SHOWN = 3000, 1200


@dataclass(frozen=True)
class Writer:
    """The words, numbers and links of one product, at the moment `now` (aware) at which a message is written."""

    settings: Settings
    now: datetime.datetime
    catalog: Catalog

    @property
    def language(self) -> Language:
        return self.settings.language

    @cached_property
    def formats(self) -> Formats:
        return formats_for(self.language)

    # --- templates ---------------------------------------------------------------------------------------------------

    def text(self, template: str, **facts: Any) -> str:
        """A template of the language, filled in."""
        found = _message_environment().get_template(f"{self.language}/{template}.j2")
        return found.render(self._variables, say=self._phrases, **facts)

    def say(self, phrase: str, **variables: Any) -> str:
        """A phrase of `phrases.j2` as plain text."""
        return self.plain(getattr(self._phrases, phrase)(**variables))

    @cached_property
    def _phrases(self) -> Any:
        return _message_environment().get_template(f"{self.language}/phrases.j2").make_module(self._variables)

    @property
    def _variables(self) -> dict[str, Any]:
        return {"writer": self, "formats": self.formats}

    def message(
        self,
        event: Event,
        text: str,
        identifiers: Sequence[str],
        charts: tuple[Callable[[], Drawable], ...] = (),
    ) -> Message:
        """The message that `text` describes, with what all have: a note if it is late, links, and the last line.

        Only critical messages and failures make a sound. The last line has what the message can be found by: an
        incident, a run, or its key, which is its partition in Dagster. It is folded with the details, if there are any.
        """
        headline, blocks = read_blocks(text)
        delay = self.now - event.occurred_at
        if delay >= LATE_AFTER:
            late = self._phrases.late(delay=delay, since=event.occurred_at)
            blocks = (Paragraph((read_blocks(late)[0],)), *blocks)
        names = self.listed([self.named(name, 80) for name in dict.fromkeys(identifiers)], 4)
        parts = (self.named(self.settings.environment, 40), self.named(self.settings.owner, 80), Markup("id ") + names)
        footer = read_blocks(Markup(" · ").join(parts))[0]
        if blocks and isinstance(blocks[-1], Details):
            blocks, footer = (*blocks[:-1], Details((*blocks[-1].lines, footer))), ()
        return Message(
            key=event.key,
            kind=event.kind,
            severity=event.severity,
            headline=headline,
            blocks=blocks,
            footer=footer,
            links=self._links(event),
            charts=charts,
            pictures=self.say("pictures", count=len(charts), in_telegram="telegram" in self.settings.channels),
            silent=event.severity not in ("critical", "failed"),
            language=self.language,
        )

    def _links(self, event: Event) -> tuple[Link, ...]:
        """The dashboard and the run; for failures only the run, because no dashboard explains them."""
        links, dagster, dashboard = [], self.settings.dagster_url, self.settings.dashboard_url
        if dagster and event.run_id:
            links.append(Link(self.say("link_run"), f"{dagster}/runs/{event.run_id}"))
        elif dagster:
            links.append(Link("Dagster", dagster))
        if dashboard and (event.severity != "failed" or not links):
            links.insert(0, Link(self.say("link_dashboard"), dashboard))
        return tuple(links)

    def shown(self, value: object) -> Markup:
        """Any fact as it is printed, escaped."""
        if isinstance(value, Markup):
            return value.strip(" \n")  # the line ends that set off a macro's parts
        if isinstance(value, datetime.datetime):
            text = self.moment(value)
        elif isinstance(value, datetime.date):
            text = self.formats.day(value)
        elif isinstance(value, datetime.timedelta):
            text = self.formats.duration(value)
        elif value is None or isinstance(value, int | float):
            text = self.formats.number(value)
        else:
            text = clean(str(value)).replace("\n", " ")
        return escape(text)

    # --- names -------------------------------------------------------------------------------------------------------

    def said(self, subject: Any, phrase: str) -> Markup:
        """A phrase of `phrases.j2` about something."""
        return self.shown(getattr(self._phrases, phrase)(subject))

    def code(self, text: str, length: int = 48) -> Markup:
        return Markup("<code>{}</code>").format(cut(text, length))

    def named(self, text: str, length: int = 32) -> Markup:
        """A name that comes with the data, such as a slice's: words stay words, what could become a link is `code`."""
        text = cut(text, length)
        is_words = not text or (_WORDS.fullmatch(text) and not _LONG_NUMBER.search(text))
        return escape(text) if is_words else self.code(text)

    def series(self, subject: OfSeries | str) -> Markup:
        """A metric's name, with the slice it is of: "Views (OS Android)"."""
        if isinstance(subject, str):
            title = self.catalog.title(subject, self.language)
            return escape(title) if title else self.named(subject)
        if subject.dimension is None:
            return self.series(subject.metric)
        value = self.named(subject.dimension_value or "")
        dimension = self._dimension(subject.dimension)
        return Markup("{} ({} {})").format(self.series(subject.metric), dimension, value)

    @staticmethod
    def plain(text: Markup) -> str:
        """A line without its markup, for charts."""
        return text_of(read_blocks(text)[0])

    def shortname(self, metric: str) -> str:
        """A metric's name for tables: at most 13 characters of the built-in ones."""
        title = self.catalog.title(metric, self.language, short=True) or metric
        sign = self._unit_text(metric)
        return f"{title}, {sign}" if sign else title

    def slicename(self, value: str | None, dimension: str) -> Markup:
        """A slice's name: "Android", or "age 25" where the value alone says nothing."""
        value = value or ""
        if value[:1].isalpha() and value != "unknown":
            return self.named(value)
        return Markup("{} {}").format(self._dimension(dimension), self.named(value))

    def listed(self, items: Iterable[Any], most: int = 5) -> Markup:
        """The first `most` items: "a, b and c", "a, b and 3 more"."""
        names = [self.shown(item) for item in items]
        names, rest = names[:most], len(names) - most
        last = self._phrases.more(count=rest) if rest > 0 else names.pop() if len(names) > 1 else None
        first = Markup(", ").join(names)
        return first if last is None else self.shown(self._phrases.joined(first=first, last=last))

    def quoted(self, text: str) -> str:
        """An error's text: without secrets and modules, and no longer than a person reads."""
        if len(text) > _ERROR_READ:
            # Cut at a space, so that no half of a secret remains whose other half would have given it away.
            tail = text[-_ERROR_READ // 3 :]
            text = f"{text[: _ERROR_READ * 2 // 3]}\n…\n{tail.partition(' ')[2] or tail.partition(chr(10))[2]}"
        return escape(shortened(_MODULES.sub("", mask(clean(text))), _ERROR_SHOWN))

    def _dimension(self, dimension: str) -> Markup:
        title = self.catalog.dimension_title(dimension, self.language)
        return escape(title) if title else self.named(dimension)

    # --- numbers -----------------------------------------------------------------------------------------------------

    def deviation(self, of: Anomaly) -> str:
        """The change from what was expected; where that is zero or not known, the value says most."""
        if of.value is None or of.change is not None:
            return self.formats.change(of.change)
        value = self.of(of.value, of)
        return value if of.expected is None else f"0 → {value}"

    def of(self, value: float | None, subject: OfMetric) -> str:
        """A value of an anomaly's metric."""
        return self.value(value, subject.unit, subject.metric)

    def value(self, value: float | None, unit: Unit, metric: str = "") -> str:
        """A value: a share as a percentage, others with the unit that the catalogue has for `metric`."""
        if (sign := self._unit_text(metric)) and value is not None:
            return f"{self.value(value, unit)}\N{NO-BREAK SPACE}{sign}"
        if unit == "share":
            return self.formats.percent(value, 2)
        if unit == "count" and value is not None:
            return self.formats.number(value, 1 if abs(value) < 10 and value != int(value) else 0)
        return self.formats.number(value)

    def cell(self, value: float | None, unit: Unit) -> str:
        """A value in a table, where a million has no room: 6.17M."""
        if unit != "share" and value is not None and abs(value) >= 1_000_000:
            return self.formats.compact(value, 2)
        return self.value(value, unit)

    def band(self, of: Anomaly) -> str:
        """What was expected, in few figures: 7,600–8,900; one value where the detector has no bounds."""
        lower, upper = of.lower, of.upper
        if lower is None or upper is None:
            return self.of(of.expected, of)
        if of.unit == "share":
            return self.formats.interval(self.formats.percent(lower), self.formats.percent(upper))
        if of.unit == "count":
            lower, upper = round(lower), round(upper)
        return self.formats.interval(self.formats.rough(lower), self.formats.rough(upper))

    def usual(self, of: Highlight) -> str:
        """The band of usual values, in as few figures as still leave the value outside of it."""
        for figures in range(2, 8):
            lower, value, upper = (_rounded(number, figures) for number in (of.lower, of.value, of.upper))
            if lower < upper and not lower <= value <= upper:
                break
        if of.unit == "share":
            digits = max(0, figures - 3 - math.floor(math.log10(max(of.upper, 1e-6))))
            return self.formats.interval(
                self.formats.percent(lower, digits).removesuffix("%"), self.formats.percent(upper, digits)
            )
        return self.formats.interval(self.formats.number(lower), self.formats.number(upper))

    def change(self, value: float | None, base: float | None, unit: Unit) -> str:
        """The change from `base` in a table: per cent, or percentage points for shares."""
        if value is None or base is None:
            return self.formats.not_available
        if unit == "share":
            return self.formats.points(value - base, narrow=True)
        return self.formats.change(value / base - 1) if base else self.formats.not_available

    def plural(self, count: int, *forms: str) -> str:
        """The form of a word that goes with `count`: one and other in English; one, few and many in Russian."""
        from babel import Locale  # noqa: PLC0415  (on use only)

        names = ("one", "other") if len(forms) == 2 else ("one", "few", "many")
        return dict(zip(names, forms, strict=True))[Locale(self.language).plural_form(count)]

    def _unit_text(self, metric: str) -> str:
        found = self.catalog.metrics.get(metric)
        return found.unit_text if found else ""

    # --- times -------------------------------------------------------------------------------------------------------

    def local(self, moment: datetime.datetime) -> datetime.datetime:
        return moment.astimezone(self.settings.zone)

    def moment(self, moment: datetime.datetime) -> str:
        """10:45, with its day where that is not today."""
        local = self.local(moment)
        same_day = local.date() == self.local(self.now).date()
        return self.formats.time(local) if same_day else self.formats.moment(local)

    def to(self, start: datetime.datetime, end: datetime.datetime) -> str:
        """10:45–11:00 on the product's clocks."""
        return self.formats.times(self.local(start), self.local(end))

    def weekday(self, moment: datetime.datetime) -> str:
        """Saturday 10:45."""
        local = self.local(moment)
        return f"{self.formats.day_name(local.date())} {self.formats.time(local)}"

    def clock(self, moment: datetime.datetime) -> str:
        """10:45:20."""
        return f"{self.local(moment):%H:%M:%S}"

    def day_and_times(self, start: datetime.datetime, end: datetime.datetime) -> str:
        """Sat 21 Nov 2026, with the times where it is not the whole day."""
        first, last = self.local(start), self.local(end)
        day = day_of(first.date(), self.settings.zone)
        written, times = self.formats.day(first.date()), self.formats.times(first, last)
        if (day.start, day.end) == (first, last):
            return written
        return f"{written} {times}" if last <= day.end else times  # which has its days in it


def _rounded(value: float, figures: int) -> float:
    return float(f"{value:.{figures}g}")


def cut(text: str, length: int = 64) -> str:
    """`text` on one line, at most `length` long: an ellipsis replaces its middle, for names differ at the ends."""
    text = " ".join(clean(text).split())
    tail = length // 3
    return text if len(text) <= length else f"{text[: length - tail - 1]}…{text[-tail:]}"


def shortened(text: str, length: int) -> str:
    """Text of several lines, at most `length` long: an ellipsis replaces its middle."""
    text = text.strip()
    if len(text) <= length:
        return text
    head = length * 2 // 3
    return f"{text[:head].rstrip()}\n…\n{text[-(length - head - 3) :].lstrip()}"


def page(template: str, **facts: Any) -> str:
    """An HTML page of `templates/`, filled in: e-mails and the outbox."""
    return _environment().get_template(template).render(**_FONTS, **facts)


# The templates are compiled once. Those of messages find their writer among the variables.
@cache
def _message_environment() -> Environment:
    environment = _environment(finalize=_by_writer("shown"))
    environment.filters |= {name: _by_writer(name) for name in vars(Writer) if not name.startswith("_")}
    environment.filters |= {"cut": cut, "mask": mask}
    return environment


@cache
def _environment(**options: Any) -> Environment:
    """Jinja as all templates are written for it: every value is escaped."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        **options,
    )


def _by_writer(method: str) -> Callable[..., Any]:
    @pass_context
    def call(context: Context, *given: Any, **options: Any) -> Any:
        return getattr(context["writer"], method)(*given, **options)

    return call
