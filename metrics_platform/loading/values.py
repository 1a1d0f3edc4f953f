"""Columns of a file → columns for ClickHouse: one rule per kind of field, over whole columns at once.

A rule takes a column as the file has it and answers with the values to write and a mask of the rows that are
wrong. pyarrow does the work; Python looks only at what is left over, and there once at each distinct value,
such as `25.0` for an age or `male` for a gender.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Mask = npt.NDArray[np.bool_]

# Spellings of «no value» in columns that hold numbers: CSV's, ClickHouse's, SQL's and pandas'.
_NO_NUMBER = frozenset({"", "\\n", "null", "none", "nan", "na", "<na>"})
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.0*)?")
_GENDERS = {"1": 1, "male": 1, "0": 0, "female": 0}


class Outcome(NamedTuple):
    """The values to write (anything where `wrong`), and the rows that are wrong."""

    values: Any
    wrong: Mask


class Rule(Protocol):
    """How one column is read."""

    expected: str

    def read(self, raw: Any) -> Outcome:
        """Judge a column (`pyarrow.Array`; null: empty)."""
        ...


@dataclass
class IntegerRule:
    """Whole numbers from `low` to `high`; `unknown` is written for an empty value unless `required`."""

    type: Any
    low: int
    high: int
    required: bool
    unknown: int | None
    expected: str

    def read(self, raw: Any) -> Outcome:
        try:
            values = raw.cast(self.type)
            plain = not (pa.types.is_string(raw.type) and _has_hexadecimal(raw))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            plain = False
        if plain:
            wrong = np.zeros(len(raw), bool)
        else:
            values, wrong = self._look_closer(raw)
        if self.required:
            wrong |= mask_of(values.is_null())
        elif self.unknown is not None and values.null_count:
            values = values.fill_null(self.unknown)
        return Outcome(values, wrong)

    def _look_closer(self, raw: Any) -> Outcome:
        """What surely fits goes the fast way, every other distinct value is parsed in Python."""
        text, wrong = as_text(raw)
        sign, digits = ("-?" if self.low < 0 else ""), len(str(self.high)) - 1
        sure = mask_of(pc.match_substring_regex(text, f"^{sign}[0-9]{{1,{digits}}}$")) & ~wrong
        values = pc.if_else(pa.array(sure), text, None).cast(self.type)
        doubtful = ~sure & ~wrong & ~mask_of(text.is_null())
        parsed = map_distinct(text.filter(pa.array(doubtful)), self._parse, self.type)
        wrong[doubtful] = parsed.wrong
        return Outcome(pc.replace_with_mask(values, pa.array(doubtful), parsed.values), wrong)

    def _parse(self, text: str) -> int | None:
        text = text.strip()
        if text.lower() in _NO_NUMBER:
            return None
        if not _WHOLE_NUMBER.fullmatch(text) or len(text) > 40:
            raise ValueError
        number = int(text.partition(".")[0])
        if not self.low <= number <= self.high:
            raise ValueError
        return number


@dataclass
class GenderRule:
    """1 or male, 0 or female; everything else is not known, and words that are not understood are counted.

    Into a String column it is written as a word, and a word that is not understood as it stands.

    Attributes:
        other_rows: in how many rows it was not understood; `others` are up to three of those words.
    """

    type: Any
    unknown: int | str | None
    expected: str = "1, 0, male, female or nothing"
    other_rows: int = 0
    others: list[str] = field(default_factory=list)
    _not_understood: set[str] = field(default_factory=set)

    def read(self, raw: Any) -> Outcome:
        text, wrong = as_text(raw)
        self._not_understood.clear()
        mapped = map_distinct(text, self._parse, self.type)
        if self._not_understood:
            self.other_rows += pc.sum(pc.is_in(text, pa.array(sorted(self._not_understood)))).as_py() or 0
            self.others = sorted({*self.others, *self._not_understood})[:3]
        if self.unknown is not None:
            mapped = Outcome(mapped.values.fill_null(self.unknown), mapped.wrong)
        return Outcome(mapped.values, wrong | mapped.wrong)

    def _parse(self, text: str) -> int | str | None:
        word = text.strip().lower()
        number = word.removesuffix(".0")
        if number in _GENDERS:
            return ("female", "male")[_GENDERS[number]] if pa.types.is_string(self.type) else _GENDERS[number]
        if word in _NO_NUMBER or number == "-1":
            return None
        if pa.types.is_string(self.type):
            return text
        self._not_understood.add(text)
        return None


@dataclass
class ActionRule:
    """`view` or `like`."""

    expected: str = "view or like"

    def read(self, raw: Any) -> Outcome:
        text, wrong = as_text(raw)
        mapped = map_distinct(text, self._parse, pa.string())
        return Outcome(mapped.values, wrong | mapped.wrong | mask_of(mapped.values.is_null()))

    def _parse(self, text: str) -> str:
        if text.strip() not in {"view", "like"}:
            raise ValueError
        return text.strip()


@dataclass
class TextRule:
    """Any text; nothing and `\\N` are not known."""

    unknown: str | None
    expected: str = "text in UTF-8"

    def read(self, raw: Any) -> Outcome:
        text, wrong = as_text(raw)
        return Outcome(text if self.unknown is None else text.fill_null(self.unknown), wrong)


def as_text(raw: Any) -> Outcome:
    """A column as text; wrong where its bytes are not UTF-8."""
    try:
        if pa.types.is_string(raw.type):
            raw.validate(full=True)  # Parquet is not validated when it is read
        return Outcome(raw.cast(pa.string()), np.zeros(len(raw), bool))
    except pa.ArrowInvalid:
        return _decode_each(raw.cast(pa.binary()))


def _has_hexadecimal(text: Any) -> bool:
    """pyarrow reads 0x1F as a number too."""
    return any(pc.any(pc.match_substring(text, letter)).as_py() for letter in "xX")


def map_distinct(text: Any, parse: Callable[[str], Any], type_: Any) -> Outcome:
    """Apply `parse` once to each distinct value; wrong where it raises ValueError, null where it answers None."""
    encoded = text.dictionary_encode()
    parsed, wrong = [], []
    for value in encoded.dictionary.to_pylist():
        try:
            parsed.append(parse(value))
            wrong.append(False)
        except ValueError:
            parsed.append(None)
            wrong.append(True)
    values = pa.array(parsed, type_).take(encoded.indices)
    return Outcome(values, mask_of(pa.array(wrong, pa.bool_()).take(encoded.indices).fill_null(False)))


def mask_of(array: Any) -> Mask:
    """A boolean array as a numpy mask of its own; null: false."""
    return np.array(array.fill_null(False).to_numpy(zero_copy_only=False), bool)


def _decode_each(raw: Any) -> Outcome:
    texts: list[str | None] = []
    wrong = np.zeros(len(raw), bool)
    for row, value in enumerate(raw.to_pylist()):
        try:
            texts.append(None if value is None else value.decode("utf-8"))
        except UnicodeDecodeError:
            texts.append(None)
            wrong[row] = True
    return Outcome(pa.array(texts, pa.string()), wrong)
