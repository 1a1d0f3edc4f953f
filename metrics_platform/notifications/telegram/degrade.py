"""Leave out what Telegram refuses of a call, so that its text arrives: the topic, markup, buttons or picture.

Each is left out once, with a note.
"""

from __future__ import annotations

from dataclasses import replace

from metrics_platform.notifications.errors import DeliveryError
from metrics_platform.notifications.telegram.calls import Call
from metrics_platform.notifications.telegram.client import RefusalError

# A call has no more than these to give up: chat, topic, markup, buttons, reply, photo, file.
MOST_CHANGES = 7
_TOPIC_REFUSED = ("message thread not found", "topic_closed", "topic_deleted")
_BUTTONS_REFUSED = ("button", "reply markup", "reply_markup")
_REPLY_REFUSED = ("message to be replied not found", "reply message not found", "reply_message_id_invalid")
_PICTURE_REFUSED = (
    "photo",
    "image_process_failed",
    "media_invalid",
    "media_empty",
    "wrong type of the web page",
    "too big",
    "too large",
    "file must be non-empty",
    "wrong file identifier",
    "rights to send documents",
    "chat_send_docs_forbidden",
    "chat_send_media_forbidden",
)
# Neither a photo nor a file may be sent.
_NO_MEDIA = "chat_send_media_forbidden"


Changed = tuple[Call, str] | None


def degrade(call: Call, error: DeliveryError) -> Changed:
    """The call without what Telegram refuses of it, and what people should know; None where nothing helps.

    The call that is left may have neither text nor picture: there is nothing to send any more.
    """
    if not isinstance(error, RefusalError):
        return None
    ways = (_moved, _without_topic, _plain, _without_buttons, _without_reply, _as_file, _without_picture)
    return next((changed for way in ways if (changed := way(call, error))), None)


def _moved(call: Call, error: RefusalError) -> Changed:
    """To the supergroup; topics and messages of the old group are not there, so no reply, and no edit."""
    if not error.moved_to or "message_id" in call.parameters:
        return None
    moved = call.with_parameters(chat_id=error.moved_to, message_thread_id=None, reply_parameters=None)
    return moved, str(error)


def _without_topic(call: Call, error: RefusalError) -> Changed:
    topic = call.parameters.get("message_thread_id")
    if not topic or not _any_of(_TOPIC_REFUSED, error):
        return None
    note = f"The topic {topic} is gone or closed: sent without it. Correct TELEGRAM_THREAD_ID or TELEGRAM_ROUTES."
    return call.with_parameters(message_thread_id=None), note


def _plain(call: Call, error: RefusalError) -> Changed:
    if not call.part or not call.as_html or "can't parse entities" not in error.said:
        return None
    return replace(call, as_html=False), f"Telegram did not accept the markup, the text went plain: {error}"


def _without_buttons(call: Call, error: RefusalError) -> Changed:
    if not call.parameters.get("reply_markup") or not _any_of(_BUTTONS_REFUSED, error):
        return None
    note = f"Telegram did not accept the buttons, they were left out: {error}"
    return call.with_parameters(reply_markup=None), note


def _without_reply(call: Call, error: RefusalError) -> Changed:
    if not call.parameters.get("reply_parameters") or not _any_of(_REPLY_REFUSED, error):
        return None
    return call.with_parameters(reply_parameters=None), f"The message it replies to is gone: {error}"


def _as_file(call: Call, error: RefusalError) -> Changed:
    """Its pictures as files: those of an album in one call still, so that none of them is sent twice."""
    is_photo = call.method == "sendPhoto" or (call.method == "sendMediaGroup" and not call.as_files)
    if not is_photo or not _any_of(_PICTURE_REFUSED, error) or _NO_MEDIA in error.said:
        return None
    method = "sendDocument" if call.method == "sendPhoto" else call.method
    note = f"Telegram did not accept the picture as a photo, it went as a file: {error}"
    return replace(call, method=method, as_files=True), note


def _without_picture(call: Call, error: RefusalError) -> Changed:
    if not call.pictures or not _any_of(_PICTURE_REFUSED, error):
        return None
    note = f"Telegram did not accept the picture, it was left out: {error}"
    method = "editMessageCaption" if call.method == "editMessageMedia" else "sendMessage"
    return replace(call, method=method, pictures=(), as_files=False), note


def _any_of(phrases: tuple[str, ...], error: RefusalError) -> bool:
    return any(phrase in error.said for phrase in phrases)
