"""One message over one channel, against real servers: stored before it is tried, marked after the answer, once."""

from __future__ import annotations

import datetime
from contextlib import suppress
from pathlib import Path

import pytest

from metrics_platform.channel_settings import parse_smtp_url
from metrics_platform.notifications import kinds
from metrics_platform.notifications.composer import render
from metrics_platform.notifications.email import EmailChannel
from metrics_platform.notifications.history import Reopened
from metrics_platform.notifications.queueing import MAX_DIGEST
from metrics_platform.notifications.writer import Writer
from metrics_platform_tests.notifications import mail_server
from metrics_platform_tests.notifications.delivery import (
    ALL_CLEAR,
    FAILED,
    OPENING,
    REPORT,
    UPDATE,
    Delivery,
    Killed,
    Recorder,
    charted_alert,
    digest_of,
    failed_runs,
)
from metrics_platform_tests.notifications.examples import EXAMPLES, writer
from metrics_platform_tests.telegram.bot_api import Fault
from metrics_platform_tests.telegram.state import Standing

# --- once, and remembered --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [*EXAMPLES])
def test_every_kind_is_delivered_once_and_closed(delivery: Delivery, key: str) -> None:
    event = EXAMPLES[key]
    delivery.queue(*EXAMPLES.values())
    outcome = delivery.deliver(key)
    assert outcome.closed is not None
    assert outcome.failures == {}
    assert delivery.deliver(key).closed == outcome.closed
    assert len(delivery.entries(key, "closed")) == 1
    texts = [text for text in delivery.texts if text]
    assert len(texts) == len(set(texts))
    assert bool(delivery.seen) == (not isinstance(event, kinds.AnomalyUpdated))


def test_a_reopened_message_is_sent_once_more_and_replies_go_to_the_new_one(delivery: Delivery) -> None:
    delivery.queue(OPENING, ALL_CLEAR)
    delivery.deliver(OPENING)
    delivery.write(OPENING, Reopened())
    delivery.deliver(OPENING)
    delivery.deliver(OPENING)
    assert len(delivery.seen) == 2
    delivery.deliver(ALL_CLEAR)
    assert delivery.seen[2].reply_to == delivery.seen[1].message_id
    assert delivery.texts[0] != delivery.texts[1]  # the new one was marked as over, the old one was not
    assert "🔴" in delivery.texts[0]


# --- templates that fail ---------------------------------------------------------------------------------------------


@pytest.fixture
def speechless(monkeypatch: pytest.MonkeyPatch) -> None:
    """The template of failed runs has a mistake in it."""

    text = Writer.text

    def broken(self: Writer, template: str, **facts: object) -> str:
        return text(self, template, **({} if template == "failed_run" else facts))

    monkeypatch.setattr(Writer, "text", broken)


@pytest.mark.usefixtures("speechless")
def test_a_template_that_fails_leaves_the_facts_going_and_a_warning(delivery: Delivery) -> None:
    delivery.queue(FAILED)
    outcome = delivery.deliver(FAILED)
    assert outcome.closed is not None
    (text,) = delivery.texts
    assert text.startswith("❌ FAILED · failed_run")
    assert '"job": "daily_etl"' in text and "Memory limit" in text and "undefined" in text
    assert not delivery.seen[0].silent
    assert any("template of" in warning for warning in delivery.warnings)


# --- late, and in parts ----------------------------------------------------------------------------------------------


def test_what_the_fallback_got_early_is_late_where_it_comes_late(delivery: Delivery) -> None:
    delivery.queue(FAILED)
    delivery.api.chat(delivery.chat).standing = Standing.KICKED
    delivery.deliver(FAILED, "telegram", "slack")
    delivery.api.chat(delivery.chat).standing = Standing.WELCOME
    delivery.clock.now = 3 * 3600
    delivery.deliver(FAILED, "telegram")
    assert "Delayed" in delivery.texts[0]
    assert "Delayed" not in delivery.slack.texts()


