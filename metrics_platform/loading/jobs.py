"""The load itself: open the files, stage and check their rows in ClickHouse, commit them together."""

from __future__ import annotations

import datetime
import os
import shutil
import uuid
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import click
import pyarrow as pa
from rich.console import Console
from rich.markup import escape
from rich.progress import wrap_file

from metrics_platform.loading import commit
from metrics_platform.loading.events import (
    FEED,
    RECEIVERS,
    Checks,
    Source,
    Target,
    checks_for,
    messages_source,
    prepare_target,
)
from metrics_platform.loading.files import EventFile, LoadError, listed, open_file
from metrics_platform.settings import Settings
from metrics_platform.table_names import TableName
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.schema import create_tables

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Say = Callable[[str], None]

# ClickHouse remembers this many inserts, to recognise one that is sent again after its answer was lost.
_REMEMBERED_INSERTS = 100_000
# Lines per statement that fills staging, so that its duration does not grow with the file.
_LINES_A_STATEMENT = 4_000_000
# No merges: parts are moved as they are, and a Replacing… table would fold rows before they are counted.
_NO_MERGES = "max_bytes_to_merge_at_max_space_in_pool = 1"


@dataclass(frozen=True)
class Options:
    """How files are loaded.

    Attributes:
        strict: load nothing if a row is rejected.
        again: load files that were loaded before, so that their events exist twice.
        future: load events that are more than a day in the future.
        rejects: the directory where `<file>.rejected.csv` is written if rows are rejected.
        time_zone: the zone (IANA name) of times without an offset.
        columns: field → the name under which files have it.
    """

    strict: bool = False
    again: bool = False
    future: bool = False
    rejects: Path = Path()
    time_zone: str = "UTC"
    columns: Mapping[str, str] = field(default_factory=dict)


def load(
    settings: Settings,
    warehouse: Warehouse,
    *,
    feed: Path | None = None,
    messages: Path | None = None,
    options: Options | None = None,
    say: Say | None = None,
) -> list[FileLoad]:
    """Load event files into the source tables: both completely, or nothing; see this package for the promises.

    `say` is called with each line for people, which otherwise goes to standard error.

    Raises:
        LoadError: a file, a row (`strict`) or a table cannot be used, a file was loaded before (without `again`), or
            the commit was interrupted.
        WarehouseError: ClickHouse refused or is away; nothing was loaded.
    """
    say = say or partial(click.echo, err=True)
    paths = {FEED: feed, messages_source(settings.receiver_column): messages}
    jobs = _open(paths, warehouse, options or Options(), say, settings.zone)
    create_tables(warehouse, [commit.HISTORY])
    completed = commit.complete_interrupted(warehouse, say)
    for job in jobs:
        job.target = prepare_target(settings, warehouse, job.source)
    for database in {job.target.table.database for job in jobs}:
        commit.drop_idle(warehouse, database)
    try:
        for job in jobs:
            job.stage(completed)
    except BaseException:
        _drop(warehouse, [job.staging for job in jobs])
        raise
    finally:
        _drop(warehouse, [job.checked for job in jobs])
    if entries := [job.entry for job in jobs if job.entry and job.entry not in completed]:
        commit.commit(warehouse, entries, say)
    _report_days(settings, jobs, say)
    return jobs


def _open(
    paths: Mapping[Source, Path | None], warehouse: Warehouse, options: Options, say: Say, zone: zoneinfo.ZoneInfo
) -> list[FileLoad]:
    """Open the files, and refuse what cannot be loaded before anything is written."""
    fields = {field.name for source in paths for field in source.fields}
    _check(options, fields)
    given = {source: path for source, path in paths.items() if path}
    if not given:
        raise LoadError("There is nothing to load. Name a file with --feed, with --messages, or with both.")
    alike = len({path.name for path in given.values()}) < len(given)
    known = frozenset({*fields, *RECEIVERS, *(name.lower() for name in options.columns.values())})
    load_id = uuid.uuid4().hex[:12]
    jobs = []
    for source, path in given.items():
        file = open_file(path, known)
        places = source.find(file.names, path, options.columns)
        rejects_file = options.rejects / f"{path.name}{f'.{source.name}' if alike else ''}.rejected.csv"
        jobs.append(FileLoad(warehouse, options, say, zone, load_id, source, file, places, rejects_file))
    names_in_files = {name.lower() for job in jobs for name in job.file.names}
    if missing_columns := [name for name in options.columns.values() if name.lower() not in names_in_files]:
        raise LoadError(f"No file has the column {missing_columns[0]!r} that --column names. Correct the name.")
    return jobs


