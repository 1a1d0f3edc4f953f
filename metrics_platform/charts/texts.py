"""Texts before they are drawn: cleaned of what the font cannot show, measured in pixels, wrapped and shortened.

The font is DejaVu Sans, which comes with matplotlib and has Latin, Cyrillic and Greek; pictures have no emoji.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties, findfont, get_font

from metrics_platform.formats import Language

FAMILY = "DejaVu Sans"
_MOST_CHARACTERS = 400  # of any text; far more than the two lines that a title gets
# A no-break space holds a number and its unit together; all other white space is one space.
_WHITE_SPACE = re.compile(r"[^\S\u00a0\u202f]+")

WORDS: Mapping[Language, Mapping[str, str]] = {
    "en": {"no data": "no data", "weekend": "weekend", "broken": "axis not from 0"},
    "ru": {"no data": "нет данных", "weekend": "выходные", "broken": "шкала не от 0"},
}


def cleaned(text: str) -> str:
    """`text` on one line with what the font has; a letter it lacks is U+FFFD, an emoji or control is nothing."""
    shown = "".join(_shown(character) for character in _WHITE_SPACE.sub(" ", text[:_MOST_CHARACTERS]))
    return _WHITE_SPACE.sub(" ", shown).strip()


def width_of(text: str, size: float, *, bold: bool = False) -> float:
    """The width of `text` in pixels at a font size in pixels."""
    return _measured(text, size, bold)[0]


def height_of(size: float) -> float:
    """The height in pixels of a line of text, from the highest accent to the lowest tail."""
    return _measured("Йgy", size, False)[1]


def shortened(text: str, width: float, size: float, *, bold: bool = False, suffix: str = "") -> str:
    """As much of `text` as fits into `width` with `suffix`; an ellipsis stands for what does not."""
    if width_of(text + suffix, size, bold=bold) <= width:
        return text + suffix
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        fits = width_of(f"{text[:middle].rstrip()}…{suffix}", size, bold=bold) <= width
        low, high = (middle, high) if fits else (low, middle - 1)
    return f"{text[:low].rstrip(' ,.;:–—-')}…{suffix}"


def wrapped(text: str, width: float, size: float, *, bold: bool = False, lines: int = 2, suffix: str = "") -> list[str]:
    """`text` and then `suffix` on at most so many lines of `width` pixels; what does not fit ends in an ellipsis."""
    full = text + suffix if text else suffix.lstrip(", ")
    if not full:
        return []
    done: list[str] = []
    rest = full
    while rest and len(done) < lines - 1 and width_of(rest, size, bold=bold) > width:
        taken = _first_line(rest, width, size, bold=bold)
        done.append(taken)
        rest = rest[len(taken) :].lstrip(" ")
    if rest and width_of(rest, size, bold=bold) > width:
        rest = shortened(rest.removesuffix(suffix), width, size, bold=bold, suffix=suffix)
    return [*done, rest] if rest else done


def _first_line(text: str, width: float, size: float, *, bold: bool) -> str:
    """The words of `text` that fit into `width`; where not even one does, its first letters."""
    words = text.split(" ")
    count = len(words)
    while count > 1 and width_of(" ".join(words[:count]), size, bold=bold) > width:
        count -= 1
    line = " ".join(words[:count])
    while len(line) > 1 and width_of(line, size, bold=bold) > width:
        line = line[:-1]
    return line


@lru_cache(maxsize=4096)
def _measured(text: str, size: float, bold: bool) -> tuple[float, float]:
    if not text:
        return 0.0, 0.0
    font = FontProperties(family=FAMILY, size=size, weight="bold" if bold else "normal")
    width, height, _descent = _renderer().get_text_width_height_descent(text, font, ismath=False)
    return float(width), float(height)


@lru_cache(maxsize=1)
def _renderer() -> Any:  # its methods have no types
    make: Any = RendererAgg
    return make(1, 1, 72)  # at 72 dots per inch a point is a pixel


@lru_cache(maxsize=1)
def _characters() -> frozenset[int]:
    """The code points that the font has in both weights."""
    sets = [
        frozenset(get_font(findfont(FontProperties(family=FAMILY, weight=weight))).get_charmap())
        for weight in ("normal", "bold")
    ]
    return sets[0] & sets[1]


def _shown(character: str) -> str:
    category = unicodedata.category(character)
    if category in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}:
        return ""
    if ord(character) in _characters() and not 0x1F000 <= ord(character) <= 0x1FFFF:
        return character
    return "" if category in {"So", "Sk", "Mn", "Me", "Cn"} else "\N{REPLACEMENT CHARACTER}"
