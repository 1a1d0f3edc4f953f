"""The chats of the local Bot API server: who may write where, what answers what, and how messages change."""

from __future__ import annotations

import pytest

from metrics_platform_tests.telegram.asking import ask, keyboard, picture, post, refusal
from metrics_platform_tests.telegram.bot_api import ANNA, BotApi
from metrics_platform_tests.telegram.state import Standing


def test_a_reply_shows_what_it_answers_and_can_do_without_it(api: BotApi) -> None:
    first = api.person_writes(api.group, "is it bad?")
    answer = ask(api, "sendMessage", chat_id=api.group, text="no", reply_parameters={"message_id": first})
    assert answer["reply_to_message"]["text"] == "is it bad?"
    lenient = {"message_id": 999, "allow_sending_without_reply": True}
    assert "reply_to_message" not in ask(api, "sendMessage", chat_id=api.group, text="x", reply_parameters=lenient)
    assert [message.reply_to for message in api.messages(api.group)] == [None, first, None]


def test_a_reply_without_a_topic_stands_in_the_topic_of_what_it_answers(api: BotApi) -> None:
    first = ask(api, "sendMessage", chat_id=api.forum, message_thread_id=api.topic, text="open")["message_id"]
    ask(api, "sendMessage", chat_id=api.forum, text="resolved", reply_parameters={"message_id": first})
    assert [message.thread_id for message in api.messages(api.forum)] == [api.topic, api.topic]


@pytest.mark.parametrize(("chat", "thread"), [("forum", 1), ("forum", 77), ("group", 2), ("private", 2)])
def test_a_topic_that_is_not_there_is_refused(api: BotApi, chat: str, thread: int) -> None:
    said = refusal(api, "sendMessage", chat_id=getattr(api, chat), message_thread_id=thread, text="x")
    assert said == (400, "Bad Request: message thread not found")


def test_topic_zero_is_no_topic_and_a_closed_one_is_said_so(api: BotApi) -> None:
    assert "message_thread_id" not in ask(api, "sendMessage", chat_id=api.forum, message_thread_id=0, text="x")
    api.chat(api.forum).closed_topics.add(api.topic)
    said = refusal(api, "sendMessage", chat_id=api.forum, message_thread_id=api.topic, text="x")
    assert said == (400, "Bad Request: TOPIC_CLOSED")


_STANDINGS = [
    ("supergroup", Standing.KICKED, 403, "Forbidden: bot was kicked from the supergroup chat"),
    ("group", Standing.KICKED, 403, "Forbidden: bot was kicked from the group chat"),
    ("channel", Standing.KICKED, 403, "Forbidden: bot was kicked from the channel chat"),
    ("supergroup", Standing.NOT_A_MEMBER, 403, "Forbidden: bot is not a member of the supergroup chat"),
    ("channel", Standing.NOT_A_MEMBER, 403, "Forbidden: bot is not a member of the channel chat"),
    ("private", Standing.BLOCKED, 403, "Forbidden: bot was blocked by the user"),
    ("private", Standing.NOT_STARTED, 403, "Forbidden: bot can't initiate conversation with a user"),
    ("private", Standing.DEACTIVATED, 403, "Forbidden: user is deactivated"),
    ("group", Standing.DELETED, 403, "Forbidden: the group chat was deleted"),
    ("group", Standing.NO_MESSAGES, 400, "Bad Request: not enough rights to send text messages to the chat"),
    ("channel", Standing.NO_MESSAGES, 400, "Bad Request: need administrator rights in the channel chat"),
]


@pytest.mark.parametrize(("chat", "standing", "status", "words"), _STANDINGS)
def test_a_chat_where_the_bot_may_not_speak_says_so(
    api: BotApi, chat: str, standing: Standing, status: int, words: str
) -> None:
    api.chat(getattr(api, chat)).standing = standing
    assert refusal(api, "sendMessage", chat_id=getattr(api, chat), text="x") == (status, words)


def test_where_photos_are_not_allowed_texts_still_go(api: BotApi) -> None:
    api.chat(api.supergroup).standing = Standing.NO_PHOTOS
    said = refusal(api, "sendPhoto", chat_id=api.supergroup, files={"photo": picture()})
    assert said == (400, "Bad Request: not enough rights to send photos to the chat")
    ask(api, "sendMessage", chat_id=api.supergroup, text="x")
    rights = ask(api, "getChatMember", chat_id=api.supergroup, user_id=api.bot_id)
    assert (rights["status"], rights["can_send_photos"], rights["can_send_messages"]) == ("restricted", False, True)


