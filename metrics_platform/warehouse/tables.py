"""The platform's tables: the paths of their SQL files, and the facts about them that Python needs.

One `.sql` file per table under `schema/` is the only place that names columns, types and comments; one under
`queries/` fills it, one under `queries/checks/` reconciles it. This module reads them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

_COLUMN = re.compile(r"^\s{4}(?P<name>\w+)\s+(?P<type>\S.*?)\s+COMMENT '(?P<comment>(?:[^']|'')*)'(?: CODEC\(.+\))?,?$")

_COUNTS = ("Int64", "UInt64")
_NO_COUNTS = ("user_id", "definition", "version")


@dataclass(frozen=True)
class Column:
    """A column as its schema file declares it."""

    name: str
    type: str
    comment: str


@dataclass(frozen=True)
class DailyTable:
    """A table partitioned by day that one asset fills.

    Attributes:
        name: the table's and the asset's name.
        checks: name → what is promised, of every check in `queries/checks/<file>.sql`.
        file: the name of its files under `schema/`, `queries/` and `queries/checks/`.
        dimension: the dimension of a slice table; empty for others.
    """

    name: str
    checks: Mapping[str, str] = field(default_factory=dict)
    file: str = ""
    dimension: str = ""

    def __post_init__(self) -> None:
        """Files have the table's name unless others share them."""
        object.__setattr__(self, "file", self.file or self.name)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns, in order."""
        return columns_of(self.file)

    @property
    def description(self) -> str:
        """What the table holds, in Markdown: the comment at the head of its schema file."""
        head = read_sql(f"schema/{self.file}.sql").partition("\nCREATE TABLE")[0]
        lines = (line.removeprefix("--").strip() for line in head.splitlines())
        return " ".join(line or "\n\n" for line in lines).replace(" \n\n ", "\n\n")

    @property
    def measures(self) -> tuple[str, ...]:
        """The columns of counts: their sums are verified when a partition is swapped in."""
        return tuple(column.name for column in self.columns if column.type in _COUNTS and column.name not in _NO_COUNTS)

    @property
    def query(self) -> str:
        """The SELECT that computes one day."""
        return read_sql(f"queries/{self.file}.sql")

    @property
    def check_query(self) -> str:
        """The SELECT that reconciles one staged day: a row of `<check>: <quantity>` → (expected, actual[, late])."""
        return read_sql(f"queries/checks/{self.file}.sql")


_ONE_ROW = "Every user is in the day once."

FEED_USER_DAILY = DailyTable(
    "feed_user_daily",
    checks={
        "reconciles_with_source": "Views, likes and distinct users equal a count taken straight from the source.",
        "one_row_per_user": _ONE_ROW,
    },
)
MESSAGE_USER_DAILY = DailyTable(
    "message_user_daily",
    checks={
        "reconciles_with_source": "Messages, senders, receivers and pairs equal a count straight from the source.",
        "one_row_per_user": _ONE_ROW,
        "sent_equals_received": "As many messages were received as were sent.",
    },
)
EXTRACTS = (FEED_USER_DAILY, MESSAGE_USER_DAILY)
USERS = DailyTable(
    "users",
    checks={
        "continues_previous_day": "The snapshot is the one of the day before plus today's new users: no user is lost.",
        "one_row_per_user": _ONE_ROW,
    },
)
USER_DAILY = DailyTable(
    "user_daily",
    checks={
        "reconciles_with_extracts": "Every measure and the users of each service equal the two extracts.",
        "one_row_per_user": "Every user of either extract is in the day once.",
    },
)
DIMENSION_METRICS = DailyTable(
    "dimension_metrics",
    checks={
        "dimensions_agree": "Each measure has the same sum over every dimension.",
        "reconciles_with_source": "Each sum equals a count taken straight from the source.",
        "sent_equals_received": "As many messages were received as were sent.",
        "keys_are_unique": "(event_date, dimension, dimension_value) is unique.",
        "values_are_valid": "No empty value, nothing negative, no other day's row, no dimension missing.",
    },
)
APP_DAILY = DailyTable(
    "app_daily",
    checks={
        "reconciles_with_source": "Views, likes and messages equal a count straight from the source.",
        "reconciles_with_users": "Active users and receivers are those of the extracts and of the day's snapshot.",
        "parts_add_up": "Users by service, and new users by source, add up; no window is larger than a longer one.",
        "one_row_per_day": "The day has one row.",
    },
)
USER_COHORTS = DailyTable(
    "user_cohorts",
    checks={
        "add_up_to_users": "The cohorts of the last year add up to the snapshot's users, active and new users.",
        "values_are_valid": "Each first day and source has one row, and no more users are active than there are.",
    },
)

SLICE_VALUES = DailyTable("slice_values")
_VALUE_CHECKS = {
    "reconciles_with_source": "Each metric's total equals its value taken straight from the source.",
    "slices_add_up": "Of counts and sums, the slices of each dimension add up to the total.",
}
SLOT_METRICS = DailyTable(
    "slot_metrics",
    checks={**_VALUE_CHECKS, "grid_is_full": "Every slot has its total, and every row is there once."},
)
METRIC_DAILY = DailyTable(
    "metric_daily",
    checks={**_VALUE_CHECKS, "grid_is_full": "Every row is there once."},
)
VERDICTS = DailyTable("verdicts")
INCIDENTS = DailyTable("incidents")
MONITORED_SLOTS = DailyTable("monitored_slots")
INCIDENT_ANSWERS = DailyTable("incident_answers")
MONITOR_TABLES = (SLICE_VALUES, SLOT_METRICS, VERDICTS, INCIDENTS, MONITORED_SLOTS, INCIDENT_ANSWERS)


@cache
def slice_table(dimension: str) -> DailyTable:
    """The slice table of one dimension, such as `os_slice`."""
    return DailyTable(
        f"{dimension}_slice",
        checks={
            "reconciles_with_users": "The slices add up to the merged table, for every measure.",
            "values_are_valid": "Every value has one row, none is empty, nothing is negative.",
        },
        file="slice",
        dimension=dimension,
    )


def daily_tables(dimensions: tuple[str, ...]) -> tuple[DailyTable, ...]:
    """All tables of the daily load, in the order in which a day is computed."""
    slices = tuple(slice_table(dimension) for dimension in dimensions)
    return (FEED_USER_DAILY, MESSAGE_USER_DAILY, USERS, USER_DAILY, *slices, DIMENSION_METRICS, APP_DAILY, USER_COHORTS)


def all_tables(dimensions: tuple[str, ...]) -> tuple[DailyTable, ...]:
    """All tables of the platform: those of the daily load and the monitor's."""
    return (*daily_tables(dimensions), METRIC_DAILY, *MONITOR_TABLES)


@cache
def read_sql(name: str) -> str:
    """The text of a `.sql` file of this package, such as `queries/users.sql`."""
    return (files("metrics_platform.warehouse") / name).read_text(encoding="utf-8")


@cache
def columns_of(file: str) -> tuple[Column, ...]:
    """The columns that `schema/<file>.sql` declares: one per line, with type and comment."""
    matches = (_COLUMN.match(line) for line in read_sql(f"schema/{file}.sql").splitlines())
    return tuple(
        Column(match["name"], match["type"], match["comment"].replace("''", "'")) for match in matches if match
    )
