"""Two clients which others wrote, pointed at the local server: what they send and read shows that it is a Bot API.

python-telegram-bot and aiogram build every type of an answer from its JSON and know each refusal as an exception of
its own, so an answer of a wrong shape or a refusal in wrong words does not get past both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
import telegram
from telegram import error as telegram_errors
from telegram.request import HTTPXRequest

from metrics_platform_tests.telegram.bot_api import BotApi, Fault
from metrics_platform_tests.telegram.state import Standing, picture

# aiogram builds its models for three seconds when it is imported: on use, since every worker collects this file.
if TYPE_CHECKING:
    import aiogram

T = TypeVar("T")
WRONG_TOKEN = "123456789:" + "B" * 35
HTML = "🔴 <b>CRITICAL</b> · <code>feed.views</code> −41%"
TEXT = "🔴 CRITICAL · feed.views −41%"


def with_telegram(api: BotApi, work: Callable[[telegram.Bot], Awaitable[T]], token: str | None = None) -> T:
    """What `work` returns with a python-telegram-bot."""

    async def run() -> T:
        request = HTTPXRequest()
        bot = telegram.Bot(token or api.token, base_url=f"{api.base}/bot", request=request, get_updates_request=request)
        try:
            return await work(bot)
        finally:
            await request.shutdown()

    return asyncio.run(run())


def with_aiogram(api: BotApi, work: Callable[[aiogram.Bot], Awaitable[T]], token: str | None = None) -> T:
    """What `work` returns with an aiogram."""
    import aiogram
    from aiogram.client.session.aiohttp import AiohttpSession
    from aiogram.client.telegram import TelegramAPIServer

    async def run() -> T:
        session = AiohttpSession(api=TelegramAPIServer.from_base(api.base), timeout=5)
        async with aiogram.Bot(token or api.token, session=session) as bot:
            return await work(bot)

    return asyncio.run(run())


def aiogram_error(name: str) -> type[Exception]:
    """An exception of aiogram."""
    from aiogram import exceptions

    error = getattr(exceptions, name)
    assert issubclass(error, Exception)
    return error


def test_python_telegram_bot_reads_who_and_where_it_is(api: BotApi) -> None:
    async def work(bot: telegram.Bot) -> None:
        async with bot:
            assert bot.username == "metrics_desk_bot" and bot.id == api.bot_id
            forum = await bot.get_chat(api.forum)
            assert (forum.type, forum.title, forum.is_forum) == ("supergroup", "Metrics, the forum", True)
            assert (await bot.get_chat(api.channel_name)).id == api.channel
            assert (await bot.get_chat(api.private)).first_name == "Anna"
            assert isinstance(await bot.get_chat_member(api.group, bot.id), telegram.ChatMemberMember)
            admin = await bot.get_chat_member(api.channel, bot.id)
            assert isinstance(admin, telegram.ChatMemberAdministrator) and admin.can_post_messages
            api.chat(api.group).standing = Standing.NO_PHOTOS
            restricted = await bot.get_chat_member(api.group, bot.id)
            assert isinstance(restricted, telegram.ChatMemberRestricted) and not restricted.can_send_photos

    with_telegram(api, work)
    assert {call.method for call in api.calls} == {"getMe", "getChat", "getChatMember"}


def test_python_telegram_bot_sends_replies_and_edits(api: BotApi) -> None:
    keyboard = telegram.InlineKeyboardMarkup([[telegram.InlineKeyboardButton("Run", url="https://example.org/run")]])

    async def work(bot: telegram.Bot) -> None:
        sent = await bot.send_message(
            api.forum,
            HTML,
            parse_mode="HTML",
            message_thread_id=api.topic,
            disable_notification=True,
            link_preview_options=telegram.LinkPreviewOptions(is_disabled=True),
            reply_markup=keyboard,
        )
        assert sent.text == TEXT and sent.text_html == HTML
        assert sent.message_thread_id == api.topic and sent.is_topic_message
        assert sent.reply_markup == keyboard and sent.from_user and sent.from_user.is_bot
        reply = await bot.send_message(
            api.forum,
            "✅ RESOLVED",
            reply_parameters=telegram.ReplyParameters(sent.message_id, allow_sending_without_reply=True),
        )
        assert reply.reply_to_message and reply.reply_to_message.message_id == sent.message_id
        edited = await bot.edit_message_text("<s>closed</s>", api.forum, sent.message_id, parse_mode="HTML")
        assert isinstance(edited, telegram.Message) and edited.text_html == "<s>closed</s>" and edited.edit_date

    with_telegram(api, work)
    check_sent_replied_and_edited(api)


def test_aiogram_sends_replies_and_edits(api: BotApi) -> None:
    from aiogram import types as aiogram_types

    button = aiogram_types.InlineKeyboardButton(text="Run", url="https://example.org/run")
    keyboard = aiogram_types.InlineKeyboardMarkup(inline_keyboard=[[button]])

    async def work(bot: aiogram.Bot) -> None:
        sent = await bot.send_message(
            api.forum,
            HTML,
            parse_mode="HTML",
            message_thread_id=api.topic,
            disable_notification=True,
            link_preview_options=aiogram_types.LinkPreviewOptions(is_disabled=True),
            reply_markup=keyboard,
        )
        assert sent.text == TEXT and sent.html_text == HTML
        assert sent.message_thread_id == api.topic and sent.is_topic_message
        assert sent.reply_markup and sent.reply_markup.model_dump() == keyboard.model_dump()
        parameters = aiogram_types.ReplyParameters(message_id=sent.message_id, allow_sending_without_reply=True)
        reply = await bot.send_message(api.forum, "✅ RESOLVED", reply_parameters=parameters)
        assert reply.reply_to_message and reply.reply_to_message.message_id == sent.message_id
        edited = await bot.edit_message_text(
            "<s>closed</s>", chat_id=api.forum, message_id=sent.message_id, parse_mode="HTML"
        )
        assert isinstance(edited, aiogram_types.Message) and edited.html_text == "<s>closed</s>"

    with_aiogram(api, work)
    check_sent_replied_and_edited(api)


def check_sent_replied_and_edited(api: BotApi) -> None:
    """What a person sees after either client's sending, replying and editing."""
    first, second = api.messages(api.forum)
    assert (first.text, first.silent, first.link_preview_off, first.buttons) == ("closed", True, False, [])
    (before,) = first.edits
    assert (before.text, before.source, before.link_preview_off) == (TEXT, HTML, True)
    assert before.buttons[0][0].url == "https://example.org/run"
    assert (second.reply_to, second.thread_id, second.silent) == (first.message_id, api.topic, False)


