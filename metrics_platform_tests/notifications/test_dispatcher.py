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
from metrics_platform_tests.notifications.desk import (
    ALL_CLEAR,
    FAILED,
    OPENING,
    REPORT,
    UPDATE,
    Desk,
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
def test_every_kind_is_delivered_once_and_closed(desk: Desk, key: str) -> None:
    event = EXAMPLES[key]
    desk.queue(*EXAMPLES.values())
    outcome = desk.deliver(key)
    assert outcome.closed is not None
    assert outcome.failures == {}
    assert desk.deliver(key).closed == outcome.closed
    assert len(desk.entries(key, "closed")) == 1
    texts = [text for text in desk.texts if text]
    assert len(texts) == len(set(texts))
    assert bool(desk.seen) == (not isinstance(event, kinds.AnomalyUpdated))


def test_a_reopened_message_is_sent_once_more_and_replies_go_to_the_new_one(desk: Desk) -> None:
    desk.queue(OPENING, ALL_CLEAR)
    desk.deliver(OPENING)
    desk.write(OPENING, Reopened())
    desk.deliver(OPENING)
    desk.deliver(OPENING)
    assert len(desk.seen) == 2
    desk.deliver(ALL_CLEAR)
    assert desk.seen[2].reply_to == desk.seen[1].message_id
    assert desk.texts[0] != desk.texts[1]  # the new one was marked as over, the old one was not
    assert "🔴" in desk.texts[0]


# --- templates that fail ---------------------------------------------------------------------------------------------


@pytest.fixture
def speechless(monkeypatch: pytest.MonkeyPatch) -> None:
    """The template of failed runs has a mistake in it."""

    text = Writer.text

    def broken(self: Writer, template: str, **facts: object) -> str:
        return text(self, template, **({} if template == "failed_run" else facts))

    monkeypatch.setattr(Writer, "text", broken)


@pytest.mark.usefixtures("speechless")
def test_a_template_that_fails_leaves_the_facts_going_and_a_warning(desk: Desk) -> None:
    desk.queue(FAILED)
    outcome = desk.deliver(FAILED)
    assert outcome.closed is not None
    (text,) = desk.texts
    assert text.startswith("❌ FAILED · failed_run")
    assert '"job": "daily_etl"' in text and "Memory limit" in text and "undefined" in text
    assert not desk.seen[0].silent
    assert any("template of" in warning for warning in desk.warnings)


# --- late, and in parts ----------------------------------------------------------------------------------------------


def test_what_the_fallback_got_early_is_late_where_it_comes_late(desk: Desk) -> None:
    desk.queue(FAILED)
    desk.api.chat(desk.chat).standing = Standing.KICKED
    desk.deliver(FAILED, "telegram", "slack")
    desk.api.chat(desk.chat).standing = Standing.WELCOME
    desk.clock.now = 3 * 3600
    desk.deliver(FAILED, "telegram")
    assert "Delayed" in desk.texts[0]
    assert "Delayed" not in desk.slack.texts()


def test_the_parts_are_cut_the_same_on_a_later_try(desk: Desk) -> None:
    desk.wordy = True
    desk.queue(charted_alert())
    desk.deliver("anomaly-charted")
    whole = desk.texts
    desk.queue(charted_alert("anomaly-again"))
    before = len(desk.seen)
    desk.api.faults.add(Fault.server_error(), method="sendMessage", nth=1, times=9)
    desk.deliver("anomaly-again")  # written, not sent: this writing does not count
    desk.api.faults.clear()
    desk.clock.now += 60
    desk.api.faults.add(Fault.refusal(400, "Bad Request: try later"), method="sendMessage", nth=2)
    desk.deliver("anomaly-again")
    desk.clock.now += 3 * 3600  # written now, it would have a line more
    desk.deliver("anomaly-again")
    assert [text.replace("anomaly-again", "anomaly-charted") for text in desk.texts[before:]] == whole
    composed = {entry.composed_at for entry in desk.entries("anomaly-again", "sending")[1:]}
    assert len(composed) == 1


# --- charts ---------------------------------------------------------------------------------------------------------


def test_a_chart_that_cannot_be_drawn_leaves_the_text_going_and_a_warning(desk: Desk) -> None:
    desk.cannot_draw = True
    desk.queue(OPENING)
    outcome = desk.deliver(OPENING)
    assert outcome.closed is not None
    assert desk.seen[0].kind == "text"
    assert "Views" in desk.texts[0]
    assert any("could not be drawn" in warning and "no fonts here" in warning for warning in desk.warnings)


def test_a_chart_that_cannot_be_drawn_any_more_does_not_keep_the_message_open(desk: Desk) -> None:
    desk.queue(REPORT)
    desk.api.faults.add(Fault.server_error(), method="sendMediaGroup", times=9)
    assert desk.deliver(REPORT).closed is None
    assert len(desk.seen) == 1
    desk.cannot_draw = True
    outcome = desk.deliver(REPORT)
    assert outcome.closed.outcome == "delivered"
    assert len(desk.seen) == 1
    assert "left out" in desk.entries(REPORT, "sent")[-1].notes[0]


# --- copies ---------------------------------------------------------------------------------------------------------


def test_a_message_with_a_copy_is_closed_when_both_are_sent_once(desk: Desk) -> None:
    desk.with_slack(copy_to_slack="failed")
    desk.queue(FAILED)
    desk.slack.answers = [(500, "", {})] * 4
    assert desk.deliver(FAILED).closed is None
    second = desk.deliver(FAILED)
    assert second.closed.text == "telegram, slack"
    assert len(desk.seen) == 1
    assert len(desk.slack.payloads) == 5


def test_a_bug_in_a_channel_is_recorded_and_the_others_still_send(desk: Desk) -> None:
    desk.with_slack(copy_to_slack="failed")
    desk.queue(FAILED)
    desk.more_channels["telegram"] = Recorder("telegram", error=KeyError(f"bot{desk.api.token}"))
    outcome = desk.deliver(FAILED)
    assert "Unexpected error" in str(outcome.failures["telegram"])
    assert len(desk.slack.payloads) == 1
    assert desk.entries(FAILED, "failed")[0].reason == "refused"
    assert "test_dispatcher" not in desk.entries(FAILED, "failed")[0].text
    assert any("Traceback" in warning for warning in desk.warnings)
    assert desk.api.token not in str(desk.warnings) + str(desk.entries(FAILED))


def test_by_email_the_all_clear_is_in_the_thread_of_its_alert(desk: Desk, tmp_path: Path) -> None:
    certificate = mail_server.make_certificate(tmp_path)
    with mail_server.running(certificate, tls="none", login=False) as server:
        url = f"smtp://127.0.0.1:{server.port}"
        desk.more_channels["email"] = EmailChannel(
            parse_smtp_url(url), "desk@example.com", ("team@example.com",), policy=desk.clock.policy
        )
        desk.more_settings = {
            "smtp_url": url,
            "email_from": "desk@example.com",
            "email_to": "team@example.com",
            "copy_to_email": "critical,resolved",
        }
        desk.queue(OPENING, ALL_CLEAR)
        for key in (OPENING, ALL_CLEAR):
            assert desk.deliver(key).closed is not None
        opening, all_clear = server.mails
        assert all_clear["In-Reply-To"] == opening["Message-ID"]
        assert [len(server.mails), len(desk.seen)] == [2, 2]


# --- digests --------------------------------------------------------------------------------------------------------


def test_a_digest_closes_each_of_its_messages(desk: Desk) -> None:
    runs = failed_runs(MAX_DIGEST)
    desk.queue(*runs, digest_of(runs))
    assert desk.deliver("digest-x").closed is not None
    assert all(f"job_{number:03d}" in "\n".join(desk.texts) for number in range(MAX_DIGEST))
    assert len(desk.seen) <= 2
    for run in runs:
        (sent,) = desk.entries(run.key, "sent")
        assert (sent.within, sent.message_ids) == ("digest-x", (str(desk.seen[0].message_id),))
        assert desk.outcome(run.key) == "delivered"
        desk.deliver(run.key)
    assert len(desk.seen) <= 2
    assert not desk.seen[0].silent


def test_a_digest_of_what_a_channel_got_one_by_one_is_not_sent_there_again(desk: Desk) -> None:
    runs = failed_runs(6)
    desk.with_slack()
    desk.queue(*runs)
    for run in runs:
        desk.deliver(run.key, "slack")
    desk.queue(digest_of(runs))
    desk.deliver("digest-x", "slack")
    assert len(desk.slack.payloads) == 6
    assert desk.entries("digest-x", "sent")[0].channel == "slack"
    assert desk.deliver("digest-x").closed is not None
    assert len(desk.seen) == 1


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


def test_an_incident_is_one_message_and_its_all_clear_a_silent_reply(desk: Desk, opening: kinds.AnomalyOpened) -> None:
    desk.queue(opening, UPDATE, ALL_CLEAR)
    for key in (OPENING, UPDATE, ALL_CLEAR):
        desk.clock.now += 900
        outcome = desk.deliver(key)
        assert outcome.closed.outcome == "delivered"
    beside = {make().title for make in render(opening, writer()).charts}  # a picture of its own below a long text
    first, reply = [message for message in desk.seen if message.text and message.text not in beside]
    # The picture of the opening shows one metric, that of the update two.
    assert ("editMessageMedia" in [call.method for call in desk.api.calls]) == bool(first.photo)
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
    desk: Desk, delivered: list[str | kinds.Event], seen: list[tuple[str, bool, bool, bool]]
) -> None:
    keys = [event if isinstance(event, str) else event.key for event in delivered]
    desk.queue(*delivered)
    for key in keys:
        assert desk.deliver(key).closed is not None
    first = desk.seen[0].message_id
    shown = [
        (message.text[0], "Likes" in _first_line(message.text), message.silent, message.reply_to == first)
        for message in desk.seen
    ]
    assert shown == seen


