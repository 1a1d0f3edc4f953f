"""A client that others wrote, pointed at the local server: what it sends and reads shows that it is a Bot API.

aiogram builds every type of an answer from its JSON and knows each refusal as an exception of its own, so an answer of
a wrong shape or a refusal in wrong words does not get past it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from metrics_platform_tests.telegram.asking import picture
from metrics_platform_tests.telegram.bot_api import BotApi
from metrics_platform_tests.telegram.faults import Fault
from metrics_platform_tests.telegram.state import Standing

# aiogram builds its models for three seconds when it is imported: on use, since every worker collects this file.
if TYPE_CHECKING:
    import aiogram

WRONG_TOKEN = "123456789:" + "B" * 35
HTML = "🔴 <b>CRITICAL</b> · <code>feed.views</code> −41%"
TEXT = "🔴 CRITICAL · feed.views −41%"


def with_client(api: BotApi, work: Callable[[aiogram.Bot], Awaitable[Any]], token: str | None = None) -> None:
    """Run `work` with a bot of aiogram's."""
    import aiogram
    from aiogram.client.session.aiohttp import AiohttpSession
    from aiogram.client.telegram import TelegramAPIServer

    async def run() -> None:
        session = AiohttpSession(api=TelegramAPIServer.from_base(api.base), timeout=5)
        async with aiogram.Bot(token or api.token, session=session) as bot:
            await work(bot)

    asyncio.run(run())


def client_error(name: str) -> type[Exception]:
    """An exception of aiogram's."""
    from aiogram import exceptions

    error = getattr(exceptions, name)
    assert issubclass(error, Exception)
    return error


def test_a_client_reads_who_and_where_it_is(api: BotApi) -> None:
    from aiogram import types

    async def work(bot: aiogram.Bot) -> None:
        assert (await bot.me()).username == "metrics_desk_bot" and bot.id == api.bot_id
        forum = await bot.get_chat(api.forum)
        assert (forum.type, forum.title, forum.is_forum) == ("supergroup", "Metrics, the forum", True)
        assert (await bot.get_chat(api.channel_name)).id == api.channel
        assert (await bot.get_chat(api.private)).first_name == "Anna"
        assert isinstance(await bot.get_chat_member(api.group, bot.id), types.ChatMemberMember)
        admin = await bot.get_chat_member(api.channel, bot.id)
        assert isinstance(admin, types.ChatMemberAdministrator) and admin.can_post_messages
        for standing, right in ((Standing.NO_PHOTOS, "can_send_photos"), (Standing.NO_MESSAGES, "can_send_messages")):
            api.chat(api.group).standing = standing
            restricted = await bot.get_chat_member(api.group, bot.id)
            assert isinstance(restricted, types.ChatMemberRestricted) and not getattr(restricted, right)

    with_client(api, work)
    assert {call.method for call in api.calls} == {"getMe", "getChat", "getChatMember"}


def test_a_client_sends_replies_and_edits(api: BotApi) -> None:
    from aiogram import types

    button = types.InlineKeyboardButton(text="Run", url="https://example.org/run")
    keyboard = types.InlineKeyboardMarkup(inline_keyboard=[[button]])

    async def work(bot: aiogram.Bot) -> None:
        sent = await bot.send_message(
            api.forum,
            HTML,
            parse_mode="HTML",
            message_thread_id=api.topic,
            disable_notification=True,
            link_preview_options=types.LinkPreviewOptions(is_disabled=True),
            reply_markup=keyboard,
        )
        assert sent.text == TEXT and sent.html_text == HTML
        assert sent.message_thread_id == api.topic and sent.is_topic_message
        assert sent.reply_markup and sent.reply_markup.model_dump() == keyboard.model_dump()
        parameters = types.ReplyParameters(message_id=sent.message_id, allow_sending_without_reply=True)
        reply = await bot.send_message(api.forum, "✅ RESOLVED", reply_parameters=parameters)
        assert reply.reply_to_message and reply.reply_to_message.message_id == sent.message_id
        edited = await bot.edit_message_text(
            "<s>closed</s>", chat_id=api.forum, message_id=sent.message_id, parse_mode="HTML"
        )
        assert isinstance(edited, types.Message) and edited.html_text == "<s>closed</s>"

    with_client(api, work)
    first, second = api.messages(api.forum)
    assert (first.text, first.silent, first.link_preview_off, first.buttons) == ("closed", True, False, [])
    (before,) = first.edits
    assert (before.text, before.source, before.link_preview_off) == (TEXT, HTML, True)
    assert before.buttons[0][0].url == "https://example.org/run"
    assert (second.reply_to, second.thread_id, second.silent) == (first.message_id, api.topic, False)


