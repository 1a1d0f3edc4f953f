"""Edits: what changes of a message that was sent, and when there is nothing to change."""

from __future__ import annotations

import pytest

from metrics_platform.notifications.history import Sent
from metrics_platform.notifications.message import Details, Paragraph, bold, line
from metrics_platform.notifications.telegram.channel import TelegramChannel
from metrics_platform_tests.notifications.clock import failure
from metrics_platform_tests.notifications.telegram_chat import (
    BUTTON,
    LONG,
    UNPARSED,
    delivered,
    message,
    pictures,
)
from metrics_platform_tests.telegram import BotApi, Fault, Standing
from metrics_platform_tests.telegram.asking import picture


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


def test_an_edit_whose_answer_was_lost_is_repeated_and_fine(channel: TelegramChannel, api: BotApi) -> None:
    (original,) = delivered(channel, message())
    api.faults.add(Fault.dropped(processed=True), method="editMessageText")
    assert channel.edit(message(headline=line("changed")), original) is True
    assert len(api.messages(api.group)[0].edits) == 1


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


def test_a_picture_that_was_not_sent_leaves_an_editable_text(channel: TelegramChannel, api: BotApi) -> None:
    for method in ("sendPhoto", "sendDocument"):
        api.faults.add(Fault.refusal(400, "Bad Request: IMAGE_PROCESS_FAILED"), method=method)
    (original,) = delivered(channel, message(), pictures=pictures(1))
    assert channel.edit(message(headline=line("changed")), original) is True
    assert api.messages(api.group)[0].text.startswith("changed")


def test_an_edit_whose_markup_is_refused_is_plain_text_too(channel: TelegramChannel, api: BotApi) -> None:
    (original,) = delivered(channel, message())
    api.faults.add(UNPARSED)
    assert channel.edit(message(headline=line(bold("changed"))), original)
    assert api.messages(api.group)[0].text.startswith("changed")
