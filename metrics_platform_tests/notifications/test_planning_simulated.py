"""Days of a desk, simulated: what holds whenever a channel is down, loses answers, or runs are killed."""

from __future__ import annotations

import datetime
import itertools

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from metrics_platform.notifications.kinds import AnomalyResolved, Event, FailedRun, StaleData, TestMessage
from metrics_platform.notifications.planning import BURST, MAX_DIGEST
from metrics_platform_tests.notifications.desk import ALL_CLEAR, OPENING, REPORT, START, failed_runs
from metrics_platform_tests.notifications.examples import EXAMPLES
from metrics_platform_tests.notifications.simulation import SLACK, World, settings_of

MINUTE, HOUR = 60.0, 3600.0
POISON = "run-poison"


def down_between(start: float, end: float, channel: str = "telegram", word: str = "down"):
    return lambda name, now, _: word if name == channel and start <= now < end else "up"


def poison(key: str = POISON) -> FailedRun:
    return FailedRun(key=key, occurred_at=START, job="poison", cause="")


def most_in_an_hour(moments: list[float]) -> int:
    return max((sum(1 for at in moments if start <= at < start + HOUR) for start in moments), default=0)


def pair(number: int, at: float) -> tuple[Event, AnomalyResolved]:
    """An alert and its all-clear."""
    opening = EXAMPLES[OPENING].model_copy(
        update={
            "key": f"anomaly-{number}",
            "occurred_at": START + datetime.timedelta(seconds=at),
            "anomalies": (
                EXAMPLES["anomaly-no-data"].anomalies  # type: ignore[attr-defined]
            ),
        }
    )
    all_clear = EXAMPLES[ALL_CLEAR].model_copy(update={"key": f"anomaly-{number}-over", "thread": opening.key})
    assert isinstance(all_clear, AnomalyResolved)
    return opening, all_clear


# --- a channel that is down ------------------------------------------------------------------------------------------


def test_a_message_leaves_at_the_next_tick() -> None:
    world = World()
    world.ask(poison())
    world.until(20)
    assert world.delivered() == [POISON]
    assert world.closed_at[POISON] <= 15


def test_three_hours_down_everything_is_out_minutes_after_and_the_channel_was_not_hammered() -> None:
    world = World(down_between(0, 3 * HOUR))
    arrivals = {number * 30 * MINUTE: [run] for number, run in enumerate(failed_runs(5))}
    world.until(3 * HOUR, arrivals)
    tries = world.channels["telegram"].tries
    assert most_in_an_hour(tries) <= 40
    assert 25 <= len(tries) <= 110
    world.until(3 * HOUR + 6 * MINUTE)
    assert sorted(world.delivered()) == [run.key for run in failed_runs(5)]
    assert not world.journal.open


def test_one_message_alone_is_tried_every_five_minutes_in_the_long_run() -> None:
    world = World(down_between(0, 3 * HOUR))
    world.ask(poison())
    world.until(3 * HOUR)
    tries = world.channels["telegram"].tries
    assert tries[0] < MINUTE
    assert tries[1] - tries[0] < 2 * MINUTE
    gaps = [later - earlier for earlier, later in itertools.pairwise(tries[5:])]
    assert all(5 * MINUTE <= gap <= 6.5 * MINUTE for gap in gaps)


def test_many_that_wait_do_not_make_more_tries() -> None:
    world = World(down_between(0, 3 * HOUR))
    world.ask(*failed_runs(100))
    world.until(3 * HOUR)
    assert most_in_an_hour(world.channels["telegram"].tries) <= 40
    world.until(3 * HOUR + 7 * MINUTE)
    assert not world.journal.open
    assert sorted(world.delivered()) == sorted(run.key for run in failed_runs(100))
    assert len(world.channels["telegram"].took) <= 3 + BURST


def test_the_waits_of_a_flooded_chat_are_obeyed() -> None:
    world = World(lambda name, now, key: "flood" if now < 25 * MINUTE else "up")
    world.retry_after = 1500.0
    world.ask(*failed_runs(3))
    world.until(HOUR)
    tries = world.channels["telegram"].tries
    assert tries[1] - tries[0] >= 1500
    assert sorted(world.delivered()) == sorted(run.key for run in failed_runs(3))


# --- bursts ----------------------------------------------------------------------------------------------------------


def test_fifty_at_once_are_two_messages() -> None:
    world = World()
    world.ask(*failed_runs(50))
    world.until(2 * MINUTE)
    assert sorted(world.delivered()) == [run.key for run in failed_runs(50)]
    assert len(world.channels["telegram"].took) == 2
    assert not world.journal.open


