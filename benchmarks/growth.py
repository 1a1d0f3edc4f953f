"""Question 7: what a year of use stores in Dagster and in ClickHouse, with retention and without.

One real run of each kind is made through Dagster: a nightly load, a check, and `notify` with a message and without one.
Its stored rows and its file of events are then copied for every run of the simulated days, with ids, days and times of
their own. In ClickHouse a snapshot of users is measured, and those that retention keeps on each day of two years are
counted.
"""

from __future__ import annotations

import datetime
import shutil
import sqlite3
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from benchmarks.measure import MIB
from benchmarks.source import create_source, empty_clickhouse, settings_of, write_day
from metrics_platform.defs import build_definitions
from metrics_platform.defs.clean_up import clean_up
from metrics_platform.defs.delivery.storage import queued
from metrics_platform.defs.monitoring.assets import tags_of
from metrics_platform.notifications.kinds import DailyReport
from metrics_platform.settings import load_settings
from metrics_platform.time_windows import RANGE_END, RANGE_START, SLOT, SlotRange
from metrics_platform.warehouse.retention import first_days_kept, is_base
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.tables import USERS

# Each check starts a run of `notify`, so that its process is ready if there is an alert.
_CHECKS_A_DAY = 96
_MESSAGES_A_DAY = 5
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_ONE_DAY = datetime.timedelta(days=1)
_USERS = """
INSERT INTO users SELECT
    '2026-01-01', cityHash64(number, 6), ['iOS', 'Android'][1 + number % 2],
    ['male', 'female'][1 + cityHash64(number) % 2],
    18 + cityHash64(number, 1) % 50, ['Russia', 'Kazakhstan', 'Serbia'][1 + cityHash64(number, 2) % 3],
    concat('City ', toString(cityHash64(number, 3) % 200)), cityHash64(number, 4) % 5,
    if(number % 3 = 0, 'ads', 'organic'), toDate('2026-01-01') - number % 700,
    toDate('2026-01-01') - cityHash64(number, 5) % 300
FROM numbers({users:UInt32})
"""


@dataclass(frozen=True)
class Storage:
    """Dagster's storage: its size without free pages, runs, and seconds for a page of runs and for all partitions."""

    mib: float
    runs: int
    runs_seconds: float
    partitions_seconds: float


@dataclass(frozen=True)
class Result:
    """Both simulations; GiB of `users` by year, and the bytes of one of its rows."""

    days: int
    kept_days: int
    before: Storage
    after: Storage
    clean_up_seconds: float
    users: int
    row_bytes: float
    snapshots: tuple[int, int]


def run(days: int, users: int) -> Result:
    """Simulate so many days of runs, and two years of snapshots of so many users."""
    kept_days = load_settings(None).keep_runs_days
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        runs_a_day = _real_runs(home)
        now = datetime.datetime.now(datetime.UTC)
        _copy_runs(home, runs_a_day, days, now)
        with dg.DagsterInstance.local_temp(str(home)) as instance:
            before = _look(instance, home)
            began = time.perf_counter()
            clean_up(instance, now - kept_days * _ONE_DAY)
            seconds = time.perf_counter() - began
            after = _look(instance, home)
    return Result(days, kept_days, before, after, seconds, users, _row_bytes(users), _snapshots())


def _real_runs(home: Path) -> dict[str, int]:
    """A run of each kind, stored in Dagster's storage at `home`: its id → how many there are a day."""
    yesterday = datetime.datetime.now(datetime.UTC).date() - _ONE_DAY
    with empty_clickhouse() as server, dg.DagsterInstance.local_temp(str(home)) as instance:
        settings = settings_of(server.url, "growth", yesterday, dry_run=True, data_dir=home / "data")
        day = write_day(create_source(settings), settings, yesterday, 100_000)
        definitions = build_definitions(settings)

        def run(job: str, **tags: str) -> str:
            resolved = definitions.resolve_job_def(job)
            return resolved.execute_in_process(instance=instance, tags=tags, run_config=_QUIET).run_id

        whole = {RANGE_START: day.key, RANGE_END: day.key}
        runs_a_day = {
            run("daily_etl", **whole): 1,
            run("anomaly_check", **whole, **tags_of(SlotRange(day.end - 5 * SLOT, day.end))): _CHECKS_A_DAY,
            run("notify"): _CHECKS_A_DAY - _MESSAGES_A_DAY,
        }
        report = DailyReport(
            key="report-0", occurred_at=day.end, date=yesterday, period_start=day.start, period_end=day.end, parts=()
        )
        for observation in queued(report):
            instance.report_runless_asset_event(observation)
        return {**runs_a_day, run("notify"): _MESSAGES_A_DAY}


def _copy_runs(home: Path, runs_a_day: dict[str, int], days: int, now: datetime.datetime) -> None:
    history = home / "history"
    runs = sqlite3.connect(history / "runs.db")
    index = sqlite3.connect(history / "runs" / "index.db")
    tables = ((runs, "runs"), (runs, "run_tags"), (index, "event_logs"))
    day = str(now.date() - _ONE_DAY)
    for run_id, times in runs_a_day.items():
        rows = [_rows(database, table, run_id) for database, table in tables]
        for back in range(days, 0, -1):
            for number in range(times):
                moment = now - back * _ONE_DAY + number * datetime.timedelta(minutes=15)
                new = str(uuid.uuid4())
                _copy_events(history / "runs", run_id, new)
                texts = {run_id: new, day: str(moment.date())}
                for (database, table), of_run in zip(tables, rows, strict=True):
                    _insert(database, table, [_changed(row, texts, moment) for row in of_run])
    for database in (runs, index):
        database.commit()
        database.close()


