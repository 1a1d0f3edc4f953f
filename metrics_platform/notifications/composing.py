"""From a queued notification to the message that is sent: the only place where the delivery renders.

An incident is one message. If it has changed, or is over, when its message is sent or edited, the message says so.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from metrics_platform.charts.draw import draw
from metrics_platform.charts.model import Drawable
from metrics_platform.notifications.kinds import AnomalyOpened, AnomalyResolved, AnomalyUpdated, Event
from metrics_platform.notifications.message import Message, Picture
from metrics_platform.notifications.templates import render_or_fallback
from metrics_platform.notifications.templates.writer import Writer
from metrics_platform.settings import Settings


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