def test_five_hundred_in_a_night_without_telegram_are_a_handful() -> None:
    night = 2.5 * HOUR
    world = World(down_between(0, night), tick=20)  # seldom: hundreds are looked at in each tick
    runs = failed_runs(500)
    world.until(night + 14 * MINUTE, {number * night / 500: [run] for number, run in enumerate(runs)})
    assert sorted(world.delivered()) == [run.key for run in runs]
    assert len(world.channels["telegram"].took) <= 500 / MAX_DIGEST + 1 + BURST
    assert not world.journal.open


def test_five_hundred_in_a_night_are_digests_on_the_fallback_too_and_each_is_told_once() -> None:
    night = 2 * HOUR
    world = World(down_between(0, night), settings_of(slack_webhook_url=SLACK), tick=10)
    runs = failed_runs(500)
    world.until(night, {number * 60.0: runs[number * 100 : number * 100 + 100] for number in range(5)})
    assert sorted(world.delivered("slack")) == [run.key for run in runs]
    assert len(world.channels["slack"].took) <= 500 / MAX_DIGEST + 8
    world.until(night + 10 * MINUTE)
    assert sorted(world.delivered()) == [run.key for run in runs]
    assert sorted(world.delivered("slack")) == [run.key for run in runs]
    assert not world.journal.open


def test_reports_and_alerts_of_a_burst_are_messages_of_their_own() -> None:
    world = World()
    report = EXAMPLES["report-2026-11-19"]
    world.ask(report, *failed_runs(8))
    world.until(MINUTE)
    assert [key for _, key in world.channels["telegram"].took if not key.startswith("digest")] == [report.key]
    assert len(world.channels["telegram"].took) == 2


# --- one that is stuck does not hold up the others -------------------------------------------------------------------


@pytest.mark.parametrize("word", ["misconfigured", "refused", "killed before", "down", "lost"])
def test_a_message_that_never_gets_through_holds_up_nobody(word: str) -> None:
    world = World(lambda name, now, key: word if key == POISON else "up")
    world.ask(poison())
    arrivals: dict[float, list[Event]] = {
        (5 + number) * 10 * MINUTE: [run] for number, run in enumerate(failed_runs(20))
    }
    world.until(5 * HOUR, arrivals)
    for at, (run,) in arrivals.items():
        assert world.told_at(run.key), run.key
        assert world.told_at(run.key)[0] - at <= 3 * MINUTE
    assert most_in_an_hour(world.runs[POISON]) <= 20
    world.until(26 * HOUR)
    assert world.outcome(POISON) == "given_up"
    if word == "lost":
        assert len(world.told_at(POISON)) <= 60


def test_a_digest_that_is_refused_is_told_one_by_one_and_does_not_come_back() -> None:
    world = World(lambda name, now, key: "refused" if key.startswith("digest") else "up")
    world.ask(*failed_runs(8))
    world.until(10 * MINUTE)
    assert world.delivered() == [run.key for run in failed_runs(8)]
    assert not world.journal.open
    assert len([key for key in world.journal.asked_at if key.startswith("digest")]) == 1


@pytest.mark.parametrize("word", ["killed before"])
def test_a_digest_that_kills_its_runs_is_told_one_by_one(word: str) -> None:
    world = World(lambda name, now, key: word if key.startswith("digest") else "up")
    world.ask(*failed_runs(8))
    world.until(30 * MINUTE)
    assert sorted(world.delivered()) == [run.key for run in failed_runs(8)]
    assert not world.journal.open


def test_a_chat_that_is_set_up_wrongly_is_not_hammered_and_the_fallback_has_each_at_once() -> None:
    world = World(down_between(0, 5 * HOUR, word="misconfigured"), settings_of(slack_webhook_url=SLACK))
    runs = failed_runs(20)
    world.until(4 * HOUR, {number * 10 * MINUTE: [run] for number, run in enumerate(runs)})
    assert sorted(world.delivered("slack")) == [run.key for run in runs]
    for number, run in enumerate(runs):
        assert world.told_at(run.key, "slack")[0] - number * 10 * MINUTE < MINUTE
    assert most_in_an_hour(world.channels["telegram"].tries) <= 60
    world.until(5 * HOUR + 61 * MINUTE)
    assert sorted(world.delivered()) == [run.key for run in runs]


