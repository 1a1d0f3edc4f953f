"""Loads that are killed at any statement, or lose their ClickHouse: afterwards all of a load is there, or nothing."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from metrics_platform.loading import LoadError, arrivals, commit, csv_file, history, load, staging
from metrics_platform.local.clickhouse import EmbeddedServer, running_server
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.errors import Cause, WarehouseError
from metrics_platform_tests.conftest import settings_factory
from metrics_platform_tests.loading.conftest import Loading, loading_with
from metrics_platform_tests.loading.event_files import users_in, write_feed, write_messages
from metrics_platform_tests.loading.killing import at_statement, load_and_die, statements_of

FEED_USERS = list(range(2 * 3))
MESSAGE_USERS = list(range(1 * 2))
_commits_at: list[int] = []
_AWAY = Cause(None, "", "connection refused", True, "")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return {
        "feed": write_feed(tmp_path / "feed.csv", 2),
        "messages": write_messages(tmp_path / "messages.csv", 1),
    }


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "_WAITS", (0.05,))


def _loaded_users(loading: Loading) -> tuple[list[int], list[int]]:
    tables = (loading.settings.feed_table, loading.settings.messages_table)
    feed, messages = (users_in(loading.warehouse, table) for table in tables)
    return feed, messages


def _steps(loading: Loading) -> set[int]:
    rows = loading.warehouse.query(f"SELECT DISTINCT step FROM {history.TABLE} FINAL").rows
    return {row["step"] for row in rows}


def _die_at(loading: Loading, files: dict[str, Path], statement: int) -> int | None:
    settings = loading.settings
    assert settings.clickhouse_url is not None
    tables = {"feed_table": settings.feed_table, "messages_table": settings.messages_table}
    return load_and_die(settings.clickhouse_url.get_secret_value(), tables, files, statement)


def _clear(loading: Loading) -> None:
    for table in (loading.settings.feed_table, loading.settings.messages_table, history.TABLE):
        loading.warehouse.execute(f"TRUNCATE TABLE {table}")


def _commit_begins(loading: Loading, files: dict[str, Path]) -> int:
    """The number of the statement that makes a load of `files` a committed one; the tables are empty afterwards.

    It is the same in each test, once the tables are there: that is counted once.
    """
    loading(**files)
    if not _commits_at:
        _commits_at.append(statements_of(lambda: loading(**files, again=True)).index("Committing the load") + 1)
    _clear(loading)
    return _commits_at[0]


def test_a_load_killed_anywhere_before_its_commit_leaves_nothing(loading: Loading, files: dict[str, Path]) -> None:
    begins = _commit_begins(loading, files)
    for statement in (*range(2, begins, 9), begins - 1, begins):
        assert _die_at(loading, files, statement) == -signal.SIGKILL
        assert _loaded_users(loading) == ([], []), f"killed before statement {statement}"
        assert _steps(loading) == set()
    assert not any(file.earlier for file in loading(**files).files)
    assert _loaded_users(loading) == (FEED_USERS, MESSAGE_USERS)


def test_a_load_killed_in_its_commit_is_completed_by_the_next(loading: Loading, files: dict[str, Path]) -> None:
    statement, partly = _commit_begins(loading, files), 0
    while _die_at(loading, files, statement := statement + 1) == -signal.SIGKILL:
        if _steps(loading) == {history.COMMITTING}:
            partly += _loaded_users(loading) not in (([], []), (FEED_USERS, MESSAGE_USERS))
            result = loading(**files)
            assert [file.rows for file in result.files] == [len(FEED_USERS), len(MESSAGE_USERS)]
            assert all(file.earlier for file in result.files)
        assert _loaded_users(loading) == (FEED_USERS, MESSAGE_USERS), f"killed before statement {statement}"
        assert _steps(loading) == {history.COMMITTED}
        _clear(loading)
    assert partly == 2  # between the three moves


def test_what_killed_loads_left_in_staging_goes_once_it_is_idle(
    loading: Loading, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _die_at(loading, files, _commit_begins(loading, files)) == -signal.SIGKILL
    assert loading.staging_tables
    loading(**files)
    assert loading.staging_tables  # it could be another's, still at it
    monkeypatch.setattr(staging, "IDLE_SECONDS", 0)
    time.sleep(1)  # ClickHouse's clock has whole seconds
    loading(**files, again=True)
    assert loading.staging_tables == []


def test_another_file_completes_an_interrupted_load_before_its_own(loading: Loading, tmp_path: Path) -> None:
    first, second = write_feed(tmp_path / "first.csv", 2), write_feed(tmp_path / "second.csv", 1)
    with _failing_moves(after=1), pytest.raises(LoadError, match="amid its commit"):
        loading.feed(first)
    assert users_in(loading.warehouse, loading.settings.feed_table) == [0, 1, 2]
    loaded = loading.feed(second)
    assert (loaded.rows, loaded.earlier) == (3, False)
    assert any("first.csv" in line and "was completed" in line for line in loading.said)
    assert users_in(loading.warehouse, loading.settings.feed_table) == [0, 0, 1, 1, 2, 2, 3, 4, 5]


def test_an_interrupted_load_whose_table_is_gone_is_given_up(loading: Loading, files: dict[str, Path]) -> None:
    loading(**files)
    _clear(loading)
    with _failing_moves(after=0), pytest.raises(LoadError, match="amid its commit"):
        loading(**files)
    loading.warehouse.execute(f"DROP TABLE {loading.settings.feed_table}")
    assert loading(**files).rows == len(FEED_USERS) + len(MESSAGE_USERS)
    assert any("was given up" in line for line in loading.said)
    assert _loaded_users(loading) == (FEED_USERS, MESSAGE_USERS)
    assert (_steps(loading), loading.staging_tables) == ({history.GIVEN_UP, history.COMMITTED}, [])


def test_an_interrupted_load_that_cannot_be_completed_says_how_to_go_on(
    loading: Loading, files: dict[str, Path]
) -> None:
    loading(**files)
    _clear(loading)
    with _failing_moves(after=1), pytest.raises(LoadError, match="amid its commit"):
        loading(**files)
    loading.warehouse.execute(f"ALTER TABLE {loading.settings.feed_table} ADD COLUMN note String")
    with pytest.raises(LoadError, match="cannot be completed") as caught:
        loading(**files)
    for staged in loading.staging_tables:
        assert staged in str(caught.value)
    loading.warehouse.execute(f"DROP TABLE {loading.settings.feed_table.split('.')[0]}.{loading.staging_tables[0]}")
    loading(**files)
    assert any("was given up" in line for line in loading.said)
    assert (_steps(loading), loading.staging_tables) == ({history.GIVEN_UP, history.COMMITTED}, [])


def test_a_commit_that_is_refused_outright_loads_nothing(loading: Loading, files: dict[str, Path]) -> None:
    loading.create("user_id UInt32, action String, time DateTime", "MergeTree PARTITION BY toDate(time) ORDER BY time")
    change = f"ALTER TABLE {loading.settings.feed_table} ADD COLUMN note String"

    def changed_by_somebody() -> None:
        Warehouse(loading.warehouse.connection).execute(change)

    original = history.begin

    def begin(warehouse: Warehouse, entries: list[history.Entry]) -> None:
        original(warehouse, entries)
        changed_by_somebody()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "begin", begin)
        with pytest.raises(LoadError, match=r"Nothing was loaded\. .*ClickHouse error"):
            loading(**files)
    assert _steps(loading) == {history.GIVEN_UP}
    assert loading.staging_tables == []
    assert _loaded_users(loading) == ([], [])
    assert loading(**files).rows == len(FEED_USERS) + len(MESSAGE_USERS)


@pytest.mark.usefixtures("signals_as_in_a_terminal")
def test_an_interrupt_amid_the_commit_waits_until_it_is_done(loading: Loading, files: dict[str, Path]) -> None:
    original = commit._move

    def move(*arguments: object) -> None:
        signal.raise_signal(signal.SIGINT)
        original(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(commit, "_move", move)
        loading(**files)
    assert _loaded_users(loading) == (FEED_USERS, MESSAGE_USERS)
    assert loading.staging_tables == []
    assert any("waited for the commit" in line for line in loading.said)


def test_an_interrupt_before_the_commit_loads_nothing(loading: Loading, files: dict[str, Path]) -> None:
    begins = _commit_begins(loading, files)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with at_statement(begins - 1, interrupt), pytest.raises(KeyboardInterrupt):
        loading(**files)
    assert _loaded_users(loading) == ([], [])
    loading(**files)
    assert loading.staging_tables == []


def test_two_loads_at_a_time_do_not_disturb_each_other(loading: Loading, tmp_path: Path) -> None:
    loads = 4
    files = [write_feed(tmp_path / f"{number}.csv", 2, rows_a_day=number + 1) for number in range(loads)]
    loading(feed=write_feed(tmp_path / "first.csv", 1, rows_a_day=1))
    errors: list[BaseException] = []

    def run(file: Path) -> None:
        try:
            warehouse = replace(loading.warehouse)
            load(loading.settings, warehouse, feed=file, messages=None, progress=False, say=lambda _: None)
        except BaseException as error:  # noqa: BLE001  (told by the test)
            errors.append(error)

    threads = [threading.Thread(target=run, args=(file,)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(users_in(loading.warehouse, loading.settings.feed_table)) == 1 + 2 * sum(range(1, loads + 1))


def test_a_load_waits_for_one_that_commits_elsewhere_and_takes_over_once_it_is_idle(
    loading: Loading, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with _failing_moves(after=1), pytest.raises(LoadError):
        loading(**files)
    monkeypatch.setattr(history, "this_process", lambda: "another-host:pid:1")
    loading.warehouse.execute(
        f"INSERT INTO {history.TABLE} SELECT * REPLACE ('elsewhere:pid:1' AS owner) FROM {history.TABLE} FINAL"
    )
    monkeypatch.setattr(staging, "IDLE_SECONDS", 3)
    started = time.monotonic()
    assert {file.earlier for file in loading(**files).files} == {True}
    assert time.monotonic() - started > 1
    assert any("Waiting for another load" in line for line in loading.said)
    assert _loaded_users(loading) == (FEED_USERS, MESSAGE_USERS)


@dataclass
class FragileServer:
    """A server that tests may kill and start again, at the same address and with the same data."""

    path: Path
    stack: ExitStack
    now: EmbeddedServer | None = None

    def start(self) -> EmbeddedServer:
        self.now = self.stack.enter_context(running_server(self.path, port=self.now.port if self.now else 0))
        return self.now

    def kill(self) -> None:
        assert self.now is not None
        self.now.kill()

    def kill_and_start(self) -> None:
        self.kill()
        self.start()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FragileServer]:
    with ExitStack() as stack:
        server = FragileServer(tmp_path_factory.mktemp("fragile") / "clickhouse", stack)
        server.start()
        yield server


@pytest.fixture
def loading_there(server: FragileServer, tmp_path: Path) -> Loading:
    assert server.now is not None
    return loading_with(settings_factory(server.now.url)(), tmp_path)


def test_clickhouse_killed_before_and_amid_the_commit(
    server: FragileServer, loading_there: Loading, files: dict[str, Path]
) -> None:
    begins = _commit_begins(loading_there, files)
    # amid staging, at the record, before the first move and the last one
    for statement in (begins - 4, begins, begins + 1, begins + 3):
        with at_statement(statement, server.kill), pytest.raises((LoadError, WarehouseError)):
            loading_there(**files)
        server.start()
        committing = _steps(loading_there) == {history.COMMITTING}
        assert committing == (statement > begins)
        assert {file.earlier for file in loading_there(**files).files} == {committing}
        assert _loaded_users(loading_there) == (FEED_USERS, MESSAGE_USERS), f"killed before statement {statement}"
        _clear(loading_there)


def test_clickhouse_that_is_back_at_once_is_not_noticed(
    server: FragileServer, loading_there: Loading, files: dict[str, Path]
) -> None:
    begins = _commit_begins(loading_there, files)
    for statement in (begins - 4, begins + 2):  # amid staging, amid the moves
        with at_statement(statement, server.kill_and_start):
            assert loading_there(**files).rows == len(FEED_USERS) + len(MESSAGE_USERS)
        assert _loaded_users(loading_there) == (FEED_USERS, MESSAGE_USERS)
        _clear(loading_there)


def test_an_insert_whose_answer_was_lost_is_sent_again_without_doubling(
    server: FragileServer, loading_there: Loading, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Warehouse.run

    def run_twice(self: Warehouse, work: Any, *, doing: str, repeatable: bool = False) -> Any:
        original(self, work, doing=doing, repeatable=repeatable)
        if doing.startswith("Loading into"):
            server.kill_and_start()
        return original(self, work, doing=doing, repeatable=repeatable)

    monkeypatch.setattr(Warehouse, "run", run_twice)
    loading_there(**files)
    assert _loaded_users(loading_there) == (FEED_USERS, MESSAGE_USERS)


@pytest.mark.parametrize("merged_away", [False, True])
def test_parts_that_a_killed_clickhouse_left_in_both_tables_are_not_doubled(
    server: FragileServer, loading_there: Loading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, merged_away: bool
) -> None:
    """What is found after a kill amid a move, made by hand: half of the parts are in both tables."""
    columns, parts = "user_id UInt32, action String, time DateTime", 6
    no_merges = "SETTINGS max_bytes_to_merge_at_max_space_in_pool = 1"
    table = loading_there.create(columns, f"MergeTree PARTITION BY toDate(time) ORDER BY time {no_merges}")
    file = _one_part_a_row(tmp_path / "feed.csv", parts, monkeypatch)

    def half_a_move(warehouse: Warehouse, entry: history.Entry, partition_id: str) -> None:
        warehouse.execute(
            f"ALTER TABLE {table} ATTACH PARTITION ID '{partition_id}' FROM {entry.database}.{entry.staging}"
        )
        names = (
            "SELECT name FROM system.parts WHERE active AND concat(database, '.', table) = {table:String} ORDER BY name"
        )
        for row in warehouse.query(names, {"table": table}).rows[::2]:
            warehouse.execute(f"ALTER TABLE {table} DROP PART '{row['name']}'")
        server.kill()
        raise WarehouseError("Moving", _AWAY)

    with mock.patch.object(commit, "_move", half_a_move), pytest.raises(LoadError, match="amid its commit"):
        loading_there.feed(file)
    server.start()
    assert len(users_in(loading_there.warehouse, table)) == parts // 2
    if merged_away:
        _forget_parts(loading_there, table, monkeypatch)
    assert loading_there.feed(file).earlier
    assert users_in(loading_there.warehouse, table) == list(range(parts))


@pytest.mark.skipif(
    os.environ.get("EXHAUSTIVE_FAULTS") != "1",
    reason="a race with ClickHouse that a busy machine loses: EXHAUSTIVE_FAULTS=1",
)
@pytest.mark.parametrize("merged_away", [False, True])
def test_clickhouse_killed_amid_one_move_doubles_nothing(
    server: FragileServer, loading_there: Loading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, merged_away: bool
) -> None:
    """Some parts of the partition are then in both tables, and some in staging alone."""
    columns = "user_id UInt32, action String, time DateTime"
    table = loading_there.create(columns, "MergeTree PARTITION BY toDate(time) ORDER BY time")
    parts = 30
    file = _one_part_a_row(tmp_path / "feed.csv", parts, monkeypatch)
    where = "SELECT data_paths[1] FROM system.tables WHERE concat(database, '.', name) = {table:String}"
    directory = Path(loading_there.warehouse.value(where, {"table": table}))
    killer = threading.Thread(target=_kill_at_part, args=(server, directory, parts // 2))
    killer.start()
    with pytest.raises(LoadError, match="amid its commit"):
        loading_there.feed(file)
    killer.join()
    server.start()
    assert users_in(loading_there.warehouse, table)
    if merged_away:
        _forget_parts(loading_there, table, monkeypatch)
    assert loading_there.feed(file).earlier
    assert users_in(loading_there.warehouse, table) == list(range(parts))


def _forget_parts(loading: Loading, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Merge the table, and have it as if the parts that were merged were gone already: their hashes tell no more."""
    loading.warehouse.execute(f"OPTIMIZE TABLE {table} FINAL")
    monkeypatch.setattr(arrivals, "Counter", lambda _: defaultdict(int))


def _one_part_a_row(file: Path, rows: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    original = csv_file.CsvReader.__init__

    def small(self: csv_file.CsvReader, *arguments: object) -> None:
        original(self, *arguments, block_bytes=1)  # type: ignore[arg-type]

    monkeypatch.setattr(csv_file.CsvReader, "__init__", small)
    monkeypatch.setattr(staging, "_INSERT_ROWS", 1)
    monkeypatch.setattr(staging, "_LARGEST_MERGE", 1)
    return write_feed(file, 1, rows_a_day=rows)


def _kill_at_part(server: FragileServer, directory: Path, parts: int) -> None:
    """Kill ClickHouse as soon as so many parts have arrived in the table's directory."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if sum(entry.name[0].isdigit() for entry in directory.iterdir()) >= parts:
            server.kill()
            return


def _failing_moves(after: int) -> AbstractContextManager[object]:
    """After so many moves, ClickHouse seems to be away."""
    original, moved = commit._move, 0

    def move(warehouse: Warehouse, entry: history.Entry, partition_id: str) -> None:
        nonlocal moved
        if moved >= after:
            raise WarehouseError("Moving", _AWAY)
        moved += 1
        original(warehouse, entry, partition_id)

    return mock.patch.object(commit, "_move", move)
