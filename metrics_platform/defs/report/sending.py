"""Queues a report to be sent: once for a day and its numbers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, takewhile

import dagster as dg

from metrics_platform.defs.delivery.storage import enqueue, history_of
from metrics_platform.notifications.history import History
from metrics_platform.notifications.kinds import DailyReport
from metrics_platform.report.facts import content_of


def send_once(context: dg.AssetExecutionContext, report: DailyReport) -> str:
    """Queue the report, unless the last one of the day has the same numbers; returns what was done, as a sentence.

    A day that was reported with other numbers is reported again as a correction, in reply to the first report. A report
    that was given up has reached no one, so it does not count.
    """
    histories = (history_of(context.instance, key) for key in _keys(report.key))
    earlier = {history.key: history for history in takewhile(lambda history: history.stored, histories)}
    queued = [key for key, history in earlier.items() if _outcome(history) != "given_up"]
    if queued and _has_same_content(earlier[queued[-1]], report):
        how = (_outcome(earlier[queued[-1]]) or "on its way").replace("_", " ")
        return (
            f"Not queued: these numbers were queued before, as {queued[-1]} ({how}). To send them once more, "
            "materialise that partition of the asset notifications with the config again: true."
        )
    key = next(each for each in _keys(report.key) if each not in earlier)
    if not queued:
        enqueue(context, report.model_copy(update={"key": key}))
        return f"Queued as {key}."
    enqueue(context, report.model_copy(update={"key": key, "correction": True, "thread": queued[0]}))
    return f"Queued as a correction, {key}: the numbers have changed since {queued[-1]}."


def _keys(first: str) -> Iterator[str]:
    """The keys that a day's reports have, one after the other: report-2026-11-21, report-2026-11-21-2 …"""
    yield first
    yield from (f"{first}-{number}" for number in count(2))


def _outcome(history: History) -> str | None:
    return history.closed.outcome if history.closed else None


def _has_same_content(history: History, report: DailyReport) -> bool:
    last = history.event
    return isinstance(last, DailyReport) and content_of(last) == content_of(report)
