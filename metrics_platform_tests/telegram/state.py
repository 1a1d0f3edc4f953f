"""The chats of the local Bot API server and the messages in them, as a person would see them.

Chats are in one of the standings that Telegram has a text for; messages are typed, know what they were before each
edit, and write themselves as the Bot API's `Message`.
"""

from __future__ import annotations

import hashlib
import io
import time
from copy import deepcopy
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any, Literal

from PIL import Image

from metrics_platform_tests.telegram.http_server import UploadedFile
from metrics_platform_tests.telegram.parsing import ApiError, Parsed, bad_request, forbidden

BOT_NAME, BOT_USERNAME = "Metrics", "metrics_desk_bot"


class Standing(Enum):
    """How the bot stands with a chat."""

    WELCOME = auto()
    KICKED = auto()
    NOT_A_MEMBER = auto()
    BLOCKED = auto()  # a person stopped the bot
    NOT_STARTED = auto()  # a person has never written to the bot
    DEACTIVATED = auto()  # the person's account is gone
    DELETED = auto()  # the group is gone
    NO_MESSAGES = auto()
    NO_PHOTOS = auto()
    NO_DOCUMENTS = auto()


@dataclass(frozen=True)
class Button:
    """One button of an inline keyboard."""

    text: str
    url: str

    def json(self) -> dict[str, str]:
        """As the Bot API writes it."""
        return {"text": self.text, "url": self.url}


@dataclass
class Message:
    """A message in a chat. Sizes of texts are UTF-16 code units."""

    chat_id: int
    message_id: int
    date: int
    parsed: Parsed  # the text, or the caption
    source: str = ""  # the text as it was sent, with its markup
    media: Media | None = None
    album: str | None = None
    reply_to: int | None = None
    thread_id: int | None = None
    silent: bool = False
    link_preview_off: bool = False
    buttons: list[list[Button]] = field(default_factory=list)
    from_bot: bool = True
    edit_date: int | None = None
    edits: list[Message] = field(default_factory=list)  # what it was before each edit, oldest first

    @property
    def kind(self) -> Literal["text", "photo", "document", "album"]:
        """What a person would call it; `media` says what an album's message is."""
        if self.album:
            return "album"
        return self.media.kind if self.media else "text"

    @property
    def text(self) -> str:
        """The visible text or caption."""
        return self.parsed.text

    @property
    def entities(self) -> list[dict[str, Any]]:
        """What is bold, a link and so on, as the Bot API writes it."""
        return self.parsed.entities

    @property
    def photo(self) -> bytes | None:
        """The picture."""
        return self.media.content if self.media and self.media.kind == "photo" else None

    @property
    def document(self) -> bytes | None:
        """The file."""
        return self.media.content if self.media and self.media.kind == "document" else None

    def styled(self, kind: str) -> list[str]:
        """The words that have an entity of this kind: `styled("code")`."""
        return [self.parsed.words(one) for one in self.entities if one["type"] == kind]

    def before_edit(self) -> Message:
        """A copy of what it is now, for `edits`."""
        return deepcopy(replace(self, edits=[]))


