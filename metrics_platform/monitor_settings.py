"""Settings of the 15-minute monitor and of alerts: when a slot is evaluated, what is stale, what is sent, and when."""

from __future__ import annotations

import contextlib
import datetime
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from metrics_platform.builtin_entries import builtin_entries
from metrics_platform.channel_settings import Severity
from metrics_platform.setting_types import DISTINCT, SettingsPart, chosen_from, split_list
from metrics_platform.suggestions import did_you_mean, nearest

# What a mute or active hours may match, and the values that are known; of the others any.
_LABELS: Mapping[str, tuple[str, ...]] = {
    "kind": (
        "anomaly", "stale_data", "odd_volume", "failed_run", "failed_check", "failed_tick", "report_not_delivered",
    ),
    "severity": ("warning", "critical", "failed"),
    "metric": (),
    "source": (),
    "slice": (),
    "name": (),
}  # fmt: skip
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d|24:00"
_HOURS = re.compile(
    rf"(?:(?P<first>{'|'.join(_DAYS)})(?:-(?P<last>{'|'.join(_DAYS)}))?\s+)?"
    rf"(?P<start>{_TIME})-(?P<end>{_TIME})"
)


@dataclass(frozen=True)
class Mute:
    """Alerts with these labels are not notified before `until`; None: for good."""

    labels: Mapping[str, str]
    until: datetime.datetime | None = None

    def holds(self, labels: Mapping[str, str], now: datetime.datetime) -> bool:
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
        time = local.time()
        if self.start < self.end:
            return local.weekday() in self.days and self.start <= time < self.end
        began_yesterday = (local.weekday() - 1) % 7 in self.days and time < self.end
        return began_yesterday or (local.weekday() in self.days and time >= self.start)


def parse_mute(text: str) -> Mute:
    """An entry of METRICS_MUTES: `metric:views until 2026-12-01T09:00+03:00`; ValueError names the remedy."""
    match, _, moment = text.partition(" until ")
    until = None
    if moment:
        with contextlib.suppress(ValueError):
            until = datetime.datetime.fromisoformat(moment.strip())
        if until is None or until.tzinfo is None:
            raise ValueError(f"{text!r}: write the end with its offset, such as until 2026-12-01T09:00+03:00")
    return Mute(_labels(text, match), until)


def parse_active_hours(text: str) -> ActiveHours:
    """An entry of METRICS_ACTIVE_HOURS: `severity:warning mon-fri 08:00-20:00`; ValueError names the remedy."""
    match, _, hours = text.partition(" ")
    times = _HOURS.fullmatch(hours.strip().lower())
    if times is None:
        raise ValueError(f"{text!r}: write the hours as 09:00-21:00 or mon-fri 08:00-20:00")
    start, end = (datetime.time.fromisoformat(times[name].replace("24:00", "00:00")) for name in ("start", "end"))
    first = _DAYS.index(times["first"]) if times["first"] else 0
    last = _DAYS.index(times["last"]) if times["last"] else first if times["first"] else 6
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
            form = "write label:value, such as metric:views or kind:odd_volume+severity:warning"
            raise ValueError(f"{text!r}: {form}. Labels are {', '.join(_LABELS)}{hint}")
        known = _LABELS[name]
        if known and value not in known:
            raise ValueError(f"{text!r}: {name} is one of {', '.join(known)}{did_you_mean(value, known)}")
        labels[name] = value
    return labels


_Dimension = Annotated[str, chosen_from(lambda: builtin_entries()["dimensions"])]
_Mutes = Annotated[tuple[Annotated[Mute, BeforeValidator(parse_mute)], ...], *DISTINCT]
_ActiveHours = Annotated[tuple[Annotated[ActiveHours, BeforeValidator(parse_active_hours)], ...], *DISTINCT]


