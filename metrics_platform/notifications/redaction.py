"""Secrets out of texts: what is known to be secret, and what looks like it.

Errors of HTTP libraries quote URLs, and the Bot API's URL holds the token. Everything that leaves the transport, and
every error text that is told to people, goes through `mask` first.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "***"
# A bot's token wherever it stands; Slack's webhook path; user:password@ in any URL; password=…, token: … and the like.
_PATTERNS = (
    (re.compile(r"\b\d{5,}:[A-Za-z0-9_-]{20,}"), MASK),
    (re.compile(r"(hooks\.slack[\w.-]*/)[^\s\"'<>)]+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@\"'<>]*):[^\s/@\"'<>]+@", re.IGNORECASE), rf"\1:{MASK}@"),
    (
        re.compile(
            r"(\b[\w-]*(?:password|passwd|pwd|secret|api[_-]?key|authorization)[\"']?\s*[:=]\s*)"
            r"(\"[^\"]*\"|'[^']*'|(?:bearer |basic )?[^\s,;&\"']+)",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
    # «token» is also a word of parsers («unexpected token: FROM»): what is short stays
    (re.compile(r"(\b[\w-]*token[\"']?\s*[:=]\s*[\"']?)[\w.~+/=-]{12,}", re.IGNORECASE), rf"\1{MASK}"),
)


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` with every secret, known (also percent-encoded) or of a known form, replaced by ***."""
    for secret in sorted({form for each in secrets if each for form in _forms(each)}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def _forms(secret: str) -> set[str]:
    return {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}


class _MaskingFilter(logging.Filter):
    """Masks secrets in the records of a logger, whatever handlers and levels there are."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        masked = mask(text)
        if masked != text:
            record.msg, record.args = masked, ()
        return True


def mask_http_logs() -> None:
    """Keep secrets out of what urllib3 logs at DEBUG (each request's URL), for all handlers. Safe to call again."""
    for name in ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry", "urllib3.poolmanager"):
        logger = logging.getLogger(name)
        if not any(isinstance(each, _MaskingFilter) for each in logger.filters):
            logger.addFilter(_MaskingFilter())
