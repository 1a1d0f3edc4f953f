"""What is given up where Telegram refuses a part of a message, so that the rest of it arrives, and is noted."""

from __future__ import annotations

import pytest

from metrics_platform.notifications.history import Sent
from metrics_platform.notifications.message import Link, Paragraph, Picture, bold, code, line
from metrics_platform.notifications.telegram.channel import TelegramChannel
from metrics_platform_tests.notifications.clock import Clock, failure
from metrics_platform_tests.notifications.telegram_chat import (
    BUTTON,
    UNPARSED,
    broken_png,
    channel_to,
    delivered,
    message,
    methods,
    notes_of,
    pictures,
)
from metrics_platform_tests.telegram import BotApi, Fault, Standing
from metrics_platform_tests.telegram.asking import picture


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


def test_plain_text_that_is_refused_too_is_refused(channel: TelegramChannel, api: BotApi) -> None:
    api.faults.add(UNPARSED, times=9)
    error = failure(lambda: delivered(channel, message()))
    assert (error.reason, len(api.calls)) == ("refused", 2)


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
    assert [each.document for each in files] == [each.png for each in charts]
    assert {(each.reply_to, each.silent) for each in files} == {(text.message_id, True)}
    assert [len(each.message_ids) for each in sent] == [1, 3]


def test_no_file_of_a_refused_album_is_sent_twice_where_a_try_fails(channel: TelegramChannel, api: BotApi) -> None:
    charts = (*pictures(2), Picture("broken", "Broken", broken_png()))
    sent: list[Sent] = []
    for status in (503, None):
        if status:
            api.faults.add(Fault.server_error(status), method="sendMediaGroup", nth=2, times=4)
            done: dict[int, Sent] = {}
            assert failure(lambda: delivered(channel, message(), pictures=charts, sent=sent.append)).code == status
        else:
            done = {each.step: each for each in sent}
            delivered(channel, message(), pictures=charts, done=done)
    assert [each.kind for each in api.messages(api.group)] == ["text", "album", "album", "album"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault.refusal(400, "Bad Request: PHOTO_INVALID_DIMENSIONS"),
        Fault.refusal(400, "Bad Request: IMAGE_PROCESS_FAILED"),
        Fault.refusal(400, "Bad Request: file of size 11000000 bytes is too big for a photo"),
        Fault.refusal(413, "Request Entity Too Large"),
        Fault("413", "answer", 413, b"<html>413 Request Entity Too Large</html>", {"Content-Type": "text/html"}),
        Fault.refusal(400, "Bad Request: not enough rights to send photos to the chat"),
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


@pytest.mark.parametrize("how", [Standing.NO_PHOTOS, Standing.NO_DOCUMENTS])
def test_where_photos_or_files_are_forbidden_the_text_goes(
    channel: TelegramChannel, api: BotApi, how: Standing
) -> None:
    api.chat(api.group).standing = how
    delivered(channel, message(), pictures=pictures(1, picture(2001, 100) if how is Standing.NO_DOCUMENTS else None))
    kinds = [each.kind for each in api.messages(api.group)]
    assert kinds == (["document"] if how is Standing.NO_PHOTOS else ["text"])


@pytest.mark.parametrize(
    ("refused", "rights"),
    [
        (("Bad Request: CHAT_SEND_PHOTOS_FORBIDDEN", "Bad Request: CHAT_SEND_DOCS_FORBIDDEN"), ("photos", "files")),
        (("Bad Request: CHAT_SEND_MEDIA_FORBIDDEN", "Bad Request: CHAT_SEND_MEDIA_FORBIDDEN"), ("photos and files",)),
        (("Forbidden: CHAT_SEND_PHOTOS_FORBIDDEN", "Forbidden: CHAT_SEND_DOCS_FORBIDDEN"), ("photos", "files")),
    ],
)
@pytest.mark.parametrize("count", [1, 2])
def test_without_the_right_to_send_pictures_the_text_goes_and_the_right_is_named(
    channel: TelegramChannel, api: BotApi, refused: tuple[str, str], rights: tuple[str, ...], count: int
) -> None:
    as_photo, as_file = (Fault.refusal(403 if said.startswith("Forbidden") else 400, said) for said in refused)
    api.faults.add(as_photo, method="sendPhoto", times=9)
    api.faults.add(as_file, method="sendDocument", times=9)
    for kind, fault in (("photo", as_photo), ("document", as_file)):
        api.faults.add(fault, method="sendMediaGroup", when=lambda _, given, kind=kind: kind in given["media"], times=9)
    sent = delivered(channel, message(), pictures=pictures(count))
    (seen,) = api.messages(api.group)
    assert seen.kind == "text" and seen.text.startswith("❌ FAILED")
    for right in rights:
        assert f"Give the bot the right to send {right} in this chat." in notes_of(sent)


@pytest.mark.parametrize(
    "said",
    [
        "CHAT_RESTRICTED",
        "USER_BANNED_IN_CHANNEL",
        "CHAT_GUEST_SEND_FORBIDDEN",
        "CHANNEL_PRIVATE",
        "CHAT_ADMIN_REQUIRED",
    ],
)
def test_a_chat_that_refuses_the_bot_is_a_misconfiguration(channel: TelegramChannel, api: BotApi, said: str) -> None:
    api.faults.add(Fault.refusal(400, f"Bad Request: {said}"))
    error = failure(lambda: delivered(channel, message()))
    assert (error.reason, len(api.calls)) == ("misconfigured", 1)
    assert len(str(error)) > len(f"Telegram refuses: 400 Bad Request: {said}. ")


@pytest.mark.parametrize("thread", [None, 2])
def test_a_closed_general_topic_is_a_misconfiguration(api: BotApi, clock: Clock, thread: int | None) -> None:
    api.faults.add(Fault.refusal(400, "Bad Request: TOPIC_CLOSED"), times=9)
    channel = channel_to(api, clock, chat=api.supergroup, thread=thread)
    error = failure(lambda: delivered(channel, message()))
    assert (error.reason, len(api.calls)) == ("misconfigured", 1 if thread is None else 2)
    assert "TELEGRAM_THREAD_ID" in str(error) and "reopen" in str(error)


def test_a_refusal_that_is_about_nothing_in_particular_is_tried_once(channel: TelegramChannel, api: BotApi) -> None:
    api.faults.add(Fault.refusal(400, "Bad Request: something new"), times=9)
    error = failure(lambda: delivered(channel, message(links=(BUTTON,)), pictures=pictures(1)))
    assert (error.reason, len(api.calls)) == ("refused", 1)


def test_everything_at_once_is_given_up_one_by_one_and_noted(api: BotApi, clock: Clock) -> None:
    new = api.upgrade_group(api.group)
    api.chat(new).topics = {}
    channel = channel_to(api, clock, thread=99)
    api.faults.add(UNPARSED, method="sendPhoto", nth=2)
    told = message(links=(Link("", BUTTON.url),))
    (sent,) = delivered(channel, told, pictures=pictures(1, broken_png()))
    (seen,) = api.messages(new)
    assert (seen.kind, seen.buttons, seen.entities) == ("document", [], [])
    assert len(sent.notes) == 4