def test_python_telegram_bot_sends_files(api: BotApi) -> None:
    chart, other = picture(640, 480), picture(300, 200, "red")

    async def work(bot: telegram.Bot) -> None:
        photo = await bot.send_photo(api.channel_name, chart, caption=HTML, parse_mode="HTML", filename="chart.png")
        assert photo.caption == TEXT and photo.caption_html == HTML
        assert (photo.photo[-1].width, photo.photo[-1].height) == (640, 480)
        assert photo.sender_chat and photo.sender_chat.id == api.channel
        media = [
            telegram.InputMediaPhoto(chart, caption="<b>1</b>", parse_mode="HTML"),
            telegram.InputMediaPhoto(other),
        ]
        album = await bot.send_media_group(api.group, media, disable_notification=True)
        assert len({message.media_group_id for message in album}) == 1 and album[0].caption_html == "<b>1</b>"
        table = await bot.send_document(api.group, b"a;b\n", filename="отчёт.csv", caption="the data")
        assert table.document and (table.document.file_name, table.document.file_size) == ("отчёт.csv", 4)
        await bot.edit_message_caption(api.group, table.message_id, caption="the new data")
        await bot.edit_message_media(telegram.InputMediaPhoto(other), api.group, album[0].message_id)

    with_telegram(api, work)
    check_files(api, chart, other)


