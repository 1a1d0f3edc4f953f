"""The load itself: look at the files, stage their rows, and commit them together."""

from __future__ import annotations

import datetime
import time
import uuid
import zoneinfo
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from metrics_platform.loading import history, staging
from metrics_platform.loading.arrivals import target_partitions
from metrics_platform.loading.batches import Reader
from metrics_platform.loading.commit import commit
from metrics_platform.loading.events import Source, SourceName, feed_source, messages_source
from metrics_platform.loading.files import fingerprint
from metrics_platform.loading.history import Entry
from metrics_platform.loading.judging import Plan, plan_for
from metrics_platform.loading.problems import BadRow, LoadError
from metrics_platform.loading.progress import Display
from metrics_platform.loading.readers import reader_for
from metrics_platform.loading.recovery import complete_interrupted
from metrics_platform.loading.rejects import Rejects, check_directory
from metrics_platform.loading.result import LoadedFile, LoadResult
from metrics_platform.loading.staging import Staging, Verified
from metrics_platform.loading.targets import Target, prepare_target
from metrics_platform.settings import Settings
from metrics_platform.table_names import parse_table_name
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.errors import WarehouseError


@dataclass
class _Job:
    """One file on its way."""

    source: Source
    file: Path
    reader: Reader
    rejects_file: Path
    sha256: str = ""


@dataclass(frozen=True)
class _Staged:
    """A file whose rows are all in staging."""

    job: _Job
    staging: Staging
    rejects: Rejects
    verified: Verified


def load(
    settings: Settings,
    warehouse: Warehouse,
    *,
    feed: Path | None,
    messages: Path | None,
    strict: bool = False,
    again: bool = False,
    rejects_directory: Path = Path(),
    progress: bool = True,
    time_zone: str = "UTC",
    say: Callable[[str], None] | None = None,
) -> LoadResult:
    """Load event files into the source tables: both completely, or nothing; see this package for what is promised.

    Args:
        strict: stop at the first bad row instead of writing it to a rejects file and going on.
        again: load also a file that was loaded before, so that its events are there twice.
        rejects_directory: where `<file>.rejected.csv` is written if rows are rejected.
        progress: show a bar where standard error is a terminal.
        time_zone: the zone (IANA name) of times that carry no offset.
        say: told every line for people at once; by default they go to standard error.

    Raises:
        LoadError: a file, a row (`strict`) or a table is not usable, a file was loaded before (without `again`), or the
            commit was interrupted.
        WarehouseError: ClickHouse refused or is away; nothing was loaded.
    """
    started = time.perf_counter()
    display = Display(progress=progress, say=say)
    _check_zone(time_zone)
    jobs = _look_at_files(settings, feed, messages, rejects_directory)
    history.create(warehouse)
    completed = complete_interrupted(warehouse, display.say)
    staging.drop_idle(
        warehouse, {parse_table_name(name).database for name in (settings.feed_table, settings.messages_table)}
    )
    targets = {job.source.name: prepare_target(settings, warehouse, job.source) for job in jobs}
    for job in jobs:
        with display.bar(f"Fingerprint of {job.file.name}", job.file.stat().st_size) as advance:
            job.sha256 = fingerprint(job.file, advance)
    done = list(_completed_files(settings, display, jobs, targets, completed))
    rest = [job for job in jobs if job.source.name not in {file.source for file in done}]
    for job in rest:
        _check_not_loaded(warehouse, display, job, targets[job.source.name], again=again)
    done += _load_all(settings, warehouse, display, rest, targets, time_zone=time_zone, strict=strict)
    order = [job.source.name for job in jobs]
    done.sort(key=lambda file: order.index(file.source))
    return LoadResult(tuple(done), tuple(display.lines), time.perf_counter() - started)


def _check_zone(name: str) -> None:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise LoadError(f"{name!r} is no time zone. Give an IANA name such as Europe/Moscow.") from None