def test_the_parts_are_cut_the_same_on_a_later_try(delivery: Delivery) -> None:
    delivery.wordy = True
    delivery.queue(charted_alert())
    delivery.deliver("anomaly-charted")
    whole = delivery.texts
    delivery.queue(charted_alert("anomaly-again"))
    before = len(delivery.seen)
    delivery.api.faults.add(Fault.server_error(), method="sendMessage", nth=1, times=9)
    delivery.deliver("anomaly-again")  # written, not sent: this writing does not count
    delivery.api.faults.clear()
    delivery.clock.now += 60
    delivery.api.faults.add(Fault.refusal(400, "Bad Request: try later"), method="sendMessage", nth=2)
    delivery.deliver("anomaly-again")
    delivery.clock.now += 3 * 3600  # written now, it would have a line more
    delivery.deliver("anomaly-again")
    assert [text.replace("anomaly-again", "anomaly-charted") for text in delivery.texts[before:]] == whole
    composed = {entry.composed_at for entry in delivery.entries("anomaly-again", "sending")[1:]}
    assert len(composed) == 1


# --- charts ---------------------------------------------------------------------------------------------------------


def test_a_chart_that_cannot_be_drawn_leaves_the_text_going_and_a_warning(delivery: Delivery) -> None:
    delivery.cannot_draw = True
    delivery.queue(OPENING)
    outcome = delivery.deliver(OPENING)
    assert outcome.closed is not None
    assert delivery.seen[0].kind == "text"
    assert "Views" in delivery.texts[0]
    assert any("could not be drawn" in warning and "no fonts here" in warning for warning in delivery.warnings)


def test_a_chart_that_cannot_be_drawn_any_more_does_not_keep_the_message_open(delivery: Delivery) -> None:
    delivery.queue(REPORT)
    delivery.api.faults.add(Fault.server_error(), method="sendMediaGroup", times=9)
    assert delivery.deliver(REPORT).closed is None
    assert len(delivery.seen) == 1
    delivery.cannot_draw = True
    outcome = delivery.deliver(REPORT)
    assert outcome.closed.outcome == "delivered"
    assert len(delivery.seen) == 1
    assert "left out" in delivery.entries(REPORT, "sent")[-1].notes[0]


# --- copies ---------------------------------------------------------------------------------------------------------


def test_a_message_with_a_copy_is_closed_when_both_are_sent_once(delivery: Delivery) -> None:
    delivery.with_slack(copy_to_slack="failed")
    delivery.queue(FAILED)
    delivery.slack.answers = [(500, "", {})] * 4
    assert delivery.deliver(FAILED).closed is None
    second = delivery.deliver(FAILED)
    assert second.closed.text == "telegram, slack"
    assert len(delivery.seen) == 1
    assert len(delivery.slack.payloads) == 5


def test_a_bug_in_a_channel_is_recorded_and_the_others_still_send(delivery: Delivery) -> None:
    delivery.with_slack(copy_to_slack="failed")
    delivery.queue(FAILED)
    delivery.more_channels["telegram"] = Recorder("telegram", error=KeyError(f"bot{delivery.api.token}"))
    outcome = delivery.deliver(FAILED)
    assert "Unexpected error" in str(outcome.failures["telegram"])
    assert len(delivery.slack.payloads) == 1
    assert delivery.entries(FAILED, "failed")[0].reason == "refused"
    assert "test_dispatcher" not in delivery.entries(FAILED, "failed")[0].text
    assert any("Traceback" in warning for warning in delivery.warnings)
    assert delivery.api.token not in str(delivery.warnings) + str(delivery.entries(FAILED))


def test_by_email_the_all_clear_is_in_the_thread_of_its_alert(delivery: Delivery, tmp_path: Path) -> None:
    certificate = mail_server.make_certificate(tmp_path)
    with mail_server.running(certificate, tls="none", login=False) as server:
        url = f"smtp://127.0.0.1:{server.port}"
        delivery.more_channels["email"] = EmailChannel(
            parse_smtp_url(url), "desk@example.com", ("team@example.com",), policy=delivery.clock.policy
        )
        delivery.more_settings = {
            "smtp_url": url,
            "email_from": "desk@example.com",
            "email_to": "team@example.com",
            "copy_to_email": "critical,resolved",
        }
        delivery.queue(OPENING, ALL_CLEAR)
        for key in (OPENING, ALL_CLEAR):
            assert delivery.deliver(key).closed is not None
        opening, all_clear = server.mails
        assert all_clear["In-Reply-To"] == opening["Message-ID"]
        assert [len(server.mails), len(delivery.seen)] == [2, 2]


# --- digests --------------------------------------------------------------------------------------------------------


