"""The behaviour of alerts as data: a policy for each kind, the inhibition rules, and mutes."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from metrics_platform.alerts.alert import Alert, Condition, Kind
from metrics_platform.catalog import Catalog
from metrics_platform.channel_settings import Severity
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT

_HOUR = datetime.timedelta(hours=1)
_DAY = datetime.timedelta(days=1)
# How far back detectors look from the evaluated slot.
LOOKBACK = 2 * _HOUR
FAILED_CHECK = "failed check"
# How long a series stays quiet after an incident that was marked as not an incident: the four weeks that the detectors
# compare with.
QUIET_FOR = 28 * _DAY
# A deviation of up to this many times the accepted one is still the same level.
SAME_LEVEL = 2.0


@dataclass(frozen=True)
class Policy:
    """How the alerts of a kind behave."""

    # How often in a row it must fire to open.
    fires_after: int = 1
    # How often in a row it must be normal to end. Each reopening doubles this, to at least 4.
    normal_after: int = 1
    # An alert that fires again this soon after its end is reopened; within a day if it had lasted for `remind_after`.
    reopens_within: datetime.timedelta = 2 * _HOUR
    # An open alert that was neither firing nor normal for this long expires. None: never.
    expires_after: datetime.timedelta | None = None
    reminds: Literal["while_firing", "when_repeated", "never"] = "while_firing"
    # The first reminder. The gaps double, up to `longest_gap`.
    remind_after: datetime.timedelta = 4 * _HOUR
    longest_gap: datetime.timedelta = 400 * _DAY
    # The variant that ends it, such as a rise after a fall. Other variants do not affect it.
    ended_by: str = ""
    # A level that has lasted this long, and has not become worse for `LOOKBACK`, is the new normal.
    accepts_after: datetime.timedelta | None = None
    # It fires at moments (a run fails) and stays open until it is normal. Others are evaluated at every step.
    is_event: bool = False
    # All alerts of a step share a message, and later ones may join it within `joins_within`.
    is_grouped: bool = False
    joins_within: datetime.timedelta = 4 * _HOUR
    # A flood of them is sent in batches.
    is_batched: bool = False
    # Whether a reopening after the all-clear sends a new message. Otherwise it is only an edit.
    notifies_reopening: bool = True
    has_all_clear: bool = True


_ANOMALY = Policy(normal_after=2, expires_after=_DAY, ended_by="up", accepts_after=_DAY, is_grouped=True)
_FAILURE = Policy(reminds="when_repeated", longest_gap=20 * _HOUR, is_event=True, is_batched=True)
_VOLUME = Policy(reminds="never", ended_by="up", accepts_after=_DAY, has_all_clear=False)
_IMMEDIATELY = datetime.timedelta(0)

Policies = Mapping[tuple[str, str], Policy]
# By kind and variant. An empty variant applies to all variants without their own policy.
POLICIES: Policies = {
    ("anomaly", ""): _ANOMALY,
    # Most rises are launches or campaigns: they reach other metrics later, recur every morning, and become the new
    # normal sooner than falls.
    ("anomaly", "up"): replace(
        _ANOMALY, reopens_within=_DAY, joins_within=_DAY, accepts_after=6 * _HOUR, notifies_reopening=False
    ),
    ("stale_data", ""): Policy(normal_after=2, reopens_within=_IMMEDIATELY, longest_gap=_DAY),
    ("odd_day", ""): replace(_VOLUME, reminds="when_repeated", reopens_within=_IMMEDIATELY, accepts_after=2 * _DAY),
    ("odd_hour", ""): replace(_VOLUME, fires_after=4, normal_after=8, reopens_within=_IMMEDIATELY),
    ("odd_hour", "up"): replace(_VOLUME, fires_after=4, normal_after=8, reopens_within=_DAY, accepts_after=6 * _HOUR),
    ("failed_run", ""): _FAILURE,
    ("failed_check", ""): _FAILURE,
    ("failed_tick", ""): _FAILURE,
    ("code_location", ""): _FAILURE,
    ("report_not_delivered", ""): Policy(reminds="never", is_event=True, has_all_clear=False),
}


def policy_of(alert: Alert, policies: Policies) -> Policy:
    kind = alert.subject.kind
    return policies.get((kind, alert.variant)) or policies[kind, ""]


def policies(remind_after: datetime.timedelta) -> Policies:
    """The policies with the first reminder after `remind_after` (METRICS_REMINDER_HOURS)."""
    return {
        key: replace(policy, remind_after=remind_after, longest_gap=max(policy.longest_gap, remind_after))
        for key, policy in POLICIES.items()
    }


@dataclass(frozen=True)
class Inhibition:
    """While an alert with the labels `source` is open, alerts with the labels `target` are not notified."""

    source: Mapping[str, str]
    target: Mapping[str, str]
    # The labels that both must share.
    equal: tuple[str, ...]
    while_open: bool = True
    # How long it still applies after the source has ended, and whether an expiry counts as an end.
    after: datetime.timedelta = datetime.timedelta(0)
    after_expiry: bool = False
    # Whether it also applies if the target's evaluated period overlaps with the source.
    includes_lookback: bool = False
    # Only if the target has dropped to zero.
    only_if_empty: bool = False
    # Only if the target's deviation is known and at most this many times the source's.
    max_ratio: float | None = None
    # Only if the target's deviation is known and at most what the source was missing: its largest deviation times its
    # slots.
    limited_to_missing: bool = False
    # Whether the source also inhibits its own reminders and reopenings.
    inhibits_itself: bool = False
    # The target's `inhibited_by`, with fields of the source.
    reason: str = "{id}"


def _labels(kind: Kind, **labels: str) -> Mapping[str, str]:
    return {"kind": kind, **labels}


def _volume_inhibitions(volume: Kind) -> tuple[Inhibition, ...]:
    notified = _labels("anomaly", notified="yes", scope="total")
    return (
        # The metrics or the stale data already report too few or too many events.
        Inhibition(_labels("stale_data"), _labels(volume), ("origin",), includes_lookback=True),
        Inhibition(notified, _labels(volume), ("origin",), includes_lookback=True),
        # A detector learns a new level within hours. A volume's baseline takes weeks.
        Inhibition(notified, _labels(volume), ("origin", "variant"), after=7 * _DAY, max_ratio=SAME_LEVEL),
    )


def _return_inhibition(equal: str, **labels: str) -> Inhibition:
    """After an outage, users and queued events come back all at once."""
    fall, rise = _labels("anomaly", variant="down", **labels), _labels("anomaly", variant="up")
    return Inhibition(fall, rise, (equal,), after=LOOKBACK, limited_to_missing=True)


INHIBITIONS: tuple[Inhibition, ...] = (
    # A source without events: only the first of two is notified, the metrics at zero or the stale data.
    Inhibition(
        _labels("stale_data", notified="yes"),
        _labels("anomaly"),
        ("origin",),
        only_if_empty=True,
        reason="stale {name}",
    ),
    Inhibition(_labels("anomaly", notified="yes", variant="down", scope="total"), _labels("stale_data"), ("origin",)),
    # A total inhibits its slices, and continues to do so for the detectors' lookback after its end.
    Inhibition(
        _labels("anomaly", scope="total"), _labels("anomaly", scope="slice"), ("name", "variant"), after=LOOKBACK
    ),
    # An anomaly that appears after an incident of its source, through the detectors' lookback, is part of it.
    Inhibition(
        _labels("anomaly", notified="yes"),
        _labels("anomaly"),
        ("origin", "variant"),
        while_open=False,
        includes_lookback=True,
    ),
    _return_inhibition("subject"),
    _return_inhibition("origin", scope="total"),
    # The same for volumes.
    Inhibition(_labels("odd_hour", variant="down"), _labels("odd_hour", variant="up"), ("subject",), after=LOOKBACK),
    # After a launch, other metrics rise later.
    Inhibition(
        _labels("anomaly", accepted="yes", variant="up"),
        _labels("anomaly", variant="up"),
        (),
        after=_DAY,
        max_ratio=SAME_LEVEL,
    ),
    # An incident that was marked as not an incident is not sent again, unless it is larger.
    Inhibition(
        _labels("anomaly", answered="yes"),
        _labels("anomaly"),
        ("subject", "variant"),
        after=QUIET_FOR,
        after_expiry=True,
        max_ratio=1.0,
        inhibits_itself=True,
        reason="answered {id}",
    ),
    *_volume_inhibitions("odd_hour"),
    *_volume_inhibitions("odd_day"),
    # A failed check fails its own run. An unreachable code location fails all its schedules and sensors.
    Inhibition(_labels("failed_check"), _labels("failed_run", variant=FAILED_CHECK), ("origin",)),
    Inhibition(_labels("code_location"), _labels("failed_tick"), ("origin",)),
)


_BY_SOURCE: Mapping[str, list[tuple[int, Inhibition]]] = {
    kind: [(number, rule) for number, rule in enumerate(INHIBITIONS) if rule.source["kind"] == kind]
    for kind in get_args(Kind)
}


class Inhibitors:
    """The alerts that inhibit others, by rule and by the labels that must be equal."""

    def __init__(self, alerts: Iterable[Alert], now: datetime.datetime) -> None:
        self._now = now
        self._sources: dict[int, dict[tuple[str, ...], list[Alert]]] = defaultdict(lambda: defaultdict(list))
        for alert in alerts:
            labels = alert.labels
            for number, rule in _BY_SOURCE[alert.subject.kind]:
                states = {"open", "resolved", "expired"} if rule.after_expiry else {"open", "resolved"}
                if alert.state in states and rule.source.items() <= labels.items():
                    self._sources[number][tuple(labels[name] for name in rule.equal)].append(alert)

    def inhibitor_of(self, alert: Alert, condition: Condition | None) -> str:
        """What inhibits an alert; empty: nothing. `condition` is the alert's, if it fires now."""
        labels = alert.labels
        for number, rule in enumerate(INHIBITIONS):
            if not rule.target.items() <= labels.items():
                continue
            for source in self._sources[number].get(tuple(labels[name] for name in rule.equal), ()):
                may_inhibit = rule.inhibits_itself if source.id == alert.id else not _was_notified_first(alert, source)
                if may_inhibit and self._applies(rule, source, condition):
                    return rule.reason.format(id=source.id, name=source.subject.name)
        return ""

    def _applies(self, rule: Inhibition, source: Alert, condition: Condition | None) -> bool:
        if rule.only_if_empty and not (condition and condition.is_empty):
            return False
        since = self._now
        if condition:
            since = condition.since or condition.at
            known = source.quiet_up_to if source.answered_by else source.worst_change
            change = condition.change
            if rule.max_ratio is not None and (change is None or abs(change) > rule.max_ratio * abs(known or 0.0)):
                return False
            if rule.limited_to_missing and (change is None or abs(change) > _max_rebound(source)):
                return False
            if rule.includes_lookback and source.opened_at > condition.at:
                return False
        if source.is_open:
            return rule.while_open
        ended = max(source.closed_at or source.last_at, source.last_at)
        return (rule.includes_lookback and since < ended) or (bool(rule.after) and self._now <= ended + rule.after)


