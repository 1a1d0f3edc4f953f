"""A course of slots for the alert engine: what each metric was in each slot, and what was notified at which."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_platform.alerts.alert import Alert, Condition, Notification, Subject
from metrics_platform.alerts.anomalies import Series, Verdict, conditions_of, contributions_to
from metrics_platform.alerts.engine import step
from metrics_platform.alerts.policies import POLICIES, Policies, policies
from metrics_platform.catalog import builtin_catalog
from metrics_platform.time_windows import SLOT, Slot

START = datetime.datetime(2026, 11, 20, 10, tzinfo=datetime.UTC)
METRICS = {name: metric.source for name, metric in builtin_catalog().metrics.items()}
SERIES = {
    "views": Series("views"),
    "likes": Series("likes"),
    "messages": Series("messages"),
    "views Android": Series("views", "os", "Android"),
    "views iOS": Series("views", "os", "iOS"),
    "likes Android": Series("likes", "os", "Android"),
}
_VALUES = {
    ".": 100.0, "-": 75.0, "=": 20.0, "0": 0.0, "+": 140.0, "*": 200.0, "^": 400.0, "e": 40.0, "h": 80.0, "t": 80.0,
}  # fmt: skip
_SEVERITIES = {".": "", "-": "warning", "h": "warning", "t": "warning"}
_REASONS = {"h": "last_hour", "t": "last_two_hours"}


def verdict(series: Series, sign: str) -> Verdict:
    """A verdict by one character.

    `.` normal, `-` a fall, `=` a critical one, `0` a fall to nothing, `+` a rise, `*` a larger one, `^` a huge one,
    `e` one where nothing is expected, `?` unknown; `h` and `t` falls that only the last hour and the last two hours
    show.
    """
    if sign == "?":
        return Verdict(series, "unknown")
    severity = _SEVERITIES.get(sign, "critical")
    status = "anomalous" if severity else "normal"
    reason = _REASONS.get(sign, "this_slot")
    return Verdict(series, status, severity, reason, value=_VALUES[sign], expected=0.0 if sign == "e" else 100.0)


@dataclass
class Course:
    """Steps through slots, keeping alerts as the store does."""

    policies: Policies = field(default_factory=lambda: POLICIES)
    alerts: dict[str, Alert] = field(default_factory=dict)
    sent: list[tuple[int, Notification]] = field(default_factory=list)
    number: int = 0
    start: datetime.datetime = START

    def answer(self, name: str) -> None:
        """Mark the latest alert of a series as not an incident."""
        alert = self.alert(name)
        self.alerts[alert.id] = replace(alert, answered_by="ann", quiet_up_to=alert.worst_change)

    def run(
        self,
        lines: Mapping[str, str],
        *,
        old: Iterable[int] = (),
        muted: Iterable[int] = (),
        stale: Iterable[int] = (),
        metrics: Mapping[str, str] | None = None,
    ) -> str:
        """One slot per character of the lines; what was notified, such as `2 opened, 7 resolved`.

        Nothing is notified at the slots `old`, everything is muted at the slots `muted`, and the feed is stale, which
        was notified, at the slots `stale`.
        """
        before = len(self.sent)
        length = max(map(len, lines.values()))
        for position in range(length):
            named = {name: line[position] for name, line in lines.items() if position < len(line)}
            signs = {SERIES.get(name) or Series(*name.split()): sign for name, sign in named.items()}
            verdicts = [verdict(series, sign) for series, sign in signs.items() if sign != " "]
            slot = Slot(self.start + self.number * SLOT)
            alerts = self.alerts.values()
            found = step(
                slot.start,
                alerts,
                list(conditions_of(slot, verdicts, alerts, metrics or METRICS)),
                self.policies,
                notifies=self.number not in set(old),
                is_muted=lambda _, number=self.number: number in set(muted),  # type: ignore[misc]
                inhibitors=[_stale_alert()] if self.number in set(stale) else [],
            )
            self.alerts |= {alert.id: alert for alert in found.alerts}
            self.sent += [(self.number, notification) for notification in found.notifications]
            self.number += 1
        return ", ".join(f"{number} {notification.kind}" for number, notification in self.sent[before:])

    def alert(self, name: str) -> Alert:
        """The latest alert of a series."""
        found = [alert for alert in self.alerts.values() if Series.of(alert) == SERIES[name]]
        return max(found, key=lambda alert: alert.opened_at)

    def names(self, position: int) -> set[str]:
        """The series that a notification is about."""
        names = {series: name for name, series in SERIES.items()}
        return {names[Series.of(alert)] for alert in self.sent[position][1].alerts}


def _stale_alert() -> Alert:
    return Alert(
        "STALE", Subject("stale_data", "feed_actions"), "", "open", "warning", START, START, 2, "opened",
        origin="feed_actions", notification="stale-feed_actions", notified_at=START,
    )  # fmt: skip


HOUR = 4
DAY = 96


@pytest.mark.parametrize(
    ("lines", "sent"),
    [
        # one alert: once, and its end after two normal slots
        ({"views": "..====.."}, "2 opened, 7 resolved"),
        ({"views": "=.=.=.=.."}, "0 opened, 8 resolved"),
        ({"views": "=?=? =.."}, "0 opened, 7 resolved"),
        # reminders at doubled gaps, where it still fires
        ({"views": "=" * 24 + ".."}, "0 opened, 16 reminder, 25 resolved"),
        ({"views": "0" * 130}, "0 opened, 16 reminder, 48 reminder, 112 reminder"),
        ({"views": "=" * 15 + "??" + "=.."}, "0 opened, 17 reminder, 19 resolved"),
        # what returns within two hours is the same alert, takes four slots to end, and is announced
        ({"views": "=..==...."}, "0 opened, 2 resolved, 3 updated, 3 reminder, 8 resolved"),
        ({"views": "=..=....=" + "." * 8}, "0 opened, 2 resolved, 3 updated, 3 reminder, 7 resolved, "
         "8 updated, 8 reminder, 16 resolved"),
        ({"views": "=" + "." * 12 + "=.."}, "0 opened, 2 resolved, 13 opened, 15 resolved"),
        # after hours it is the same for a day
        ({"views": "=" * 17 + "." * 12 + "=...."},
         "0 opened, 16 reminder, 18 resolved, 29 updated, 29 reminder, 33 resolved"),
        # the rebound after an outage is a part of it; an outage within a rise is not
        ({"views": "==++.."}, "0 opened, 3 resolved"),
        ({"views": "==..++.."}, "0 opened, 3 resolved"),
        ({"views": "++0++.."}, "0 opened, 2 opened, 4 resolved, 6 resolved"),
        # a rise by more than what was missing is no rebound
        ({"views": "=...", "likes": ".^.."}, "0 opened, 1 opened, 2 resolved, 3 resolved"),
        ({"views": "====....", "likes": "....^..."}, "0 opened, 5 resolved"),
        ({"views": "=...", "likes": ".e.."}, "0 opened, 1 opened, 2 resolved, 3 resolved"),
        # several metrics of a slot are one message; what follows from the same source joins it
        ({"views": ".==....", "likes": ".===..."}, "1 opened, 5 resolved"),
        ({"views": "========..", "likes": "......==.."}, "0 opened, 6 updated, 9 resolved"),
        # another source joins if both may have failed at once; that all is gone a while later is news
        ({"views": "=====..", "messages": "..-==.."}, "0 opened, 2 updated, 3 updated, 6 resolved"),
        ({"views": "======", "messages": "..0000"}, "0 opened, 2 opened"),
        ({"views": "======", "messages": ".+++++"}, "0 opened, 1 opened"),
        ({"views": "------", "messages": ".=====", "likes": ".-----"}, "0 opened, 1 opened, 1 updated"),
        ({"views": "0...0...0....", "messages": "....0...0...."},
         "0 opened, 2 resolved, 4 updated, 4 reminder, 12 resolved"),
        # getting worse changes the message
        ({"views": "--=..", "likes": "-----"}, "0 opened, 2 updated"),
        # a slice is a part of its total, and for as long as the detectors look back after it
        ({"views": ".===..", "views Android": ".===.."}, "1 opened, 5 resolved"),
        ({"views": "......", "views Android": ".===.."}, "1 opened, 5 resolved"),
        ({"views": "===" + "." * 9, "views Android": "=" * 9 + "..."}, "0 opened, 4 resolved"),
        ({"views": "===" + "." * 16, "views Android": "=" * 17 + ".."}, "0 opened, 4 resolved, 12 opened, 18 resolved"),
        ({"views": "===" + "." * 7, "views Android": "..........", "views iOS": "......tt.."}, "0 opened, 4 resolved"),
        # so is what only the look-back shows of another metric of the source
        ({"views": "===.......", "likes Android": "......tt.."}, "0 opened, 4 resolved"),
        ({"views": "===.......", "likes Android": "......==.."}, "0 opened, 4 resolved, 6 opened, 9 resolved"),
        # a day without verdicts ends it
        ({"views": "=" + "?" * 97}, "0 opened, 96 resolved"),
        # an outage on the day of a launch, and a level much higher than the accepted one
        ({"views": "*" + "+" * 30 + "0000++++"}, "0 opened, 16 reminder, 24 resolved, 31 opened, 36 resolved"),
        ({"views": "+" * 25 + "*+"}, "0 opened, 16 reminder, 24 resolved, 25 opened"),
        # other metrics that rise after a launch are a part of it
        ({"views": "*" + "+" * 40, "messages": "." * 30 + "+" * 11, "likes": "." * 10 + "+" * 3 + "." * 28},
         "0 opened, 10 updated, 16 reminder, 24 resolved"),
        # hundreds of slices
        ({f"views city {number}": "=.." for number in range(500)}, "0 opened, 2 resolved"),
    ],
)  # fmt: skip
def test_what_is_notified(lines: dict[str, str], sent: str) -> None:
    assert Course().run(lines) == sent


@pytest.mark.parametrize(
    ("lines", "options", "sent"),
    [
        # old slots are recorded; what still lasts is notified at the first recent one
        ({"views": ".==......."}, {"old": range(8)}, ""),
        ({"views": ".=======.."}, {"old": range(5)}, "5 opened, 9 resolved"),
        ({"views": "==........"}, {"old": range(1, 7)}, "0 opened, 7 resolved"),
        # so is what still lasts when a mute ends
        ({"views": "==........"}, {"muted": range(4)}, ""),
        ({"views": "======.."}, {"muted": range(4)}, "4 opened, 7 resolved"),
        ({"views": "=" * 40}, {"muted": range(1, 30)}, "0 opened, 30 reminder"),
        # a stale source says that its metrics are at nothing, and nothing else
        ({"views": "..000..", "likes": "..000.."}, {"stale": range(2, 5)}, ""),
        ({"views": "..=..", "likes": "..0.."}, {"stale": [2]}, "2 opened, 4 resolved"),
        ({"views": "..00==.."}, {"stale": [2, 3]}, "4 opened, 7 resolved"),
        ({"views": "..00..", "messages": "..00.."}, {"stale": [2, 3]}, "2 opened, 5 resolved"),
        ({"views": "..00..", "views Android": "..00.."}, {"stale": [2, 3]}, ""),
    ],
)
def test_what_mutes_and_stale_sources_hold_back(lines: dict[str, str], options: dict[str, Any], sent: str) -> None:
    assert Course().run(lines, **options) == sent


@pytest.mark.parametrize(
    ("line", "sent", "change"),
    [
        # a launch: one message, one reminder, and after six hours the new normal, also the next day
        ("*" + "+" * 24, "0 opened, 16 reminder, 24 resolved", "new_normal"),
        ("*" + "+" * (3 * DAY), "0 opened, 16 reminder, 24 resolved", "new_normal"),
        ("*" + "+" * 30 + "." * 40 + "+" * 30 + ".." * DAY, "0 opened, 16 reminder, 24 resolved", "new_normal"),
        # launched in the evening, it returns in the morning without a message
        ("*" + "+" * 12 + "." * 32 + "+" * 12, "0 opened, 14 resolved", "new_normal"),
        # a fall takes a day, an outage is never normal
        ("=" + "-" * 95, "0 opened, 16 reminder, 48 reminder", "continues"),
        ("=" + "-" * 96, "0 opened, 16 reminder, 48 reminder, 96 resolved", "new_normal"),
        ("0" * 100, "0 opened, 16 reminder, 48 reminder", "continues"),
    ],
)
def test_a_level_that_lasts_becomes_the_new_normal(line: str, sent: str, change: str) -> None:
    course = Course()
    assert course.run({"views": line}) == sent
    assert course.alert("views").change == change


def test_an_alert_records_how_it_went() -> None:
    course = Course()
    course.run({"views": "..-==-..", "views Android": "..-==-.."})
    alert = course.alert("views")
    assert (alert.state, alert.severity, alert.variant) == ("resolved", "critical", "down")
    assert alert.opened_at == START + 2 * SLOT
    assert alert.closed_at == START + 6 * SLOT  # the first of the two normal slots
    assert (alert.worst_change, alert.worst_at) == (pytest.approx(-0.8), START + 3 * SLOT)
    assert course.alert("views Android").notification == ""
    assert course.names(0) == {"views"}


def test_what_inhibits_an_alert_is_recorded() -> None:
    course = Course()
    course.run({"views": "==", "views Android": "==", "likes": "00"}, stale=[0, 1])
    assert course.alert("views Android").inhibited_by == course.alert("views").id
    assert course.alert("likes").inhibited_by == "stale feed_actions"
    course = Course()
    course.run({"views": "=="}, muted=[0, 1])
    assert course.alert("views").inhibited_by == "muted"


@pytest.mark.parametrize(
    ("days", "lines", "sent"),
    [
        (7, {"views": "=.."}, ""),
        (7, {"views": "--.."}, ""),
        (7, {"views": "0..."}, "0 opened, 2 resolved"),  # larger
        (7, {"views": "-0.."}, "1 opened, 3 resolved"),
        (7, {"views": "+.."}, "0 opened, 2 resolved"),  # the other direction
        (7, {"likes": "=.."}, "0 opened, 2 resolved"),
        (7, {"views Android": "=.."}, "0 opened, 2 resolved"),
        (29, {"views": "=.."}, "0 opened, 2 resolved"),
    ],
)
def test_what_is_no_incident_is_sent_again_only_if_larger(days: int, lines: dict[str, str], sent: str) -> None:
    course = Course()
    course.run({"views": "=.."})
    course.answer("views")
    course.sent, course.start, course.number = [], START + days * 24 * HOUR * SLOT, 0
    assert course.run(lines) == sent


def test_what_is_marked_as_not_an_incident_stays_quiet_after_it_expired() -> None:
    course = Course()
    course.run({"views": "="})
    course.answer("views")
    course.run({"views": "?" * (25 * HOUR)})  # not evaluated for a day
    assert course.alert("views").state == "expired"
    assert course.run({"views": "=.."}) == ""
    assert "opened" in course.run({"views": "0.."})  # larger


def test_an_open_incident_that_is_marked_as_none_has_no_reminder_until_it_is_larger() -> None:
    course = Course()
    course.run({"views": "--"})
    course.answer("views")
    assert course.run({"views": "-" * 30}) == ""
    assert course.run({"views": "==.."}) == "32 updated, 32 reminder, 35 resolved"


@pytest.mark.parametrize(
    ("change", "days_ago", "incident", "inhibits"),
    [
        (-0.5, 0, {}, True),
        (-0.5, 6, {}, True),
        (-0.5, 6, {"worst_change": -0.25}, True),  # up to twice as large is the same level
        (-0.5, 6, {"worst_change": -0.2}, False),
        (-0.5, 8, {}, False),
        (+0.5, 6, {}, False),  # the other direction
        (-0.5, 6, {"notification": ""}, False),
        (-0.5, 6, {"origin": "message_actions"}, False),
        (-0.5, 6, {"subject": Subject("anomaly", "views", "os", "iOS")}, False),
    ],
)
def test_an_incident_inhibits_volumes_for_a_week(
    change: float, days_ago: int, incident: dict[str, Any], inhibits: bool
) -> None:
    ended = START - datetime.timedelta(days=days_ago, hours=1)
    given = {"subject": Subject("anomaly", "views"), "origin": "feed_actions", "notification": "anomaly-1",
             "worst_change": -0.5, **incident}  # fmt: skip
    source = Alert(
        id="A7K2Q", variant="down", state="resolved", severity="critical", opened_at=ended - SLOT, last_at=ended,
        normal_needed=2, change="new_normal", notified_at=ended, closed_at=ended, **given,
    )  # fmt: skip
    volume = Condition(
        Subject("odd_day", "feed_actions"), "firing", START, "up" if change > 0 else "down", origin="feed_actions",
        change=change, since=START - SLOT, key="volume",
    )  # fmt: skip
    found = step(START, [], [volume], inhibitors=[source])
    assert [alert.inhibited_by for alert in found.alerts] == [source.id if inhibits else ""]


def test_a_metric_that_was_removed_closes_its_alerts() -> None:
    course = Course()
    course.run({"views": "=="})
    sources = {name: source for name, source in METRICS.items() if name != "views"}
    assert course.run({"likes": "."}, metrics=sources) == "2 resolved"
    assert (course.alert("views").state, course.alert("views").change) == ("expired", "metric_removed")


def test_keys_and_threads_name_the_slot_and_the_message() -> None:
    course = Course()
    course.run({"views": "=" * 17 + ".." + "=....", "likes": ".=.."})
    key = "anomaly-2026-11-20-10:00"
    assert [(found.key.removeprefix(key), found.thread) for _, found in course.sent] == [
        ("", ""),
        ("-2026-11-20-10:15", key),
        ("-reminder-1", key),
        ("-resolved-2026-11-20-14:30", key),
        ("-2026-11-20-14:45", key),
        ("-again-2026-11-20-14:45", key),
        ("-resolved-2026-11-20-15:45", key),
    ]


def test_the_first_reminder_is_set_by_hours() -> None:
    course = Course(policies(datetime.timedelta(hours=1)))
    assert course.run({"views": "=====.."}) == "0 opened, 4 reminder, 6 resolved"
    longest = [policy.longest_gap for policy in policies(datetime.timedelta(days=7)).values()]
    assert min(longest) >= datetime.timedelta(days=7)


# --- whatever happens -------------------------------------------------------------------------------------------------

_LINES = st.text(".=-0+?t", min_size=1, max_size=60)


@settings(max_examples=max(15, settings().max_examples))
@given(views=_LINES, likes=_LINES, android=_LINES, old=st.sets(st.integers(0, 59)))
def test_messages_are_unique_and_each_is_ended(views: str, likes: str, android: str, old: set[int]) -> None:
    course = Course()
    length = max(map(len, (views, likes, android))) + DAY + 1  # whatever it takes to end
    lines = {"views": views, "likes": likes, "views Android": android}
    course.run({name: line.ljust(length, ".") for name, line in lines.items()}, old=old)
    keys = [found.key for _, found in course.sent]
    assert len(keys) == len(set(keys))
    assert not [alert for alert in course.alerts.values() if alert.is_open]
    is_open: dict[str, bool] = {}
    for _, found in course.sent:
        assert found.alerts, "every message is about something"
        if found.kind == "opened":
            is_open[found.key] = True
        elif found.kind == "resolved":
            assert is_open[found.thread], "nothing ends twice"
            is_open[found.thread] = False
        else:
            assert found.thread in is_open
            is_open[found.thread] = True
    assert not any(is_open.values())


@settings(max_examples=max(15, settings().max_examples))
@given(lines=st.lists(_LINES, min_size=2, max_size=3), old=st.sets(st.integers(0, 59)))
def test_a_slot_that_is_processed_again_gives_the_same(lines: list[str], old: set[int]) -> None:
    names = ("views", "views Android", "messages")[: len(lines)]
    alerts: dict[str, Alert] = {}
    for position in range(max(map(len, lines))):
        signs = {SERIES[name]: line[position] for name, line in zip(names, lines, strict=True) if position < len(line)}
        slot = Slot(START + position * SLOT)
        verdicts = [verdict(series, sign) for series, sign in signs.items()]
        once, again = (
            step(slot.start, before, list(conditions_of(slot, found, before, METRICS)), notifies=position not in old)
            for before, found in (
                (list(alerts.values()), verdicts),
                (list(reversed(alerts.values())), list(reversed(verdicts))),
            )
        )
        assert once == again
        alerts |= {alert.id: alert for alert in once.alerts}


def _verdict(
    dimension: str, value: str, actual: float | None, expected: float | None, trials: float | None = None
) -> Verdict:
    return Verdict(Series("views", dimension, value), "anomalous", value=actual, expected=expected, trials=trials)


TOTAL = _verdict("total", "total", 580, 1000)
ANDROID, IOS = _verdict("os", "Android", 200, 600), _verdict("os", "iOS", 380, 400)
ADS, ORGANIC = _verdict("source", "ads", 290, 500), _verdict("source", "organic", 290, 500)


def test_the_dimension_in_which_the_change_is_most_uneven_explains_it() -> None:
    found = contributions_to(TOTAL, [ADS, ORGANIC, IOS, ANDROID])
    assert [(contribution.dimension, contribution.value) for contribution in found] == [
        ("os", "Android"),
        ("os", "iOS"),
    ]
    assert found[0].change == pytest.approx(-2 / 3)
    assert found[0].share_of_change == pytest.approx(400 / 420)
    assert found[1].share_of_change is None  # a twentieth of the drop is not worth a word


def test_slices_without_an_expected_value_and_tiny_ones_are_left_out() -> None:
    unknown, tiny = _verdict("os", "new", 5, None), _verdict("os", "Symbian", 0, 3)
    assert {contribution.value for contribution in contributions_to(TOTAL, [ANDROID, IOS, unknown, tiny])} == {
        "Android",
        "iOS",
    }


def test_of_a_rate_a_slice_counts_by_its_trials() -> None:
    total = _verdict("total", "total", 0.10, 0.20, trials=1000)
    small, large = _verdict("os", "iOS", 0.0, 0.20, trials=100), _verdict("os", "Android", 0.111, 0.20, trials=900)
    found = contributions_to(total, [small, large])
    assert [contribution.value for contribution in found] == ["Android", "iOS"]
    assert found[1].share_of_change == pytest.approx(0.2)


def test_nothing_explains_what_moved_alike_or_cannot_be_compared() -> None:
    assert contributions_to(TOTAL, [ADS, ORGANIC]) == ()
    for value, expected in ((None, 1000), (5, 0), (7, 7)):
        assert contributions_to(_verdict("total", "total", value, expected), [ANDROID, IOS]) == ()
