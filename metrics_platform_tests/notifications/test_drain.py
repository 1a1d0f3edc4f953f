"""Runs of `notify` on a clock without waiting, against the strict Bot API: outages, bursts, limits, fallbacks, kills.

Nothing is simulated but the clock: the queue, the dispatcher and HTTP are real.
"""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import pytest

from metrics_platform.notifications import kinds
from metrics_platform.notifications.dispatcher import Attempt
from metrics_platform.notifications.queueing import BURST
from metrics_platform_tests.notifications.delivery import (
    ALL_CLEAR,
    FAILED,
    OPENING,
    REPORT,
    UPDATE,
    Delivery,
    Killed,
    Recorder,
    failed_runs,
)
from metrics_platform_tests.notifications.examples import EXAMPLES, anomaly
from metrics_platform_tests.telegram.bot_api import Fault

STALE = "stale-feed_actions-1"


def _alert(key: str = OPENING) -> kinds.Event:
    """An alert without a chart: drawing it takes longer than everything else."""
    return EXAMPLES[OPENING].model_copy(update={"key": key, "anomalies": (anomaly(),)})


def _report(number: int) -> kinds.Event:
    return EXAMPLES[REPORT].model_copy(update={"key": f"report-{number}", "parts": ()})


# --- outages --------------------------------------------------------------------------------------------------------


def test_after_three_hours_without_telegram_each_message_arrives_once_and_late(delivery: Delivery) -> None:
    delivery.api.down()
    for event, minutes in ((FAILED, 20), (_alert(), 60), (_report(1), 60), (ALL_CLEAR, 40)):
        delivery.happens(event)
        delivery.pass_time(minutes)
    tries = len(delivery.attempts)
    assert delivery.seen == []
    delivery.api.up()
    delivery.pass_time(6)
    # The first one found out that Telegram is back; the alert says by now that it is over.
    assert sorted(text[:12] for text in delivery.texts) == [
        "✅ RESOLVED ·",
        "✅ RESOLVED ·",
        "❌ FAILED · j",
        "📊 Sat 21 Nov",
    ]
    assert all("Delayed" in text for text in delivery.texts)
    alert, all_clear = (message for message in delivery.seen if message.text.startswith("✅"))
    assert all_clear.reply_to == alert.message_id
    assert 30 <= tries <= 50  # one message at a time finds out whether Telegram is back
    assert {delivery.outcome(key) for key in (FAILED, OPENING, "report-1", ALL_CLEAR)} == {"delivered"}


def test_a_burst_during_an_outage_is_one_late_digest_and_the_report_its_own_message(delivery: Delivery) -> None:
    delivery.api.down()
    runs = failed_runs(12)
    for run in runs:
        delivery.happens(run)
        delivery.pass_time(12)
    delivery.happens(_report(1), _alert())
    delivery.pass_time(10)
    delivery.api.up()
    delivery.pass_time(10)
    for run in runs:
        assert sum(f"{run.job} " in f"{text} ".replace("\n", " ") for text in delivery.texts) == 1, run.key
    assert sum("Period:" in text for text in delivery.texts) == 1
    assert sum("Views −41%" in text for text in delivery.texts) == 1
    assert any("DIGEST" in text and "Delayed" in text for text in delivery.texts)
    assert len(delivery.texts) <= 3 + BURST


def test_what_is_too_old_is_given_up_after_a_try_and_says_so(delivery: Delivery) -> None:
    delivery.more_settings["message_max_age_hours"] = 1
    delivery.api.down()
    delivery.happens(FAILED)
    delivery.pass_time(70)
    (closed,) = delivery.entries(FAILED, "closed")
    assert closed.outcome == "given_up"
    assert "METRICS_MESSAGE_MAX_AGE_HOURS" in closed.text
    delivery.api.up()
    delivery.pass_time(10)
    assert delivery.seen == []


# --- order, bursts, limits -------------------------------------------------------------------------------------------


def test_an_alert_queued_during_a_run_goes_before_what_waits_silently(delivery: Delivery) -> None:
    delivery.happens(*(_report(number) for number in range(4)))

    def then(attempt: Attempt) -> None:
        if attempt.key == "report-1":
            delivery.happens(_alert())

    delivery.at_each_attempt = then
    delivery.drain()
    assert [text[:2].strip() for text in delivery.texts] == ["📊", "📊", "🔴", "📊", "📊"]


