"""From facts to words: a template per kind of notification and language, for all channels.

To add a kind: its facts in `kinds.py` and a file named after it in each language's folder. To add a language: its
folder, and its code in `formats.LANGUAGES`; the tests report what is missing.
"""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from metrics_platform.channel_settings import Severity
from metrics_platform.charts.draw import draw
from metrics_platform.charts.model import Drawable
from metrics_platform.notifications import kinds
from metrics_platform.notifications.kinds import AnomalyOpened, AnomalyResolved, AnomalyUpdated, Event
from metrics_platform.notifications.message import (
    Message,
    Paragraph,
    Picture,
    Preformatted,
    bold,
    code,
    line,
    markup,
)
from metrics_platform.notifications.templates.charts import charts_of
from metrics_platform.notifications.templates.writer import Writer
from metrics_platform.redaction import mask
from metrics_platform.settings import Settings

_LOUDEST_FIRST: tuple[Severity, ...] = ("critical", "failed", "warning", "resolved", "info")
_EMOJI: Mapping[Severity, str] = {"critical": "🔴", "warning": "🟠", "failed": "❌", "resolved": "✅", "info": "📣"}
# Kinds that are variants of another one's text.
_SHARED = {"anomaly_updated": "anomaly_opened", "anomaly_still_open": "anomaly_opened"}
_FACTS_SHOWN = 1500
# Long, and useless without a chart.
_NOT_SHOWN = ("history", "series", "notifications")


def render(
    event: kinds.Event, writer: Writer, parts: Sequence[kinds.Event] = (), over: kinds.AnomalyResolved | None = None
) -> Message:
    """The message about `event`.

    A digest has a line for each of its `parts`. With `over`, an opening (or its latest update) is rendered as resolved:
    for the edit of its message, and where it was not sent before. It keeps its severity, which decides its chat.
    """
    if isinstance(event, kinds.Digest):
        return _digest(event, [(part, render_or_fallback(part, writer)[0]) for part in parts], writer)
    identifiers: Sequence[str] = (event.key,)
    facts: dict[str, Any] = {}
    if isinstance(event, kinds.AnomalyOpened | kinds.AnomalyUpdated | kinds.AnomalyStillOpen):
        facts = {"anomalies": event.worst_first, "over": over, "lasted": _lasted(over) if over else None}
        identifiers = [anomaly.incident for anomaly in event.anomalies]
    elif isinstance(event, kinds.AnomalyResolved):
        identifiers = [resolved.incident for resolved in event.resolved]
    elif isinstance(event, kinds.FailedRun):
        facts = {"retried": bool(event.attempt and (event.attempts or 0) > 1)}
        identifiers = [event.run_id[:8]] if event.run_id else identifiers
    text = writer.text(_SHARED.get(event.kind, event.kind), event=event, **facts)
    message = writer.message(event, text, identifiers, charts_of(event, writer))
    return replace(message, silent=True) if over else message


def render_or_fallback(
    event: kinds.Event, writer: Writer, parts: Sequence[kinds.Event] = (), over: kinds.AnomalyResolved | None = None
) -> tuple[Message, str]:
    """The message and no problem; if the template fails, the plain facts and the problem."""
    try:
        return render(event, writer, parts, over), ""
    except Exception as caught:  # noqa: BLE001  (whatever a template may raise, the message goes)
        problem = f"{type(caught).__name__}: {caught}"
    return _fallback(event, problem), problem


def _lasted(over: kinds.AnomalyResolved) -> datetime.timedelta:
    return max(each.resolved_at for each in over.resolved) - min(each.opened_at for each in over.resolved)


def _fallback(event: kinds.Event, problem: str) -> Message:
    """The facts as they are, without templates, formats or settings: the alert must arrive anyway."""
    facts = mask(json.dumps(_short(event.model_dump(mode="json")), ensure_ascii=False, indent=1))
    shown = facts if len(facts) <= _FACTS_SHOWN else f"{facts[:_FACTS_SHOWN]}…"
    return Message(
        key=event.key,
        kind=event.kind,
        severity=event.severity,
        headline=line(f"{_EMOJI[event.severity]} ", bold(event.severity.upper()), " · ", code(event.kind)),
        blocks=(Preformatted(shown), Paragraph((line("Its template failed: ", code(mask(problem)[:300])),))),
        footer=line("id ", code(event.key)),
        silent=event.severity not in ("critical", "failed"),
    )


def _short(data: object) -> object:
    if isinstance(data, dict):
        return {name: _short(value) for name, value in data.items() if name not in _NOT_SHOWN and value is not None}
    return [_short(value) for value in data[:5]] if isinstance(data, list) else data


def _digest(event: kinds.Digest, told: list[tuple[kinds.Event, Message]], writer: Writer) -> Message:
    """A line for each part, the loudest first; as loud as the loudest. Parts whose facts are gone are named by key."""
    told.sort(key=lambda part: (_LOUDEST_FIRST.index(part[1].severity), part[0].occurred_at))
    counts = Counter(message.severity for _, message in told)
    text = writer.text(
        "digest",
        event=event,
        counts=[(severity, counts[severity]) for severity in _LOUDEST_FIRST if counts[severity]],
        headlines=[(part.occurred_at, markup(message.headline)) for part, message in told],
    )
    severity = told[0][1].severity if told else event.severity
    return writer.message(event.model_copy(update={"severity": severity}), text, (event.key,))


@dataclass(frozen=True)
class Composer:
    """Renders notifications and draws their charts; what fails is reported to `warn` and never costs the text."""

    writer_at: Callable[[datetime.datetime], Writer]
    draw: Callable[[Drawable], bytes] = draw
    warn: Callable[[str], None] = lambda _: None

    @classmethod
    def for_settings(cls, settings: Settings, warn: Callable[[str], None] = lambda _: None) -> Composer:
        """The composer for these settings."""
        return cls(partial(Writer.for_settings, settings), warn=warn)

    def message(
        self,
        event: Event,
        moment: datetime.datetime,
        parts: Sequence[Event] = (),
        resolved: AnomalyResolved | None = None,
    ) -> Message:
        """The message for `event` at `moment`; `parts`: the notifications of a digest."""
        message, problem = render_or_fallback(event, self.writer_at(moment), parts, resolved)
        if problem:
            self.warn(f"The template of {event.key} failed: {problem}")
        return message

    def opening(self, opening: AnomalyOpened, changes: Sequence[Event], moment: datetime.datetime) -> Message:
        """The message of an incident after `changes`: its latest update, and that it is over."""
        updates = [event for event in changes if isinstance(event, AnomalyUpdated)]
        resolved = next((event for event in changes if isinstance(event, AnomalyResolved)), None)
        latest: AnomalyOpened | AnomalyUpdated = opening
        if updates:
            latest = updates[-1].model_copy(update={"occurred_at": opening.occurred_at})
        return replace(self.message(latest, moment, resolved=resolved), key=opening.key, kind=opening.kind)

    def pictures(self, message: Message) -> tuple[Picture, ...]:
        """The charts of a message, drawn."""
        pictures = []
        for make in message.charts:
            try:
                chart = make()
                pictures.append(Picture(chart.name, chart.title, self.draw(chart)))
            except Exception as caught:  # noqa: BLE001  (whatever a chart may raise, the text is sent)
                self.warn(f"A chart of {message.key} could not be drawn: {type(caught).__name__}: {caught}")
        return tuple(pictures)