def _max_rebound(fall: Alert) -> float:
    """The largest rise in a slot that a fall explains, as a share of the expected value."""
    slots = (fall.last_at - fall.opened_at) / SLOT + 1
    return max(slots, SAME_LEVEL) * abs(fall.worst_change or 1.0)


def _was_notified_first(alert: Alert, source: Alert) -> bool:
    """Whether an alert was notified before the alert that would inhibit it: then it is not inhibited."""
    if alert.notified_at is None or source.is_accepted:
        return False
    return source.notified_at is None or alert.notified_at <= source.notified_at


# --- mutes ------------------------------------------------------------------------------------------------------------

# The kinds as METRICS_MUTES and METRICS_SEVERITIES name them, where that differs.
_MUTE_KINDS: Mapping[Kind, str] = {
    "odd_day": "odd_volume",
    "odd_hour": "odd_volume",
    "code_location": "failed_tick",
}
_SEVERITY_KINDS: Mapping[Kind, str] = {
    **_MUTE_KINDS,
    "failed_tick": "failed_run",
    "code_location": "failed_run",
}


def severity_of(kind: Kind, default: Severity, settings: Settings) -> Severity | None:
    """The severity of an alert by METRICS_SEVERITIES; None: it is switched off."""
    return settings.severity_of(_SEVERITY_KINDS.get(kind, kind), default)


def mute_filter(settings: Settings, now: datetime.datetime, catalog: Catalog | None = None) -> Callable[[Alert], bool]:
    """A function that tells whether an alert is muted at `now`."""
    local = now.astimezone(settings.zone)
    metrics = catalog.metrics.values() if catalog else ()
    until = {metric.name: metric.monitor.muted_until for metric in metrics if metric.monitor.muted_until}

    def is_muted(alert: Alert) -> bool:
        kind, name = alert.subject.kind, alert.subject.name
        labels = {
            "kind": _MUTE_KINDS.get(kind, kind),
            "severity": alert.severity,
            "name": name,
            "source": alert.origin,
        }
        end = None
        if kind == "anomaly":
            labels |= {"metric": name, "slice": alert.subject.value}
            end = until.get(name)
        is_off = severity_of(kind, alert.severity, settings) is None
        return is_off or (end is not None and now < end) or settings.is_silenced(labels, local)

    return is_muted