def test_aiogram_sends_files(api: BotApi) -> None:
    from aiogram import types as aiogram_types

    chart, other = picture(640, 480), picture(300, 200, "red")

    def file(content: bytes, name: str = "chart.png") -> aiogram.types.BufferedInputFile:
        return aiogram_types.BufferedInputFile(content, name)

    async def work(bot: aiogram.Bot) -> None:
        photo = await bot.send_photo(api.channel_name, file(chart), caption=HTML, parse_mode="HTML")
        assert photo.caption == TEXT and photo.html_text == HTML and photo.photo
        assert (photo.photo[-1].width, photo.photo[-1].height) == (640, 480)
        media: list[Any] = [
            aiogram_types.InputMediaPhoto(media=file(chart), caption="<b>1</b>", parse_mode="HTML"),
            aiogram_types.InputMediaPhoto(media=file(other)),
        ]
        album = await bot.send_media_group(api.group, media, disable_notification=True)
        assert len({message.media_group_id for message in album}) == 1 and album[0].html_text == "<b>1</b>"
        table = await bot.send_document(api.group, file(b"a;b\n", "отчёт.csv"), caption="the data")
        assert table.document and (table.document.file_name, table.document.file_size) == ("отчёт.csv", 4)
        await bot.edit_message_caption(chat_id=api.group, message_id=table.message_id, caption="the new data")
        new = aiogram_types.InputMediaPhoto(media=file(other))
        await bot.edit_message_media(new, chat_id=api.group, message_id=album[0].message_id)

    with_aiogram(api, work)
    check_files(api, chart, other)


def check_files(api: BotApi, chart: bytes, other: bytes) -> None:
    """What a person sees after either client's photo, album and document."""
    (photo,) = api.messages(api.channel)
    assert (photo.kind, photo.text, photo.photo) == ("photo", TEXT, chart)
    first, _, document = api.messages(api.group)
    assert (first.kind, first.photo, first.silent) == ("album", other, True)
    assert [(old.text, old.photo) for old in first.edits] == [("1", chart)]
    assert (document.kind, document.document, document.text) == ("document", b"a;b\n", "the new data")


def _kicked(api: BotApi) -> None:
    api.chat(api.group).standing = Standing.KICKED


def _fault(fault: Fault) -> Callable[[BotApi], None]:
    return lambda api: api.faults.add(fault, times=2)


_REFUSALS: list[tuple[Callable[[BotApi], Any], type[Exception], str, str]] = [
    (_kicked, telegram_errors.Forbidden, "TelegramForbiddenError", "bot was kicked"),
    (lambda api: api.remove_chat(api.group), telegram_errors.BadRequest, "TelegramBadRequest", "chat not found"),
    (lambda api: api.upgrade_group(api.group), telegram_errors.ChatMigrated, "TelegramMigrateToChat", "-1003001234567"),
    (_fault(Fault.server_error(500)), telegram_errors.NetworkError, "TelegramServerError", "Internal Server Error"),
    (_fault(Fault.dropped(processed=False)), telegram_errors.NetworkError, "TelegramNetworkError", "disconnected"),
    (_fault(Fault.too_many_requests(17)), telegram_errors.RetryAfter, "TelegramRetryAfter", "17"),
    (lambda _: None, telegram_errors.BadRequest, "TelegramBadRequest", 'unsupported start tag "br" at byte offset 1'),
]  # fmt: skip


@pytest.mark.parametrize(("prepare", "of_telegram", "of_aiogram", "words"), _REFUSALS)
def test_both_clients_know_a_refusal_by_its_exception(  # noqa: PLR0917
    api: BotApi,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[BotApi], Any],
    of_telegram: type[Exception],
    of_aiogram: str,
    words: str,
) -> None:
    monkeypatch.setenv("PTB_TIMEDELTA", "true")  # python-telegram-bot is about to answer so anyway
    text = "x<br>" if "<" in words or "tag" in words else "x"
    prepare(api)
    with pytest.raises(of_telegram, match=f"(?i){words}"):
        with_telegram(api, lambda bot: bot.send_message(api.group, text, parse_mode="HTML"))
    with pytest.raises(aiogram_error(of_aiogram), match=f"(?i){words}"):
        with_aiogram(api, lambda bot: bot.send_message(api.group, text, parse_mode="HTML"))


def test_both_clients_are_refused_with_a_wrong_token(api: BotApi) -> None:
    with pytest.raises(telegram_errors.InvalidToken):
        with_telegram(api, lambda bot: bot.get_me(), WRONG_TOKEN)
    with pytest.raises(aiogram_error("TelegramUnauthorizedError")):
        with_aiogram(api, lambda bot: bot.get_me(), WRONG_TOKEN)
