"""How the tests of the server speak to it: plain requests, and pictures of a wanted size."""

from __future__ import annotations

import io
import json
from typing import Any

import requests
from PIL import Image

from metrics_platform_tests.telegram.bot_api import BotApi


def post(api: BotApi, method: str, *, files: dict[str, Any] | None = None, **parameters: Any) -> requests.Response:
    """One call by a form, or multipart with `files`; objects become their JSON texts."""
    data = {name: value if isinstance(value, str) else json.dumps(value) for name, value in parameters.items()}
    return requests.post(f"{api.base}/bot{api.token}/{method}", data=data, files=files, timeout=5)


def ask(api: BotApi, method: str, *, files: dict[str, Any] | None = None, **parameters: Any) -> Any:
    """The result of a call that must succeed."""
    answer = post(api, method, files=files, **parameters).json()
    assert answer["ok"], answer
    return answer["result"]


def refusal(api: BotApi, method: str, *, files: dict[str, Any] | None = None, **parameters: Any) -> tuple[int, str]:
    """(status, description) of a call that must be refused; what is refused must not be in any chat."""
    before = {chat_id: api.messages(chat_id) for chat_id in all_chats(api)}
    answer = post(api, method, files=files, **parameters)
    body = answer.json()
    assert not body["ok"], body
    assert answer.status_code == body["error_code"]
    assert before == {chat_id: api.messages(chat_id) for chat_id in all_chats(api)}
    return answer.status_code, body["description"]


def all_chats(api: BotApi) -> list[int]:
    """The chats of a new server."""
    return [api.private, api.group, api.forum, api.supergroup, api.channel]


def picture(width: int = 320, height: int = 200, colour: str = "navy") -> bytes:
    """A PNG of the given size in pixels."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


def keyboard(*urls: str) -> dict[str, Any]:
    """An inline keyboard of one row."""
    return {"inline_keyboard": [[{"text": "Open", "url": url} for url in urls]]}
