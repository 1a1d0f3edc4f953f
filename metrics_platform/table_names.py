"""Table names as users write them: `database.table`, with quotes around parts that contain dots or spaces."""

from __future__ import annotations

import re
from typing import NamedTuple

_PART = r"`(?:[^`\\]|\\.)+`|\"(?:[^\"\\]|\\.)+\"|[^.`\"\s\\;()']+"
_NAME = re.compile(rf"(?P<database>{_PART})\.(?P<table>{_PART})")


class TableName(NamedTuple):
    """A database and a table in it, as ClickHouse stores them: without quotes."""

    database: str
    table: str

    @property
    def sql(self) -> str:
        """The name as an SQL identifier, both parts quoted."""
        return f"{quote_identifier(self.database)}.{quote_identifier(self.table)}"

    def __str__(self) -> str:
        """The name for display, quoted only where necessary."""
        return ".".join(part if re.fullmatch(r"[^.`\"\s\\;()']+", part) else quote_identifier(part) for part in self)


def parse_table_name(text: str) -> TableName:
    """Read `database.table`; each part may be quoted with backticks or double quotes.

    Raises:
        ValueError: the text has another form; the message says what to write.
    """
    match = _NAME.fullmatch(text.strip())
    if match is None:
        raise ValueError("write it as database.table; put backticks around a part that holds a dot or a space")
    return TableName(*(_unquoted(match[part]) for part in ("database", "table")))


def quote_identifier(identifier: str) -> str:
    """An identifier in backticks, safe in any SQL text."""
    escaped = identifier.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def _unquoted(part: str) -> str:
    return re.sub(r"\\(.)", r"\1", part[1:-1]) if part[0] in '`"' else part
