"""Columns against an oracle that looks at one value at a time."""

from __future__ import annotations

import datetime
import re
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from metrics_platform.loading import LoadError
from metrics_platform.loading.times import TimeRule
from metrics_platform.loading.values import IntegerRule

NO_NUMBER = {"", "\\n", "null", "none", "nan", "na", "<na>"}
TYPES = {"uint8": pa.uint8(), "uint32": pa.uint32(), "uint64": pa.uint64(), "int8": pa.int8(), "int16": pa.int16()}
_EDGES = [edge + by for edge in (0, 2**7, 2**8, 2**15, 2**16, 2**32, 2**63, 2**64) for by in (-1, 0, 1)]
_NUMBERS = st.one_of(st.integers(-300, 300), st.sampled_from([*_EDGES, *(-edge for edge in _EDGES)]))
_INTEGER_TEXTS = st.one_of(
    _NUMBERS.map(str),
    st.tuples(
        st.sampled_from(["", " ", "+", "0", "00"]), _NUMBERS, st.sampled_from(["", ".0", ".", " ", ".5", "x"])
    ).map(lambda parts: "".join(map(str, parts))),
    st.sampled_from(["", "\\N", "nan", "NULL", "0x10", "0X10", "1e3", "--1", "٣", "1_000", "é"]),
    st.text(max_size=4),
)


@with_settings(max_examples=100)
@given(st.lists(st.one_of(st.none(), _INTEGER_TEXTS), max_size=8), st.sampled_from(sorted(TYPES)), st.booleans())
def test_whole_numbers(texts: list[str | None], type_name: str, required: bool) -> None:
    type_ = TYPES[type_name]
    bits = int(type_.bit_width)
    low, high = (0, 2**bits - 1) if type_name.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    rule = IntegerRule(type_, low, high, required, 7, "")
    values, wrong = rule.read(pa.array(texts, pa.string()))

    def oracle(text: str | None) -> tuple[int | None, bool]:
        stripped = (text or "").strip()
        if stripped.lower() in NO_NUMBER:
            return (None, True) if required else (7, False)
        match = re.fullmatch(r"([+-]?[0-9]+)(\.0*)?", stripped)
        number = int(match[1]) if match else None
        return (None, True) if number is None or not low <= number <= high else (number, False)

    expected = [oracle(text) for text in texts]
    assert list(wrong) == [is_wrong for _, is_wrong in expected]
    assert [value for value, is_wrong in zip(values.to_pylist(), wrong, strict=True) if not is_wrong] == [
        value for value, is_wrong in expected if not is_wrong
    ]


_LATEST = datetime.datetime(2106, 2, 7, 6, 28, 15, tzinfo=datetime.UTC)
_MOMENTS = st.one_of(
    st.datetimes(datetime.datetime(1969, 12, 30), datetime.datetime(2106, 2, 9)),
    st.datetimes(datetime.datetime(2000, 1, 1), datetime.datetime(2037, 12, 30)),
    st.sampled_from(
        [
            datetime.datetime(2024, 2, 29, 23, 59, 59),
            datetime.datetime(2026, 3, 29, 2, 30),  # skipped in Berlin
            datetime.datetime(2026, 10, 25, 2, 30),  # twice in Berlin
            datetime.datetime(1970, 1, 1),
            _LATEST.replace(tzinfo=None),
        ]
    ),
)
_OFFSETS = st.sampled_from(["", "Z", "+00:00", "+03:00", "-1130", "+14", "+0530"])
_CLOCKS = st.sampled_from(["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S.%f999"])
_TIME_TEXTS = st.one_of(
    st.tuples(_MOMENTS, _CLOCKS, _OFFSETS).map(lambda drawn: drawn[0].strftime(drawn[1]) + drawn[2]),
    st.integers(0, 2**33).map(str),
    st.sampled_from(["", "2026-02-29 00:00:00", "2026-13-01 00:00:00", "2026-01-01", "2026-01-01 00:00", "x" * 19]),
    st.sampled_from(["2026-01-01 24:00:00", "2026-01-01 00:00:60", "2026-1-1 00:00:00", "12.5", "-5", "1e9"]),
)


def _instant(text: str | None, zone: ZoneInfo) -> datetime.datetime | None:
    """The instant that a text means, to the microsecond; None: none."""
    if text is None:
        return None
    if re.fullmatch(r"[0-9]{1,10}(\.[0-9]+)?", text):
        instant = datetime.datetime.fromtimestamp(0, datetime.UTC) + datetime.timedelta(seconds=float(text))
    elif match := re.fullmatch(
        r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:?(?:\d\d)?)?", text, re.ASCII
    ):
        try:
            moment = datetime.datetime.fromisoformat(f"{match[1]}T{match[2]}{(match[3] or '')[:7]}{match[4] or ''}")
        except ValueError:
            return None
        if not match[4] and zone.key != "UTC" and moment.year > 2037:
            return None  # pyarrow does not know the clock changes of later years
        instant = (moment if match[4] else moment.replace(tzinfo=zone)).astimezone(datetime.UTC)
        if not match[4] and instant.astimezone(zone).replace(tzinfo=None) != moment:
            return None  # clocks skip it
    else:
        return None
    in_range = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) <= instant < _LATEST + datetime.timedelta(seconds=1)
    return instant if in_range else None


@with_settings(max_examples=150)
@given(
    st.lists(st.one_of(st.none(), _TIME_TEXTS), max_size=8), st.sampled_from(["UTC", "Europe/Berlin"]), st.booleans()
)
def test_times(texts: list[str | None], zone: str, precise: bool) -> None:
    type_: Any = pa.timestamp("us", "UTC") if precise else pa.uint32()
    values, wrong = TimeRule(type_, zone).read(pa.array(texts, pa.string()))
    expected = [_instant(text, ZoneInfo(zone)) for text in texts]
    assert list(wrong) == [instant is None for instant in expected]
    read = [value for value, is_wrong in zip(values.to_pylist(), wrong, strict=True) if not is_wrong]
    instants = [instant for instant in expected if instant is not None]
    assert read == (instants if precise else [int(instant.timestamp()) for instant in instants])


def test_an_hour_that_happens_twice_is_the_first_and_counted() -> None:
    rule = TimeRule(pa.uint32(), "Europe/Berlin")
    values, _ = rule.read(pa.array(["2026-10-25 02:30:00", "2026-10-25 03:30:00"]))
    assert values.to_pylist() == [1792888200, 1792895400]
    assert rule.ambiguous == 1


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_of_parquet_with_and_without_a_zone(unit: str) -> None:
    local = datetime.datetime(2026, 1, 5, 15)
    rule = TimeRule(pa.uint32(), "Europe/Moscow")
    naive, _ = rule.read(pa.array([local, None], pa.timestamp(unit)))
    zoned, wrong = rule.read(pa.array([local, None], pa.timestamp(unit, "UTC")))
    assert (naive[0].as_py(), zoned[0].as_py()) == (1767614400, 1767625200)
    assert list(wrong) == [False, True]


def test_a_zone_that_is_none_is_refused() -> None:
    with pytest.raises(LoadError, match="Mars/Olympus"):
        TimeRule(pa.uint32(), "Mars/Olympus")
