"""Types of settings: each checks its value, and its error says what to write."""

from __future__ import annotations

import datetime
import difflib
import re
import zoneinfo
from collections.abc import Callable, Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from metrics_platform.builtin_entries import further_dimensions
from metrics_platform.connection import parse_url
from metrics_platform.suggestions import choose
from metrics_platform.table_names import parse_table_name


class SettingsPart(BaseSettings):
    """A part of `Settings`. Only `Settings` is instantiated, so building validators for a part is deferred."""

    model_config = SettingsConfigDict(defer_build=True, use_attribute_docstrings=True)


def split_list(value: Any) -> Any:
    """Split a comma-separated text, dropping spaces and empty parts; any other value is returned unchanged."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def split_distinct(value: Any) -> Any:
    """Split as `split_list` does; raises ValueError if a part is repeated."""
    parts = split_list(value)
    if len(set(parts)) != len(parts):
        raise ValueError("name each only once")
    return parts


def matches(pattern: str, form: str) -> AfterValidator:
    """Accept only texts that match `pattern`; `form` says what to write."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(form)
        return value

    return AfterValidator(check)


def parses(parse: Callable[[str], object]) -> AfterValidator:
    """Accept only texts that `parse` accepts."""

    def check(value: str | SecretStr | None) -> str | SecretStr | None:
        if value is not None:
            parse(value.get_secret_value() if isinstance(value, SecretStr) else value)
        return value

    return AfterValidator(check)


def _check_zone(value: str) -> None:
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        # Suggest only names of places: MST is close to MSK, but another zone, and Etc/GMT+3 is three hours behind GMT.
        places = [name for name in zoneinfo.available_timezones() if "/" in name and not name.startswith("Etc/")]
        near = difflib.get_close_matches(value, places, n=1, cutoff=0.6)
        hint = f"; did you mean {near[0]}?" if near else ", such as Europe/Moscow"
        raise ValueError(f"use an IANA time zone name{hint}") from None


def _check_minute(value: datetime.time) -> datetime.time:
    if value.second or value.microsecond or value.tzinfo:
        raise ValueError("write it as HH:MM, local time")
    return value


def chosen_from(names: Callable[[], Iterable[str]]) -> AfterValidator:
    """Accept only one of these names."""

    def check(value: str) -> None:
        if value not in names():
            raise ValueError(choose(value, names()))

    return parses(check)


# The parts of a comma-separated text, each only once.
DISTINCT = (NoDecode, BeforeValidator(split_distinct))
_MetricName = Annotated[str, matches(r"[A-Za-z_]\w*", "write names of metrics, such as app_dau,views,ctr")]

ClickHouseUrl = Annotated[SecretStr | None, parses(parse_url)]
# Every table needs a path of its own in Keeper.
Engine = Annotated[
    str,
    matches(
        r"MergeTree|ReplicatedMergeTree(\('[^'\\]*\{(table|uuid)\}[^'\\]*', '[^'\\]*\{replica\}[^'\\]*'\))?",
        "write MergeTree, ReplicatedMergeTree, or ReplicatedMergeTree('path', '{replica}') with {table} or {uuid} in "
        "the path",
    ),
]
Cluster = Annotated[str, matches(r"[A-Za-z_][\w.-]*", "write the name of a cluster, as in system.clusters")]
Table = Annotated[str, parses(parse_table_name)]
ColumnName = Annotated[str, matches(r"[A-Za-z_][A-Za-z0-9_]*", "write a column name of letters, digits and _ only")]
ZoneName = Annotated[str, parses(_check_zone)]
Minute = Annotated[datetime.time, AfterValidator(_check_minute)]
MetricNames = Annotated[tuple[_MetricName, ...], *DISTINCT]
FurtherDimensions = Annotated[tuple[Annotated[str, chosen_from(further_dimensions)], ...], *DISTINCT]
Owner = Annotated[
    str,
    matches(
        r"team:[A-Za-z0-9_-]+|[^@\s:]+@[^@\s:]+\.[^@\s:]+",
        "use an e-mail address, or team:name with letters, digits, _ and -",
    ),
]


def days(default: int, least: int) -> Any:
    """A number of days, from `least` to a hundred years."""
    return Field(default, ge=least, le=36_500)