def _look_at_files(settings: Settings, feed: Path | None, messages: Path | None, rejects: Path) -> list[_Job]:
    """Refuse what cannot be loaded before anything is written."""
    sources = {feed_source(): feed, messages_source(settings.receiver_column): messages}
    given = {source: file for source, file in sources.items() if file is not None}
    if not given:
        raise LoadError("There is nothing to load. Name a file with --feed, with --messages, or with both.")
    check_directory(rejects)
    alike = feed is not None and messages is not None and feed.name == messages.name
    jobs = []
    for source, file in given.items():
        reader = reader_for(source, file)
        suffix = f".{source.name}.rejected.csv" if alike else ".rejected.csv"
        jobs.append(_Job(source, file, reader, rejects / f"{file.name}{suffix}"))
    return jobs


def _completed_files(
    settings: Settings, display: Display, jobs: list[_Job], targets: dict[SourceName, Target], completed: list[Entry]
) -> Iterator[LoadedFile]:
    """The files that came in just now, by completing the very load that is being repeated."""
    for job in jobs:
        for entry in completed:
            if (entry.sha256, entry.target_name) == (job.sha256, targets[job.source.name].name):
                display.say(f"{job.file} is that file: it is not loaded again. To load it twice, add --again.")
                yield _loaded_earlier(settings, job, entry)
                break


def _load_all(
    settings: Settings,
    warehouse: Warehouse,
    display: Display,
    jobs: list[_Job],
    targets: dict[SourceName, Target],
    *,
    time_zone: str,
    strict: bool,
) -> list[LoadedFile]:
    """Stage every file, then commit them together; before the commit nothing but staging tables is written."""
    load_id = uuid.uuid4().hex[:12]
    stagings = {job.source.name: Staging(warehouse, targets[job.source.name], load_id) for job in jobs}
    try:
        staged = []
        for job in jobs:
            target = targets[job.source.name]
            _say_before(warehouse, display, job, target)
            plan = plan_for(job.source, target, job.reader, job.file, time_zone)
            for note in plan.notes:
                display.say(note)
            staged.append(_stage(display, job, plan, stagings[job.source.name], strict=strict))
        entries = [_entry(warehouse, one) for one in staged if one.staging.rows]
    except BaseException:
        with suppress(WarehouseError):  # what stays is dropped by the next load; the first error is the one to tell
            for staging_table in stagings.values():
                staging_table.drop()
        raise
    if entries:
        commit(warehouse, entries, display.say)
    for one in staged:
        if not one.staging.rows:
            one.staging.drop()
    loaded = [_loaded(settings, one) for one in staged]
    _say_days(settings, display, loaded)
    return loaded


def _say_before(warehouse: Warehouse, display: Display, job: _Job, target: Target) -> None:
    if target.created:
        display.say(f"Table {target.name} was created.")
    if target.views:
        display.say(
            f"{target.name} feeds {', '.join(target.views)}; loaded rows do not pass through views. Fill them yourself."
        )


def _check_not_loaded(warehouse: Warehouse, display: Display, job: _Job, target: Target, *, again: bool) -> None:
    """Refuse a file that was loaded before; with `again`, say so.

    Raises:
        LoadError: it was, and is not to be loaded again.
    """
    earlier = None if target.created else history.earlier_load(warehouse, job.sha256, target.database, target.table)
    if not earlier:
        return
    before = (
        f"{job.file} was loaded into {target.name} before ({earlier['file']}, "
        f"{earlier['changed_at']:%Y-%m-%d %H:%M:%S} UTC, byte for byte the same)"
    )
    if not again:
        raise LoadError(
            f"{before}. Nothing was loaded. If its events were removed since, or are to be there twice, add --again."
        )
    display.say(f"{before}: unless they were removed since, its events will be there twice.")


