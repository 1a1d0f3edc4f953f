"""Any message at all, drawn by hypothesis for the tests of every channel."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from metrics_platform.notifications.message import (
    Block,
    Details,
    Link,
    Message,
    Paragraph,
    Preformatted,
    Span,
    Table,
    text_of,
)

_MARKUP = st.sampled_from(
    ["<b>", "</b>", "</pre>", "&amp;", "&", "<", '"', "<a href='x'>", "@anna", "#tag", "a.py", "/x", "=?", "\r\n.\r\n"]
)
_PIECES = st.one_of(
    st.text(max_size=60),
    st.text("абвгдежзий ёЁ", max_size=80),
    st.text("🙂👩‍🔬🇷🇺e\u0301\u200b\u202e \u00a0", max_size=40),
    _MARKUP,
    st.integers(1, 2000).map(lambda length: "x" * length),
    st.lists(_MARKUP, max_size=60).map(" ".join),
)
_TEXTS = st.lists(_PIECES, min_size=1, max_size=4).map("".join)
_LINES = st.lists(st.builds(Span, _TEXTS, st.sampled_from(["plain", "bold", "italic", "code"])), max_size=4).map(tuple)
_CELLS = st.text("абв 12<&🙂", max_size=12)
_BLOCKS: st.SearchStrategy[Block] = st.one_of(
    st.lists(_LINES, max_size=12).map(tuple).map(Paragraph),
    st.lists(_TEXTS, max_size=20).map("\n".join).map(Preformatted),
    st.lists(_LINES, max_size=8).map(tuple).map(Details),
    st.lists(st.tuples(_CELLS, _CELLS, _CELLS), max_size=30).map(tuple).map(Table),
)
_URLS = st.sampled_from(
    ["https://a.example.com/" + "я" * 900, "https://a.b/" + "x" * 4000, "http://localhost/?a=<&>", "http://[", "x:y"]
)
# What Telegram takes out of every text.
_REMOVED = re.compile("[\r\u2028-\u202e]")


def visible(text: str) -> str:
    """A text without spaces: where lines are broken does not matter, what is in them does."""
    return "".join(_REMOVED.sub("", text).split())


def messages(most_blocks: int = 5) -> st.SearchStrategy[Message]:
    """Messages with at most this many blocks."""
    return st.builds(
        Message,
        key=st.just("key"),
        kind=st.just("failed_run"),
        severity=st.just("failed"),
        headline=_LINES.filter(lambda spans: bool(visible(text_of(spans)))),
        blocks=st.lists(_BLOCKS, max_size=most_blocks).map(tuple),
        footer=_LINES,
        links=st.lists(st.builds(Link, _TEXTS, _URLS), max_size=3).map(tuple),
    )
