"""The parameters that each method of the Bot API has, so that a typo in our calls is refused.

A real server ignores names it does not know: `disable_notifications=true` would make a sound for a year. The names
here are those of the current documentation; its removed ones (`reply_to_message_id`, `disable_web_page_preview`)
still work at Telegram for old clients, but new code has no business with them.
"""

from __future__ import annotations

from metrics_platform_tests.telegram.errors import strictness
from metrics_platform_tests.telegram.reading import Sent

_TARGET = {"business_connection_id", "chat_id", "message_thread_id", "direct_messages_topic_id"}
_MANNER = {
    "disable_notification",
    "protect_content",
    "allow_paid_broadcast",
    "message_effect_id",
    "suggested_post_parameters",
    "reply_parameters",
    "reply_markup",
}
_CAPTION = {"caption", "parse_mode", "caption_entities"}
_EDITED = {"business_connection_id", "chat_id", "message_id", "inline_message_id"}

PARAMETERS: dict[str, set[str]] = {
    "getMe": set(),
    "getChat": {"chat_id"},
    "getChatMember": {"chat_id", "user_id"},
    "sendMessage": _TARGET | _MANNER | {"text", "parse_mode", "entities", "link_preview_options"},
    "sendPhoto": _TARGET | _MANNER | _CAPTION | {"photo", "show_caption_above_media", "has_spoiler"},
    "sendDocument": _TARGET | _MANNER | _CAPTION | {"document", "thumbnail", "disable_content_type_detection"},
    # An album has no keyboard.
    "sendMediaGroup": (_TARGET | _MANNER | {"media"}) - {"reply_markup", "suggested_post_parameters"},
    "editMessageText": _EDITED | {"text", "parse_mode", "entities", "link_preview_options", "reply_markup"},
    "editMessageCaption": _EDITED | _CAPTION | {"show_caption_above_media", "reply_markup"},
    "editMessageMedia": _EDITED | {"media", "reply_markup"},
    "deleteMessage": {"chat_id", "message_id"},
    # Answered and recorded, so that a test can check that they are not called.
    "getUpdates": {"offset", "limit", "timeout", "allowed_updates"},
    "setWebhook": {
        "url",
        "certificate",
        "ip_address",
        "max_connections",
        "allowed_updates",
        "drop_pending_updates",
        "secret_token",
    },
    "deleteWebhook": {"drop_pending_updates"},
}
_FILES = {"sendPhoto": {"photo"}, "sendDocument": {"document", "thumbnail"}, "setWebhook": {"certificate"}}
# What this server would have to pretend: better refused than silently without effect.
_NOT_SPOKEN = {
    "business_connection_id",
    "direct_messages_topic_id",
    "suggested_post_parameters",
    "inline_message_id",
    "message_effect_id",
}


def check_parameters(method: str, sent: Sent) -> None:
    """Refuses names that the documentation does not have for the method, and files that nothing refers to."""
    unknown = sent.parameters.keys() - PARAMETERS[method]
    if unknown:
        raise strictness(f"{method} has no parameter {', '.join(sorted(unknown))}")
    not_spoken = sent.parameters.keys() & _NOT_SPOKEN
    if not_spoken:
        raise strictness(f"{', '.join(sorted(not_spoken))} is not spoken by this server")
    attached = {name for name in sent.files if any(f"attach://{name}" in value for value in sent.parameters.values())}
    stray = sent.files.keys() - attached - _FILES.get(method, set())
    if stray:
        raise strictness(f"nothing refers to the file {', '.join(sorted(stray))}")
