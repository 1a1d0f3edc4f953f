"""The refusals of the local Bot API server: what Telegram would answer, and what only this server refuses.

They are exceptions so that a method reads as its successful path; the HTTP layer turns each into the JSON body that
a client of the Bot API expects.
"""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """An answer that is not ok: `status` is both the HTTP status and `error_code`."""

    def __init__(self, status: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.parameters = parameters

    def body(self) -> dict[str, Any]:
        """The answer as the Bot API shapes it."""
        answer: dict[str, Any] = {"ok": False, "error_code": self.status, "description": self.description}
        return answer | ({"parameters": self.parameters} if self.parameters else {})


class ParseError(ValueError):
    """Telegram's parser refused the markup; the text is Telegram's own."""


def bad_request(text: str) -> ApiError:
    """400 as the Bot API server writes it: its own texts begin with a small letter, codes stay in capitals."""
    first_word = text.split(" ", 1)[0]
    small = text if first_word.isupper() and len(first_word) > 1 else text[:1].lower() + text[1:]
    return ApiError(400, f"Bad Request: {small}")


def forbidden(text: str) -> ApiError:
    """403: the bot may not speak here."""
    return ApiError(403, f"Forbidden: {text}")


def strictness(text: str) -> ApiError:
    """400 that a real server would not give: it catches typing mistakes and what the tests should not rely on."""
    return ApiError(400, f"Bad Request (strictness of the test server, not Telegram's): {text}")
