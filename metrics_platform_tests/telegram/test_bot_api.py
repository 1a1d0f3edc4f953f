"""The local Bot API server keeps what it is sent, and refuses what Telegram refuses, in the same words."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from metrics_platform_tests.telegram.asking import ask, keyboard, picture, refusal
from metrics_platform_tests.telegram.bot_api import BotApi


def test_a_sent_text_is_seen_in_the_chat_with_all_that_was_asked(api: BotApi) -> None:
    answer = ask(
        api,
        "sendMessage",
        chat_id=api.forum,
        message_thread_id=api.topic,
        text="🔴 <b>CRITICAL</b> · Views −41%",
        parse_mode="HTML",
        disable_notification=True,
        link_preview_options={"is_disabled": True},
        reply_markup=keyboard("https://example.org/run"),
    )
    assert answer["chat"] == {"id": api.forum, "type": "supergroup", "title": "Metrics, the forum", "is_forum": True}
    assert answer["entities"] == [{"type": "bold", "offset": 3, "length": 8}]
    assert (answer["message_thread_id"], answer["is_topic_message"]) == (api.topic, True)
    assert answer["reply_markup"] == keyboard("https://example.org/run")
    (message,) = api.messages(api.forum)
    assert message.message_id == answer["message_id"]
    assert (message.kind, message.text, message.thread_id) == ("text", "🔴 CRITICAL · Views −41%", api.topic)
    assert message.source == "🔴 <b>CRITICAL</b> · Views −41%"
    assert message.silent and message.link_preview_off
    assert message.styled("bold") == ["CRITICAL"]
    assert message.buttons[0][0].url == "https://example.org/run"


def test_every_way_of_sending_parameters_is_the_same_call(api: BotApi) -> None:
    url = f"{api.base}/bot{api.token}/sendMessage"
    given = {"chat_id": str(api.group), "text": "ё & 📊", "disable_notification": "true"}
    requests.get(url, params=given, timeout=5)
    requests.post(url, data=given, timeout=5)
    requests.post(url, json={**given, "chat_id": api.group, "disable_notification": True}, timeout=5)
    requests.post(url, files={name: (None, value) for name, value in given.items()}, timeout=5)
    requests.post(url, params={"chat_id": given.pop("chat_id")}, data=given, timeout=5)
    assert [message.text for message in api.messages(api.group)] == ["ё & 📊"] * 5
    assert all(message.silent for message in api.messages(api.group))
    assert len({tuple(sorted(call.parameters.items())) for call in api.calls}) == 1
    assert all(call.ok for call in api.calls)


def test_a_body_in_chunks_is_read_whole(api: BotApi) -> None:
    body = f'{{"chat_id": {api.group}, "text": "in chunks"}}'.encode()
    url = f"{api.base}/bot{api.token}/sendMessage"
    headers = {"Content-Type": "application/json"}
    assert requests.post(url, data=iter([body[:9], body[9:]]), headers=headers, timeout=5).json()["ok"]
    assert api.messages(api.group)[0].text == "in chunks"


def test_a_null_is_a_parameter_that_is_not_given(api: BotApi) -> None:
    given: dict[str, Any] = {"chat_id": api.group, "text": "x", "reply_markup": None, "parse_mode": None}
    assert requests.post(f"{api.base}/bot{api.token}/sendMessage", json=given, timeout=5).json()["ok"]
    assert api.calls[0].parameters.keys() == {"chat_id", "text"}


def test_message_ids_are_consecutive_in_each_chat(api: BotApi) -> None:
    chats = [api.group, api.private, api.group]
    ids = [ask(api, "sendMessage", chat_id=chat, text="x")["message_id"] for chat in chats]
    assert ids == [1, 1, 2]


def test_a_photo_keeps_its_bytes_and_its_caption(api: BotApi) -> None:
    content = picture(900, 450)
    answer = ask(
        api, "sendPhoto", chat_id=api.channel_name, caption="<i>Views</i>", parse_mode="HTML", files={"photo": content}
    )
    assert answer["caption"] == "Views" and answer["caption_entities"][0]["type"] == "italic"
    assert [(size["width"], size["height"]) for size in answer["photo"]][-1] == (900, 450)
    assert answer["sender_chat"]["id"] == api.channel
    (message,) = api.messages(api.channel)
    assert (message.kind, message.text, message.photo) == ("photo", "Views", content)
    again = ask(api, "sendPhoto", chat_id=api.private, photo=answer["photo"][-1]["file_id"])
    assert again["photo"] == answer["photo"] and api.messages(api.private)[0].photo == content


def test_a_document_keeps_its_name_and_bytes(api: BotApi) -> None:
    binary = b"day,views\r\n--x\r\n\x00\xff\r\n"
    answer = ask(api, "sendDocument", chat_id=api.group, files={"document": ("Отчёт.csv", binary, "text/csv")})
    assert answer["document"]["file_name"] == "Отчёт.csv"
    assert answer["document"]["file_size"] == len(binary)
    assert api.messages(api.group)[0].document == binary
    assert api.calls[-1].files["document"].size == len(binary)


def test_an_album_is_several_messages_of_one_group(api: BotApi) -> None:
    first = ask(api, "sendMessage", chat_id=api.group, text="the text")["message_id"]
    media = [{"type": "photo", "media": f"attach://p{n}", "caption": f"chart {n}"} for n in range(3)]
    answer = ask(
        api,
        "sendMediaGroup",
        chat_id=api.group,
        media=media,
        reply_parameters={"message_id": first},
        disable_notification=True,
        files={f"p{n}": picture(100 + n) for n in range(3)},
    )
    assert len({message["media_group_id"] for message in answer}) == 1
    album = api.messages(api.group)[1:]
    assert [message.kind for message in album] == ["album"] * 3
    assert [message.text for message in album] == ["chart 0", "chart 1", "chart 2"]
    assert {message.reply_to for message in album} == {first} and album[0].silent


def test_nothing_of_an_album_is_sent_where_one_photo_is_bad(api: BotApi) -> None:
    media = [{"type": "photo", "media": "attach://a"}, {"type": "photo", "media": "attach://b"}]
    files = {"a": picture(), "b": b"no picture"}
    said = refusal(api, "sendMediaGroup", chat_id=api.group, media=media, files=files)
    assert said == (400, "Bad Request: IMAGE_PROCESS_FAILED")


_LONG = {"text": "x" * 4097}
_TEXTS: list[tuple[dict[str, Any], str]] = [
    ({"text": ""}, "message text is empty"),
    ({}, "message text is empty"),
    ({"text": " \n "}, "text must be non-empty"),
    ({"text": "<b></b>", "parse_mode": "HTML"}, "text must be non-empty"),
    (_LONG, "message is too long"),
    ({"text": "📊" * 2049}, "message is too long"),
    ({"text": "x", "parse_mode": "XML"}, "unsupported parse_mode"),
    (
        {"text": "x<br>", "parse_mode": "html"},
        'can\'t parse entities: Unsupported start tag "br" at byte offset 1',
    ),
    (
        {"text": "x", "reply_markup": keyboard("http://localhost:3000/")},
        "inline keyboard button URL 'http://localhost:3000/' is invalid: Wrong HTTP URL",
    ),
    (
        {"text": "x", "reply_markup": keyboard("ftp://example.org/")},
        "inline keyboard button URL 'ftp://example.org/' is invalid: Unsupported URL protocol",
    ),
    (
        {"text": "x", "reply_markup": {"inline_keyboard": [[{"text": "a"}]]}},
        "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard",
    ),
    ({"text": "x", "reply_markup": "{"}, "can't parse reply keyboard markup JSON object"),
    ({"text": "x", "reply_parameters": {"message_id": 77}}, "message to be replied not found"),
]


@pytest.mark.parametrize(("given", "words"), _TEXTS)
def test_a_text_is_refused_in_telegrams_words(api: BotApi, given: dict[str, Any], words: str) -> None:
    assert refusal(api, "sendMessage", chat_id=api.group, **given) == (400, f"Bad Request: {words}")


def test_the_longest_text_is_counted_after_its_markup(api: BotApi) -> None:
    text = f'<a href="https://example.org/{"y" * 500}">{"x" * 4095}</a>&lt;'
    assert len(ask(api, "sendMessage", chat_id=api.group, text=text, parse_mode="HTML")["text"]) == 4096


def test_a_link_without_a_dot_in_its_host_is_dropped_without_a_word(api: BotApi) -> None:
    ask(api, "sendMessage", chat_id=api.group, text='<a href="http://localhost:3000/">run</a>', parse_mode="HTML")
    assert api.messages(api.group)[0].parsed.links == []


def test_entities_beyond_a_hundred_are_lost(api: BotApi) -> None:
    ask(api, "sendMessage", chat_id=api.group, text="<b>x</b> " * 103, parse_mode="HTML")
    (message,) = api.messages(api.group)
    assert (len(message.entities), message.lost_entities) == (100, 3)


_FILES: list[tuple[str, bytes, dict[str, Any], tuple[int, str]]] = [
    ("photo", b"no image", {}, (400, "Bad Request: IMAGE_PROCESS_FAILED")),
    ("photo", picture()[:200], {}, (400, "Bad Request: IMAGE_PROCESS_FAILED")),
    ("photo", b"", {}, (400, "Bad Request: file must be non-empty")),
    ("photo", picture(9000, 1001), {}, (400, "Bad Request: PHOTO_INVALID_DIMENSIONS")),
    ("photo", picture(2100, 100), {}, (400, "Bad Request: PHOTO_INVALID_DIMENSIONS")),
    ("photo", picture(), {"caption": "x" * 1025}, (400, "Bad Request: message caption is too long")),
    (
        "photo",
        bytes(10 * 1024 * 1024 + 1),
        {},
        (400, "Bad Request: file of size 10485761 bytes is too big for a photo; the maximum size is 10485760 bytes"),
    ),
    ("document", bytes(50 * 1024 * 1024 + 1), {}, (413, "Request Entity Too Large")),
]


@pytest.mark.parametrize(("kind", "content", "given", "said"), _FILES)
def test_a_file_is_refused_in_telegrams_words(
    api: BotApi, kind: str, content: bytes, given: dict[str, Any], said: tuple[int, str]
) -> None:
    method = f"send{kind.title()}"
    assert refusal(api, method, chat_id=api.group, files={kind: ("chart.png", content)}, **given) == said


def test_what_is_just_within_the_limits_is_accepted(api: BotApi) -> None:
    ask(api, "sendPhoto", chat_id=api.group, files={"photo": picture(2000, 100)}, caption="📊" * 512)
    ask(api, "sendPhoto", chat_id=api.group, files={"photo": picture(9000, 1000)})
    ask(api, "sendDocument", chat_id=api.group, files={"document": ("big.png", bytes(10 * 1024 * 1024 + 1))})
    assert [message.kind for message in api.messages(api.group)] == ["photo", "photo", "document"]


@pytest.mark.parametrize(
    ("media", "words"),
    [
        ([], "Bad Request: there are no messages to send"),
        ([{"type": "photo", "media": "attach://a"}] * 11, "Bad Request: too many messages to send as an album"),
        ([{"type": "photo", "media": "attach://b"}] * 2, "Bad Request: can't parse InputMedia: media not found"),
        (
            [{"type": "photo", "media": "attach://a"}, {"type": "document", "media": "attach://a"}],
            "Bad Request: document can't be mixed with other media types",
        ),
    ],
)
def test_an_album_is_refused_in_telegrams_words(api: BotApi, media: list[dict[str, str]], words: str) -> None:
    files = {"a": picture()} if any(one["media"] == "attach://a" for one in media) else None
    assert refusal(api, "sendMediaGroup", chat_id=api.group, media=media, files=files) == (400, words)


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("sendMessage", {"text": "x", "disable_notifications": "true"}),
        ("sendMessage", {"text": "x", "reply_to_message_id": "1"}),
        ("sendMessage", {"text": "x", "link_preview_options": {"disabled": True}}),
        ("sendMediaGroup", {"media": [], "reply_markup": keyboard("https://example.org/")}),
        ("sendMediaGroup", {"media": [{"type": "photo", "media": "attach://a"}]}),
        ("sendPhoto", {"text": "x"}),
        ("sendMessage", {"text": "x", "reply_parameters": {"message": 1}}),
    ],
)
def test_a_typing_mistake_is_refused_in_the_servers_own_words(api: BotApi, method: str, given: dict[str, Any]) -> None:
    status, words = refusal(api, method, chat_id=api.group, **given)
    assert status == 400 and "strictness of the test server" in words


def test_a_file_that_nothing_refers_to_is_refused_in_the_servers_own_words(api: BotApi) -> None:
    media = [{"type": "photo", "media": "attach://a"}, {"type": "photo", "media": "attach://a"}]
    _, words = refusal(
        api, "sendMediaGroup", chat_id=api.group, media=media, files={"a": picture(), "stray": picture()}
    )
    assert words.endswith("nothing refers to the file stray")


@pytest.mark.parametrize(
    ("token", "method", "said"),
    [
        ("123456789:" + "B" * 35, "getMe", (401, "Unauthorized")),
        ("123456789:short", "getMe", (404, "Not Found")),
        (None, "sendPoll", (404, "Not Found")),
        (None, "", (404, "Not Found")),
    ],
)
def test_a_wrong_token_or_method_is_refused(api: BotApi, token: str | None, method: str, said: tuple[int, str]) -> None:
    answer = requests.get(f"{api.base}/bot{token or api.token}/{method}", timeout=5)
    body = answer.json()
    assert (answer.status_code, body["description"]) == (body["error_code"], body["description"]) == said


def test_calls_for_updates_are_answered_and_recorded(api: BotApi) -> None:
    assert ask(api, "getUpdates") == []
    assert ask(api, "setWebhook", url="https://example.org/") is True
    assert ask(api, "deleteWebhook") is True
    assert [call.method for call in api.calls_of("getUpdates", "setWebhook", "deleteWebhook")] == [
        "getUpdates",
        "setWebhook",
        "deleteWebhook",
    ]
