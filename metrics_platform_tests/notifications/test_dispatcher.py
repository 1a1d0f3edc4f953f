"""One message over one channel, against real servers: stored before it is tried, marked after the answer, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from metrics_platform.channel_settings import parse_smtp_url
from metrics_platform.notifications import kinds
from metrics_platform.notifications.email import EmailChannel
from metrics_platform.notifications.history import Entry, Reopened, Stored
from metrics_platform.notifications.queueing import MAX_DIGEST
from metrics_platform.notifications.templates.writer import Writer
from metrics_platform_tests.notifications import mail_server
from metrics_platform_tests.notifications.desk import (
    ALL_CLEAR,
    FAILED,
    OPENING,
    REPORT,
    Desk,
    Recorder,
    charted_alert,
    digest_of,
    failed_runs,
)
from metrics_platform_tests.notifications.examples import EXAMPLES
from metrics_platform_tests.telegram.faults import Fault
from metrics_platform_tests.telegram.state import Standing

# --- once, and remembered --------------------------------------------------------------------------------------------


def test_each_step_is_stored_before_it_is_tried_and_marked_only_after_the_answer(desk: Desk) -> None:
    desk.wordy = True
    desk.queue(charted_alert())
    seen: list[tuple[str, int]] = []
    write = desk.storage.write

    def watched(key: str, entry: Entry) -> Stored:
        seen.append((entry.entry, len(desk.seen)))
        return write(key, entry)

    desk.storage.write = watched  # type: ignore[method-assign]
    outcome = desk.deliver("anomaly-charted")
    assert seen.pop(0)[0] == "started"
    kinds_of_entries = [kind for kind, _ in seen]
    steps = kinds_of_entries.count("sent")
    assert steps >= 3
    assert kinds_of_entries == ["sending", "sent"] * steps + ["closed"]
    in_chat = [count for _, count in seen]
    for number in range(steps):
        assert in_chat[2 * number] < in_chat[2 * number + 1]  # nothing was there when `sending` was written
        if number:
            assert in_chat[2 * number] == in_chat[2 * number - 1]
    assert outcome.closed.outcome == "delivered"


def test_an_unknown_key_is_refused(desk: Desk) -> None:
    with pytest.raises(LookupError, match="No notification 'unheard-of' is queued"):
        desk.deliver("unheard-of")
    assert desk.seen == []


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


# --- templates that fail ----------------------------------------------------------------------------------------------


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


@pytest.mark.usefixtures("speechless")
def test_a_digest_lists_the_others_if_one_template_fails(desk: Desk) -> None:
    keys = (FAILED, "stale-feed_actions-1")
    desk.queue(*keys)
    desk.queue(kinds.Digest(key="digest-x", occurred_at=desk.moment, severity="failed", notifications=keys))
    desk.deliver("digest-x")
    (text,) = desk.texts
    assert "FAILED · failed_run" in text and "Stale data: feed_actions" in text


def test_what_is_sent_differently_than_intended_is_noted_and_warned_about(desk: Desk) -> None:
    desk.queue(FAILED)
    desk.api.faults.add(Fault.refusal(400, "Bad Request: can't parse entities: Unsupported start tag"))
    desk.deliver(FAILED)
    (sent,) = desk.entries(FAILED, "sent")
    assert "the text went plain" in sent.notes[0]
    assert desk.warnings == list(sent.notes)


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


# --- charts ----------------------------------------------------------------------------------------------------------


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


def test_charts_are_drawn_once_for_all_channels_and_not_for_what_is_out(desk: Desk) -> None:
    desk.with_slack(copy_to_slack="critical")
    desk.queue(OPENING)
    assert desk.deliver(OPENING).closed is not None
    desk.deliver(OPENING)
    assert len(desk.drawn) == 1


# --- copies ----------------------------------------------------------------------------------------------------------


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


def test_a_channel_that_is_not_set_up_is_a_misconfiguration(desk: Desk) -> None:
    desk.queue(FAILED)
    outcome = desk.deliver(FAILED, "carrier_pigeon", "telegram")
    assert "not set up" in str(outcome.failures["carrier_pigeon"])
    assert len(desk.seen) == 1


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


# --- digests ---------------------------------------------------------------------------------------------------------


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