def test_fifty_messages_leave_in_one_run_as_fast_as_the_limits_allow(delivery: Delivery) -> None:
    delivery.api.limits.enabled = True
    delivery.api.limits._clock = lambda: delivery.clock.now
    delivery.happens(*(_report(number) for number in range(50)))
    began = delivery.clock.now
    delivery.drain()
    assert len(delivery.seen) == 50
    assert all(call.ok for call in delivery.api.calls)
    assert delivery.clock.now - began < 2 * 61 + 12 * 1.05  # 20 a minute: 20 + 20 + 10


def test_a_message_that_kills_its_runs_holds_up_no_other(delivery: Delivery) -> None:
    delivery.happens(_alert("anomaly-poison"))

    class Deadly(Recorder):
        def steps(self, message: Any, context: Any) -> list[Any]:
            if message.key == "anomaly-poison":
                raise Killed
            return super().steps(message, context)

    telegram = delivery.more_channels["telegram"] = Deadly("telegram")
    for number in range(30):
        if number == 10:
            delivery.happens(FAILED)
        with suppress(Killed):
            delivery.drain()
        delivery.clock.now += 15
    assert telegram.keys == [FAILED]
    started = delivery.entries("anomaly-poison", "started")
    assert 4 <= len(started) <= 8  # less and less often


# --- the fallback ---------------------------------------------------------------------------------------------------


def test_slack_gets_once_what_waits_too_long_and_telegram_gets_it_later(delivery: Delivery) -> None:
    delivery.with_slack()
    delivery.api.down()
    delivery.happens(FAILED)
    delivery.pass_time(13)
    assert delivery.slack_texts == []
    delivery.happens(STALE)
    delivery.pass_time(5)
    assert [text[:8] for text in delivery.slack_texts] == ["❌ FAILED"]
    delivery.pass_time(60)
    assert len(delivery.slack_texts) == 2
    delivery.api.up()
    delivery.pass_time(6)
    assert {text[:8] for text in delivery.texts} == {"❌ FAILED", "🟠 WARNIN"}
    assert (len(delivery.seen), len(delivery.slack_texts)) == (2, 2)


# --- the queue ------------------------------------------------------------------------------------------------------


def test_a_run_waits_for_what_is_due_soon_and_ends_when_nothing_is(delivery: Delivery) -> None:
    delivery.api.faults.add(Fault.server_error(), times=4)
    delivery.happens(FAILED)
    step = delivery.drain()
    assert len(delivery.seen) == 1
    assert step.reason == "nothing is waiting"
    delivery.api.down()
    delivery.happens(STALE)
    step = delivery.drain()
    assert step.at is not None
    assert "telegram cannot be reached" in step.reason


def test_a_run_that_expects_more_sends_what_is_queued_meanwhile(delivery: Delivery) -> None:
    def queues_and_ends() -> bool:
        if delivery.clock.now >= 5 and not delivery.entries(FAILED):
            delivery.happens(FAILED)
            return False
        return delivery.clock.now < 5

    delivery.expects_more = queues_and_ends
    delivery.drain()
    assert len(delivery.seen) == 1


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_alerts_arrive_and_reports_arrive_at_most_once(delivery: Delivery, seed: int) -> None:
    dice = random.Random(seed)
    faults = [
        Fault.server_error(),
        Fault.dropped(processed=True),
        Fault.dropped(processed=False),
        Fault.too_many_requests(40),
        Fault.not_json(),
        Fault.refusal(403, "Forbidden: bot was kicked from the supergroup chat"),
    ]
    alerts = [*failed_runs(4), _alert()]
    events = [*alerts, *(_report(number) for number in range(3)), EXAMPLES[UPDATE], EXAMPLES[ALL_CLEAR]]
    for event in events:
        delivery.happens(event)
        for _ in range(dice.randrange(3)):
            delivery.api.faults.add(dice.choice(faults), times=dice.randrange(1, 6))
        if dice.random() < 0.4:
            delivery.storage.die_at(dice.randrange(1, 8), after=dice.random() < 0.5)
        with suppress(Killed):
            delivery.pass_time(dice.randrange(1, 30))
        delivery.storage.writes_left = None
    delivery.api.faults.clear()
    delivery.pass_time(180)
    assert all(delivery.outcome(event.key) in ("delivered", "nothing_to_do", "unknown") for event in events)
    assert all(delivery.outcome(event.key) == "delivered" for event in alerts)
    text = "\n".join(delivery.texts)
    assert all(f"job_{number:03d}" in text for number in range(4))
    assert "Views" in text
    for number in range(3):
        assert sum(f"report-{number}" in text for text in delivery.texts) <= 1
