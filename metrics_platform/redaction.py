"""Masks secrets in texts: known secrets, and whatever looks like one.

Errors of HTTP libraries quote URLs, and the Bot API's URL holds the token. Everything that leaves the transport, and
every error text that users see, goes through `mask` first.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote

MASK = "***"
# A shorter secret occurs in ordinary words, so it is masked only where it is a URL's password.
SHORTEST = 4
# A bot's token anywhere, also after "bot" in its URL; Slack's webhook path; user:password@ in any URL; password=…,
# token: … and the like. Each begins with a fixed text, so that matching is fast on any text.
_PATTERNS = (
    (re.compile(r"(?<!\d)\d{5,}(?::|%(?:25)*3A)[A-Za-z0-9_-]{20,}", re.IGNORECASE), MASK),
    (re.compile(r"(hooks\.slack[\w.-]*/)[^\s\"'<>)]+", re.IGNORECASE), rf"\1{MASK}"),
    # the password may contain an @, and ends at the last one in the address
    (re.compile(r"(://[^\s/:@\"'<>]*):[^\s/\"'<>]+@"), rf"\1:{MASK}@"),
    (
        re.compile(
            r"((?:password|passwd|pwd|secret|api[_-]?key|clickhouse-key|authorization)[\"']?\s*[:=]\s*)"
            r"(\"[^\"]*\"|'[^']*'|(?:bearer |basic )?[^\s,;&\"']+)",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
    # parsers also write "token" ("unexpected token: FROM"), so short values are kept
    (re.compile(r"(token[\"']?\s*[:=]\s*[\"']?)[\w.~+/=-]{12,}", re.IGNORECASE), rf"\1{MASK}"),
)
_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?(?P<user>[^/:@]*):(?!//)(?P<password>.*)@", re.IGNORECASE | re.DOTALL)


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """Replace every secret in `text` by ***: known ones (also percent-encoded or escaped) and those of a known form."""
    for secret in sorted({secret for secret in secrets if len(secret) >= SHORTEST}, key=len, reverse=True):
        text = _pattern_of_secret(secret).sub(MASK, text)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def secrets_of_url(url: str) -> tuple[str, ...]:
    """The secret parts of a URL that may hold a password: itself, the password, and their HTTP encodings."""
    match = _ADDRESS.match(url)
    if match is None:
        return (url,)
    user, password = unquote(match["user"]), unquote(match["password"])
    header = base64.b64encode(f"{user}:{password}".encode()).decode()
    return tuple(dict.fromkeys((url, match["password"], password, header)))


@lru_cache(maxsize=64)
def _pattern_of_secret(secret: str) -> re.Pattern[str]:
    """A pattern of a known secret in any encoding. Libraries differ in which characters they encode, so any may be."""
    return re.compile("".join(_spellings(character) for character in secret))


def _spellings(character: str) -> str:
    """A pattern of a character: plain, percent-encoded (once or twice), or escaped for HTML, JSON or `repr`."""
    quoted = "".join(f"%(?:25)*{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
    spellings = [rf"\\*{re.escape(character)}", f"(?i:{quoted})"]
    if character == " ":
        spellings.append(r"\+")
    if character in "&<>\"'":
        spellings += [re.escape(html.escape(character)), f"&#0*{ord(character)};", "&apos;"]
    if not " " <= character <= "~":
        as_bytes = "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
        for escaped in (json.dumps(character)[1:-1], ascii(character)[1:-1], as_bytes):
            anew = re.escape(escaped).replace(r"\\", r"\\+")  # the escape may have been escaped again
            spellings.append(f"(?i:{anew})")
    return f"(?:{'|'.join(spellings)})"


class _MaskingFilter(logging.Filter):
    """Masks secrets in a logger's records, for all handlers and levels."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        masked = mask(text, self.secrets)
        if masked != text:
            record.msg, record.args = masked, ()
        return True


_FILTER = _MaskingFilter()
# A filter sees only its own logger's records, not those of child loggers, so all of urllib3's loggers are listed.
_HTTP_LOGGERS = ("", ".connection", ".connectionpool", ".poolmanager", ".response", ".util.retry", ".http2.connection")


def mask_http_logs(secrets: Iterable[str] = ()) -> None:
    """Mask secrets, from now on also these, in what urllib3 logs at DEBUG (each request's URL), for all handlers."""
    _FILTER.secrets.update(secrets)
    for name in _HTTP_LOGGERS:
        logging.getLogger(f"urllib3{name}").addFilter(_FILTER)  # adding it again has no effect
