"""What Telegram makes of a text: the markup parsed by TDLib itself, trimmed, with the links it finds on its own.

The Bot API server calls `parseTextEntities` of TDLib and passes its verdict on; the package `tdjson` carries that
library, and the call needs neither an account nor a network. So no test here has an opinion of its own on HTML.
"""

from __future__ import annotations

import html
import json
import re
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any

import tdjson

# Telegram keeps this many entities of a message and drops the others silently.
MOST_ENTITIES = 100
_MODE = {"@type": "textParseModeHTML"}
_FOUND = {"url", "email", "phone_number", "mention", "hashtag", "cashtag", "bot_command"}
# Telegram looks for no links of its own inside these.
_OPAQUE = {"code", "pre", "text_link", "text_mention", "custom_emoji", "date_time"}
_CONTROL = re.compile("[\x00-\x09\x0b\x0c\x0e-\x1f]")
# Carriage returns, and the marks that turn the direction of writing: one UTF-16 unit each.
_REMOVED = re.compile("[\r\u2028-\u202e]")


@dataclass(frozen=True)
class Parsed:
    """A text as a person sees it; offsets and lengths are in UTF-16 code units, as in the Bot API."""

    text: str
    entities: list[dict[str, Any]] = field(default_factory=list)

    @property
    def length(self) -> int:
        """The visible length in UTF-16 code units."""
        return visible_length(self.text)

    @property
    def links(self) -> list[tuple[str, str]]:
        """(words, URL) of the links that were asked for and survived."""
        return [(self.words(one), one["url"]) for one in self.entities if one["type"] == "text_link"]

    @property
    def accidental(self) -> list[tuple[str, str]]:
        """(type, words) of what Telegram turned into a link on its own: `model.py`, `/orders`, `@x`."""
        return [(one["type"], self.words(one)) for one in self.entities if one["type"] in _FOUND]

    def words(self, entity: dict[str, Any]) -> str:
        """The part of the text that an entity covers."""
        units = self.text.encode("utf-16-le")
        return units[entity["offset"] * 2 : (entity["offset"] + entity["length"]) * 2].decode("utf-16-le")


def visible_length(text: str) -> int:
    """Length of a plain text in UTF-16 code units: never below what Telegram counts."""
    return len(text.encode("utf-16-le")) // 2


def parse_html(text: str) -> Parsed:
    """What a person sees of an HTML text; raises `ParseError` with Telegram's own words."""
    return parse(text, "HTML")


def parse(text: str, mode: str = "") -> Parsed:
    """What a person sees of a plain or an HTML text; raises `ParseError`, or `KeyError` for another mode."""
    parsed = Parsed(text)
    if mode:
        if mode != "HTML":
            raise KeyError(mode)
        answer = _execute({"@type": "parseTextEntities", "text": text, "parse_mode": _MODE})
        if answer["@type"] == "error":
            raise ParseError(answer["message"])
        parsed = Parsed(answer["text"], [_entity(one) for one in answer["entities"]])
    return finished(parsed)


def finished(parsed: Parsed) -> Parsed:
    """Trimmed, with found links, as TDLib does it to every text after the markup is gone."""
    parsed = _cleaned(parsed)
    text, left = parsed.text.rstrip(), 0
    # Spaces that open an entity stay, so that a table in <pre> keeps its first column.
    most = min((one["offset"] for one in parsed.entities), default=len(text))
    while left < min(most, len(text)) and text[left].isspace():
        left += 1
    end = visible_length(text)
    kept = []
    for one in parsed.entities:
        last = min(one["offset"] + one["length"], end)
        cut = {**one, "length": last - one["offset"]}
        if last > one["offset"] and not Parsed(text).words(cut).isspace():
            kept.append({**cut, "offset": one["offset"] - left})
    text = text[left:]
    return Parsed(text, sorted([*kept, *_found(text, kept)], key=lambda one: (one["offset"], -one["length"])))


def _cleaned(parsed: Parsed) -> Parsed:
    """Without what TDLib's `clean_input_string` takes out; a tab and other control characters become one space."""
    text = _CONTROL.sub(" ", parsed.text)
    gone = [visible_length(text[: one.start()]) for one in _REMOVED.finditer(text)]
    if not gone:
        return Parsed(text, parsed.entities)
    entities = []
    for one in parsed.entities:
        first, last = one["offset"], one["offset"] + one["length"]
        before, within = bisect_left(gone, first), bisect_left(gone, last)
        entities.append({**one, "offset": first - before, "length": last - within - first + before})
    return Parsed(_REMOVED.sub("", text), entities)


def accepted_url(url: str) -> str:
    """The URL as Telegram rewrites it; `ParseError` with Telegram's words where it takes none for a button.

    TDLib checks buttons and `<a href>` by the same rule, but offers a call without an account for the second only.
    """
    answer = _execute(
        {
            "@type": "parseTextEntities",
            "text": f'<a href="{html.escape(url)}">x</a>',
            "parse_mode": _MODE,
        }
    )
    if not answer.get("entities"):
        scheme = url.split("://", 1)[0].lower() if "://" in url else ""
        known = scheme in {"", "http", "https", "tg", "ton", "tonsite"}
        raise ParseError("Wrong HTTP URL" if known else "Unsupported URL protocol")
    return str(answer["entities"][0]["type"].get("url", url))


def _found(text: str, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    answer = _execute({"@type": "getTextEntities", "text": text})
    found = [one for one in (_entity(entity) for entity in answer["entities"]) if one["type"] in _FOUND]
    return [one for one in found if not any(_overlap(one, other) for other in given if other["type"] in _OPAQUE)]


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    starts, other_starts = int(one["offset"]), int(other["offset"])
    return starts < other_starts + int(other["length"]) and other_starts < starts + int(one["length"])


def _entity(given: dict[str, Any]) -> dict[str, Any]:
    """An entity of TDLib's as the Bot API has it: `textEntityTypeTextUrl` is `text_link`."""
    kind = given["type"]
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind["@type"].removeprefix("textEntityType")).lower()
    name = {"text_url": "text_link", "pre_code": "pre", "email_address": "email"}.get(name, name)
    name = name.replace("block_quote", "blockquote")
    url = {"url": kind["url"]} if name == "text_link" else {}
    return {"type": name, "offset": given["offset"], "length": given["length"], **url}


def _execute(request: dict[str, Any]) -> dict[str, Any]:
    answer = tdjson.td_execute(json.dumps(request).encode())
    assert answer is not None, f"TDLib does not answer {request['@type']} without an account"
    read: dict[str, Any] = json.loads(answer)
    return read


# TDLib writes to standard error from its own threads; pytest's output is no place for it.
_execute({"@type": "setLogVerbosityLevel", "new_verbosity_level": 0})
_execute({"@type": "setLogStream", "log_stream": {"@type": "logStreamEmpty"}})


# --- errors -----------------------------------------------------------------------------------------------------------


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
