"""Messages to Telegram's chats as a person sees them there: what comes first, what sounds, what it answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from metrics_platform.notifications.history import Sent
from metrics_platform.notifications.message import Details, Paragraph, Picture, Preformatted, bold, code, line
from metrics_platform.notifications.telegram import TelegramChannel, link_to
from metrics_platform.notifications.telegram_calls import MAX_PHOTO_BYTES
from metrics_platform_tests.notifications.clock import Clock, delivered, failure, message
from metrics_platform_tests.notifications.telegram_chat import (
    BUTTON,
    LONG,
    UNPARSED,
    broken_png,
    channel_to,
    client_to,
    methods,
    notes_of,
    pictures,
)
from metrics_platform_tests.telegram import BotApi, Fault, Standing
from metrics_platform_tests.telegram.state import picture

# Too long for a caption, short enough for a text.
MIDDLE = Preformatted("\n".join(f"line {number} of the error" for number in range(60)))


# --- text and pictures ----------------------------------------------------------------------------------------------


def test_a_text_is_one_message_with_markup_and_buttons_and_no_preview(channel: TelegramChannel, api: BotApi) -> None:
    (sent,) = delivered(channel, message(Paragraph((line(bold("x"), " https://example.org"),)), links=(BUTTON,)))
    (seen,) = api.messages(api.group)
    assert seen.text == "❌ FAILED · job daily_etl\n\nx https://example.org\n\nproduction"
    assert seen.styled("bold") == ["FAILED", "x"]
    assert [button.url for row in seen.buttons for button in row] == [BUTTON.url]
    assert seen.link_preview_off
    assert (sent.message_ids, sent.carrier, sent.step, sent.steps, sent.notes) == (("1",), "text", 0, 1, ())
    assert sent.address == str(api.group)


def test_one_photo_and_a_text_that_fits_are_a_photo_with_a_caption(channel: TelegramChannel, api: BotApi) -> None:
    (sent,) = delivered(channel, message(links=(BUTTON,)), pictures=pictures(1))
    (seen,) = api.messages(api.group)
    assert (seen.kind, seen.photo) == ("photo", picture())
    assert seen.text == "❌ FAILED · job daily_etl\n\ntext\n\nproduction"
    assert (seen.styled("bold"), len(seen.buttons), seen.silent) == (["FAILED"], 1, False)
    assert (sent.carrier, sent.message_ids) == ("caption", ("1",))


def test_a_text_too_long_for_a_caption_goes_before_its_silent_photo(channel: TelegramChannel, api: BotApi) -> None:
    delivered(channel, message(MIDDLE, links=(BUTTON,)), pictures=pictures(1))
    text, photo = api.messages(api.group)
    assert (text.kind, text.silent, len(text.buttons)) == ("text", False, 1)
    assert (photo.kind, photo.silent, photo.reply_to, photo.text, photo.buttons) == ("photo", True, 1, "Chart 0", [])


@pytest.mark.parametrize("count", [2, 10])
def test_several_photos_follow_the_text_as_a_silent_album(channel: TelegramChannel, api: BotApi, count: int) -> None:
    sent = delivered(channel, message(links=(BUTTON,)), pictures=pictures(count))
    text, *album = api.messages(api.group)
    assert text.kind == "text"
    assert [message.kind for message in album] == ["album"] * count
    assert {(message.silent, message.reply_to) for message in album} == {(True, 1)}
    assert [message.text for message in album] == [f"Chart {number}" for number in range(count)]
    assert methods(api) == ["sendMessage", "sendMediaGroup"]
    assert [len(message.message_ids) for message in sent] == [1, count]


def large_png() -> bytes:
    """A picture of more bytes than a photo may have: a PNG may have anything behind its end."""
    return picture() + b"\x00" * MAX_PHOTO_BYTES


@pytest.mark.parametrize(
    "png",
    [picture(9000, 1001), picture(2001, 100), picture(100, 2001), large_png()],
    ids=["sum", "wide", "high", "large"],
)
def test_a_picture_that_is_no_photo_follows_as_a_file(channel: TelegramChannel, api: BotApi, png: bytes) -> None:
    delivered(channel, message(), pictures=pictures(1, png))
    text, document = api.messages(api.group)
    assert (text.kind, text.silent) == ("text", False)
    assert (document.kind, document.document, document.silent, document.reply_to) == ("document", png, True, 1)
    assert methods(api) == ["sendMessage", "sendDocument"]


@pytest.mark.parametrize("png", [picture(8999, 1001), picture(2000, 100)], ids=["sum", "ratio"])
def test_a_picture_on_the_limit_is_a_photo(channel: TelegramChannel, api: BotApi, png: bytes) -> None:
    delivered(channel, message(), pictures=pictures(1, png))
    assert methods(api) == ["sendPhoto"]
    assert api.messages(api.group)[0].photo == png


# --- long texts -----------------------------------------------------------------------------------------------------


def test_a_long_text_is_several_messages_and_only_the_first_rings(channel: TelegramChannel, api: BotApi) -> None:
    sent = delivered(channel, message(LONG, links=(BUTTON,)))
    seen = api.messages(api.group)
    assert len(seen) > 2
    assert [message.silent for message in seen] == [False] + [True] * (len(seen) - 1)
    assert [message.reply_to for message in seen] == [None] + [1] * (len(seen) - 1)
    assert [len(message.buttons) for message in seen] == [0] * (len(seen) - 1) + [1]
    shown = "\n".join(message.text for message in seen).split("\n")
    assert [text for text in shown if text.startswith("line")] == LONG.text.split("\n")
    assert [message.step for message in sent] == list(range(sent[0].steps))


# --- chats, topics, replies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("thread", [None, 0, 1])
def test_topics_0_and_1_are_no_topic(api: BotApi, clock: Clock, thread: int | None) -> None:
    (sent,) = delivered(channel_to(api, clock, api.forum, thread), message())
    assert "message_thread_id" not in api.calls[0].parameters
    assert (api.messages(api.forum)[0].thread_id, sent.notes) == (None, ())


def test_everything_of_a_message_goes_to_its_topic(api: BotApi, clock: Clock) -> None:
    sent = delivered(channel_to(api, clock, api.forum, api.topic), message(LONG), pictures=pictures(2))
    assert {message.thread_id for message in api.messages(api.forum)} == {api.topic}
    assert {message.address for message in sent} == {f"{api.forum}/{api.topic}"}


@pytest.mark.parametrize("gone", ["missing", "closed"])
def test_a_topic_that_is_gone_or_closed_is_left_out_and_noted(api: BotApi, clock: Clock, gone: str) -> None:
    channel = channel_to(api, clock, api.forum, 99 if gone == "missing" else api.topic)
    api.chat(api.forum).closed_topics.add(api.topic)
    (sent,) = delivered(channel, message(), pictures=pictures(1))
    (seen,) = api.messages(api.forum)
    assert (seen.thread_id, seen.kind, sent.address) == (None, "photo", str(api.forum))
    assert "TELEGRAM_THREAD_ID" in sent.notes[0]


def test_a_group_that_became_a_supergroup_is_followed_and_noted_with_its_new_number(api: BotApi, clock: Clock) -> None:
    new = api.upgrade_group(api.group)
    channel = channel_to(api, clock)
    sent = delivered(channel, message(MIDDLE), pictures=pictures(2))
    assert f"TELEGRAM_CHAT_ID={new}" in sent[0].notes[0]
    assert [len(message.notes) for message in sent] == [1, 0]
    text, *album = api.messages(new)
    assert {message.reply_to for message in album} == {text.message_id}
    assert {message.address for message in sent} == {str(new)}
    assert [call.parameters["chat_id"] for call in api.calls] == [str(api.group), str(new), str(new)]


def test_a_number_of_the_old_group_is_no_message_of_the_supergroup(api: BotApi, clock: Clock) -> None:
    channel = channel_to(api, clock)
    (old,) = delivered(channel, message())
    new = api.upgrade_group(api.group)
    delivered(channel, message())
    (answer,) = delivered(channel, message(), reply_to=old)
    assert [message.reply_to for message in api.messages(new)] == [None, None]
    before = [message.text for message in api.messages(new)]
    assert channel.edit(message(headline=line("changed")), old) is False
    assert [message.text for message in api.messages(new)] == before
    delivered(channel, message(), reply_to=answer)
    assert api.messages(new)[-1].reply_to == int(answer.message_ids[0])


def test_without_a_chat_the_error_names_the_setting(api: BotApi, clock: Clock) -> None:
    channel = TelegramChannel(client_to(api, clock), lambda *_: None)
    error = failure(lambda: delivered(channel, message()))
    assert (error.reason, "TELEGRAM_CHAT_ID" in str(error), api.calls) == ("misconfigured", True, [])


@pytest.mark.parametrize("first", ["text", "photo"])
def test_a_reply_answers_its_message_in_its_topic(api: BotApi, clock: Clock, first: str) -> None:
    channel = channel_to(api, clock, api.forum, api.topic)
    api.person_writes(api.forum, "hello")
    original, *_ = delivered(channel, message(), pictures=pictures(1 if first == "photo" else 0))
    api.person_writes(api.forum, "what is this?")
    delivered(channel, message(silent=True), reply_to=original)
    answer = api.messages(api.forum)[-1]
    assert (answer.reply_to, answer.thread_id, answer.silent) == (int(original.message_ids[0]), api.topic, True)


def test_a_reply_to_a_message_that_is_gone_arrives_as_a_message(channel: TelegramChannel, api: BotApi) -> None:
    original = Sent(channel="telegram", step=0, steps=1, address=str(api.group), message_ids=("77",))
    (sent,) = delivered(channel, message(), reply_to=original)
    assert json.loads(api.calls[0].parameters["reply_parameters"]) == {
        "message_id": 77,
        "allow_sending_without_reply": True,
    }
    assert (api.messages(api.group)[0].reply_to, sent.notes) == (None, ())


@pytest.mark.parametrize("address", ["-100999/7", ""])
def test_a_message_in_another_chat_is_not_answered(channel: TelegramChannel, api: BotApi, address: str) -> None:
    original = Sent(channel="telegram", step=0, steps=1, address=address, message_ids=("1",))
    delivered(channel, message(), reply_to=original)
    assert "reply_parameters" not in api.calls[0].parameters


@pytest.mark.parametrize(
    ("chat", "link"),
    [
        ({"id": -1001234567890, "type": "supergroup"}, "https://t.me/c/1234567890/7"),
        ({"id": -1001234567890, "type": "channel", "username": "metrics"}, "https://t.me/metrics/7"),
        ({"id": -4001, "type": "group"}, None),
        ({"id": 7, "type": "private", "username": "anna"}, None),
    ],
)
def test_a_message_has_a_link_where_telegram_has_one(chat: dict[str, Any], link: str | None) -> None:
    assert link_to(chat, "7") == link


# --- edits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "method"), [(0, "editMessageText"), (1, "editMessageCaption")])
def test_an_edit_keeps_the_picture(channel: TelegramChannel, api: BotApi, count: int, method: str) -> None:
    (original,) = delivered(channel, message(links=(BUTTON,)), pictures=pictures(count))
    changed = message(Paragraph((line(bold("now")),)), headline=line("✅ over"), links=(BUTTON,))
    assert channel.edit(changed, original) is True
    (seen,) = api.messages(api.group)
    assert (seen.text, seen.styled("bold"), len(seen.buttons)) == ("✅ over\n\nnow\n\nproduction", ["now"], 1)
    assert seen.photo == (picture() if count else None)
    assert len(seen.edits) == 1
    assert api.calls[-1].method == method
    if not count:
        assert seen.link_preview_off


def test_an_edit_replaces_the_picture_with_a_new_one(channel: TelegramChannel, api: BotApi) -> None:
    (original,) = delivered(channel, message(links=(BUTTON,)), pictures=pictures(1))
    new = picture(colour="red")
    changed = message(Paragraph((line(bold("now")),)), links=(BUTTON,))
    assert channel.edit(changed, original, pictures(1, new)) is True
    (seen,) = api.messages(api.group)
    assert (seen.photo, seen.styled("bold"), len(seen.buttons)) == (new, ["FAILED", "now"], 1)
    assert [call.method for call in api.calls] == ["sendPhoto", "editMessageMedia"]


def test_an_edit_whose_picture_is_refused_changes_the_caption(channel: TelegramChannel, api: BotApi) -> None:
    (original,) = delivered(channel, message(), pictures=pictures(1))
    api.faults.add(Fault.refusal(400, "Bad Request: IMAGE_PROCESS_FAILED"), method="editMessageMedia")
    assert channel.edit(message(headline=line("✅ over")), original, pictures(1, picture(colour="red"))) is True
    (seen,) = api.messages(api.group)
    assert (seen.text.split("\n")[0], seen.photo) == ("✅ over", picture())


def test_an_edit_to_the_same_text_is_fine(channel: TelegramChannel, api: BotApi) -> None:
    warned: list[str] = []
    channel.warn = warned.append
    (original,) = delivered(channel, message())
    assert channel.edit(message(), original) is True
    assert (api.messages(api.group)[0].edits, warned) == ([], [])


@pytest.mark.parametrize(
    ("said", "more"),
    [
        ("TOPIC_CLOSED", {}),
        ("group chat was upgraded to a supergroup chat", {"migrate_to_chat_id": -1_002_555_000_111}),
    ],
)
def test_an_edit_stays_in_its_chat(channel: TelegramChannel, api: BotApi, said: str, more: dict[str, int]) -> None:
    (original,) = delivered(channel, message())
    api.faults.add(Fault.refusal(400, f"Bad Request: {said}", **more), method="editMessageText")
    assert channel.edit(message(headline=line("changed")), original) is False
    assert [call.parameters["chat_id"] for call in api.calls] == [str(api.group)] * 2


def test_a_message_that_is_gone_or_not_ours_cannot_be_edited(channel: TelegramChannel, api: BotApi) -> None:
    theirs = str(api.person_writes(api.group, "hello"))
    for number in ("77", theirs):
        original = Sent(
            channel="telegram", step=0, steps=1, address=str(api.group), message_ids=(number,), carrier="text"
        )
        assert channel.edit(message(), original) is False
    assert api.messages(api.group)[0].text == "hello"


def test_what_has_no_text_of_its_own_is_not_edited(channel: TelegramChannel, api: BotApi) -> None:
    of_album = {"carrier": "none", "message_ids": ("1",)}
    in_digest = {"carrier": "text", "message_ids": ("1",), "within": "digest-1"}
    without_number = {"carrier": "text"}
    for facts in (of_album, in_digest, without_number):
        original = Sent(channel="telegram", step=0, steps=1, address=str(api.group), **facts)  # type: ignore[arg-type]
        assert channel.edit(message(), original) is False
    assert api.calls == []


def test_an_edit_that_is_misconfigured_or_has_to_wait_is_an_error(channel: TelegramChannel, api: BotApi) -> None:
    (original,) = delivered(channel, message())
    api.faults.add(Fault.server_error(503), times=4)
    assert failure(lambda: channel.edit(message(headline=line("x")), original)).reason == "unreachable"
    api.chat(api.group).standing = Standing.KICKED
    assert failure(lambda: channel.edit(message(headline=line("x")), original)).reason == "misconfigured"


@pytest.mark.parametrize("count", [0, 1])
def test_an_edit_that_grew_too_long_shows_its_beginning(channel: TelegramChannel, api: BotApi, count: int) -> None:
    (original,) = delivered(channel, message(), pictures=pictures(count))
    assert channel.edit(message(LONG), original) is True
    (seen,) = api.messages(api.group)
    assert seen.text.startswith("❌ FAILED · job daily_etl\n\nline 0 of")
    assert seen.text.endswith("\n…")


def test_an_edit_that_fits_only_without_its_details_loses_them(channel: TelegramChannel, api: BotApi) -> None:
    (original,) = delivered(channel, message(), pictures=pictures(1))
    told, details = Paragraph((line("likes moved with it"),)), Details((line("because " * 200),))
    assert channel.edit(message(told, details), original) is True
    (seen,) = api.messages(api.group)
    assert "likes moved with it" in seen.text and seen.text.endswith("\n\nproduction")
    assert "because" not in seen.text


# --- what is given up where Telegram refuses a part of a message ------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1])
def test_markup_that_is_refused_goes_again_as_plain_text(channel: TelegramChannel, api: BotApi, count: int) -> None:
    api.faults.add(UNPARSED)
    told = message(Paragraph((line("a < b & ", bold("c"), code("x.py")),)), links=(BUTTON,))
    (sent,) = delivered(channel, told, pictures=pictures(count))
    (seen,) = api.messages(api.group)
    assert seen.text == "❌ FAILED · job daily_etl\n\na < b & cx.py\n\nproduction"
    assert "parse_mode" not in api.calls[1].parameters
    assert (seen.styled("bold"), len(seen.buttons), seen.kind) == ([], 1, "photo" if count else "text")
    assert "Unsupported start tag" in sent.notes[0]


def test_a_photo_that_is_refused_goes_as_a_file_with_the_caption(channel: TelegramChannel, api: BotApi) -> None:
    (sent,) = delivered(channel, message(links=(BUTTON,)), pictures=pictures(1, broken_png()))
    (seen,) = api.messages(api.group)
    assert (seen.kind, seen.document, len(seen.buttons)) == ("document", broken_png(), 1)
    assert (seen.styled("bold"), sent.carrier, seen.silent) == (["FAILED"], "caption", False)
    assert methods(api) == ["sendPhoto", "sendDocument"]
    assert "IMAGE_PROCESS_FAILED" in sent.notes[0]


def test_an_album_with_a_refused_photo_goes_as_files_in_one_call(channel: TelegramChannel, api: BotApi) -> None:
    charts = (*pictures(2), Picture("broken", "Broken", broken_png()))
    sent = delivered(channel, message(), pictures=charts)
    text, *files = api.messages(api.group)
    assert methods(api) == ["sendMessage", "sendMediaGroup", "sendMediaGroup"]
    assert [file.document for file in files] == [chart.png for chart in charts]
    assert {(file.reply_to, file.silent) for file in files} == {(text.message_id, True)}
    assert [len(message.message_ids) for message in sent] == [1, 3]


def test_no_file_of_a_refused_album_is_sent_twice_where_a_try_fails(channel: TelegramChannel, api: BotApi) -> None:
    charts = (*pictures(2), Picture("broken", "Broken", broken_png()))
    api.faults.add(Fault.server_error(503), method="sendMediaGroup", nth=2, times=4)
    assert "503" in str(failure(lambda: delivered(channel, message(), pictures=charts)))
    text = Sent(channel="telegram", step=0, steps=2, address=str(api.group), message_ids=("1",))
    delivered(channel, message(), pictures=charts, done={0: text})
    assert [message.kind for message in api.messages(api.group)] == ["text", "album", "album", "album"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault.refusal(400, "Bad Request: PHOTO_INVALID_DIMENSIONS"),
        Fault.refusal(400, "Bad Request: IMAGE_PROCESS_FAILED"),
        Fault.refusal(400, "Bad Request: file of size 11000000 bytes is too big for a photo"),
        Fault.refusal(413, "Request Entity Too Large"),
        Fault("413", "answer", 413, b"<html>413 Request Entity Too Large</html>", {"Content-Type": "text/html"}),
        Fault.refusal(400, "Bad Request: not enough rights to send photos to the chat"),
        Fault.refusal(400, "Bad Request: CHAT_SEND_MEDIA_FORBIDDEN"),
        Fault.refusal(403, "Forbidden: CHAT_SEND_DOCS_FORBIDDEN"),
        Fault.refusal(400, 'Bad Request: failed to send message #1 with the error message "PHOTO_SAVE_FILE_INVALID"'),
    ],
)
@pytest.mark.parametrize("count", [1, 2])
def test_a_picture_refused_in_every_form_costs_no_text(
    channel: TelegramChannel, api: BotApi, fault: Fault, count: int
) -> None:
    for method in ("sendPhoto", "sendDocument", "sendMediaGroup"):
        api.faults.add(fault, method=method, times=9)
    sent = delivered(channel, message(links=(BUTTON,)), pictures=pictures(count))
    (seen,) = api.messages(api.group)
    assert (seen.kind, len(seen.buttons), seen.silent) == ("text", 1, False)
    assert seen.text == "❌ FAILED · job daily_etl\n\ntext\n\nproduction"
    assert (len(sent), sent[0].carrier, sent[0].message_ids) == (count, "text", ("1",))
    assert "it was left out" in notes_of(sent)
    if "right" in fault.body.decode() or "FORBIDDEN" in fault.body.decode():
        assert "Give the bot the right to send" in notes_of(sent)


def test_a_refusal_that_is_about_nothing_in_particular_is_tried_once(channel: TelegramChannel, api: BotApi) -> None:
    api.faults.add(Fault.refusal(400, "Bad Request: something new"), times=9)
    error = failure(lambda: delivered(channel, message(links=(BUTTON,)), pictures=pictures(1)))
    assert (error.reason, len(api.calls)) == ("refused", 1)
