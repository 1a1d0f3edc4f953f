"""Times of a file → instants in UTC: ISO dates with or without an offset, Unix seconds, Parquet's timestamps.

A time without an offset is read in the zone the caller names. An hour that a zone skips has no instant, so
such a time is wrong; of an hour that happens twice the first is taken, and the rows are counted.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from metrics_platform.loading.problems import LoadError
from metrics_platform.loading.values import Mask, Outcome, as_text, map_distinct, mask_of

# What DateTime of ClickHouse can hold.
_EARLIEST = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_LATEST = datetime.datetime(2106, 2, 7, 6, 28, 15, 999_999, tzinfo=datetime.UTC)
# pyarrow does not know the clock changes of later years.
_LATEST_LOCAL = datetime.datetime(2037, 12, 31)  # noqa: DTZ001  (local in whatever zone)
_NAIVE = pa.timestamp("us")
_INSTANT = pa.timestamp("us", "UTC")

# Dates that exist in every year, so that pyarrow never stumbles; 29 February is left to Python.
_DATE = r"[0-9]{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
_CLOCK = r"[ T](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
_OFFSET = r"(?:Z|[+-](?:0[0-9]|1[0-4])(?::?[0-5][0-9])?)"
_SURE_NAIVE = f"^{_DATE}{_CLOCK}$"
_SURE_ZONED = f"^{_DATE}{_CLOCK}{_OFFSET}$"
_SURE_UNIX = r"^[0-9]{1,10}$"
_ANY = re.compile(r"(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2})(\.\d{1,6})?\d*[ ]?(Z|[+-]\d{2}(?::?\d{2})?)?", re.ASCII)
_ANY_UNIX = re.compile(r"(\d{1,10})(?:\.(\d{1,6})\d*)?", re.ASCII)
_TOO_MANY_DIGITS = r"(\.[0-9]{6})[0-9]+"


@dataclass
class TimeRule:
    """Times, written as `type`: Unix seconds (`uint32`) or microseconds in UTC.

    Attributes:
        zone: the zone (IANA name) of times without an offset.
        ambiguous: how many rows lay in an hour that happens twice.
    """

    type: Any
    zone: str
    expected: str = "YYYY-MM-DD HH:MM:SS (T, fraction, offset understood) or Unix seconds, 1970 to 2106-02-07"
    ambiguous: int = 0

    def __post_init__(self) -> None:
        if self.zone != "UTC":
            try:
                pc.assume_timezone(pa.array([0], _NAIVE), self.zone)
            except pa.ArrowInvalid as error:
                raise LoadError(
                    f"The time zone {self.zone!r} of the file's times cannot be used: {error}. Give an IANA name such "
                    "as Europe/Moscow; if it is one, install the system's time zones (Debian: tzdata)."
                ) from None
            self.expected += f" (without an offset: to 2037, and a time that clocks in {self.zone} show)"

    def read(self, raw: Any) -> Outcome:
        instants = self._instants(raw)
        inside = pc.and_(pc.greater_equal(instants, _EARLIEST), pc.less_equal(instants, _LATEST))
        wrong = ~mask_of(inside)
        if not pa.types.is_timestamp(self.type):
            seconds = pc.divide(pc.if_else(inside, instants, None).cast(pa.int64()), 1_000_000)
            return Outcome(seconds.cast(self.type), wrong)
        return Outcome(instants, wrong)

    def _instants(self, raw: Any) -> Any:
        """The instants; null where a value is none."""
        if pa.types.is_timestamp(raw.type):
            if raw.type.tz is not None:
                return pc.cast(raw, _INSTANT, safe=False)
            return self._in_zone(pc.cast(raw, _NAIVE, safe=False))
        if pa.types.is_integer(raw.type):
            return _from_unix(raw)
        text, _ = as_text(raw)
        shortest = pc.min(pc.binary_length(text)).as_py() or 0
        if shortest >= len("YYYY-MM-DD HH:MM:SS"):  # pyarrow takes a date alone, or hours and minutes, too
            try:
                return self._in_zone(text.cast(_NAIVE))
            except pa.ArrowInvalid:
                pass
        return self._form_by_form(text)

    def _form_by_form(self, text: Any) -> Any:
        """Each form that surely parses as a whole column, the rest value by value."""
        if pc.any(pc.match_substring_regex(text, _TOO_MANY_DIGITS)).as_py():
            text = pc.replace_substring_regex(text, _TOO_MANY_DIGITS, r"\1")
        naive = mask_of(pc.match_substring_regex(text, _SURE_NAIVE))
        zoned = mask_of(pc.match_substring_regex(text, _SURE_ZONED))
        unix = mask_of(pc.match_substring_regex(text, _SURE_UNIX))
        instants = pc.coalesce(
            self._in_zone(_only(text, naive).cast(_NAIVE)),
            _only(text, zoned).cast(_INSTANT),
            _from_unix(_only(text, unix).cast(pa.int64())),
        )
        rest = ~(naive | zoned | unix | mask_of(text.is_null()))
        return pc.replace_with_mask(instants, pa.array(rest), self._one_by_one(text.filter(pa.array(rest))))

    def _one_by_one(self, text: Any) -> Any:
        local = map_distinct(text, lambda value: _parse(value, zoned=False), _NAIVE).values
        instants = map_distinct(text, lambda value: _parse(value, zoned=True), _INSTANT).values
        return pc.coalesce(self._in_zone(local), instants)

    def _in_zone(self, local: Any) -> Any:
        """Local times as instants; null where the zone's clocks skip them."""
        if self.zone == "UTC":
            return local.cast(_INSTANT)

        def read(ambiguous: str, nonexistent: str) -> Any:
            return pc.assume_timezone(local, self.zone, ambiguous=ambiguous, nonexistent=nonexistent).cast(_INSTANT)

        local = pc.if_else(pc.less(local, _LATEST_LOCAL), local, None)
        first = read("earliest", "earliest")
        self.ambiguous += pc.sum(pc.not_equal(first, read("latest", "earliest"))).as_py() or 0
        return pc.if_else(pc.equal(first, read("earliest", "latest")), first, None)


def _from_unix(seconds: Any) -> Any:
    inside = pc.and_(pc.greater_equal(seconds, 0), pc.less_equal(seconds, 4_294_967_295))
    return pc.multiply(pc.if_else(inside, seconds, None).cast(pa.int64()), 1_000_000).cast(_INSTANT)


def _parse(text: str, *, zoned: bool) -> datetime.datetime | None:
    """One time: None where it is of the other sort (with or without an offset); ValueError where it is none."""
    text = text.strip()
    if unix := _ANY_UNIX.fullmatch(text):
        microseconds = int(unix[1]) * 1_000_000 + int((unix[2] or "").ljust(6, "0"))
        return _EARLIEST + datetime.timedelta(microseconds=microseconds) if zoned else None
    match = _ANY.fullmatch(text)
    if not match:
        raise ValueError
    date, clock, fraction, offset = match.groups()
    if zoned != bool(offset):
        return None
    return datetime.datetime.fromisoformat(f"{date}T{clock}{(fraction or '.0').ljust(7, '0')}{offset or ''}")


def _only(text: Any, mask: Mask) -> Any:
    return pc.if_else(pa.array(mask), text, None)
