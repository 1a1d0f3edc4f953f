"""Texts before they are drawn: without what the fonts cannot show, measured, wrapped and shortened."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from functools import lru_cache
from typing import Any

from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties, fontManager, get_font

FAMILIES = ("Roboto", "DejaVu Sans")
_LONGEST = 300  # characters of any text: far more than the two lines that a title gets
_ROOMIEST = 80  # characters on a line: at no size do more of them fit
_EMOJI = 0x1F000  # DejaVu Sans has some of them, in black and white
# A no-break space holds a number and its unit together; any other white space is one space.
_WHITE_SPACE = re.compile(r"[^\S\u00a0\u202f]+")


def cleaned(text: str) -> str:
    """`text` on one line, without emoji and control characters; a letter that the fonts lack is U+FFFD."""
    return _WHITE_SPACE.sub(" ", "".join(map(_shown, _WHITE_SPACE.sub(" ", text[:_LONGEST])))).strip()


@lru_cache(maxsize=1024)
def width_of(text: str, size: float, weight: str = "normal") -> float:
    """The width in pixels of a line of text."""
    font = FontProperties(family=list(FAMILIES), size=size, weight=weight)
    return float(_renderer().get_text_width_height_descent(text, font, False)[0])


def fitted(text: str, width: float, size: float, weight: str = "normal", lines: int = 2) -> str:
    """`text`, cleaned, on at most this many lines of `width` pixels; an ellipsis replaces what does not fit."""
    text = cleaned(text)
    columns = min(len(text), _ROOMIEST) or 1
    while columns > 1:
        wrapped = textwrap.wrap(text, columns, max_lines=lines, placeholder="…")
        widest = max(wrapped, key=lambda line: width_of(line, size, weight), default="")
        if (found := width_of(widest, size, weight)) <= width:
            return "\n".join(wrapped)
        columns = min(columns - 1, int(columns * width / found) + 2)
    return text[:1]


def _shown(character: str) -> str:
    kind = unicodedata.category(character)[0]
    if kind != "C" and ord(character) < _EMOJI and ord(character) in _characters():
        return character
    return "\N{REPLACEMENT CHARACTER}" if kind in "LN" else ""


@lru_cache(maxsize=1)
def _characters() -> frozenset[int]:
    """The code points of the fonts."""
    found = [fontManager.findfont(FontProperties(family=family)) for family in FAMILIES]
    return frozenset().union(*(get_font(path).get_charmap() for path in found))


@lru_cache(maxsize=1)
def _renderer() -> Any:  # its methods have no types
    make: Any = RendererAgg
    return make(1, 1, 72)