# --- the fallback ----------------------------------------------------------------------------------------------------


def test_the_fallback_gets_each_exactly_once_after_its_time_and_the_first_channel_later() -> None:
    world = World(down_between(0, 3 * HOUR), settings_of(slack_webhook_url=SLACK))
    runs = failed_runs(8)
    world.until(3 * HOUR, {number * 20 * MINUTE: [run] for number, run in enumerate(runs)})
    assert world.delivered("slack") == [run.key for run in runs]
    for number, run in enumerate(runs):
        waited = world.told_at(run.key, "slack")[0] - number * 20 * MINUTE
        assert 15 * MINUTE <= waited <= 18 * MINUTE
    world.until(3 * HOUR + 7 * MINUTE)
    assert sorted(world.delivered()) == [run.key for run in runs]
    assert world.delivered("slack") == [run.key for run in runs]
    assert not world.journal.open


def test_both_channels_down_neither_is_hammered_and_the_first_is_still_tried() -> None:
    world = World(lambda name, now, key: "down" if now < 5 * HOUR else "up", settings_of(slack_webhook_url=SLACK))
    world.ask(*failed_runs(30))
    world.until(5 * HOUR)
    for channel in world.channels.values():
        assert most_in_an_hour(channel.tries[10:]) <= 30
        assert len([at for at in channel.tries if at > 4 * HOUR]) >= 5
    world.until(5 * HOUR + 8 * MINUTE)
    assert sorted(world.delivered()) == [run.key for run in failed_runs(30)]
    for run in failed_runs(30):
        assert len(world.told_at(run.key, "slack")) <= 1


def test_copies_go_though_the_first_channel_is_down() -> None:
    settings = settings_of(slack_webhook_url=SLACK, copy_to_slack=("failed",))
    world = World(down_between(0, 3 * HOUR), settings)
    runs = failed_runs(5)
    world.until(3 * HOUR, {number * 20 * MINUTE: [run] for number, run in enumerate(runs)})
    for number, run in enumerate(runs):
        assert world.told_at(run.key, "slack")[0] - number * 20 * MINUTE <= 2 * MINUTE
    world.until(3 * HOUR + 7 * MINUTE)
    assert sorted(world.delivered()) == world.delivered("slack") == [run.key for run in runs]


def test_a_copy_that_is_refused_for_ever_holds_up_neither_the_all_clear_nor_others() -> None:
    settings = settings_of(slack_webhook_url=SLACK, copy_to_slack=("critical", "warning"))
    world = World(down_between(0, 99 * HOUR, channel="slack", word="misconfigured"), settings)
    opening, all_clear = pair(1, 0)
    world.until(2 * HOUR, {0: [opening], 10 * MINUTE: [all_clear]})
    assert world.delivered() == [opening.key, all_clear.key]
    assert most_in_an_hour(world.channels["slack"].tries) <= 6
    assert world.told_at(all_clear.key)[0] <= 11 * MINUTE


# --- age -------------------------------------------------------------------------------------------------------------


def test_what_could_not_be_delivered_is_given_up_when_it_is_too_old() -> None:
    world = World(down_between(0, 99 * HOUR), tick=20)
    world.ask(*failed_runs(10))
    world.until(25 * HOUR)
    assert not world.journal.open
    assert {world.outcome(run.key) for run in failed_runs(10)} == {"given_up"}
    assert all(24 * HOUR <= world.closed_at[run.key] <= 24.2 * HOUR for run in failed_runs(10))


def test_after_a_weekend_without_power_everything_gets_its_chance() -> None:
    world = World()
    world.ask(*failed_runs(3), EXAMPLES["report-2026-11-19"])
    world.now = 60 * HOUR
    world.until(60 * HOUR + 2 * MINUTE)
    assert not world.given_up
    assert len(world.delivered()) == 4


def test_after_a_weekend_without_power_and_telegram_it_is_given_up_after_a_try() -> None:
    world = World(down_between(0, 99 * HOUR))
    world.ask(*failed_runs(3))
    world.until(HOUR)
    world.now = 60 * HOUR
    world.until(60 * HOUR + 5 * MINUTE)
    assert not world.journal.open
    assert any(at >= 60 * HOUR for at in world.channels["telegram"].tries)


# --- order -----------------------------------------------------------------------------------------------------------


