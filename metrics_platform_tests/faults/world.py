"""A ClickHouse that may be killed, source events, and the day before and after late events came in.

The sources have late events for the days computed. A case begins with the tables as they were before those came in
(`old`) and ends, whatever was done to it, as an undisturbed run leaves it (`State` of `undisturbed`). Old and new
differ in every table, so a day that is half, doubled or mixed is neither.
"""

from __future__ import annotations

import datetime
import itertools
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import SecretStr

from metrics_platform.connection import parse_url
from metrics_platform.local.clickhouse import EmbeddedServer, running_server
from metrics_platform.settings import Settings, load_settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.daily import compute_days
from metrics_platform.warehouse.partitions import STAGING_PREFIX, drop_leftovers
from metrics_platform.warehouse.tables import DailyTable, daily_tables
from metrics_platform_tests.defs.running import assert_same_tables
from metrics_platform_tests.faults.proxy import Proxy, striking_proxy
from metrics_platform_tests.worlds import SourceTables, compute_all, read_table

START = datetime.date(2026, 3, 6)
DAYS = [START + datetime.timedelta(days=offset) for offset in range(3)]
DAY = DAYS[1]  # has a day before and a day after
TABLES = tuple(table.name for table in daily_tables(("os", "gender", "age")))
LATE_USER = 900  # late events come from users from here on, who were unknown before

_FEED = """
INSERT INTO {table} SELECT
    number % 40, number % 9, if(number % 5 = 0, 'like', 'view'),
    toDateTime('2026-03-06 00:00:00', 'UTC') + number * 97, number % 3 - 1, if(number % 7 = 0, 0, 20 + number % 3),
    'Russia', 'Moscow', ['iOS', 'Android', ''][1 + (number + intDiv(number, 900)) % 3],
    ['ads', 'organic'][1 + number % 2], number % 5
FROM numbers(2600)
"""
_MESSAGES = """
INSERT INTO {table} SELECT
    number % 30, number % 53, toDateTime('2026-03-06 00:00:00', 'UTC') + number * 331, number % 2, 30,
    'Russia', 'Kazan', ['Android', 'iOS'][1 + intDiv(number, 300) % 2], 'organic', 0
FROM numbers(750)
"""
_LATE_FEED = """
INSERT INTO {table} SELECT
    {user:UInt32} + number % 5, 1, 'view', {time:DateTime('UTC')} + number, 1, 21, 'Russia', 'Omsk', 'HarmonyOS',
    'ads', 1
FROM numbers({events:UInt32})
"""
_LATE_MESSAGES = """
INSERT INTO {table} SELECT
    {user:UInt32} + number % 5, number % 20, {time:DateTime('UTC')} + number, 1, 21, 'Russia', 'Omsk', 'HarmonyOS',
    'ads', 1
FROM numbers({events:UInt32})
"""
# What a person's query sees of each day, and a fingerprint of all columns of the day's rows.
_LOOK = """
SELECT 'dimension_metrics' AS name, event_date, toString(arraySort(groupArray(
    (dimension, row_count, views_sum, sent_sum, fingerprint)))) AS content
FROM
(
    SELECT
        event_date, dimension, count() AS row_count, sum(views) AS views_sum, sum(messages_sent) AS sent_sum,
        sum(cityHash64(toString(tuple(*)))) AS fingerprint
    FROM dimension_metrics GROUP BY event_date, dimension
)
GROUP BY event_date
UNION ALL
SELECT
    'user_daily', event_date,
    toString((count(), sum(views), sum(messages_sent), sum(cityHash64(toString(tuple(*))))))
FROM user_daily GROUP BY event_date
"""
Look = dict[tuple[str, datetime.date], str]


@dataclass(frozen=True)
class State:
    """All tables at one time: their rows, each day's fingerprint by table, and what a reader's query says."""

    tables: dict[str, pd.DataFrame]
    prints: dict[str, dict[datetime.date, Any]]
    look: Look


