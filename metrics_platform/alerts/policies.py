"""How alerts behave, as data: a policy for each kind, the table of what inhibits what, and what is muted."""

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
# How far back the detectors look from the slot that they evaluate.
LOOKBACK = 2 * _HOUR
FAILED_CHECK = "failed check"
# For how long after the end of an incident that was marked as none its series stays quiet: the four weeks of which the
# detectors know the same hour.
QUIET_FOR = 28 * _DAY
# An accepted level that fires again is the same level, up to this many times its deviation.
SAME_LEVEL = 2.0


@dataclass(frozen=True)
class Policy:
    """How the alerts of a kind behave."""

    # How often in a row it must fire to open.
    fires_after: int = 1
    # How often in a row it must be normal to end. Each time it comes back doubles it, to at least 4.
    normal_after: int = 1
    # What fires again this soon after its end is the same alert; if it had lasted for `remind_after`, a day.
    reopens_within: datetime.timedelta = 2 * _HOUR
    # An open alert that was neither firing nor normal for this long is over. None: never.
    expires_after: datetime.timedelta | None = None
    reminds: Literal["while_firing", "when_repeated", "never"] = "while_firing"
    # The first reminder. The gaps double, up to `longest_gap`.
    remind_after: datetime.timedelta = 4 * _HOUR
    longest_gap: datetime.timedelta = 400 * _DAY
    # The variant that counts as normal, such as a rise after a fall; other variants say nothing about it.
    ended_by: str = ""
    # A level that has lasted this long, and has not become worse for `LOOKBACK`, is the new normal.
    accepts_after: datetime.timedelta | None = None
    # It fires at moments (a run fails) and lasts until it is normal; else it is evaluated at every step.
    is_event: bool = False
    # All of a step share a message; what follows within `joins_within` may join it.
    is_grouped: bool = False
    joins_within: datetime.timedelta = 4 * _HOUR
    # A flood of them shares a message.
    is_batched: bool = False
    # What comes back after its all-clear is a new message; else only an edit.
    announces_return: bool = True
    has_all_clear: bool = True


_ANOMALY = Policy(normal_after=2, expires_after=_DAY, ended_by="up", accepts_after=_DAY, is_grouped=True)
_FAILURE = Policy(reminds="when_repeated", longest_gap=20 * _HOUR, is_event=True, is_batched=True)
_VOLUME = Policy(reminds="never", ended_by="up", accepts_after=_DAY, has_all_clear=False)
_AT_ONCE = datetime.timedelta(0)