# --- where the opening is not as it should be -----------------------------------------------------------------------


def test_an_opening_that_went_in_a_digest_is_replied_to_there_and_the_digest_stays(desk: Desk) -> None:
    opening = _without_charts()
    events = [opening, *failed_runs(6)]
    desk.queue(*events, digest_of(events, severity="critical"), UPDATE, ALL_CLEAR)
    desk.deliver("digest-x")
    before = desk.texts[0]
    update, all_clear = desk.deliver(UPDATE), desk.deliver(ALL_CLEAR)
    assert update.closed.outcome == "nothing_to_do"
    assert all_clear.closed is not None
    assert desk.seen[1].reply_to == desk.seen[0].message_id
    assert desk.texts[0] == before


def test_an_all_clear_in_a_digest_still_changes_the_first_line_of_its_opening(desk: Desk) -> None:
    desk.queue(OPENING)
    desk.deliver(OPENING)
    events = [EXAMPLES[ALL_CLEAR], *failed_runs(6)]
    desk.queue(*events, digest_of(events))
    desk.deliver("digest-x")
    assert desk.texts[0].startswith("✅ RESOLVED")
    assert len(desk.seen) == 2


def test_an_opening_deleted_in_the_chat_costs_nothing(desk: Desk) -> None:
    desk.queue(OPENING, UPDATE, ALL_CLEAR)
    desk.deliver(OPENING)
    del desk.api.chat(desk.chat).messages[desk.seen[0].message_id]
    update, all_clear = desk.deliver(UPDATE), desk.deliver(ALL_CLEAR)
    assert update.closed.outcome == "nothing_to_do"
    assert all_clear.closed.outcome == "delivered"
    (message,) = desk.seen
    assert message.reply_to is None