def test_an_alert_goes_before_what_waits_silently_and_the_rest_is_oldest_first() -> None:
    world = World()
    silent = [TestMessage(key=f"test-{number}", occurred_at=START) for number in range(10)]
    world.until(10, {0: list(silent)})
    world.ask(poison())
    world.until(5 * MINUTE)
    order = world.delivered()
    assert order.index(POISON) <= 2
    assert [key for key in order if key != POISON] == [event.key for event in silent]


def test_what_was_not_tried_yet_leaves_oldest_first() -> None:
    world = World(down_between(0, HOUR))
    quiet = [
        StaleData(key=f"stale-{number}", occurred_at=START, table="t", last_event_at=None, limit=datetime.timedelta(1))
        for number in range(5)
    ]
    world.until(HOUR + 6 * MINUTE, {number * 5 * MINUTE: [event] for number, event in enumerate(quiet)})
    order = world.delivered()
    assert sorted(order) == [event.key for event in quiet]
    assert order[1:] == sorted(order[1:])  # the first is the one that found out


# --- anything at all -------------------------------------------------------------------------------------------------

_words = st.sampled_from(["up", "up", "down", "down", "lost", "flood"])
_deaths = st.sampled_from(["killed before", "killed after"])


@hypothesis_settings(max_examples=25)
@given(data=st.data(), with_fallback=st.booleans())
def test_whatever_happens(data: st.DataObject, with_fallback: bool) -> None:
    stretches = data.draw(st.lists(st.tuples(_words, st.integers(2, 50)), min_size=1, max_size=6), label="weather")
    edges = list(itertools.accumulate(minutes * MINUTE for _, minutes in stretches))
    bad_until = edges[-1]
    deaths = data.draw(st.dictionaries(st.integers(0, 60), _deaths, max_size=4), label="deaths of tries")
    count = itertools.count()
    unknown: dict[str, int] = {}

    def weather(name: str, now: float, key: str) -> str:
        if name != "telegram":
            return "up"
        return next((word for (word, _), edge in zip(stretches, edges, strict=True) if now < edge), "up")

    more = {"slack_webhook_url": SLACK} if with_fallback else {}
    world = World(weather, settings_of(message_max_age_hours=6, **more))
    world.retry_after = 120.0
    plain = world.weather

    def with_deaths(name: str, now: float, key: str) -> str:
        word = plain(name, now, key)
        if name == "telegram" and world.run and world.run.ends <= now:
            word = deaths.get(next(count), word) if word == "up" else word
            unknown[key] = unknown.get(key, 0) + (word in {"lost", "killed after", "killed before"})
        return word

    world.weather = with_deaths
    times = data.draw(st.lists(st.integers(0, int(bad_until)), max_size=14), label="alerts")
    burst_at, burst = data.draw(st.integers(0, int(bad_until))), data.draw(st.sampled_from([0, 0, 5, 12, 60]))
    arrivals: dict[float, list[Event]] = {}
    pairs = []
    for number, at in enumerate(times):
        opening, all_clear = pair(number, at)
        pairs.append((opening, all_clear))
        arrivals.setdefault(at, []).append(opening)
        arrivals.setdefault(at + data.draw(st.integers(0, 1800)), []).append(all_clear)
    runs = failed_runs(burst)
    report = EXAMPLES[REPORT].model_copy(update={"parts": ()})
    arrivals.setdefault(burst_at, []).extend([report, *runs])
    world.until(max([*arrivals, bad_until]) + 40 * MINUTE, arrivals)

    everything = [event for each in arrivals.values() for event in each]
    # Well again for forty minutes (an answer that is always lost is asked for ever more seldom): all is out.
    assert not world.journal.open
    assert not world.given_up
    told = world.delivered()
    for event in everything:
        digests = [key for key in unknown if key.startswith("digest")]
        doubts = unknown.get(event.key, 0) + sum(unknown[key] for key in digests)
        if event.at_most_once:
            assert told.count(event.key) <= 1
            assert told.count(event.key) == 1 or world.outcome(event.key) == "unknown"
        else:
            assert 1 <= told.count(event.key) <= 1 + doubts, event.key
    for opening, all_clear in pairs:
        assert told.index(opening.key) < told.index(all_clear.key)
    if with_fallback:
        over_slack = world.delivered("slack")
        assert len(over_slack) == len(set(over_slack))
        # Of a burst the oldest has waited so long: the younger ones go with it in one message.
        for told_at, members in world.told_together("slack"):
            assert told_at - min(world.journal.asked_at[key] for key in members) >= 14 * MINUTE
    assert most_in_an_hour(world.channels["telegram"].tries) <= 60 + len(everything)
