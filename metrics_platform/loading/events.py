"""The two kinds of events that are loaded: their fields, what each may hold, and what stands for «not known».

The fields are those of the schema files, in words the reader of a file needs: which must be there, under
which spellings a column is recognised, and which value is written where the file has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from metrics_platform.loading.problems import LoadError, listed

FieldKind = Literal["integer", "gender", "action", "time", "text"]
SourceName = Literal["feed", "messages"]
# How products spell the column of who gets a message.
_RECEIVERS = frozenset({"receiver_id", "reciever_id"})


@dataclass(frozen=True)
class Field:
    """One column of an event.

    Attributes:
        type: the ClickHouse type in our schema; its range counts where the table's own type has none.
        unknown: what is written for an empty value or an absent column; None where a value is required.
        spellings: the names, in lower case, under which a file may carry it.
    """

    name: str
    kind: FieldKind
    type: str
    unknown: int | str | None
    spellings: frozenset[str]

    @property
    def required(self) -> bool:
        """Whether every row must have a value."""
        return self.unknown is None


@dataclass(frozen=True)
class Source:
    """A kind of event file: its name as an option (`--feed`), its schema file and its fields in the table's order."""

    name: SourceName
    title: str
    schema: str
    fields: tuple[Field, ...]

    def find(self, found: Sequence[str], file: Path) -> dict[Field, int]:
        """Which of the columns found in a file (names as written there) holds which field.

        Raises:
            LoadError: a required column is missing, or two columns claim the same field.
        """
        names = [name.strip().lower() for name in found]
        matched: dict[Field, int] = {}
        for field in self.fields:
            places = [place for place, name in enumerate(names) if name in field.spellings]
            if len(places) > 1:
                both = listed([found[place] for place in places])
                raise LoadError(f"{file}: the columns {both} both mean {field.name}. Remove or rename one of them.")
            if places:
                matched[field] = places[0]
        missing = [field.name for field in self.fields if field.required and field not in matched]
        if missing:
            raise LoadError(self._without(missing, found, file))
        return matched

    def _without(self, missing: list[str], found: Sequence[str], file: Path) -> str:
        expected = [field.name if field.required else f"[{field.name}]" for field in self.fields]
        return (
            f"{file}: {listed(missing)} missing among its columns, so these are no {self.title}.\n"
            f"  expected: {', '.join(expected)} (in any order; those in brackets may be missing)\n"
            f"  found:    {listed(list(found)) or 'nothing'}\n"
            f"What to do: {self._remedy(found)}"
        )

    def _remedy(self, found: Sequence[str]) -> str:
        names = {name.strip().lower() for name in found}
        if self.name == "feed" and names & _RECEIVERS:
            return "these look like messages: name the file with --messages."
        if self.name == "messages" and "action" in names:
            return "these look like feed events: name the file with --feed."
        return "give the file a header line with these names, if it has none."


def feed_source() -> Source:
    """The feed's events: views and likes."""
    fields = (
        _field("user_id", "integer", "UInt32"),
        _field("post_id", "integer", "UInt32", unknown=0),
        _field("action", "action", "String"),
        _field("time", "time", "DateTime"),
        *_attributes(),
    )
    return Source("feed", "feed events", "feed_actions", fields)


def messages_source(receiver_column: str) -> Source:
    """The messenger's events; a file may spell the receiver's column in either way, or as the table does."""
    spellings = frozenset({*_RECEIVERS, receiver_column.lower()})
    fields = (
        _field("user_id", "integer", "UInt32"),
        Field(receiver_column, "integer", "UInt32", None, spellings),
        _field("time", "time", "DateTime"),
        *_attributes(),
    )
    return Source("messages", "messages", "message_actions", fields)


def _attributes() -> tuple[Field, ...]:
    texts = (_field(name, "text", "String", unknown="") for name in ("country", "city", "os", "source"))
    return (
        _field("gender", "gender", "Int8", unknown=-1),
        _field("age", "integer", "Int16", unknown=0),
        *texts,
        _field("exp_group", "integer", "Int8", unknown=-1),
    )


def _field(name: str, kind: FieldKind, type_: str, *, unknown: int | str | None = None) -> Field:
    return Field(name, kind, type_, unknown, frozenset({name}))
