"""The facts as they are, for when a template fails: an alert that nobody could word must still arrive."""

from __future__ import annotations

import json

from metrics_platform.notifications.kinds import Event
from metrics_platform.notifications.message import Message, Paragraph, Preformatted, bold, code, line
from metrics_platform.redaction import mask

_EMOJI = {"critical": "🔴", "warning": "🟠", "failed": "❌", "resolved": "✅", "info": "📣"}
_SHOWN = 1500
# Long, and of no use without a chart.
_LEFT_OUT = ("history", "series", "notifications")


def bare_facts(event: Event, problem: str) -> Message:
    """Severity, kind and facts of `event`, and why nobody worded them; it uses no phrases, formats or settings."""
    facts = mask(json.dumps(_short(event.model_dump(mode="json")), ensure_ascii=False, indent=1))
    shown = facts if len(facts) <= _SHOWN else f"{facts[:_SHOWN]}…"
    kind = str(getattr(event, "kind", "event"))
    return Message(
        key=event.key,
        kind=kind,
        severity=event.severity,
        headline=line(f"{_EMOJI[event.severity]} ", bold(event.severity.upper()), " · ", code(kind)),
        blocks=(Preformatted(shown), Paragraph((line("Its template failed: ", code(mask(problem)[:300])),))),
        footer=line("id ", code(event.key)),
        silent=event.severity not in ("critical", "failed"),
    )


def _short(data: object) -> object:
    if isinstance(data, dict):
        return {name: _short(value) for name, value in data.items() if name not in _LEFT_OUT and value is not None}
    return [_short(value) for value in data[:5]] if isinstance(data, list) else data
