"""A delivery against real servers: stored before it is tried, marked after the answer, once, and what follows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from metrics_platform.channel_settings import ChatTarget, parse_smtp_url
from metrics_platform.notifications import kinds
from metrics_platform.notifications.email import EmailChannel
from metrics_platform.notifications.journal import Asked, Reopened
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
    running_desk,
)
from metrics_platform_tests.notifications.examples import EXAMPLES
from metrics_platform_tests.telegram.faults import Fault
from metrics_platform_tests.telegram.state import Standing


@pytest.fixture
def desk() -> Iterator[Desk]:
    with running_desk() as found:
        yield found


# --- once, and remembered --------------------------------------------------------------------------------------------


def test_each_step_is_stored_before_it_is_tried_and_marked_only_after_the_answer(desk: Desk) -> None:
    desk.wordy = True
    desk.ask(charted_alert())
    seen: list[tuple[str, int]] = []
    write = desk.journal.write
    desk.journal.write = lambda key, entry: (seen.append((entry.entry, len(desk.seen))), write(key, entry))  # type: ignore[method-assign,assignment,func-returns-value]
    outcome = desk.deliver("anomaly-charted")
    kinds_of_entries = [kind for kind, _ in seen]
    steps = kinds_of_entries.count("sent")
    assert steps >= 3
    assert kinds_of_entries == ["sending", "sent"] * steps + ["closed"]
    in_chat = [count for _, count in seen]
    for number in range(steps):
        assert in_chat[2 * number] < in_chat[2 * number + 1]  # nothing was there when `sending` was written
        if number:
            assert in_chat[2 * number] == in_chat[2 * number - 1]
    assert outcome.closed is not None
    assert outcome.closed.outcome == "delivered"


def test_the_message_ids_the_address_and_the_link_are_kept(desk: Desk) -> None:
    desk.ask(OPENING)
    desk.deliver(OPENING)
    (sent,) = desk.entries(OPENING, "sent")
    assert sent.message_ids == (str(desk.seen[0].message_id),)
    assert sent.address == str(desk.chat)
    assert sent.carrier == "caption"
    assert sent.link.endswith(f"/{desk.seen[0].message_id}")


def test_what_nobody_asked_for_is_not_sent(desk: Desk) -> None:
    with pytest.raises(LookupError, match="nobody has asked"):
        desk.deliver("unheard-of")
    assert desk.seen == []


def test_the_same_event_asked_for_twice_is_one_message(desk: Desk) -> None:
    desk.ask(FAILED)
    desk.deliver(FAILED)
    changed = EXAMPLES[FAILED].model_copy(update={"job": "another"})
    desk.journal.write(FAILED, Asked(notification=changed))
    again = desk.deliver(FAILED)
    assert len(desk.seen) == 1
    assert again.closed is not None
    assert again.message is None
    assert "daily_etl" in desk.texts[0]


@pytest.mark.parametrize("key", [*EXAMPLES])
def test_every_kind_is_delivered_once_and_closed(desk: Desk, key: str) -> None:
    event = EXAMPLES[key]
    desk.ask(*EXAMPLES.values())
    outcome = desk.deliver(key)
    assert outcome.closed is not None
    assert outcome.failures == {}
    assert desk.deliver(key).closed == outcome.closed
    assert len(desk.entries(key, "closed")) == 1
    texts = [text for text in desk.texts if text]
    assert len(texts) == len(set(texts))
    assert bool(desk.seen) == (not isinstance(event, kinds.AnomalyUpdated))


def test_reopened_it_is_delivered_once_more_and_its_new_message_is_the_one_that_counts(desk: Desk) -> None:
    desk.ask(OPENING, ALL_CLEAR)
    desk.deliver(OPENING)
    desk.journal.write(OPENING, Reopened())
    desk.deliver(OPENING)
    desk.deliver(OPENING)
    assert len(desk.seen) == 2
    desk.deliver(ALL_CLEAR)
    assert desk.seen[2].reply_to == desk.seen[1].message_id
    assert desk.texts[0] != desk.texts[1]  # the new one was marked as over, the old one was not
    assert "🔴" in desk.texts[0]


# --- what nobody could word ------------------------------------------------------------------------------------------


@pytest.fixture
def speechless(monkeypatch: pytest.MonkeyPatch) -> None:
    """The template of failed runs has a mistake in it."""

    text = Writer.text

    def broken(self: Writer, template: str, **facts: object) -> str:
        return text(self, template, **({} if template == "failed_run" else facts))

    monkeypatch.setattr(Writer, "text", broken)


@pytest.mark.usefixtures("speechless")
def test_a_template_that_fails_leaves_the_facts_going_and_a_warning(desk: Desk) -> None:
    desk.ask(FAILED)
    outcome = desk.deliver(FAILED)
    assert outcome.closed is not None
    (text,) = desk.texts
    assert text.startswith("❌ FAILED · failed_run")
    assert '"job": "daily_etl"' in text and "Memory limit" in text and "undefined" in text
    assert not desk.seen[0].silent
    assert any("could not be worded" in warning for warning in desk.warnings)


@pytest.mark.usefixtures("speechless")
def test_a_digest_tells_the_others_where_one_template_fails(desk: Desk) -> None:
    keys = (FAILED, "stale-feed_actions-1")
    desk.ask(*keys)
    desk.ask(kinds.Digest(key="digest-x", occurred_at=desk.moment, severity="failed", notifications=keys))
    desk.deliver("digest-x")
    (text,) = desk.texts
    assert "FAILED · failed_run" in text and "Stale data: feed_actions" in text


# --- late, and in parts ----------------------------------------------------------------------------------------------


def test_a_message_that_leaves_late_says_so(desk: Desk) -> None:
    desk.ask(FAILED)
    desk.clock.now = 9 * 60
    desk.deliver(FAILED)
    desk.ask("run-killed")
    desk.clock.now = 3 * 3600
    desk.deliver("run-killed")
    assert "⏰" not in desk.texts[0]
    assert "⏰ Delayed" in desk.texts[1]
    assert "3\N{NO-BREAK SPACE}h" in desk.texts[1]


def test_what_the_fallback_got_early_is_late_where_it_comes_late(desk: Desk) -> None:
    desk.ask(FAILED)
    desk.api.chat(desk.chat).standing = Standing.KICKED
    desk.deliver(FAILED, fallback="slack")
    desk.api.chat(desk.chat).standing = Standing.WELCOME
    desk.clock.now = 3 * 3600
    desk.deliver(FAILED, fallback="slack")
    assert "Delayed" in desk.texts[0]
    assert "Delayed" not in desk.slack.texts()


def test_the_parts_are_cut_the_same_on_a_later_try(desk: Desk) -> None:
    desk.wordy = True
    desk.ask(charted_alert())
    desk.deliver("anomaly-charted")
    whole = desk.texts
    desk.ask(charted_alert("anomaly-again"))
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
    desk.ask(OPENING)
    outcome = desk.deliver(OPENING)
    assert outcome.closed is not None
    assert desk.seen[0].kind == "text"
    assert "Views" in desk.texts[0]
    assert any("could not be drawn" in warning and "no fonts here" in warning for warning in desk.warnings)


def test_a_chart_that_cannot_be_drawn_any_more_does_not_keep_the_message_open(desk: Desk) -> None:
    desk.ask(REPORT)
    desk.api.faults.add(Fault.server_error(), method="sendMediaGroup", times=9)
    assert desk.deliver(REPORT).closed is None
    desk.cannot_draw = True
    outcome = desk.deliver(REPORT)
    assert outcome.closed is not None
    assert outcome.closed.outcome == "delivered"
    assert len(desk.seen) == 1
    assert "left out" in desk.entries(REPORT, "sent")[-1].notes[0]


def test_charts_are_drawn_once_for_all_channels_and_not_for_what_is_out(desk: Desk) -> None:
    desk.ask(OPENING)
    desk.deliver(OPENING, ("telegram", "slack"))
    assert len(desk.drawn) == 1
    desk.deliver(OPENING, ("telegram", "slack"))
    assert len(desk.drawn) == 1


# --- the fallback ----------------------------------------------------------------------------------------------------


def test_set_up_wrongly_the_fallback_gets_it_at_once_and_never_twice(desk: Desk) -> None:
    desk.ask(FAILED)
    desk.api.chat(desk.chat).standing = Standing.KICKED
    outcome = desk.deliver(FAILED, fallback="slack")
    assert outcome.failures["telegram"].reason == "misconfigured"
    assert outcome.closed is None
    assert len(desk.slack.payloads) == 1
    for _ in range(3):
        desk.deliver(FAILED, fallback="slack", fallback_due=True)
        desk.deliver(FAILED, fallback="slack", only_fallback=True)
    assert len(desk.slack.payloads) == 1
    assert len(desk.api.calls) == 4  # the first channel was tried in each full try


def test_unreachable_the_fallback_gets_it_only_when_it_is_due(desk: Desk) -> None:
    desk.ask(FAILED)
    desk.api.down()
    assert desk.deliver(FAILED, fallback="slack").failures["telegram"].reason == "unreachable"
    assert desk.slack.payloads == []
    desk.deliver(FAILED, fallback="slack", fallback_due=True)
    assert len(desk.slack.payloads) == 1


def test_the_first_channel_is_tried_until_it_has_it_whatever_the_fallback_got(desk: Desk) -> None:
    desk.ask(FAILED)
    desk.api.down()
    assert desk.deliver(FAILED, fallback="slack", fallback_due=True).closed is None
    desk.api.up()
    outcome = desk.deliver(FAILED, fallback="slack", fallback_due=True)
    assert outcome.closed is not None
    assert outcome.closed.text == "telegram"
    assert len(desk.seen) == len(desk.slack.payloads) == 1


def test_a_channel_that_is_up_needs_no_fallback_even_when_it_is_due(desk: Desk) -> None:
    desk.ask(FAILED)
    desk.deliver(FAILED, fallback="slack", fallback_due=True)
    assert (len(desk.seen), desk.slack.payloads) == (1, [])


def test_known_to_be_down_the_first_channel_is_not_waited_for(desk: Desk) -> None:
    desk.ask(FAILED)
    outcome = desk.deliver(FAILED, fallback="slack", only_fallback=True)
    assert desk.api.calls == []
    assert len(desk.slack.payloads) == 1
    assert outcome.closed is None
    assert outcome.message is not None


def test_known_to_be_down_the_copies_go_all_the_same_and_the_fallback_waits_for_its_time(desk: Desk) -> None:
    desk.ask(FAILED)
    email = desk.more_channels["email"] = Recorder("email")
    desk.deliver(FAILED, ("telegram", "slack"), fallback="email", only_fallback=True)
    assert (len(desk.slack.payloads), email.keys, desk.api.calls) == (1, [], [])
    desk.deliver(FAILED, ("telegram", "slack"), fallback="email", only_fallback=True)
    assert (len(desk.slack.payloads), email.keys, desk.api.calls) == (1, [FAILED], [])


def test_a_fallback_that_fails_is_in_the_outcome_and_is_tried_again(desk: Desk) -> None:
    desk.ask(FAILED)
    desk.api.down()
    desk.slack.answers = [(403, "invalid_token", {})]
    outcome = desk.deliver(FAILED, fallback="slack", fallback_due=True)
    assert {name: error.reason for name, error in outcome.failures.items()} == {
        "telegram": "unreachable",
        "slack": "misconfigured",
    }
    assert [(entry.channel, entry.number) for entry in desk.entries(FAILED, "failed")] == [
        ("telegram", 1),
        ("slack", 1),
    ]
    desk.deliver(FAILED, fallback="slack", fallback_due=True)
    assert len(desk.slack.payloads) == 2
    assert [(entry.channel, entry.number) for entry in desk.entries(FAILED, "failed")][2:] == [("telegram", 2)]


def test_a_channel_that_is_not_set_up_is_a_misconfiguration(desk: Desk) -> None:
    desk.ask(FAILED)
    outcome = desk.deliver(FAILED, ("telegram", "carrier_pigeon"))
    assert "not set up" in str(outcome.failures["carrier_pigeon"])
    assert len(desk.seen) == 1


# --- copies ----------------------------------------------------------------------------------------------------------


def test_copies_are_closed_only_when_all_are_out_and_each_goes_once(desk: Desk) -> None:
    desk.ask(FAILED)
    desk.slack.answers = [(500, "", {})] * 4
    first = desk.deliver(FAILED, ("telegram", "slack"))
    assert first.closed is None
    assert len(desk.seen) == 1
    second = desk.deliver(FAILED, ("telegram", "slack"))
    assert second.closed is not None
    assert second.closed.text == "telegram, slack"
    assert len(desk.seen) == 1
    assert len(desk.slack.payloads) == 5


def test_a_fault_in_the_first_channel_does_not_hold_up_the_copy(desk: Desk) -> None:
    desk.ask(FAILED)
    desk.api.down()
    desk.deliver(FAILED, ("telegram", "slack"))
    assert len(desk.slack.payloads) == 1


def test_a_mistake_nobody_thought_of_is_raised_after_the_other_channels_had_their_turn(desk: Desk) -> None:
    desk.ask(FAILED)
    desk.more_channels["telegram"] = Recorder("telegram", error=KeyError("a mistake"))
    with pytest.raises(KeyError, match="a mistake"):
        desk.deliver(FAILED, ("telegram", "slack"))
    assert len(desk.slack.payloads) == 1
    email = desk.more_channels["email"] = Recorder("email")
    with pytest.raises(KeyError):
        desk.deliver(FAILED, ("telegram", "slack"), fallback="email", fallback_due=True)
    assert email.keys == [FAILED]


def test_by_email_the_all_clear_is_in_the_thread_of_its_alert(desk: Desk, tmp_path: Path) -> None:
    certificate = mail_server.make_certificate(tmp_path)
    with mail_server.running(certificate, tls="none", login=False) as server:
        desk.more_channels["email"] = EmailChannel(
            parse_smtp_url(f"smtp://127.0.0.1:{server.port}"),
            "desk@example.com",
            ("team@example.com",),
            patience=desk.clock.patience,
        )
        desk.ask(OPENING, ALL_CLEAR)
        for key in (OPENING, ALL_CLEAR):
            assert desk.deliver(key, ("telegram", "email")).closed is not None
        opening, all_clear = server.mails
        assert all_clear["In-Reply-To"] == opening["Message-ID"]
        assert [len(server.mails), len(desk.seen)] == [2, 2]


def test_a_message_goes_to_the_chat_of_its_kind(desk: Desk) -> None:
    desk.routes["failed_run"] = ChatTarget(str(desk.api.forum), desk.api.topic)
    desk.ask(FAILED, OPENING)
    desk.deliver(FAILED)
    desk.deliver(OPENING)
    assert [message.thread_id for message in desk.api.messages(desk.api.forum)] == [desk.api.topic]
    assert len(desk.seen) == 1