def _rows(database: sqlite3.Connection, table: str, run_id: str) -> list[dict[str, Any]]:
    """The rows of a run, without their own ids."""
    database.row_factory = sqlite3.Row
    found = database.execute(f"SELECT * FROM {table} WHERE run_id = ?", (run_id,))  # noqa: S608
    return [{name: row[name] for name in row.keys() if name != "id"} for row in found]  # noqa: SIM118


def _copy_events(folder: Path, run_id: str, new: str) -> None:
    file = folder / f"{new}.db"
    shutil.copy(folder / f"{run_id}.db", file)
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute("UPDATE event_logs SET run_id = ?, event = replace(event, ?, ?)", (new, run_id, new))
    database.close()


def _changed(row: dict[str, Any], texts: dict[str, str], moment: datetime.datetime) -> dict[str, Any]:
    """The row of another run: its id, day and time."""
    changed = dict(row)
    for name in ("run_id", "partition", "run_body", "event"):
        for old, new in texts.items():
            if changed.get(name):
                changed[name] = changed[name].replace(old, new)
    if changed.get("create_timestamp"):
        changed["create_timestamp"] = f"{moment:%Y-%m-%d %H:%M:%S.%f}"
    return changed


def _insert(database: sqlite3.Connection, table: str, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        values = ", ".join(f":{name}" for name in row)
        database.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({values})", row)  # noqa: S608


def _look(instance: dg.DagsterInstance, home: Path) -> Storage:
    began = time.perf_counter()
    instance.get_run_records(limit=25)
    page = time.perf_counter()
    for key in instance.get_asset_keys():
        instance.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
    end = time.perf_counter()
    size = sum(file.stat().st_size - _free(file) for file in home.rglob("*") if file.is_file())
    return Storage(size / MIB, instance.get_runs_count(), page - began, end - page)


def _free(file: Path) -> int:
    """The bytes of an SQLite file that later runs are written into."""
    if file.parent.name != "history" and file.name != "index.db":
        return 0
    with sqlite3.connect(file) as database:
        (pages,), (size,) = (database.execute(f"PRAGMA {name}").fetchone() for name in ("freelist_count", "page_size"))
    database.close()
    return int(pages) * int(size)


def _row_bytes(users: int) -> float:
    """What a row of `users` takes on disk."""
    with empty_clickhouse() as server:
        settings = settings_of(server.url, "growth", datetime.date(2026, 1, 1))
        warehouse = create_source(settings)
        create_tables(warehouse, [USERS])
        warehouse.execute(_USERS, {"users": users})
        warehouse.execute("OPTIMIZE TABLE users FINAL")
        size = "SELECT sum(bytes_on_disk) FROM system.parts WHERE table = 'users' AND active"
        return float(warehouse.value(size)) / users


def _snapshots() -> tuple[int, int]:
    """How many snapshots of users there are after one year and after two."""
    settings = load_settings(None, start_date=datetime.date(2026, 1, 1))
    kept: set[datetime.date] = {settings.start_date - _ONE_DAY}
    counts = []
    for number in range(1, 731):
        today = settings.start_date + number * _ONE_DAY
        kept.add(today - _ONE_DAY)
        first = first_days_kept(settings, today)[USERS.name]
        kept = {date for date in kept if date >= first or is_base(str(date), settings)}
        if number in (365, 730):
            counts.append(len(kept))
    return counts[0], counts[1]


def summary(result: Result) -> str:
    """The result in Markdown."""
    before, after = result.before, result.after
    a_day = before.mib / result.days
    kept_a_day = (after.mib - a_day * result.kept_days) / max(1, result.days - result.kept_days)
    year = (a_day * result.kept_days + kept_a_day * (365 - result.kept_days)) / 1024
    snapshot = result.users * result.row_bytes / 2**30
    return "\n".join(
        [
            f"Dagster on SQLite after {result.days} days of {_CHECKS_A_DAY} checks with their runs of `notify`, "
            f"{_MESSAGES_A_DAY} messages and a nightly load, before and after `clean_up` "
            f"(METRICS_KEEP_RUNS_DAYS = {result.kept_days}, {result.clean_up_seconds:.0f} s):",
            "",
            "| | size | runs | a page of runs | states of all partitions |",
            "| --- | ---: | ---: | ---: | ---: |",
            *(
                f"| {name} | {each.mib:,.0f} MiB | {each.runs:,} | {each.runs_seconds * 1000:.0f} ms | "
                f"{each.partitions_seconds * 1000:.0f} ms |"
                for name, each in (("before", before), ("after", after))
            ),
            "",
            f"That is {a_day:.1f} MiB a day; a day that is cleaned up keeps {kept_a_day:.2f} MiB. **A year: {year:.1f} "
            f"GiB** instead of {a_day * 365 / 1024:.1f} GiB.",
            "",
            f"`users` of {result.users / 1e6:g} million: {result.row_bytes:.1f} bytes a row, {snapshot * 1024:.0f} MiB "
            f"a snapshot. After a year {result.snapshots[0]} snapshots are kept, after two {result.snapshots[1]}: "
            f"**{result.snapshots[0] * snapshot:.1f} GiB, then {result.snapshots[1] * snapshot:.1f} GiB**, instead of "
            f"{365 * snapshot:.0f} GiB a year.",
        ]
    )