class MortalServer:
    """An embedded ClickHouse that can be killed and started again on the same directory and port."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stack = ExitStack()
        self._server: EmbeddedServer = self._stack.enter_context(running_server(path))

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def running(self) -> bool:
        return self._server.running

    def kill(self) -> None:
        """As a power cut would end it."""
        self._server.kill()

    def stop(self) -> None:
        """In order, as a service manager would."""
        self._server.stop()

    def start(self) -> None:
        """Start it again, if it does not run."""
        if not self.running:
            self._stack.close()
            self._server = self._stack.enter_context(running_server(self.path, port=self._server.port))

    def close(self) -> None:
        self._stack.close()


@dataclass
class Prepared:
    """A server's directory with the sources and the `old` tables in it, and what is known of undisturbed runs."""

    path: Path
    undisturbed: dict[tuple[datetime.date, datetime.date | None, tuple[str, ...]], State] = field(default_factory=dict)


def prepare(path: Path) -> Prepared:
    """Make the directory: sources, `old` computed from them, then late events for the second and third day."""
    with running_server(path) as server:
        settings = settings_of(server.url, "old")
        source = SourceTables.create(settings)
        for table, sql in ((settings.feed_table, _FEED), (settings.messages_table, _MESSAGES)):
            source.warehouse.execute(sql.replace("{table}", table), operation="Test")
        compute_all(source.warehouse, settings, DAYS)
        for day in DAYS[1:]:
            add_late_events(source.warehouse, settings, day)
    return Prepared(path)


def settings_of(url: str, database: str, source: str = "source") -> Settings:
    """Settings whose platform and source databases are these, on the server at `url`."""
    return load_settings(
        None,
        clickhouse_url=f"{url.rsplit('/', 1)[0]}/{database}",
        feed_table=f"{source}.feed_actions",
        messages_table=f"{source}.message_actions",
        start_date=START,
        late_events_pct=50,  # a day has some dozen users, so a batch of late events is many
    )