def _stage(display: Display, job: _Job, plan: Plan, into: Staging, *, strict: bool) -> _Staged:
    into.create()
    with Rejects(job.file, job.rejects_file) as rejects:
        with display.bar(f"Loading {job.file.name}", job.file.stat().st_size) as advance:
            for batch in job.reader.batches(plan.places, advance):
                rows, bad = plan.judge(batch)
                if strict and bad:
                    remedy = "Nothing was loaded. Correct the row, or load without --strict."
                    raise LoadError(f"{_named(job, bad[0])}\n{remedy}")
                rejects.add(bad)
                into.add(rows)
            into.flush()
        _say_after(display, job, plan, rejects, into.rows)
    return _Staged(job, into, rejects, into.verify())


def _say_after(display: Display, job: _Job, plan: Plan, rejects: Rejects, rows: int) -> None:
    if rejects.count:
        first = "\n".join(f"  {_named(job, row)}" for row in rejects.first)
        more = f"\n  … and {rejects.count - len(rejects.first)} more" if rejects.count > len(rejects.first) else ""
        summary = f"{rejects.count} of {rejects.count + rows} rows were rejected; they are in {rejects.path}:"
        if not rows:
            raise LoadError(f"{job.file}: {summary}\n{first}{more}\nNothing was loaded. Is it the right file?")
        display.say(f"{job.file}: {summary}\n{first}{more}")
    elif not rows:
        display.say(f"{job.file} has a header and no rows.")
    for note in plan.counted():
        display.say(note)


def _say_days(settings: Settings, display: Display, loaded: list[LoadedFile]) -> None:
    """Which days of what was loaded will not be computed, or not soon."""
    today = datetime.datetime.now(settings.zone).date()
    for file in loaded:
        if file.last_day and file.last_day > today:
            display.say(
                f"{file.file}: the last event is of {file.last_day}, which is still to come, and its day is computed "
                f"when it is over. A mistake? ALTER TABLE {file.table} DELETE WHERE time > now() takes such events out."
            )
    first = min((file.first_day for file in loaded if file.first_day), default=settings.start_date)
    if first < settings.start_date:
        display.say(
            f"The events begin on {first}, but days before METRICS_START_DATE={settings.start_date} are not computed. "
            f"Set METRICS_START_DATE={first} to have them all."
        )


def _named(job: _Job, bad: BadRow) -> str:
    return f"{job.file}, {job.reader.row_word} {bad.number}: {bad.reason}"


def _entry(warehouse: Warehouse, staged: _Staged) -> Entry:
    """What is recorded of a file when its commit begins."""
    target, name = staged.staging.target, staged.staging.name
    partitions = target_partitions(warehouse, target.database, name, target.table)
    return Entry(
        load_id=staged.staging.load_id,
        source=staged.job.source.name,
        step=history.COMMITTING,
        changed_at=staged.verified.now,
        file=str(staged.job.file.absolute()),
        sha256=staged.job.sha256,
        rows=staged.staging.rows,
        rejected=staged.rejects.count,
        first_time=staged.verified.first,
        last_time=staged.verified.last,
        database=target.database,
        target=target.table,
        staging=name,
        partition_ids=[row["partition_id"] for row in partitions],
        highest_blocks=[row["highest_block"] for row in partitions],
        rows_before=[row["rows"] for row in partitions],
        owner=history.this_process(),
    )


def _loaded(settings: Settings, staged: _Staged) -> LoadedFile:
    job, rows = staged.job, staged.staging.rows
    days = _days(settings, staged.verified.first, staged.verified.last) if rows else (None, None)
    table, rejected, path = staged.staging.target.name, staged.rejects.count, staged.rejects.path
    return LoadedFile(job.source.name, job.file, table, rows, rejected, path, *days)


def _loaded_earlier(settings: Settings, job: _Job, entry: Entry) -> LoadedFile:
    days = _days(settings, entry.first_time, entry.last_time)
    path = job.rejects_file if entry.rejected else None
    return LoadedFile(
        job.source.name, job.file, entry.target_name, entry.rows, entry.rejected, path, *days, earlier=True
    )


def _days(settings: Settings, first: datetime.datetime, last: datetime.datetime) -> tuple[datetime.date, datetime.date]:
    return first.astimezone(settings.zone).date(), last.astimezone(settings.zone).date()
