"""Asking for a report to be sent: once for a day and its numbers."""

from __future__ import annotations

import dagster as dg

from metrics_platform.defs.delivery.storage import DagsterJournal, ask
from metrics_platform.notifications.journal import asked, closed
from metrics_platform.notifications.kinds import DailyReport
from metrics_platform.report.facts import content_of


def send_once(context: dg.AssetExecutionContext, report: DailyReport) -> str:
    """Ask for the report, unless its numbers have been asked for before; returns what was done, as a sentence.

    A day that has been told with other numbers is told again as a correction, in reply to the first report.
    """
    journal = DagsterJournal(context.instance, context.log_event)
    first = asked(journal.entries(report.key))
    if first is None:
        ask(context, report)
        return f"Asked for as {report.key}."
    key = report.key
    if isinstance(first, DailyReport) and content_of(first) != content_of(report):
        key = f"{report.key}-{content_of(report)}"
        if not journal.entries(key):
            ask(context, report.model_copy(update={"key": key, "correction": True, "thread": report.key}))
            return f"Asked for as a correction, {key}: the numbers have changed since {report.key}."
    ended = closed(journal.entries(key))
    how = ended.outcome.replace("_", " ") if ended else "on its way"
    return (
        f"Not asked for: these numbers were asked for before, as {key} ({how}). To send them once more, materialise "
        f"that partition of the asset notifications with the config again: true."
    )