def add_late_events(
    warehouse: Warehouse, settings: Settings, day: datetime.date, *, user: int = LATE_USER, events: int = 30
) -> None:
    """`events` views and `events // 2` messages of five new users at noon of `day`, each in one block."""
    parameters = {"user": user, "time": f"{day} 12:00:00"}
    for table, sql, number in (
        (settings.feed_table, _LATE_FEED, events),
        (settings.messages_table, _LATE_MESSAGES, events // 2),
    ):
        warehouse.execute(sql.replace("{table}", table), {**parameters, "events": number}, operation="Test")


@dataclass
class Case:
    """Databases of one test, beginning as `old`."""

    settings: Settings
    warehouse: Warehouse

    @property
    def daily_tables(self) -> tuple[DailyTable, ...]:
        return daily_tables(self.settings.dimensions)

    def own_client(self) -> Warehouse:
        """Another client, for another thread."""
        return Warehouse.from_settings(self.settings)

    def through(self, proxy: Proxy) -> Settings:
        """The settings of a run behind the proxy."""
        return self.settings.model_copy(update={"clickhouse_url": SecretStr(proxy.url)})

    @contextmanager
    def proxy(self, look_now: Callable[[], None] = lambda: None) -> Iterator[Proxy]:
        """A proxy before this case's database, which calls `look_now` after whatever may change what readers see."""
        assert self.settings.clickhouse_url is not None
        with striking_proxy(self.settings.clickhouse_url.get_secret_value(), look_now) as proxy:
            yield proxy

    def state(self) -> State:
        """Everything that is in the tables now."""
        return State(
            tables={name: read_table(self.warehouse, name) for name in TABLES},
            prints=self.prints(),
            look=look(self.warehouse),
        )

    def prints(self) -> dict[str, dict[datetime.date, Any]]:
        """Table → day → number of rows and fingerprint of their content."""
        union = " UNION ALL ".join(
            f"SELECT '{name}' AS name, event_date, (count(), sum(cityHash64(toString(tuple(*))))) AS print "
            f"FROM {name} GROUP BY event_date"
            for name in TABLES
        )
        prints: dict[str, dict[datetime.date, Any]] = {name: {} for name in TABLES}
        for row in self.warehouse.query(union).rows:
            prints[row["name"]][row["event_date"]] = row["print"]
        return prints

    def staging_tables(self) -> list[str]:
        """The staging tables that are there."""
        rows = self.warehouse.query(
            "SELECT name FROM system.tables WHERE database = currentDatabase() AND startsWith(name, {prefix:String})",
            {"prefix": STAGING_PREFIX},
        ).rows
        return [row["name"] for row in rows]

    def drop_all_leftovers(self) -> list[str]:
        """What `drop_leftovers` drops, once no INSERT of a killed run goes on, of tables idle for 0 s."""
        while self.warehouse.value("SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO %staging%'"):
            time.sleep(0.02)
        return [name for table in self.daily_tables for name in drop_leftovers(self.warehouse, table, idle_seconds=0)]

    def assert_as(self, expected: State) -> None:
        """Every table has the expected rows."""
        prints = self.prints()
        if prints != expected.prints:  # the slower comparison shows where
            assert_same_tables(self.state().tables, expected.tables)
        assert prints == expected.prints

    def assert_clean_after_dropping_leftovers(self) -> None:
        """No staging table stays."""
        self.drop_all_leftovers()
        assert self.staging_tables() == []


class World:
    """One server, started on a copy of the prepared directory, and cases on it."""

    def __init__(self, prepared: Prepared, path: Path) -> None:
        shutil.copytree(prepared.path, path, symlinks=True)
        self._prepared = prepared
        self._numbers = itertools.count(1)
        self.server = MortalServer(path)
        self.old = self._as_case("old").state()

    def undisturbed(
        self, first: datetime.date = DAY, last: datetime.date | None = None, assets: tuple[str, ...] = ()
    ) -> State:
        """What undisturbed computing, without Dagster, makes of the same sources and the same `old` tables."""
        known = self._prepared.undisturbed
        key = (first, last, assets)
        if key not in known:
            with self.case() as case:
                days = [day for day in DAYS if first <= day <= (last or first)]
                for table in case.daily_tables:
                    if table.name in (assets or TABLES):
                        assert all(r.published for r in compute_days(case.warehouse, table, days, case.settings))
                known[key] = case.state()
            assert all(known[key].prints[name][first] != self.old.prints[name][first] for name in assets or TABLES)
        return known[key]

    def undisturbed_on(self, case: Case, assets: tuple[str, ...] = TABLES) -> dict[str, dict[datetime.date, Any]]:
        """The fingerprints after the day is computed from the sources of `case` as they are now, without Dagster."""
        with self.case(source=case.settings.feed_table.split(".")[0]) as another:
            for table in another.daily_tables:
                if table.name in assets:
                    assert all(r.published for r in compute_days(another.warehouse, table, [DAY], another.settings))
            return another.prints()

    @contextmanager
    def case(self, *, own_source: bool = False, source: str = "source") -> Iterator[Case]:
        """Fresh databases with the `old` tables; `own_source`: and a copy of the sources that the test may change."""
        self.server.start()
        name = f"case_{next(self._numbers)}"
        source = f"source_of_{name}" if own_source else source
        admin = Warehouse(parse_url(self.server.url))
        clones = {f"{name}.{table}": f"old.{table}" for table in TABLES}
        if own_source:
            clones |= {f"{source}.{table}": f"source.{table}" for table in ("feed_actions", "message_actions")}
        for database in {clone.split(".")[0] for clone in clones}:
            admin.execute(f"CREATE DATABASE {database}")
        for clone, original in clones.items():
            admin.execute(f"CREATE TABLE {clone} CLONE AS {original}")
        try:
            yield self._as_case(name, source)
        finally:
            self.server.start()
            for database in {clone.split(".")[0] for clone in clones}:
                admin.execute(f"DROP DATABASE {database} SYNC", repeatable=True)

    def close(self) -> None:
        self.server.close()

    def _as_case(self, database: str, source: str = "source") -> Case:
        settings = settings_of(self.server.url, database, source)
        return Case(settings, Warehouse.from_settings(settings))


def look(warehouse: Warehouse) -> Look:
    """What a reader's query says of each day of the tables that people read, by table and day."""
    return {(row["name"], row["event_date"]): row["content"] for row in warehouse.query(_LOOK).rows}
