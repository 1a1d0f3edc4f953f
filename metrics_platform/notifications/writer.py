"""Helpers for all templates: the language's phrases and formats, the product's time zone, links and the last line.

Templates print plain facts, and every public method of `Writer` is a filter in them. The type of a fact decides its
format: `{{ event.failures }}` is grouped by thousands, an instant is in the product's time zone, a duration is
"1 h 15 min". All output is escaped.
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
from metrics_platform.formats import Formats, Language, decimals_of, formats_for
from metrics_platform.notifications.kinds import Anomaly, Event, Highlight, MetricFacts, SeriesFacts, relative_change
from metrics_platform.notifications.message import Details, Link, Message, Paragraph, clean, parse_blocks, text_of
from metrics_platform.redaction import mask
from metrics_platform.settings import Settings
from metrics_platform.time_windows import day_of

# A message that is sent this long after its event says so.
LATE_AFTER = datetime.timedelta(minutes=10)
# Letters and digits, with single spaces, hyphens, colons or underscores between them, or with a sign between spaces
# ("Food & drinks"). Messengers turn none of these into links, except long numbers (telephones, cards).
_WORDS = re.compile(r"[^\W_]+(?:(?:[ _:-]|, | [&+/–—-] )[^\W_]+)*")
_LONG_NUMBER = re.compile(r"\d{5}")
# The modules of an error's class: too long for a phone, and the run's log has them anyway.
_MODULES = re.compile(r"^(?:\w{1,64}\.){1,16}(?=[A-Z]\w{0,64}(?:Error|Exception|Failure|Timeout): )", re.MULTILINE)
# Fonts of the reader's system, for e-mails and the outbox.
_FONTS = {
    "sans": "-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,'Noto Sans','DejaVu Sans',sans-serif",
    "mono": "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace",
}
# How much of an error is masked, and how much is shown. Its beginning says what failed, its end says where.
_SCANNED_ERROR_LENGTH, _MAX_ERROR_LENGTH = 3000, 1200


@dataclass(frozen=True)
class Writer:
    """Writes words, numbers and links for one product at the moment `now` (aware)."""

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
        """Render a template of the language."""
        source = _message_environment().get_template(f"{self.language}/{template}.j2")
        return source.render(self._variables, phrases=self._phrases, **facts)

    def phrase(self, phrase: str, /, **variables: Any) -> str:
        """A phrase of `phrases.j2` in plain text."""
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
        """Parse `text` into a message, and add what all messages have: a note if it is late, links, the last line.

        Only critical messages and failures make a sound. The last line has the id of the incident or run, or the
        message's key, which is its partition in Dagster. It is folded with the details, if there are any.
        """
        headline, blocks = parse_blocks(text)
        delay = self.now - event.occurred_at
        if delay >= LATE_AFTER:
            late = self._phrases.late(delay=delay, since=event.occurred_at)
            blocks = (Paragraph((parse_blocks(late)[0],)), *blocks)
        names = self.listed([self.named(name, 80) for name in dict.fromkeys(identifiers)], 4)
        parts = (self.named(self.settings.environment, 40), self.named(self.settings.owner, 80), Markup("id ") + names)
        footer = parse_blocks(Markup(" · ").join(parts))[0]
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
            pictures=self.phrase("pictures", count=len(charts), in_telegram="telegram" in self.settings.channels),
            silent=event.severity not in ("critical", "failed"),
            language=self.language,
        )

    def _links(self, event: Event) -> tuple[Link, ...]:
        """Links to the dashboard and the run; for failures only to the run, because no dashboard explains them."""
        links, dagster, dashboard = [], self.settings.dagster_url, self.settings.dashboard_url
        if dagster and event.run_id:
            links.append(Link(self.phrase("link_run"), f"{dagster}/runs/{event.run_id}"))
        elif dagster:
            links.append(Link("Dagster", dagster))
        if dashboard and (event.severity != "failed" or not links):
            links.insert(0, Link(self.phrase("link_dashboard"), dashboard))
        return tuple(links)

    def printed(self, value: object) -> Markup:
        """Format and escape any fact for printing."""
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

    def phrase_for(self, subject: Any, phrase: str) -> Markup:
        """A phrase of `phrases.j2` about something."""
        return self.printed(getattr(self._phrases, phrase)(subject))

    def code(self, text: str, length: int = 48) -> Markup:
        return Markup("<code>{}</code>").format(cut(text, length))

    def named(self, text: str, length: int = 32) -> Markup:
        """A name from the data, such as a slice's: words stay plain, anything that could become a link is `code`."""
        text = cut(text, length)
        is_words = not text or (_WORDS.fullmatch(text) and not _LONG_NUMBER.search(text))
        return escape(text) if is_words else self.code(text)

    def series(self, subject: SeriesFacts | str) -> Markup:
        """A metric's name, with its slice: "Views (OS Android)"."""
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
        return text_of(parse_blocks(text)[0])

    def short_name(self, metric: str) -> str:
        """A metric's short name for tables. Those of built-in metrics have at most 13 characters."""
        title = self.catalog.title(metric, self.language, short=True) or metric
        sign = self._unit_text(metric)
        return f"{title}, {sign}" if sign else title

    def slice_name(self, value: str | None, dimension: str) -> Markup:
        """A slice's name: "Android", or "age 25" if the value alone is not clear."""
        value = value or ""
        if value[:1].isalpha() and value != "unknown":
            return self.named(value)
        return Markup("{} {}").format(self._dimension(dimension), self.named(value))

    def listed(self, items: Iterable[Any], limit: int = 5) -> Markup:
        """The first `limit` items: "a, b and c", "a, b and 3 more"."""
        names = [self.printed(item) for item in items]
        names, rest = names[:limit], len(names) - limit
        last = self._phrases.more(count=rest) if rest > 0 else names.pop() if len(names) > 1 else None
        first = Markup(", ").join(names)
        return first if last is None else self.printed(self._phrases.joined(first=first, last=last))

    def error_excerpt(self, text: str) -> str:
        """An error's text without secrets and modules, shortened for reading."""
        if len(text) > _SCANNED_ERROR_LENGTH:
            # Cut at a space: half of a secret would not be recognised and masked.
            tail = text[-_SCANNED_ERROR_LENGTH // 3 :]
            text = (
                f"{text[: _SCANNED_ERROR_LENGTH * 2 // 3]}\n…\n{tail.partition(' ')[2] or tail.partition(chr(10))[2]}"
            )
        return escape(shorten(_MODULES.sub("", mask(clean(text))), _MAX_ERROR_LENGTH))

    def _dimension(self, dimension: str) -> Markup:
        title = self.catalog.dimension_title(dimension, self.language)
        return escape(title) if title else self.named(dimension)

    # --- numbers -----------------------------------------------------------------------------------------------------

    def deviation(self, of: Anomaly) -> str:
        """The change from the expected value; if that is zero or unknown, the value itself."""
        if of.value is None or of.change is not None:
            return self.formats.change(of.change)
        value = self.of(of.value, of)
        return value if of.expected is None else f"0 → {value}"

    def of(self, value: float | None, subject: MetricFacts) -> str:
        """A value of an anomaly's metric."""
        return self.value(value, subject.unit, subject.metric)

    def value(self, value: float | None, unit: Unit, metric: str = "") -> str:
        """A value: a share as a percentage, others with the catalogue's unit for `metric`."""
        if (sign := self._unit_text(metric)) and value is not None:
            return f"{self.value(value, unit)}\N{NO-BREAK SPACE}{sign}"
        if unit == "share":
            return self.formats.percent(value, None if value is None else decimals_of(value * 100, 2))
        if unit == "count" and value is not None:
            return self.formats.number(value, 1 if abs(value) < 10 and value != int(value) else 0)
        return self.formats.number(value)

    def cell(self, value: float | None, unit: Unit) -> str:
        """A value in a table, where millions are abbreviated: 6.17M."""
        if unit != "share" and value is not None and abs(value) >= 1_000_000:
            return self.formats.compact(value, 2)
        return self.value(value, unit)

    def band(self, of: Anomaly) -> str:
        """The expected band, rounded: 7,600–8,900; a single value if the detector has no bounds."""
        lower, upper = of.lower, of.upper
        if lower is None or upper is None:
            return self.of(of.expected, of)
        if of.unit == "share":
            return self.formats.interval(self.formats.percent(lower), self.formats.percent(upper))
        if of.unit == "count":
            lower, upper = round(lower), round(upper)
        return self.formats.interval(self.formats.rough(lower), self.formats.rough(upper))

    def usual(self, of: Highlight) -> str:
        """The band of usual values, rounded as far as the value stays outside of it."""
        for figures in range(2, 8):
            lower, value, upper = (_round_figures(number, figures) for number in (of.lower, of.value, of.upper))
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
            return self.points(value, base, narrow=True)
        return self.formats.change(relative_change(value, base))

    def points(self, value: float, base: float, *, narrow: bool = False) -> str:
        """The difference of two shares, with a decimal less than the shares have."""
        decimals = decimals_of(max(abs(value), abs(base)) * 100, 2)
        return self.formats.points(value - base, decimals - 1, narrow=narrow)

    def plural(self, count: int, *forms: str) -> str:
        """The form of a word that goes with `count`: one and other in English; one, few and many in Russian."""
        from babel import Locale  # noqa: PLC0415  (on use only)

        names = ("one", "other") if len(forms) == 2 else ("one", "few", "many")
        return dict(zip(names, forms, strict=True))[Locale(self.language).plural_form(count)]

    def _unit_text(self, metric: str) -> str:
        entry = self.catalog.metrics.get(metric)
        return entry.unit_text if entry else ""

    # --- times -------------------------------------------------------------------------------------------------------

    def local(self, moment: datetime.datetime) -> datetime.datetime:
        return moment.astimezone(self.settings.zone)

    def moment(self, moment: datetime.datetime) -> str:
        """10:45, with the day if it is not today."""
        local = self.local(moment)
        same_day = local.date() == self.local(self.now).date()
        return self.formats.time(local) if same_day else self.formats.moment(local)

    def time_range(self, start: datetime.datetime, end: datetime.datetime) -> str:
        """10:45–11:00 in the product's time zone."""
        return self.formats.times(self.local(start), self.local(end))

    def dated_range(self, start: datetime.datetime, end: datetime.datetime) -> str:
        """10:45–11:00, with the day if it is not today."""
        first, last = self.local(start), self.local(end)
        if first.date() == self.local(self.now).date() or last > day_of(first.date(), self.settings.zone).end:
            return self.formats.times(first, last)  # the times of several days include them
        return f"{self.formats.day_short(first.date())} {self.formats.times(first, last)}"

    def weekday(self, moment: datetime.datetime) -> str:
        """Saturday 10:45."""
        local = self.local(moment)
        return f"{self.formats.day_name(local.date())} {self.formats.time(local)}"

    def clock(self, moment: datetime.datetime) -> str:
        """10:45:20."""
        return f"{self.local(moment):%H:%M:%S}"

    def day_and_times(self, start: datetime.datetime, end: datetime.datetime) -> str:
        """Sat 21 Nov 2026, with the times if it is not the whole day."""
        first, last = self.local(start), self.local(end)
        day = day_of(first.date(), self.settings.zone)
        date, times = self.formats.day(first.date()), self.formats.times(first, last)
        if (day.start, day.end) == (first, last):
            return date
        return f"{date} {times}" if last <= day.end else times  # these times include their days


def _round_figures(value: float, figures: int) -> float:
    return float(f"{value:.{figures}g}")


def cut(text: str, length: int = 64) -> str:
    """`text` on one line, at most `length` long. An ellipsis replaces its middle, because names differ at the ends."""
    text = " ".join(clean(text).split())
    tail = length // 3
    return text if len(text) <= length else f"{text[: length - tail - 1]}…{text[-tail:]}"


def shorten(text: str, length: int) -> str:
    """Text of several lines, at most `length` long. An ellipsis replaces its middle."""
    text = text.strip()
    if len(text) <= length:
        return text
    head = length * 2 // 3
    return f"{text[:head].rstrip()}\n…\n{text[-(length - head - 3) :].lstrip()}"


def page(template: str, **facts: Any) -> str:
    """Render an HTML page of `templates/`: an e-mail or the outbox."""
    return _environment().get_template(template).render(**_FONTS, **facts)


# Templates are compiled once. The filters of message templates take the writer from the template's variables.
@cache
def _message_environment() -> Environment:
    environment = _environment(finalize=_writer_filter("printed"))
    environment.filters |= {name: _writer_filter(name) for name in vars(Writer) if not name.startswith("_")}
    environment.filters |= {"cut": cut, "mask": mask}
    return environment


@cache
def _environment(**options: Any) -> Environment:
    """The Jinja environment of all templates. It escapes every value."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        **options,
    )


def _writer_filter(method: str) -> Callable[..., Any]:
    @pass_context
    def call(context: Context, *arguments: Any, **options: Any) -> Any:
        return getattr(context["writer"], method)(*arguments, **options)

    return call