def test_a_digest_closes_each_of_its_messages(delivery: Delivery) -> None:
    runs = failed_runs(MAX_DIGEST)
    delivery.queue(*runs, digest_of(runs))
    assert delivery.deliver("digest-x").closed is not None
    assert all(f"job_{number:03d}" in "\n".join(delivery.texts) for number in range(MAX_DIGEST))
    assert len(delivery.seen) <= 2
    for run in runs:
        (sent,) = delivery.entries(run.key, "sent")
        assert (sent.within, sent.message_ids) == ("digest-x", (str(delivery.seen[0].message_id),))
        assert delivery.outcome(run.key) == "delivered"
        delivery.deliver(run.key)
    assert len(delivery.seen) <= 2
    assert not delivery.seen[0].silent


def test_a_digest_of_what_a_channel_got_one_by_one_is_not_sent_there_again(delivery: Delivery) -> None:
    runs = failed_runs(6)
    delivery.with_slack()
    delivery.queue(*runs)
    for run in runs:
        delivery.deliver(run.key, "slack")
    delivery.queue(digest_of(runs))
    delivery.deliver("digest-x", "slack")
    assert len(delivery.slack.payloads) == 6
    assert delivery.entries("digest-x", "sent")[0].channel == "slack"
    assert delivery.deliver("digest-x").closed is not None
    assert len(delivery.seen) == 1


# --- an incident is one message: changes are edits, the all-clear is a silent reply -----------------------------------


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _without_charts(key: str = OPENING) -> kinds.AnomalyOpened:
    plain = tuple(anomaly.model_copy(update={"history": None}) for anomaly in EXAMPLES[OPENING].anomalies)
    return EXAMPLES[OPENING].model_copy(update={"anomalies": plain, "key": key})


@pytest.fixture(params=["as a caption", "as a text", "as a text with a picture"])
def opening(request: pytest.FixtureRequest) -> kinds.AnomalyOpened:
    return {
        "as a caption": EXAMPLES[OPENING],
        "as a text": _without_charts(),
        "as a text with a picture": charted_alert(OPENING),
    }[request.param]


# --- the whole life of an incident ----------------------------------------------------------------------------------


def test_an_incident_is_one_message_and_its_all_clear_a_silent_reply(
    delivery: Delivery, opening: kinds.AnomalyOpened
) -> None:
    delivery.queue(opening, UPDATE, ALL_CLEAR)
    for key in (OPENING, UPDATE, ALL_CLEAR):
        delivery.clock.now += 900
        outcome = delivery.deliver(key)
        assert outcome.closed.outcome == "delivered"
    beside = {make().title for make in render(opening, writer()).charts}  # a picture of its own below a long text
    first, reply = [message for message in delivery.seen if message.text and message.text not in beside]
    # The picture of the opening shows one metric, that of the update two.
    assert ("editMessageMedia" in [call.method for call in delivery.api.calls]) == bool(first.photo)
    assert not first.silent
    assert reply.silent
    assert reply.reply_to == first.message_id
    assert reply.text.startswith("✅ RESOLVED")
    assert len(first.edits) == 2
    before, updated = first.edits
    assert _first_line(before.text).startswith("🔴 CRITICAL")
    assert "Likes" in _first_line(updated.text)
    assert _first_line(first.text).startswith("✅ RESOLVED")
    assert "Likes" in _first_line(first.text)
    # Its whole text says that it is over: the values are those of the alert, and there is nothing left to do.
    assert "Next" in updated.text and "Next" not in first.text
    assert "At the alert, 10:45–11:00" in first.text


_NEWER = EXAMPLES[UPDATE].model_copy(
    update={
        "key": "newer",
        "occurred_at": EXAMPLES[UPDATE].occurred_at + datetime.timedelta(minutes=15),
        "anomalies": EXAMPLES[UPDATE].anomalies[:1],
    }
)