@dataclass
class Chat:
    """One chat, with its messages by id."""

    chat_id: int
    kind: Literal["private", "group", "supergroup", "channel"]
    title: str
    username: str | None = None
    topics: dict[int, str] | None = None  # by thread id; None is no forum. General has no id one could name
    closed_topics: set[int] = field(default_factory=set)
    standing: Standing = Standing.WELCOME
    migrated_to: int | None = None
    messages: dict[int, Message] = field(default_factory=dict)
    last_message_id: int = 0

    def __post_init__(self) -> None:
        # A topic's id is that of the service message that opened it.
        self.last_message_id = max([self.last_message_id, *(self.topics or {})])

    @property
    def is_group(self) -> bool:
        """Whether the limit of a group holds."""
        return self.kind in {"group", "supergroup"}

    def next_id(self) -> int:
        """The id of the next message: consecutive in each chat."""
        self.last_message_id += 1
        return self.last_message_id

    def json(self) -> dict[str, Any]:
        """The `Chat` of the Bot API."""
        answer: dict[str, Any] = {"id": self.chat_id, "type": self.kind}
        answer |= {"first_name" if self.kind == "private" else "title": self.title}
        answer |= {"username": self.username} if self.username else {}
        return answer | ({"is_forum": True} if self.topics is not None else {})

    def check_access(self, need: Literal["read", "members", "edit", "write"]) -> None:
        """What the Bot API server knows of the chat without asking Telegram: its `check_chat_access`.

        An upgraded group can be read: `getChat` does not show that messages will be refused.
        """
        editing = need in {"edit", "write"}
        if self.kind == "private":
            if self.standing is Standing.DEACTIVATED and editing:
                raise forbidden("user is deactivated")
            return
        where = "group" if self.kind == "group" else self.kind
        if self.kind == "group":
            if need in {"write", "members"}:
                if self.migrated_to is not None:
                    text = "Bad Request: group chat was upgraded to a supergroup chat"
                    raise ApiError(400, text, migrate_to_chat_id=self.migrated_to)
                if self.standing is Standing.DELETED:
                    raise forbidden("the group chat was deleted")
            if not editing and need != "members":
                return
        if self.standing is Standing.KICKED:
            raise forbidden(f"bot was kicked from the {where} chat")
        if self.standing is Standing.NOT_A_MEMBER and (editing or need == "members" or not self.username):
            raise forbidden(f"bot is not a member of the {where} chat")

    def check_rights(self, what: Literal["text messages", "photos", "documents"]) -> None:
        """What Telegram itself refuses when the message is sent."""
        lacking = {
            Standing.NO_MESSAGES: {"text messages", "photos", "documents"},
            Standing.NO_PHOTOS: {"photos"},
            Standing.NO_DOCUMENTS: {"documents"},
        }.get(self.standing, set())
        if what in lacking:
            if self.kind == "channel":
                raise bad_request("need administrator rights in the channel chat")
            raise bad_request(f"not enough rights to send {what} to the chat")
        if self.standing is Standing.BLOCKED:
            raise forbidden("bot was blocked by the user")
        if self.standing is Standing.NOT_STARTED:
            raise forbidden("bot can't initiate conversation with a user")

    def thread(self, thread_id: int) -> int | None:
        """The topic to send to; numbers up to 0 are no topic."""
        if thread_id <= 0:
            return None
        if thread_id not in (self.topics or {}):
            raise bad_request("message thread not found")
        if thread_id in self.closed_topics:
            raise bad_request("TOPIC_CLOSED")
        return thread_id


class World:
    """All chats that the bot could meet."""

    def __init__(self, bot_id: int) -> None:
        self.bot_id = bot_id
        self.chats: dict[int, Chat] = {}

    def find(self, chat_id: str) -> Chat:
        """The chat of a number or `@name`, or Telegram's refusal."""
        if not chat_id:
            raise bad_request("chat_id is empty")
        if chat_id.startswith("@"):
            for chat in self.chats.values():
                # A person cannot be addressed by name by a bot.
                if chat.username and chat.username.lower() == chat_id[1:].lower() and chat.kind != "private":
                    return chat
        else:
            try:
                return self.chats[int(chat_id)]
            except (ValueError, KeyError):
                pass  # a name without its @ is no number, and no chat either
        raise bad_request("chat not found")

    def bot(self) -> dict[str, Any]:
        """The `User` that sends."""
        return {"id": self.bot_id, "is_bot": True, "first_name": BOT_NAME, "username": BOT_USERNAME}

    def json(self, message: Message, *, with_reply: bool = True) -> dict[str, Any]:
        """The `Message` of the Bot API."""
        chat = self.chats[message.chat_id]
        person = {"id": 700_000_001, "is_bot": False, "first_name": "Anna"}
        author = self.bot() if message.from_bot else person
        answer: dict[str, Any] = {"message_id": message.message_id}
        answer |= {"sender_chat": chat.json()} if chat.kind == "channel" else {"from": author}
        answer |= {"chat": chat.json(), "date": message.date}
        if message.edit_date:
            answer["edit_date"] = message.edit_date
        if message.thread_id:
            answer |= {"message_thread_id": message.thread_id, "is_topic_message": True}
        if message.reply_to and with_reply and message.reply_to in chat.messages:
            answer["reply_to_message"] = self.json(chat.messages[message.reply_to], with_reply=False)
        if message.album:
            answer["media_group_id"] = message.album
        if message.media:
            answer |= message.media.json()
        if message.text:
            prefix = "caption" if message.media else "text"
            answer[prefix] = message.text
            if message.entities:
                answer["caption_entities" if message.media else "entities"] = message.entities
        if message.link_preview_off:
            answer["link_preview_options"] = {"is_disabled": True}
        if message.buttons:
            rows = [[button.json() for button in row] for row in message.buttons]
            answer["reply_markup"] = {"inline_keyboard": rows}
        return answer