def _check(options: Options, fields: set[str]) -> None:
    try:
        zoneinfo.ZoneInfo(options.time_zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise LoadError(f"{options.time_zone!r} is not a time zone. Give an IANA name such as Europe/Moscow.") from None
    if unknown := sorted(set(options.columns) - fields):
        raise LoadError(f"Unknown field {unknown[0]!r} in --column. Choose from {', '.join(sorted(fields))}.")
    directory = options.rejects
    nearest = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise LoadError(
            f"The rejects directory {directory} cannot be written to. Name another one with --rejects, or correct its "
            "permissions."
        )


@dataclass(eq=False)
class FileLoad:
    """The load of one file, and its result.

    Attributes:
        rejected: rows that were not loaded; they are in `rejects_file`.
        entry: set when its rows are staged; None if there are no rows.
    """

    warehouse: Warehouse
    options: Options
    say: Say
    zone: zoneinfo.ZoneInfo
    load_id: str
    source: Source
    file: EventFile
    places: dict[str, int]
    rejects_file: Path
    rejected: int = 0
    entry: commit.Entry | None = None
    target: Target = field(init=False)

    @property
    def staging(self) -> TableName:
        """The staging table of good rows, in the target's database."""
        return TableName(self.target.table.database, f"{commit.PREFIX}{self.load_id}__{self.source.name}")

    @property
    def checked(self) -> TableName:
        """The table of all rows: their values, and the problems of bad ones."""
        return TableName(self.staging.database, f"{self.staging.table}_raw")

    def stage(self, completed: Sequence[commit.Entry]) -> None:
        """Send the rows to ClickHouse, check them there, and fill the staging table with the good ones.

        They are left out if they are those of a load that has just been `completed`.

        Raises:
            LoadError: no row is good, one is not (`strict`), or the same rows were loaded before.
        """
        self._report_columns()
        checks = checks_for(
            self.source, self.target, self.file, self.places, self.options.time_zone, future=self.options.future
        )
        self._create_tables(checks)
        lines = self._send(checks)
        with Console(stderr=True).status(f"Checking the rows of {escape(self.file.path.name)} …"):
            total = self._summarise()
            self._fill(checks, lines)
            staged = self._staged(checks)
        self.rejected = total - staged["rows"]
        if self.rejected:
            self._reject(total)
        if not staged["rows"]:
            self.say(f"{self.file.path} has a header and no rows.")
            commit.drop(self.warehouse, self.staging)
            return
        for entry in completed:
            if (entry.content, entry.database, entry.target) == (staged["content"], *self.target.table):
                self.say(f"{self.file.path} is that file, so it is not loaded again. To load it twice, add --again.")
                commit.drop(self.warehouse, self.staging)
                self.entry = entry
                return
        self._refuse_if_loaded(staged["content"])
        partitions = commit.staged_partitions(self.warehouse, *self.staging, self.target.table.table)
        self.entry = commit.Entry(
            load_id=self.load_id,
            source=self.source.name,
            file=str(self.file.path.absolute()),
            rejected=self.rejected,
            database=self.staging.database,
            target=self.target.table.table,
            staging=self.staging.table,
            partition_ids=[row["partition_id"] for row in partitions],
            rows_before=[row["in_target"] for row in partitions],
            **staged,
        )

    @property
    def rows(self) -> int:
        """How many rows were loaded."""
        return self.entry.rows if self.entry else 0

    @property
    def days(self) -> tuple[datetime.date, datetime.date] | None:
        """The first and the last day of the product that the rows touch."""
        if self.entry is None:
            return None
        first, last = (time.astimezone(self.zone).date() for time in (self.entry.first_time, self.entry.last_time))
        return first, last

    def __str__(self) -> str:
        days = ", {} to {}".format(*self.days) if self.days else ""
        rejected = f"; {self.rejected:,} rejected, in {self.rejects_file}" if self.rejected else ""
        rows = f"{self.rows:,} row{'s' * (self.rows != 1)}"
        return f"{self.source.name}: {rows} of {self.file.path} into {self.target.table}{days}{rejected}"

    def _refuse_if_loaded(self, content: str) -> None:
        earlier = commit.earlier_load(self.warehouse, self.target.table, content)
        if not earlier:
            return
        before = (
            f"{self.file.path} was loaded into {self.target.table} before: {earlier['file']} has the same rows "
            f"({earlier['changed_at']:%Y-%m-%d %H:%M:%S} UTC)"
        )
        if not self.options.again:
            raise LoadError(
                f"{before}. Nothing was loaded. To load its events again, because they were deleted or are wanted "
                "twice, add --again."
            )
        self.say(f"{before}. Unless they were deleted since, its events will exist twice.")

    def _report_columns(self) -> None:
        path, names, table = self.file.path, self.file.names, self.target.table
        if self.target.created:
            self.say(f"Table {table} was created.")
        if self.target.views:
            views = ", ".join(self.target.views)
            self.say(f"{table} feeds {views}; loaded rows do not pass through views. Fill them yourself.")
        used = set(self.places.values())
        if unknown := [name or "(no name)" for place, name in enumerate(names) if place not in used]:
            self.say(f"{path}: columns that are not part of an event are not loaded: {listed(unknown)}.")
        if unknown_fields := [names[self.places[name]] for name in self.places if name not in self.target.columns]:
            self.say(f"{path}: table {table} has no column {listed(unknown_fields)}, so it is not loaded.")

    def _create_tables(self, checks: Checks) -> None:
        """Create the tables, and try the rights and the columns that the commit needs before anything is read."""
        staging, target = self.staging.sql, self.target.table.sql
        statements = [
            f"CREATE TABLE {self.checked.sql} (line UInt64, reason String, row String, is_local Bool, "
            f"odd_gender String, {checks.types}) ENGINE = MergeTree ORDER BY line "
            f"SETTINGS non_replicated_deduplication_window = {_REMEMBERED_INSERTS}, {_NO_MERGES}, "
            "parts_to_delay_insert = 1000000, parts_to_throw_insert = 1000000",
            f"CREATE TABLE {staging} AS {target}",
            f"ALTER TABLE {staging} MODIFY SETTING {_NO_MERGES}",
            *([f"ALTER TABLE {staging} REMOVE TTL"] if self.target.has_ttl else []),
            f"ALTER TABLE {staging} MOVE PARTITION ID 'none' TO TABLE {target}",  # it does not exist
        ]
        for statement in statements:
            self.warehouse.execute(statement, operation=f"Preparing to load into {self.target.table}")

    def _send(self, checks: Checks) -> int:
        """Send all rows; ClickHouse splits and checks them. Returns the number of the last line."""
        statement = f"INSERT INTO {self.checked.sql} {checks.sql} FORMAT ArrowStream\n".encode()
        last = 0
        for number, batch in enumerate(self.file.batches(sorted(self.places.values()), progress_of(self.file.path))):
            if not batch.num_rows:
                continue
            sink = pa.BufferOutputStream()
            sink.write(statement)
            with pa.ipc.new_stream(sink, batch.schema) as writer:
                writer.write_table(batch)
            insert = partial(
                _insert, block=sink.getvalue().to_pybytes(), token=f"{self.load_id}-{self.source.name}-{number}"
            )
            self.warehouse.run(insert, operation=f"Sending {self.file.path.name}", repeatable=True)
            last = batch["line"][-1].as_py()
        return last

    def _summarise(self) -> int:
        """Report how values were read. Returns the number of rows."""
        (counts,) = self._query(
            "SELECT count() AS rows, countIf(is_local) AS local_times, "  # noqa: S608
            "countIf(odd_gender != '') AS genders, groupUniqArrayIf(3)(odd_gender, odd_gender != '') AS such_as "
            f"FROM {self.checked.sql}"
        ).rows
        path, zone = self.file.path, self.options.time_zone
        if counts["local_times"]:
            self.say(f"{path}: times without an offset are in {zone} (--time-zone names another zone).")
        if counts["genders"]:
            rows = "1 row has" if counts["genders"] == 1 else f"{counts['genders']:,} rows have"
            self.say(
                f"{path}: {rows} a gender that is not recognised, such as "
                f"{', '.join(map(printable, sorted(counts['such_as'])))}; it was taken as unknown."
            )
        return int(counts["rows"])

    def _fill(self, checks: Checks, lines: int) -> None:
        """Write the good rows into the staging table, a range of lines at a time."""
        statement = (
            f"INSERT INTO {self.staging.sql} ({checks.columns}) SELECT {checks.values} FROM {self.checked.sql} "  # noqa: S608
            "WHERE reason = '' AND line BETWEEN {first:UInt64} AND {last:UInt64}"
        )
        settings = {
            "max_partitions_per_insert_block": 0,  # a long history in any order is allowed
            "optimize_on_insert": 0,  # rows that a Replacing… or Summing… table will fold are counted first
        }
        for first in range(1, lines + 1, _LINES_A_STATEMENT):
            parameters = {"first": first, "last": first + _LINES_A_STATEMENT - 1}
            self.warehouse.execute(
                statement, parameters, settings=settings, operation=f"Checking rows for {self.target.table}"
            )

    def _staged(self, checks: Checks) -> dict[str, Any]:
        """A summary of the staging table: rows, first_time, last_time, fingerprint `content`, and the current time."""
        (row,) = self._query(
            "SELECT count() AS rows, "  # noqa: S608
            "ifNull(min(time), 0) AS first_time, ifNull(max(time), 0) AS last_time, "
            f"concat(toString(rows), ':', hex(sum(cityHash64(tuple({checks.columns}))))) "
            f"AS content, now() AS changed_at FROM {self.staging.sql}"
        ).rows
        return {**row, **commit.times_in_utc(row)}

    def _reject(self, total: int) -> None:
        """Write the bad rows into the rejects file and report the first of them.

        Raises:
            LoadError: no row is good, or `strict`.
        """
        bad = f"FROM {self.checked.sql} WHERE reason != '' ORDER BY line"
        first = self._query(f"SELECT line, reason {bad} LIMIT 3").rows
        word = self.file.row_word
        lines = [f"{self.file.path}, {word} {row['line']}: {printable(row['reason'])}" for row in first]
        if self.options.strict:
            raise LoadError(f"{lines[0]}\nNothing was loaded. Correct the row, or load without --strict.")
        columns = "{file:String} AS file, line, reason, row"
        self._write_rejects(f"SELECT {columns} {bad}")
        if self.rejected > len(lines):
            lines.append(f"… and {self.rejected - len(lines):,} more")
        summary = f"{self.rejected:,} of {total:,} rows were rejected; they are in {self.rejects_file}:\n  "
        text = f"{self.file.path}: {summary}" + "\n  ".join(lines)
        if self.rejected == total:
            raise LoadError(f"{text}\nNothing was loaded. Is it the right file?")
        self.say(text)

    def _write_rejects(self, sql: str) -> None:
        def write(client: Client) -> None:
            stream = client.raw_stream(sql, {"file": str(self.file.path)}, fmt="CSVWithNames")
            with stream, self.rejects_file.open("wb") as file:
                shutil.copyfileobj(cast("BinaryIO", stream), file)

        self.rejects_file.parent.mkdir(parents=True, exist_ok=True)
        self.warehouse.run(write, operation="Reading the rejected rows", repeatable=True)

    def _query(self, sql: str) -> Any:
        return self.warehouse.query(sql, operation=f"Checking rows for {self.target.table}")


def _insert(client: Client, *, block: bytes, token: str) -> object:
    return client.raw_insert("", insert_block=block, settings={"insert_deduplication_token": token})


def _drop(warehouse: Warehouse, tables: Sequence[TableName]) -> None:
    with suppress(WarehouseError):  # the next load drops the tables that remain
        for table in tables:
            commit.drop(warehouse, table)


def _report_days(settings: Settings, jobs: Sequence[FileLoad], say: Say) -> None:
    """Report the loaded days that will not be computed, or not soon."""
    today = datetime.datetime.now(settings.zone).date()
    for job in jobs:
        if job.days and (last := job.days[1]) > today:
            say(f"{job.file.path}: the last event is of {last}, in the future. A day is computed when it is over.")
    first = min((job.days[0] for job in jobs if job.days), default=settings.start_date)
    if first < settings.start_date:
        say(
            f"The events begin on {first}, but days before METRICS_START_DATE={settings.start_date} are not computed. "
            f"Set METRICS_START_DATE={first} to have them all."
        )


def printable(text: str) -> str:
    """A text without control characters, for a terminal."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def progress_of(path: Path) -> Callable[[BinaryIO], AbstractContextManager[BinaryIO]]:
    """A progress bar of the bytes read, if standard error is a terminal."""
    console = Console(stderr=True)
    about: dict[str, Any] = {"description": f"Reading {escape(path.name)}", "transient": True}
    return lambda stream: wrap_file(
        stream, path.stat().st_size, console=console, disable=not console.is_terminal, **about
    )
