"""Two clients which others wrote, pointed at the local server: what they send and read shows that it is a Bot API.

python-telegram-bot and aiogram build every type of an answer from its JSON and know each refusal as an exception of
its own, so an answer of a wrong shape or a refusal in wrong words does not get past both. Their methods and types have
the Bot API's names, so both play the same scenes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
import telegram
from telegram import error as telegram_errors
from telegram.request import HTTPXRequest

from metrics_platform_tests.telegram.bot_api import BotApi, Fault
from metrics_platform_tests.telegram.state import Standing, picture

T = TypeVar("T")
WRONG_TOKEN = "123456789:" + "B" * 35
HTML = "🔴 <b>CRITICAL</b> · <code>feed.views</code> −41%"
TEXT = "🔴 CRITICAL · feed.views −41%"


class PythonTelegramBot:
    """python-telegram-bot: its types, and what it calls the HTML of a message and a file."""

    types: Any = telegram

    def run(self, api: BotApi, work: Callable[[Any], Awaitable[T]], token: str | None = None) -> T:
        """What `work` returns with a bot."""

        async def run() -> T:
            request = HTTPXRequest()
            bot = telegram.Bot(token or api.token, f"{api.base}/bot", request=request, get_updates_request=request)
            try:
                return await work(bot)
            finally:
                await request.shutdown()

        return asyncio.run(run())

    def html(self, message: Any) -> str:
        return str(message.caption_html if message.caption else message.text_html)

    def file(self, content: bytes, name: str, *, attach: bool = False) -> Any:
        return telegram.InputFile(content, name, attach)


class Aiogram:
    """The same of aiogram, which builds its models for three seconds when it is imported: on use."""

    @property
    def types(self) -> Any:
        from aiogram import types

        return types

    def run(self, api: BotApi, work: Callable[[Any], Awaitable[T]], token: str | None = None) -> T:
        import aiogram
        from aiogram.client.session.aiohttp import AiohttpSession
        from aiogram.client.telegram import TelegramAPIServer

        async def run() -> T:
            session = AiohttpSession(api=TelegramAPIServer.from_base(api.base), timeout=5)
            async with aiogram.Bot(token or api.token, session=session) as bot:
                return await work(bot)

        return asyncio.run(run())

    def html(self, message: Any) -> str:
        return str(message.html_text)

    def file(self, content: bytes, name: str, *, attach: bool = False) -> Any:
        return self.types.BufferedInputFile(content, name)


CLIENTS = [PythonTelegramBot(), Aiogram()]
with_each_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: type(client).__name__)


@with_each_client
def test_a_client_reads_who_and_where_it_is(api: BotApi, client: Any) -> None:
    async def work(bot: Any) -> None:
        me = await bot.get_me()
        assert me.username == "metrics_desk_bot" and me.id == api.bot_id
        forum = await bot.get_chat(api.forum)
        assert (forum.type, forum.title, forum.is_forum) == ("supergroup", "Metrics, the forum", True)
        assert (await bot.get_chat(api.channel_name)).id == api.channel
        assert (await bot.get_chat(api.private)).first_name == "Anna"
        assert isinstance(await bot.get_chat_member(api.group, me.id), client.types.ChatMemberMember)
        admin = await bot.get_chat_member(api.channel, me.id)
        assert isinstance(admin, client.types.ChatMemberAdministrator) and admin.can_post_messages
        api.chat(api.group).standing = Standing.NO_PHOTOS
        restricted = await bot.get_chat_member(api.group, me.id)
        assert isinstance(restricted, client.types.ChatMemberRestricted) and not restricted.can_send_photos

    client.run(api, work)
    assert {call.method for call in api.calls} == {"getMe", "getChat", "getChatMember"}


@with_each_client
def test_a_client_sends_replies_and_edits(api: BotApi, client: Any) -> None:
    types = client.types
    button = types.InlineKeyboardButton(text="Run", url="https://example.org/run")
    keyboard = types.InlineKeyboardMarkup(inline_keyboard=[[button]])

    async def work(bot: Any) -> None:
        sent = await bot.send_message(
            api.forum,
            HTML,
            parse_mode="HTML",
            message_thread_id=api.topic,
            disable_notification=True,
            link_preview_options=types.LinkPreviewOptions(is_disabled=True),
            reply_markup=keyboard,
        )
        assert sent.text == TEXT and client.html(sent) == HTML
        assert sent.message_thread_id == api.topic and sent.is_topic_message
        buttons = [[(button.text, button.url) for button in row] for row in sent.reply_markup.inline_keyboard]
        assert buttons == [[("Run", "https://example.org/run")]] and sent.from_user.is_bot
        parameters = types.ReplyParameters(message_id=sent.message_id, allow_sending_without_reply=True)
        reply = await bot.send_message(api.forum, "✅ RESOLVED", reply_parameters=parameters)
        assert reply.reply_to_message and reply.reply_to_message.message_id == sent.message_id
        place = {"chat_id": api.forum, "message_id": sent.message_id}
        edited = await bot.edit_message_text("<s>closed</s>", parse_mode="HTML", **place)
        assert isinstance(edited, types.Message) and client.html(edited) == "<s>closed</s>" and edited.edit_date

    client.run(api, work)
    first, second = api.messages(api.forum)
    assert (first.text, first.silent, first.link_preview_off, first.buttons) == ("closed", True, False, [])
    (before,) = first.edits
    assert (before.text, before.source, before.link_preview_off) == (TEXT, HTML, True)
    assert before.buttons[0][0].url == "https://example.org/run"
    assert (second.reply_to, second.thread_id, second.silent) == (first.message_id, api.topic, False)


@with_each_client
def test_a_client_sends_files(api: BotApi, client: Any) -> None:
    chart, other = picture(640, 480), picture(300, 200, "red")

    def photo_of(content: bytes, **caption: str) -> Any:
        return client.types.InputMediaPhoto(media=client.file(content, "chart.png", attach=True), **caption)

    async def work(bot: Any) -> None:
        photo = await bot.send_photo(api.channel_name, client.file(chart, "chart.png"), caption=HTML, parse_mode="HTML")
        assert photo.caption == TEXT and client.html(photo) == HTML
        assert (photo.photo[-1].width, photo.photo[-1].height) == (640, 480)
        assert photo.sender_chat and photo.sender_chat.id == api.channel
        media = [photo_of(chart, caption="<b>1</b>", parse_mode="HTML"), photo_of(other)]
        album = await bot.send_media_group(api.group, media, disable_notification=True)
        assert len({message.media_group_id for message in album}) == 1 and client.html(album[0]) == "<b>1</b>"
        table = await bot.send_document(api.group, client.file(b"a;b\n", "отчёт.csv"), caption="the data")
        assert table.document and (table.document.file_name, table.document.file_size) == ("отчёт.csv", 4)
        await bot.edit_message_caption(chat_id=api.group, message_id=table.message_id, caption="the new data")
        await bot.edit_message_media(photo_of(other), chat_id=api.group, message_id=album[0].message_id)

    client.run(api, work)
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


# What is wrong, the exception of each client, and words of its text.
_REFUSALS: list[tuple[Callable[[BotApi], Any], type[Exception], str, str]] = [
    (_kicked, telegram_errors.Forbidden, "TelegramForbiddenError", "bot was kicked"),
    (lambda api: api.remove_chat(api.group), telegram_errors.BadRequest, "TelegramBadRequest", "chat not found"),
    (lambda api: api.upgrade_group(api.group), telegram_errors.ChatMigrated, "TelegramMigrateToChat", "-1003001234567"),
    (_fault(Fault.server_error(500)), telegram_errors.NetworkError, "TelegramServerError", "Internal Server Error"),
    (_fault(Fault.dropped(processed=False)), telegram_errors.NetworkError, "TelegramNetworkError", "disconnected"),
    (_fault(Fault.too_many_requests(17)), telegram_errors.RetryAfter, "TelegramRetryAfter", "17"),
    (lambda _: None, telegram_errors.BadRequest, "TelegramBadRequest", 'unsupported start tag "br" at byte offset 1'),
]  # fmt: skip


def assert_refused(api: BotApi, work: Any, words: str, *errors: Any, token: str | None = None) -> None:
    """Both clients end with their own exception."""
    from aiogram import exceptions

    for client, error in zip(CLIENTS, errors, strict=True):
        kind = getattr(exceptions, error) if isinstance(error, str) else error
        with pytest.raises(kind, match=f"(?i){words}"):
            client.run(api, work, token)


@pytest.mark.parametrize(("prepare", "of_telegram", "of_aiogram", "words"), _REFUSALS)
def test_both_clients_know_a_refusal_by_its_exception(  # noqa: PLR0917
    api: BotApi, monkeypatch: pytest.MonkeyPatch, prepare: Any, of_telegram: Any, of_aiogram: str, words: str
) -> None:
    monkeypatch.setenv("PTB_TIMEDELTA", "true")  # python-telegram-bot is about to answer so anyway
    text = "x<br>" if "tag" in words else "x"
    prepare(api)
    send = lambda bot: bot.send_message(api.group, text, parse_mode="HTML")  # noqa: E731
    assert_refused(api, send, words, of_telegram, of_aiogram)


def test_both_clients_are_refused_with_a_wrong_token(api: BotApi) -> None:
    errors = telegram_errors.InvalidToken, "TelegramUnauthorizedError"
    assert_refused(api, lambda bot: bot.get_me(), "", *errors, token=WRONG_TOKEN)