def unix_time() -> int:
    """Seconds, as in `date`."""
    return int(time.time())


# --- media ------------------------------------------------------------------------------------------------------------


MOST_PHOTO_BYTES = 10 * 1024 * 1024
MOST_FILE_BYTES = 50 * 1024 * 1024
_MOST_SIDES, _MOST_RATIO = 10_000, 20
# The longest sides of the sizes that Telegram makes of a photo, by its letters s, m, x, y, w.
_SIDES = (90, 320, 800, 1280, 2560)


@dataclass(frozen=True)
class Media:
    """A photo or a document in a chat; width and height in pixels."""

    kind: Literal["photo", "document"]
    name: str
    media_type: str
    content: bytes
    width: int = 0
    height: int = 0

    @property
    def file_id(self) -> str:
        """The id by which the same file can be sent again."""
        return f"AgAC{self._digest}{self.kind}"

    @property
    def _digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()[:32]

    def json(self) -> dict[str, Any]:
        """The field of a `Message`."""
        if self.kind == "document":
            document = {"file_name": self.name, "mime_type": self.media_type, "file_id": self.file_id}
            return {"document": document | {"file_unique_id": self._digest[:16], "file_size": len(self.content)}}
        longest = max(self.width, self.height)
        sides = [side for side in _SIDES if side < longest] + ([longest] if longest <= _SIDES[-1] else [])
        return {"photo": [self._size(side / longest, index) for index, side in enumerate(sides)]}

    def _size(self, scale: float, index: int) -> dict[str, Any]:
        return {
            "file_id": self.file_id,
            "file_unique_id": f"{self._digest[:15]}{index}",
            "file_size": max(1, round(len(self.content) * scale * scale)),
            "width": max(1, round(self.width * scale)),
            "height": max(1, round(self.height * scale)),
        }


def judge_photo(file: UploadedFile) -> Media:
    """The photo that Telegram makes of an uploaded file, or its refusal."""
    check_size(file, MOST_PHOTO_BYTES, "photo")
    try:
        with Image.open(io.BytesIO(file.content)) as image:
            width, height = image.size
            if width + height > _MOST_SIDES or max(width, height) > _MOST_RATIO * min(width, height):
                raise bad_request("PHOTO_INVALID_DIMENSIONS")
            image.load()  # a picture cut short opens well
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise bad_request("IMAGE_PROCESS_FAILED") from None
    return Media("photo", file.name, file.media_type, file.content, width, height)


def judge_document(file: UploadedFile) -> Media:
    """The document that Telegram makes of an uploaded file, or its refusal."""
    check_size(file, MOST_FILE_BYTES, "document")
    return Media("document", file.name, file.media_type, file.content)


def check_size(file: UploadedFile, most: int, kind: str) -> None:
    """Refuses what is empty or above `most` bytes."""
    if not file.content:
        raise bad_request("file must be non-empty")
    if file.size > MOST_FILE_BYTES:
        raise ApiError(413, "Request Entity Too Large")
    if file.size > most:
        raise bad_request(f"file of size {file.size} bytes is too big for a {kind}; the maximum size is {most} bytes")


# --- asking -----------------------------------------------------------------------------------------------------------


def picture(width: int = 320, height: int = 200, colour: str = "navy") -> bytes:
    """A PNG of the given size in pixels."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()