class MonitorSettings(SettingsPart):
    """Part of `Settings`: names as there, `METRICS_…`."""

    slot_lag_seconds: int = Field(60, ge=0, le=3600)
    """Seconds from the end of a 15-minute slot until it is evaluated. Set it to how long events take to arrive."""
    recompute_slots: int = Field(4, ge=0, le=96)
    """Number of slots before the latest that are recomputed for late events."""
    monitored_dimensions: Annotated[tuple[_Dimension, ...], *DISTINCT] = ("os", "source", "country")
    """Built-in dimensions of the 15-minute metrics, comma-separated: os, source, country, city, gender, age, age_group,
    exp_group."""
    catalog: Path | None = None
    """Your catalogue of sources, dimensions and metrics (YAML), merged on top of the built-in one. Every run reads
    it."""
    holidays: Annotated[tuple[datetime.date, ...], *DISTINCT] = ()
    """Days (YYYY-MM-DD, comma-separated) on which the band is twice as wide. Past holidays have little weight in the
    expected values."""
    alert_max_age_minutes: int = Field(60, ge=15, le=1440)
    """Anomalies in slots that ended longer ago are recorded but not sent."""
    reminder_hours: float = Field(4.0, ge=1, le=168)
    """Hours until the first reminder of an open alert. The interval doubles after each reminder."""
    mutes: _Mutes = ()
    """Alerts that are recorded and not sent, comma-separated: metric:views until 2026-12-01T09:00+03:00,
    kind:odd_volume+severity:warning. Alerts that still last when a mute ends are sent then."""
    active_hours: _ActiveHours = ()
    """Alerts that are sent in these hours of METRICS_TIMEZONE only, comma-separated: severity:warning 09:00-21:00,
    metric:views mon-fri 08:00-20:00. Alerts that still last when the hours begin are sent then."""

    def is_silenced(self, labels: Mapping[str, str], local: datetime.datetime) -> bool:
        """Whether an alert with these labels is not to be notified at a local time of the product."""
        if any(mute.holds(labels, local) for mute in self.mutes):
            return True
        hours = [entry for entry in self.active_hours if entry.labels.items() <= labels.items()]
        return bool(hours) and not any(entry.contain(local) for entry in hours)

    def unknown_metrics(self, known: Collection[str]) -> list[str]:
        """The metrics that mutes and active hours name and that are not among the `known` ones."""
        labels = [*(mute.labels for mute in self.mutes), *(hours.labels for hours in self.active_hours)]
        named = {label_set.get("metric", "") for label_set in labels}
        return sorted(named - {"", *known})


_OFF = "off"
# A year. A number too large for a duration would fail only when the sensor runs.
_MAX_HOURS = 366 * 24
# The severities that a kind can have. Data problems are warnings or critical; failures of code are always `failed`.
_SETTABLE: dict[str, tuple[str, ...]] = {
    "stale_data": ("warning", "critical", _OFF),
    "odd_volume": ("warning", "critical", _OFF),
    "failed_check": ("warning", "critical", _OFF),
    "failed_run": (_OFF,),
    "report_not_delivered": (_OFF,),
}


def _stale_hours(value: tuple[float, ...]) -> tuple[float, ...]:
    if len(value) != 2 or not 0 < value[0] <= value[1] < math.inf:
        raise ValueError("write two numbers of hours, for a warning and for a critical alert, such as 1,3")
    if value[1] > _MAX_HOURS:
        raise ValueError(f"write at most {_MAX_HOURS} hours, which is a year")
    return value


def _severities(value: Any) -> dict[str, str]:
    """Kind → severity, of `odd_volume=critical, failed_run=off`."""
    severities: dict[str, str] = {}
    for entry in split_list(value):
        kind, _, severity = (part.strip() for part in entry.partition("="))
        if kind not in _SETTABLE:
            known = ", ".join(_SETTABLE)
            raise ValueError(f"{entry!r}: write kind=severity, the kind one of {known}{did_you_mean(kind, _SETTABLE)}")
        if severity not in _SETTABLE[kind]:
            raise ValueError(f"{entry!r}: set {kind} to {' or '.join(_SETTABLE[kind])}")
        if kind in severities:
            raise ValueError(f"name each kind only once: {kind}")
        severities[kind] = severity
    return severities


StaleHours = Annotated[tuple[float, ...], NoDecode, BeforeValidator(split_list), AfterValidator(_stale_hours)]


class HealthSettings(SettingsPart):
    """Part of `Settings`: names as there, `METRICS_…`."""

    feed_stale_hours: StaleHours = (1.0, 3.0)
    """Hours without a new feed event until a warning, and until a critical alert, comma-separated. Only hours of the
    week that usually have events count. Limits of 24 or more count every hour."""
    messages_stale_hours: StaleHours = (1.0, 3.0)
    """The same for messages: until a warning, and critical."""
    severities: Annotated[dict[str, str], NoDecode, BeforeValidator(_severities)] = Field(default_factory=dict)
    """Severity by kind, comma-separated: odd_volume=critical, stale_data=warning, failed_check=off, failed_run=off
    (also for ticks), report_not_delivered=off."""
    tell_success: bool = False
    """true: send a message when the nightly load succeeds, with the number of its warnings."""
    report_grace_minutes: int = Field(15, ge=1, le=720)
    """Minutes after METRICS_REPORT_AT until a missing report raises an alert."""

    def severity_of(self, kind: str, usual: Severity) -> Severity | None:
        """The severity of a kind; None: it is not reported."""
        wanted: Any = self.severities.get(kind, usual)
        return None if wanted == _OFF else wanted
