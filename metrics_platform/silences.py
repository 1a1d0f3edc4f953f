"""Mutes and active hours of alerts, as METRICS_MUTES and METRICS_ACTIVE_HOURS say them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from metrics_platform.suggestions import nearest

KINDS = (
    "anomaly",
    "stale_data",
    "odd_volume",
    "failed_run",
    "failed_check",
    "failed_tick",
    "report_not_delivered",
)
SEVERITIES = ("warning", "critical", "failed")
# What an entry may match, and the values that are known; of the others any.
_LABELS: Mapping[str, tuple[str, ...]] = {
    "kind": KINDS,
    "severity": SEVERITIES,
    "metric": (),
    "source": (),
    "slice": (),
    "name": (),
}
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(
    rf"(?:(?P<first>{'|'.join(_DAYS)})(?:-(?P<last>{'|'.join(_DAYS)}))?\s+)?"
    r"(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)"
)
_MATCH_FORM = "write label:value, such as metric:views or kind:odd_volume+severity:warning"
_HOURS_FORM = "write the hours as 09:00-21:00 or mon-fri 08:00-20:00"


@dataclass(frozen=True)
class Mute:
    """Alerts with these labels are not notified before `until`; None: for good."""

    labels: Mapping[str, str]
    until: datetime.datetime | None = None

    def holds(self, labels: Mapping[str, str], now: datetime.datetime) -> bool:
        """Whether it mutes an alert with these labels."""
        return self.labels.items() <= labels.items() and (self.until is None or now < self.until)


@dataclass(frozen=True)
class ActiveHours:
    """Alerts with these labels are notified in these hours only, by the clocks of the product.

    `days` are the weekdays (Monday is 0) on which the hours begin. They may end after midnight.
    """

    labels: Mapping[str, str]
    days: frozenset[int]
    start: datetime.time
    end: datetime.time

    def contain(self, local: datetime.datetime) -> bool:
        """Whether a local time lies in them."""
        time = local.time()
        if self.start < self.end:
            return local.weekday() in self.days and self.start <= time < self.end
        began_yesterday = (local.weekday() - 1) % 7 in self.days and time < self.end
        return began_yesterday or (local.weekday() in self.days and time >= self.start)


@dataclass(frozen=True)
class Silences:
    """All mutes and active hours."""

    mutes: tuple[Mute, ...]
    hours: tuple[ActiveHours, ...]
    zone: ZoneInfo

    def hold(self, labels: Mapping[str, str], now: datetime.datetime) -> bool:
        """Whether an alert with these labels is not to be notified now."""
        if any(mute.holds(labels, now) for mute in self.mutes):
            return True
        hours = [entry for entry in self.hours if entry.labels.items() <= labels.items()]
        local = now.astimezone(self.zone)
        return bool(hours) and not any(entry.contain(local) for entry in hours)

    def unknown_metrics(self, known: Collection[str]) -> list[str]:
        """The metrics that are named and not among the `known` ones."""
        labels = [*(mute.labels for mute in self.mutes), *(hours.labels for hours in self.hours)]
        named = {each.get("metric", "") for each in labels}
        return sorted(named - {"", *known})


def parse_mute(text: str) -> Mute:
    """An entry of METRICS_MUTES: `metric:views until 2026-12-01T09:00+03:00`; ValueError names the remedy."""
    match, _, moment = text.partition(" until ")
    if not moment:
        return Mute(_labels(text, match))
    try:
        until = datetime.datetime.fromisoformat(moment.strip())
    except ValueError:
        until = None
    if until is None or until.tzinfo is None:
        raise ValueError(f"{text!r}: write the end with its offset, such as until 2026-12-01T09:00+03:00")
    return Mute(_labels(text, match), until)


def parse_active_hours(text: str) -> ActiveHours:
    """An entry of METRICS_ACTIVE_HOURS: `severity:warning mon-fri 08:00-20:00`; ValueError names the remedy."""
    match, _, hours = text.partition(" ")
    found = _HOURS.fullmatch(hours.strip().lower())
    if found is None:
        raise ValueError(f"{text!r}: {_HOURS_FORM}")
    try:
        start, end = (datetime.time.fromisoformat(found[name].replace("24:00", "00:00")) for name in ("start", "end"))
    except ValueError:
        raise ValueError(f"{text!r}: {_HOURS_FORM}") from None
    first = _DAYS.index(found["first"]) if found["first"] else 0
    last = _DAYS.index(found["last"]) if found["last"] else first if found["first"] else 6
    days = frozenset((first + number) % 7 for number in range((last - first) % 7 + 1))
    return ActiveHours(_labels(text, match), days, start, end)


def _labels(text: str, match: str) -> dict[str, str]:
    """The labels of `kind:odd_volume+severity:warning`."""
    labels = {}
    for part in match.strip().split("+"):
        name, _, value = (piece.strip() for piece in part.partition(":"))
        if name not in _LABELS or not value:
            near = nearest(name, _LABELS)
            hint = f"; did you mean {near}:{value or '…'}?" if near and near != name else ""
            raise ValueError(f"{text!r}: {_MATCH_FORM}. Labels are {', '.join(_LABELS)}{hint}")
        known = _LABELS[name]
        if known and value not in known:
            near = nearest(value, known)
            raise ValueError(
                f"{text!r}: {name} is one of {', '.join(known)}" + (f"; did you mean {near}?" if near else "")
            )
        labels[name] = value
    return labels