def test_a_client_sends_files(api: BotApi) -> None:
    from aiogram import types

    chart, other = picture(640, 480), picture(300, 200, "red")

    def file(content: bytes, name: str = "chart.png") -> aiogram.types.BufferedInputFile:
        return types.BufferedInputFile(content, name)

    async def work(bot: aiogram.Bot) -> None:
        photo = await bot.send_photo(api.channel_name, file(chart), caption=HTML, parse_mode="HTML")
        assert photo.caption == TEXT and photo.html_text == HTML and photo.photo
        assert (photo.photo[-1].width, photo.photo[-1].height) == (640, 480)
        media: list[Any] = [
            types.InputMediaPhoto(media=file(chart), caption="<b>1</b>", parse_mode="HTML"),
            types.InputMediaPhoto(media=file(other)),
        ]
        album = await bot.send_media_group(api.group, media, disable_notification=True)
        assert len({message.media_group_id for message in album}) == 1 and album[0].html_text == "<b>1</b>"
        table = await bot.send_document(api.group, file(b"a;b\n", "отчёт.csv"), caption="the data")
        assert table.document and (table.document.file_name, table.document.file_size) == ("отчёт.csv", 4)
        await bot.edit_message_caption(chat_id=api.group, message_id=table.message_id, caption="the new data")
        new = types.InputMediaPhoto(media=file(other))
        await bot.edit_message_media(new, chat_id=api.group, message_id=album[0].message_id)

    with_client(api, work)
    (photo,) = api.messages(api.channel)
    assert (photo.kind, photo.text, photo.photo) == ("photo", TEXT, chart)
    first, _, document = api.messages(api.group)
    assert (first.kind, first.photo, first.silent) == ("album", other, True)
    assert [(old.text, old.photo) for old in first.edits] == [("1", chart)]
    assert (document.kind, document.document, document.text) == ("document", b"a;b\n", "the new data")


@pytest.mark.parametrize(
    ("prepare", "error", "words"),
    [
        (
            lambda api: setattr(api.chat(api.group), "standing", Standing.KICKED),
            "TelegramForbiddenError",
            "bot was kicked",
        ),
        (lambda api: api.remove_chat(api.group), "TelegramBadRequest", "chat not found"),
        (lambda api: api.upgrade_group(api.group), "TelegramMigrateToChat", "-1003001234567"),
        (lambda api: api.faults.add(Fault.server_error(500)), "TelegramServerError", "Internal Server Error"),
        (lambda api: api.faults.add(Fault.dropped(processed=False)), "TelegramNetworkError", "disconnected"),
        (lambda api: api.faults.add(Fault.too_many_requests(17)), "TelegramRetryAfter", "17"),
        (lambda _: None, "TelegramBadRequest", 'unsupported start tag "br" at byte offset 1'),
    ],
)
def test_a_client_knows_each_refusal(api: BotApi, prepare: Callable[[BotApi], Any], error: str, words: str) -> None:
    prepare(api)
    with pytest.raises(client_error(error), match=f"(?i){words}"):
        with_client(api, lambda bot: bot.send_message(api.group, "x<br>" if "tag" in words else "x", parse_mode="HTML"))


def test_a_client_with_a_wrong_token_is_refused(api: BotApi) -> None:
    with pytest.raises(client_error("TelegramUnauthorizedError")):
        with_client(api, lambda bot: bot.get_me(), WRONG_TOKEN)
