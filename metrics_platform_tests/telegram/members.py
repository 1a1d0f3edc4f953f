"""What `getChat` and `getChatMember` answer: all the fields that the documentation says are always there.

A check at start-up reads the rights of the bot here, so they agree with the standing of the chat.
"""

from __future__ import annotations

from typing import Any

from metrics_platform_tests.telegram.errors import bad_request
from metrics_platform_tests.telegram.state import Chat, Standing, World

_PERMISSIONS = (
    "can_send_messages",
    "can_send_audios",
    "can_send_documents",
    "can_send_photos",
    "can_send_videos",
    "can_send_video_notes",
    "can_send_voice_notes",
    "can_send_polls",
    "can_send_other_messages",
    "can_add_web_page_previews",
    "can_react_to_messages",
    "can_edit_tag",
    "can_change_info",
    "can_invite_users",
    "can_pin_messages",
    "can_manage_topics",
)
_ADMINISTRATOR = (
    "is_anonymous",
    "can_delete_messages",
    "can_manage_video_chats",
    "can_restrict_members",
    "can_promote_members",
    "can_change_info",
    "can_invite_users",
    "can_post_stories",
    "can_edit_stories",
    "can_delete_stories",
    "can_send_welcome_messages",
)
_GIFTS = (
    "unlimited_gifts",
    "limited_gifts",
    "unique_gifts",
    "premium_subscription",
    "gifts_from_channels",
)


def full_chat(chat: Chat) -> dict[str, Any]:
    """The `ChatFullInfo` of a chat."""
    answer = chat.json() | {"accent_color_id": 3, "max_reaction_count": 11}
    answer["accepted_gift_types"] = dict.fromkeys(_GIFTS, False)
    if chat.username:
        answer["active_usernames"] = [chat.username]
    if chat.is_group:
        answer["permissions"] = _rights(chat)
    return answer


def member(world: World, chat: Chat, user_id: str) -> dict[str, Any]:
    """The `ChatMember` of the bot in a chat."""
    if user_id != str(world.bot_id):
        raise bad_request("member not found" if user_id.isdigit() else "invalid user_id specified")
    answer: dict[str, Any] = {"user": world.bot()}
    if chat.kind == "channel":
        can_post = chat.standing is not Standing.NO_MESSAGES
        rights = dict.fromkeys(_ADMINISTRATOR, False) | {"can_be_edited": False, "can_manage_chat": True}
        rights |= {"can_post_messages": can_post, "can_edit_messages": can_post}
        return answer | {"status": "administrator"} | rights
    if chat.standing in {Standing.NO_MESSAGES, Standing.NO_PHOTOS, Standing.NO_DOCUMENTS}:
        return answer | {"status": "restricted", "is_member": True, "until_date": 0} | _rights(chat)
    return answer | {"status": "member"}


def _rights(chat: Chat) -> dict[str, bool]:
    rights = dict.fromkeys(_PERMISSIONS, True)
    for standing, name in ((Standing.NO_PHOTOS, "can_send_photos"), (Standing.NO_DOCUMENTS, "can_send_documents")):
        rights[name] = chat.standing is not standing
    return dict.fromkeys(rights, False) if chat.standing is Standing.NO_MESSAGES else rights
