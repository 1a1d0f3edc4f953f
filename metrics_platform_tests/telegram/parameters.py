"""The parameters that each method of the Bot API has, so that a typo in our calls is refused.

A real server ignores names it does not know: `disable_notifications=true` would make a sound for a year. The names
here are those of the current documentation; its removed ones (`reply_to_message_id`, `disable_web_page_preview`)
still work at Telegram for old clients, but new code has no business with them.
"""

from __future__ import annotations

from metrics_platform_tests.telegram.errors import strictness
from metrics_platform_tests.telegram.reading import Sent

_TARGET = {"chat_id", "message_thread_id"}
_MANNER = {"disable_notification", "reply_parameters", "reply_markup"}
_CAPTION = {"caption", "parse_mode"}
_EDITED = {"chat_id", "message_id"}

PARAMETERS: dict[str, set[str]] = {
    "getMe": set(),
    "getChat": {"chat_id"},
    "getChatMember": {"chat_id", "user_id"},
    "sendMessage": _TARGET | _MANNER | {"text", "parse_mode", "link_preview_options"},
    "sendPhoto": _TARGET | _MANNER | _CAPTION | {"photo"},
    "sendDocument": _TARGET | _MANNER | _CAPTION | {"document"},
    # An album has no keyboard.
    "sendMediaGroup": (_TARGET | _MANNER | {"media"}) - {"reply_markup"},
    "editMessageText": _EDITED | {"text", "parse_mode", "link_preview_options", "reply_markup"},
    "editMessageCaption": _EDITED | _CAPTION | {"reply_markup"},
    "editMessageMedia": _EDITED | {"media", "reply_markup"},
}
_FILES = {"sendPhoto": {"photo"}, "sendDocument": {"document"}}


def check_parameters(method: str, sent: Sent) -> None:
    """Refuses names that the documentation does not have for the method, and files that nothing refers to."""
    unknown = sent.parameters.keys() - PARAMETERS[method]
    if unknown:
        raise strictness(f"{method} has no parameter {', '.join(sorted(unknown))}")
    attached = {name for name in sent.files if any(f"attach://{name}" in value for value in sent.parameters.values())}
    stray = sent.files.keys() - attached - _FILES.get(method, set())
    if stray:
        raise strictness(f"nothing refers to the file {', '.join(sorted(stray))}")
