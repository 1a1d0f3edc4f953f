"""The picture of a test message: a chat may accept texts and refuse photos."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from functools import partial

from metrics_platform.charts.model import Chart, Labels, Panel
from metrics_platform.notifications.kinds import TestMessage
from metrics_platform.notifications.templates.writer import Writer


def sample_charts(event: TestMessage, writer: Writer) -> tuple[Callable[[], Chart], ...]:
    """One picture: a day with a wave in it."""
    return (partial(_wave, event, writer),)


def _wave(event: TestMessage, writer: Writer) -> Chart:
    start = event.occurred_at.replace(minute=0, second=0, microsecond=0) - datetime.timedelta(hours=23)
    times = tuple(start + datetime.timedelta(hours=hour) for hour in range(24))
    values = tuple(round(100 + 60 * math.sin(hour / 24 * 2 * math.pi)) for hour in range(24))
    title = writer.say("test-chart")
    panel = Panel(title=title, unit="count", times=times, values=values)
    return Chart(
        name="test",
        title=title,
        panels=(panel,),
        labels=Labels(no_data=writer.say("chart-no-data")),
        timezone=writer.zone.key,
        language=writer.language,
    )