@pytest.mark.parametrize("chat", ["-100", "12345", "@nobody", "metrics_channel", "nonsense", "@anna_metrics"])
def test_a_chat_that_is_not_there_is_not_found(api: BotApi, chat: str) -> None:
    assert refusal(api, "sendMessage", chat_id=chat, text="x") == (400, "Bad Request: chat not found")
    assert refusal(api, "getChat", chat_id=chat) == (400, "Bad Request: chat not found")


def test_an_upgraded_group_names_its_supergroup_when_written_to_but_not_when_read(api: BotApi) -> None:
    new = api.upgrade_group(api.group)
    answer = post(api, "sendMessage", chat_id=api.group, text="x").json()
    assert answer["description"] == "Bad Request: group chat was upgraded to a supergroup chat"
    assert answer["parameters"] == {"migrate_to_chat_id": new}
    assert ask(api, "getChat", chat_id=api.group)["type"] == "group"
    ask(api, "sendMessage", chat_id=new, text="x")


def test_an_edit_replaces_what_is_seen_and_is_remembered(api: BotApi) -> None:
    sent = ask(api, "sendMessage", chat_id=api.group, text="open", reply_markup=keyboard("https://example.org/"))
    target = {"chat_id": api.group, "message_id": sent["message_id"]}
    edited = ask(api, "editMessageText", **target, text="<b>resolved</b>", parse_mode="HTML")
    assert edited["edit_date"] and "reply_markup" not in edited
    (message,) = api.messages(api.group)
    assert (message.text, [old.text for old in message.edits]) == ("resolved", ["open"])
    assert message.edits[0].buttons and not message.buttons


def test_a_caption_and_a_picture_can_be_edited(api: BotApi) -> None:
    sent = ask(api, "sendPhoto", chat_id=api.group, caption="open", files={"photo": picture()})
    target = {"chat_id": api.group, "message_id": sent["message_id"]}
    ask(api, "editMessageCaption", **target, caption="resolved")
    new = picture(colour="red")
    ask(api, "editMessageMedia", **target, media={"type": "photo", "media": "attach://p"}, files={"p": new})
    (message,) = api.messages(api.group)
    assert (message.text, message.photo, len(message.edits)) == ("", new, 2)


def test_an_edit_is_refused_in_telegrams_words(api: BotApi) -> None:
    text = ask(api, "sendMessage", chat_id=api.group, text="same")["message_id"]
    photo = ask(api, "sendPhoto", chat_id=api.group, files={"photo": picture()})["message_id"]
    asked = api.person_writes(api.group, "hello")
    not_modified = (
        "message is not modified: specified new message content and reply markup are exactly the same as a current "
        "content and reply markup of the message"
    )
    for method, message_id, field, value, words in [
        ("editMessageText", text, "text", "<b></b>same ", not_modified),
        ("editMessageText", 99, "text", "x", "message to edit not found"),
        ("editMessageText", photo, "text", "x", "there is no text in the message to edit"),
        ("editMessageCaption", text, "caption", "x", "there is no caption in the message to edit"),
        ("editMessageText", asked, "text", "x", "message can't be edited"),
        ("editMessageText", text, "text", "x" * 4097, "message is too long"),
    ]:
        given = {"chat_id": api.group, "message_id": message_id, field: value, "parse_mode": "HTML"}
        assert refusal(api, method, **given) == (400, f"Bad Request: {words}")


def test_a_deleted_message_is_gone(api: BotApi) -> None:
    sent = ask(api, "sendMessage", chat_id=api.group, text="x")["message_id"]
    assert ask(api, "deleteMessage", chat_id=api.group, message_id=sent) is True
    assert api.messages(api.group) == []
    said = refusal(api, "deleteMessage", chat_id=api.group, message_id=sent)
    assert said == (400, "Bad Request: message to delete not found")


def test_members_are_told_apart(api: BotApi) -> None:
    assert ask(api, "getChatMember", chat_id=api.group, user_id=ANNA)["status"] == "member"
    assert ask(api, "getChatMember", chat_id=api.channel, user_id=api.bot_id)["can_post_messages"] is True
    said = refusal(api, "getChatMember", chat_id=api.group, user_id=5)
    assert said == (400, "Bad Request: member not found")
