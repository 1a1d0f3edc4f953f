"""From facts to words: one template per kind of notification, for all languages and all channels.

To add a kind: its facts in `kinds.py`, a function here, its phrases in `phrases/*.ftl`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from metrics_platform.notifications import kinds
from metrics_platform.notifications.message import Message
from metrics_platform.notifications.templates import anomalies, platform, report
from metrics_platform.notifications.templates.bare import bare_facts
from metrics_platform.notifications.templates.writer import Writer

_TEMPLATES: Mapping[type[kinds.Event], Callable[[Any, Writer], Message]] = {
    kinds.DailyReport: report.daily_report,
    kinds.AnomalyOpened: anomalies.opened,
    kinds.AnomalyUpdated: anomalies.opened,
    kinds.AnomalyStillOpen: anomalies.still_open,
    kinds.AnomalyResolved: anomalies.resolved,
    kinds.FailedRun: platform.failed_run,
    kinds.FailedTick: platform.failed_tick,
    kinds.FailedRuns: platform.failed_runs,
    kinds.Recovered: platform.recovered,
    kinds.FailedCheck: platform.failed_check,
    kinds.StaleData: platform.stale_data,
    kinds.FreshData: platform.fresh_data,
    kinds.OddVolume: platform.odd_volume,
    kinds.Success: platform.success,
    kinds.ReportNotDelivered: platform.report_not_delivered,
    kinds.TestMessage: platform.test_message,
}


def write(event: kinds.Event, writer: Writer, parts: tuple[kinds.Event, ...] = ()) -> Message:
    """The message that tells `event`; a digest is written from its `parts`, each as well as it can be."""
    if isinstance(event, kinds.Digest):
        return platform.digest(event, [(part, write_anyhow(part, writer)[0]) for part in parts], writer)
    return _TEMPLATES[type(event)](event, writer)


def write_anyhow(event: kinds.Event, writer: Writer, parts: tuple[kinds.Event, ...] = ()) -> tuple[Message, str]:
    """The same; where the template fails, the bare facts, and what was the matter: nothing is lost to wording."""
    try:
        return write(event, writer, parts), ""
    except Exception as caught:  # noqa: BLE001  (whatever a template may raise, the message goes)
        problem = f"{type(caught).__name__}: {caught}"
    return bare_facts(event, problem), problem
