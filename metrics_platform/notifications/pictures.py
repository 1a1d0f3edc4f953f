"""The pictures of a message: its charts, drawn."""

from __future__ import annotations

from collections.abc import Callable

from metrics_platform.charts.model import Drawable
from metrics_platform.notifications.message import Message, Picture


def drawn(message: Message, draw: Callable[[Drawable], bytes], warn: Callable[[str], None]) -> tuple[Picture, ...]:
    """The charts of `message` as `draw` draws them; one that fails is left out, said to `warn`, and never costs the
    text.
    """
    pictures = []
    for make in message.charts:
        try:
            chart = make()
            pictures.append(Picture(chart.name, chart.title, draw(chart)))
        except Exception as caught:  # noqa: BLE001  (whatever a chart may raise, the text goes)
            warn(f"A chart of {message.key} could not be drawn: {type(caught).__name__}: {caught}")
    return tuple(pictures)
