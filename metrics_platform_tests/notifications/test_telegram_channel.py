"""Messages to Telegram's chats as a person sees them there: what comes first, what sounds, what it answers."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from PIL import Image

from metrics_platform.channel_settings import ChannelSettings
from metrics_platform.notifications.history import Sent
from metrics_platform.notifications.message import Paragraph, Picture, Preformatted, bold, line
from metrics_platform.notifications.telegram.channel import TelegramChannel, link_to
from metrics_platform.notifications.telegram.rendering import MAX_PHOTO_BYTES, is_photo
from metrics_platform.notifications.templates import render
from metrics_platform_tests.notifications.clock import Clock, failure
from metrics_platform_tests.notifications.examples import EXAMPLES, writer
from metrics_platform_tests.notifications.telegram_chat import (
    BUTTON,
    LONG,
    channel_to,
    client_to,
    delivered,
    message,
    methods,
    notes_of,
    pictures,
)
from metrics_platform_tests.telegram import BotApi, Fault
from metrics_platform_tests.telegram.asking import picture

# Too long for a caption, short enough for a text.
MIDDLE = Preformatted("\n".join(f"line {number} of the error" for number in range(60)))


# --- text and pictures -----------------------------------------------------------------------------------------------


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
    assert [each.kind for each in album] == ["album"] * count
    assert {(each.silent, each.reply_to) for each in album} == {(True, 1)}
    assert [each.text for each in album] == [f"Chart {number}" for number in range(count)]
    assert methods(api) == ["sendMessage", "sendMediaGroup"]
    assert [len(each.message_ids) for each in sent] == [1, count]


@pytest.mark.parametrize(("count", "groups"), [(11, [10, 1]), (12, [10, 2]), (25, [10, 10, 5])])
def test_eleven_photos_are_several_albums(channel: TelegramChannel, api: BotApi, count: int, groups: list[int]) -> None:
    sent = delivered(channel, message(), pictures=pictures(count))
    assert [len(each.message_ids) for each in sent[1:]] == groups
    assert {each.reply_to for each in api.messages(api.group)[1:]} == {1}
    assert len(api.messages(api.group)) == 1 + count


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


def test_what_is_no_picture_at_all_is_no_photo() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9)).save(buffer, "GIF")
    assert not any(map(is_photo, (b"", b"x" * 99, picture()[:20], buffer.getvalue())))


@pytest.mark.parametrize("count", [1, 2])
def test_a_title_too_long_for_a_caption_is_left_out(channel: TelegramChannel, api: BotApi, count: int) -> None:
    charts = [Picture(f"chart-{number}", "🙂" * 513, picture()) for number in range(count)]
    delivered(channel, message(MIDDLE), pictures=charts)
    assert [each.text for each in api.messages(api.group)[1:]] == [""] * count


def test_titles_with_markup_in_them_are_captions_as_they_are(channel: TelegramChannel, api: BotApi) -> None:
    charts = [Picture("x", "<b>a & b", picture()), Picture("y", "c\x00d <", picture())]
    assert notes_of(delivered(channel, message(), pictures=charts)) == ""
    assert [each.text for each in api.messages(api.group)[1:]] == ["<b>a & b", "c\ufffdd <"]


# --- long texts ------------------------------------------------------------------------------------------------------


def test_a_long_text_is_several_messages_and_only_the_first_rings(channel: TelegramChannel, api: BotApi) -> None:
    began: list[int] = []
    sent = delivered(channel, message(LONG, links=(BUTTON,)), sending=began.append)
    seen = api.messages(api.group)
    assert len(seen) > 2
    assert [each.silent for each in seen] == [False] + [True] * (len(seen) - 1)
    assert [each.reply_to for each in seen] == [None] + [1] * (len(seen) - 1)
    assert [len(each.buttons) for each in seen] == [0] * (len(seen) - 1) + [1]
    shown = "\n".join(each.text for each in seen).split("\n")
    assert [each for each in shown if each.startswith("line")] == LONG.text.split("\n")
    assert began == [each.step for each in sent] == list(range(sent[0].steps))


def test_steps_that_are_done_are_not_repeated_and_the_rest_replies(channel: TelegramChannel, api: BotApi) -> None:
    told = message(LONG)
    everything = delivered(channel, told, pictures=pictures(2))
    before = len(api.messages(api.group))
    rest = delivered(channel, told, pictures=pictures(2), done={0: everything[0], 2: everything[2]})
    assert [each.step for each in rest] == [1, *range(3, everything[0].steps)]
    again = api.messages(api.group)[before:]
    assert {each.reply_to for each in again} == {1}
    assert all(each.silent for each in again)


# --- chats, topics, replies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("thread", [None, 0, 1])
def test_topics_0_and_1_are_no_topic(api: BotApi, clock: Clock, thread: int | None) -> None:
    (sent,) = delivered(channel_to(api, clock, api.forum, thread), message())
    assert "message_thread_id" not in api.calls[0].parameters
    assert (api.messages(api.forum)[0].thread_id, sent.notes) == (None, ())


def test_everything_of_a_message_goes_to_its_topic(api: BotApi, clock: Clock) -> None:
    sent = delivered(channel_to(api, clock, api.forum, api.topic), message(LONG), pictures=pictures(2))
    assert {each.thread_id for each in api.messages(api.forum)} == {api.topic}
    assert {each.address for each in sent} == {f"{api.forum}/{api.topic}"}


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
    assert [len(each.notes) for each in sent] == [1, 0]
    text, *album = api.messages(new)
    assert {each.reply_to for each in album} == {text.message_id}
    assert {each.address for each in sent} == {str(new)}
    assert [call.parameters["chat_id"] for call in api.calls] == [str(api.group), str(new), str(new)]


def test_a_number_of_the_old_group_is_no_message_of_the_supergroup(api: BotApi, clock: Clock) -> None:
    channel = channel_to(api, clock)
    (old,) = delivered(channel, message())
    new = api.upgrade_group(api.group)
    delivered(channel, message())
    (answer,) = delivered(channel, message(), reply_to=old)
    assert [each.reply_to for each in api.messages(new)] == [None, None]
    before = [each.text for each in api.messages(new)]
    assert channel.edit(message(headline=line("changed")), old) is False
    assert [each.text for each in api.messages(new)] == before
    delivered(channel, message(), reply_to=answer)
    assert api.messages(new)[-1].reply_to == int(answer.message_ids[0])


def test_a_supergroup_that_is_known_already_is_not_asked_for_the_old_groups_topic(api: BotApi, clock: Clock) -> None:
    new = api.upgrade_group(api.group)
    channel = channel_to(api, clock, thread=7)
    delivered(channel, message())
    (sent,) = delivered(channel, message())
    assert (sent.notes, len(api.messages(new)), len(api.calls)) == ((), 2, 3)


def test_routes_of_kinds_and_severities_lead_to_their_chats_and_topics(api: BotApi, clock: Clock) -> None:
    settings = ChannelSettings(
        TELEGRAM_BOT_TOKEN=api.token,
        TELEGRAM_CHAT_ID=str(api.group),
        TELEGRAM_ROUTES=f"daily_report={api.channel_name},warning={api.forum}/{api.topic},success={api.forum}/1",
    )
    channel = TelegramChannel(client_to(api, clock), settings.telegram_target)
    for key in ("report-2026-11-21", "stale-feed_actions-1", "success-2026-11-21", "run-killed"):
        delivered(channel, render(EXAMPLES[key], writer()))
    assert [call.parameters["chat_id"] for call in api.calls] == [
        api.channel_name,
        str(api.forum),
        str(api.forum),
        str(api.group),
    ]
    assert [each.thread_id for each in api.messages(api.forum)] == [api.topic, None]
    assert api.token not in repr(settings)


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


def test_a_reply_that_is_refused_all_the_same_arrives_as_a_message(channel: TelegramChannel, api: BotApi) -> None:
    original = Sent(channel="telegram", step=0, steps=1, address=str(api.group), message_ids=("77",))
    api.faults.add(Fault.refusal(400, "Bad Request: message to be replied not found"))
    (sent,) = delivered(channel, message(), reply_to=original)
    assert (len(api.messages(api.group)), len(sent.notes)) == (1, 1)


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


def test_what_was_sent_knows_its_link(api: BotApi, clock: Clock) -> None:
    (sent,) = delivered(channel_to(api, clock, api.channel_name), message())
    assert sent.link == f"https://t.me/{api.channel_name[1:]}/1"