# --- faults ---------------------------------------------------------------------------------------------------------


def test_a_failed_edit_is_tried_again_and_the_all_clear_is_not_doubled(desk: Desk) -> None:
    desk.queue(OPENING, ALL_CLEAR)
    desk.deliver(OPENING)
    desk.api.faults.add(Fault.server_error(), method="editMessageCaption", times=4)
    outcome = desk.deliver(ALL_CLEAR)
    assert outcome.closed is None
    assert outcome.failures["telegram"].reason == "unreachable"
    assert len(desk.seen) == 2
    assert desk.deliver(ALL_CLEAR).closed is not None
    assert len(desk.seen) == 2
    assert desk.texts[0].startswith("✅")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(1, 7))
def test_an_all_clear_killed_anywhere_ends_with_the_first_line_changed(desk: Desk, number: int, after: bool) -> None:
    desk.queue(OPENING, ALL_CLEAR)
    desk.deliver(OPENING)
    desk.storage.die_at(number, after=after)
    with suppress(Killed):
        desk.deliver(ALL_CLEAR)
    desk.storage.writes_left = None
    last = desk.storage.written[-1].entry.entry
    desk.deliver(ALL_CLEAR)
    assert desk.texts[0].startswith("✅")
    assert len(desk.seen) == (3 if last == "sending" and number == 3 else 2)
    assert desk.entries(ALL_CLEAR, "closed")