Policies = Mapping[tuple[str, str], Policy]
# By kind and variant; an empty variant means all that are not named.
POLICIES: Policies = {
    ("anomaly", ""): _ANOMALY,
    # A rise is mostly a launch or a campaign: it reaches other metrics later, comes back every morning, and is the new
    # normal sooner than a fall.
    ("anomaly", "up"): replace(
        _ANOMALY, reopens_within=_DAY, joins_within=_DAY, accepts_after=6 * _HOUR, announces_return=False
    ),
    ("stale_data", ""): Policy(normal_after=2, reopens_within=_AT_ONCE, longest_gap=_DAY),
    ("odd_day", ""): replace(_VOLUME, reminds="when_repeated", reopens_within=_AT_ONCE, accepts_after=2 * _DAY),
    ("odd_hour", ""): replace(_VOLUME, fires_after=4, normal_after=8, reopens_within=_AT_ONCE),
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
    # How long it also holds after the source's end; also if the source expired, which is no end that anyone has seen.
    after: datetime.timedelta = datetime.timedelta(0)
    after_expiry: bool = False
    # Whether it also holds where the period that the target looks at reaches back into the source.
    seen_through: bool = False
    # Only where nothing is left of the target.
    to_nothing: bool = False
    # Only where the target's deviation is known and at most this many times the source's.
    up_to: float | None = None
    # Only where the target's deviation is known and at most what the source was missing: its largest deviation in each
    # slot.
    up_to_missing: bool = False
    # Whether the source also inhibits its own reminders and returns.
    itself: bool = False
    # What the target is then inhibited by: fields of the source.
    called: str = "{id}"


def _of(kind: Kind, **labels: str) -> Mapping[str, str]:
    return {"kind": kind, **labels}


def _of_volume(volume: Kind) -> tuple[Inhibition, ...]:
    notified = _of("anomaly", notified="yes", scope="total")
    return (
        # Too few or too many events are what the metrics, or the stale data, say already.
        Inhibition(_of("stale_data"), _of(volume), ("origin",), seen_through=True),
        Inhibition(notified, _of(volume), ("origin",), seen_through=True),
        # A detector learns a new level in hours, a volume's baseline of weeks does not.
        Inhibition(notified, _of(volume), ("origin", "variant"), after=7 * _DAY, up_to=SAME_LEVEL),
    )


INHIBITIONS: tuple[Inhibition, ...] = (
    # A source without events: whichever is notified first, the metrics at zero or the stale data, says so.
    Inhibition(_of("stale_data", notified="yes"), _of("anomaly"), ("origin",), to_nothing=True, called="stale {name}"),
    Inhibition(_of("anomaly", notified="yes", variant="down", scope="total"), _of("stale_data"), ("origin",)),
    # A total inhibits its slices, and for as long as the detectors look back after it.
    Inhibition(_of("anomaly", scope="total"), _of("anomaly", scope="slice"), ("name", "variant"), after=LOOKBACK),
    # What only shows after an incident of its source, through the detectors' look-back, is a part of it.
    Inhibition(
        _of("anomaly", notified="yes"), _of("anomaly"), ("origin", "variant"), while_open=False, seen_through=True
    ),
    # What comes back after an outage comes back all at once: users, and events that waited.
    Inhibition(
        _of("anomaly", variant="down"), _of("anomaly", variant="up"), ("subject",), after=LOOKBACK, up_to_missing=True
    ),
    Inhibition(
        _of("anomaly", variant="down", scope="total"),
        _of("anomaly", variant="up"),
        ("origin",),
        after=LOOKBACK,
        up_to_missing=True,
    ),
    Inhibition(_of("odd_hour", variant="down"), _of("odd_hour", variant="up"), ("subject",), after=LOOKBACK),
    # After a launch, other metrics rise later.
    Inhibition(
        _of("anomaly", accepted="yes", variant="up"), _of("anomaly", variant="up"), (), after=_DAY, up_to=SAME_LEVEL
    ),
    # What someone has marked as not an incident is not sent again, unless it is larger.
    Inhibition(
        _of("anomaly", answered="yes"),
        _of("anomaly"),
        ("subject", "variant"),
        after=QUIET_FOR,
        after_expiry=True,
        up_to=1.0,
        itself=True,
        called="answered {id}",
    ),
    *_of_volume("odd_hour"),
    *_of_volume("odd_day"),
    # A check that fails its own run, and a code location that takes all its schedules and sensors with it.
    Inhibition(_of("failed_check"), _of("failed_run", variant=FAILED_CHECK), ("origin",)),
    Inhibition(_of("code_location"), _of("failed_tick"), ("origin",)),
)


_BY_SOURCE: Mapping[str, list[tuple[int, Inhibition]]] = {
    kind: [(number, rule) for number, rule in enumerate(INHIBITIONS) if rule.source["kind"] == kind]
    for kind in get_args(Kind)
}


class Inhibitors:
    """The alerts that inhibit others, by rule and by the labels that must be equal."""

    def __init__(self, alerts: Iterable[Alert], now: datetime.datetime) -> None:
        self._now = now
        self._found: dict[int, dict[tuple[str, ...], list[Alert]]] = defaultdict(lambda: defaultdict(list))
        for alert in alerts:
            labels = alert.labels
            for number, rule in _BY_SOURCE[alert.subject.kind]:
                states = {"open", "resolved", "expired"} if rule.after_expiry else {"open", "resolved"}
                if alert.state in states and rule.source.items() <= labels.items():
                    self._found[number][tuple(labels[name] for name in rule.equal)].append(alert)

    def inhibiting(self, alert: Alert, condition: Condition | None) -> str:
        """What is notified instead of an alert, whose `condition` fires now; empty: nothing."""
        labels = alert.labels
        for number, rule in enumerate(INHIBITIONS):
            if not rule.target.items() <= labels.items():
                continue
            for source in self._found[number].get(tuple(labels[name] for name in rule.equal), ()):
                may_inhibit = rule.itself if source.id == alert.id else not _was_first(alert, source)
                if may_inhibit and self._holds(rule, source, condition):
                    return rule.called.format(id=source.id, name=source.subject.name)
        return ""

    def _holds(self, rule: Inhibition, source: Alert, condition: Condition | None) -> bool:
        if rule.to_nothing and not (condition and condition.is_empty):
            return False
        since = self._now
        if condition:
            since = condition.since or condition.at
            known = source.quiet_up_to if source.answered_by else source.worst_change
            change = condition.change
            if rule.up_to is not None and (change is None or abs(change) > rule.up_to * abs(known or 0.0)):
                return False
            if rule.up_to_missing and (change is None or abs(change) > _missing(source)):
                return False
            if rule.seen_through and source.opened_at > condition.at:
                return False
        if source.is_open:
            return rule.while_open
        ended = max(source.closed_at or source.last_at, source.last_at)
        return (rule.seen_through and since < ended) or (bool(rule.after) and self._now <= ended + rule.after)


def _missing(fall: Alert) -> float:
    """The most that may come back in a slot after a fall, as a share of what is expected in a slot."""
    slots = (fall.last_at - fall.opened_at) / SLOT + 1
    return max(slots, SAME_LEVEL) * abs(fall.worst_change or 1.0)


def _was_first(alert: Alert, source: Alert) -> bool:
    """Whether an alert was notified before what would inhibit it: then its message goes on."""
    if alert.notified_at is None or source.is_accepted:
        return False
    return source.notified_at is None or alert.notified_at <= source.notified_at


# --- mutes ------------------------------------------------------------------------------------------------------------

# What the kinds are called in settings.
_MUTED_AS: Mapping[Kind, str] = {"odd_day": "odd_volume", "odd_hour": "odd_volume", "code_location": "failed_tick"}
_SEVERITY_OF: Mapping[Kind, str] = {**_MUTED_AS, "failed_tick": "failed_run", "code_location": "failed_run"}


def severity_of(kind: Kind, usual: Severity, settings: Settings) -> Severity | None:
    """How severe an alert is by METRICS_SEVERITIES; None: it is switched off."""
    return settings.severity_of(_SEVERITY_OF.get(kind, kind), usual)


def muting(settings: Settings, now: datetime.datetime, catalog: Catalog | None = None) -> Callable[[Alert], bool]:
    """Whether an alert is not to be notified at `now`."""
    local = now.astimezone(settings.zone)
    metrics = catalog.metrics.values() if catalog else ()
    until = {metric.name: metric.monitor.muted_until for metric in metrics if metric.monitor.muted_until}

    def is_muted(alert: Alert) -> bool:
        kind, name = alert.subject.kind, alert.subject.name
        labels = {"kind": _MUTED_AS.get(kind, kind), "severity": alert.severity, "name": name, "source": alert.origin}
        end = None
        if kind == "anomaly":
            labels |= {"metric": name, "slice": alert.subject.value}
            end = until.get(name)
        is_off = severity_of(kind, alert.severity, settings) is None
        return is_off or (end is not None and now < end) or settings.is_silenced(labels, local)

    return is_muted