# Of each message in the chat: how it begins, whether its first line names the metric of the update, whether it is
# silent, and whether it replies to the first message.
@pytest.mark.parametrize(
    ("delivered", "seen"),
    [
        ([OPENING, "anomaly-A7K2Q-reminder-1"], [("🔴", False, False, False), ("🔴", False, False, True)]),
        ([ALL_CLEAR, UPDATE], [("✅", False, True, False)]),
        ([UPDATE, OPENING], [("🔴", True, False, False)]),
        ([UPDATE, ALL_CLEAR, OPENING], [("✅", False, True, False), ("✅", True, True, False)]),
        ([OPENING, ALL_CLEAR, UPDATE], [("✅", False, False, False), ("✅", False, True, True)]),
        ([OPENING, _NEWER, UPDATE], [("🔴", False, False, False)]),
    ],
    ids=["a reminder", "unknown", "updated before", "over before", "updated after", "older update"],
)
def test_an_incident_reads_right_whatever_the_order_of_its_messages(
    delivery: Delivery, delivered: list[str | kinds.Event], seen: list[tuple[str, bool, bool, bool]]
) -> None:
    keys = [event if isinstance(event, str) else event.key for event in delivered]
    delivery.queue(*delivered)
    for key in keys:
        assert delivery.deliver(key).closed is not None
    first = delivery.seen[0].message_id
    shown = [
        (message.text[0], "Likes" in _first_line(message.text), message.silent, message.reply_to == first)
        for message in delivery.seen
    ]
    assert shown == seen


# --- where the opening is not as it should be -----------------------------------------------------------------------


def test_an_opening_that_went_in_a_digest_is_replied_to_there_and_the_digest_stays(delivery: Delivery) -> None:
    opening = _without_charts()
    events = [opening, *failed_runs(6)]
    delivery.queue(*events, digest_of(events, severity="critical"), UPDATE, ALL_CLEAR)
    delivery.deliver("digest-x")
    before = delivery.texts[0]
    update, all_clear = delivery.deliver(UPDATE), delivery.deliver(ALL_CLEAR)
    assert update.closed.outcome == "nothing_to_do"
    assert all_clear.closed is not None
    assert delivery.seen[1].reply_to == delivery.seen[0].message_id
    assert delivery.texts[0] == before


def test_an_all_clear_in_a_digest_still_changes_the_first_line_of_its_opening(delivery: Delivery) -> None:
    delivery.queue(OPENING)
    delivery.deliver(OPENING)
    events = [EXAMPLES[ALL_CLEAR], *failed_runs(6)]
    delivery.queue(*events, digest_of(events))
    delivery.deliver("digest-x")
    assert delivery.texts[0].startswith("✅ RESOLVED")
    assert len(delivery.seen) == 2


def test_an_opening_deleted_in_the_chat_costs_nothing(delivery: Delivery) -> None:
    delivery.queue(OPENING, UPDATE, ALL_CLEAR)
    delivery.deliver(OPENING)
    del delivery.api.chat(delivery.chat).messages[delivery.seen[0].message_id]
    update, all_clear = delivery.deliver(UPDATE), delivery.deliver(ALL_CLEAR)
    assert update.closed.outcome == "nothing_to_do"
    assert all_clear.closed.outcome == "delivered"
    (message,) = delivery.seen
    assert message.reply_to is None


# --- faults ---------------------------------------------------------------------------------------------------------


def test_a_failed_edit_is_tried_again_and_the_all_clear_is_not_doubled(delivery: Delivery) -> None:
    delivery.queue(OPENING, ALL_CLEAR)
    delivery.deliver(OPENING)
    delivery.api.faults.add(Fault.server_error(), method="editMessageCaption", times=4)
    outcome = delivery.deliver(ALL_CLEAR)
    assert outcome.closed is None
    assert outcome.failures["telegram"].reason == "unreachable"
    assert len(delivery.seen) == 2
    assert delivery.deliver(ALL_CLEAR).closed is not None
    assert len(delivery.seen) == 2
    assert delivery.texts[0].startswith("✅")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(1, 7))
def test_an_all_clear_killed_anywhere_ends_with_the_first_line_changed(
    delivery: Delivery, number: int, after: bool
) -> None:
    delivery.queue(OPENING, ALL_CLEAR)
    delivery.deliver(OPENING)
    delivery.storage.die_at(number, after=after)
    with suppress(Killed):
        delivery.deliver(ALL_CLEAR)
    delivery.storage.writes_left = None
    last = delivery.storage.written[-1].entry.entry
    delivery.deliver(ALL_CLEAR)
    assert delivery.texts[0].startswith("✅")
    assert len(delivery.seen) == (3 if last == "sending" and number == 3 else 2)
    assert delivery.entries(ALL_CLEAR, "closed")
