"""Loads that are killed at any statement, or lose their ClickHouse: afterwards all of a load is there, or nothing."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from metrics_platform.loading import LoadError, commit, load
from metrics_platform.local.clickhouse import EmbeddedServer, running_server
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.errors import Cause, WarehouseError
from metrics_platform_tests.conftest import settings_factory
from metrics_platform_tests.loading.conftest import Loading, loading_with
from metrics_platform_tests.loading.event_files import users_in, write_feed, write_messages
from metrics_platform_tests.loading.killing import at_statement, load_and_die

FEED_USERS = list(range(2 * 3))
MESSAGE_USERS = list(range(1 * 2))
_MOVING = "Committing the load into"
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
    rows = loading.warehouse.query(f"SELECT DISTINCT step FROM {commit.HISTORY.name} FINAL").rows
    return {row["step"] for row in rows}


def _die_at(loading: Loading, files: dict[str, Path], operation: str, number: int = 1) -> int | None:
    settings = loading.settings
    tables = {"feed_table": settings.feed_table, "messages_table": settings.messages_table}
    return load_and_die(settings.clickhouse_url.get_secret_value(), tables, files, operation, number)


def _clear(loading: Loading) -> None:
    for table in (loading.settings.feed_table, loading.settings.messages_table, commit.HISTORY.name):
        loading.warehouse.execute(f"TRUNCATE TABLE {table}")


def _failing_moves(after: int) -> AbstractContextManager[object]:
    """After some moves, ClickHouse seems to be away."""
    original, moved = commit._alter, 0

    def move(warehouse: Warehouse, entry: commit.Entry, action: str) -> None:
        nonlocal moved
        if moved >= after:
            raise WarehouseError("Moving", _AWAY)
        moved += 1
        original(warehouse, entry, action)

    return mock.patch.object(commit, "_alter", move)


def test_a_load_killed_before_its_commit_loads_nothing(loading: Loading, files: dict[str, Path]) -> None:
    for operation in ("Sending messages.csv", "Committing the load"):
        assert _die_at(loading, files, operation) == -signal.SIGKILL
        assert users_in(loading.warehouse, loading.settings.feed_table) == []
        assert _steps(loading) == set()
    loading(**files)
    assert _loaded_users(loading) == (FEED_USERS, MESSAGE_USERS)


def test_a_load_killed_in_its_commit_is_completed_by_the_next(loading: Loading, files: dict[str, Path]) -> None:
    partly = 0
    for operation, number in ((_MOVING, 1), (_MOVING, 2), (_MOVING, 3), ("Recording the load", 1)):
        assert _die_at(loading, files, operation, number) == -signal.SIGKILL
        assert _steps(loading) == {commit.COMMITTING}
        partly += _loaded_users(loading) not in (([], []), (FEED_USERS, MESSAGE_USERS))
        result = loading(**files)
        assert [file.rows for file in result] == [len(FEED_USERS), len(MESSAGE_USERS)]
        assert sum("is that file, so it is not loaded again" in line for line in loading.said) == 2
        assert _loaded_users(loading) == (FEED_USERS, MESSAGE_USERS), f"killed before {operation} {number}"
        assert _steps(loading) == {commit.COMMITTED}
        _clear(loading)
    assert partly == 2  # between the three moves


def test_tables_of_killed_loads_are_dropped_once_they_are_idle(
    loading: Loading, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _die_at(loading, files, "Committing the load") == -signal.SIGKILL
    assert loading.staging_tables
    monkeypatch.setattr(commit, "IDLE_SECONDS", 3600)
    loading(**files)
    assert loading.staging_tables  # another load could still be using them
    monkeypatch.setattr(commit, "IDLE_SECONDS", 0)
    time.sleep(1)  # ClickHouse's clock has whole seconds
    loading(**files, again=True)
    assert loading.staging_tables == []


def test_an_interrupted_load_that_cannot_be_completed_names_a_way_out(loading: Loading, files: dict[str, Path]) -> None:
    with _failing_moves(after=1), pytest.raises(LoadError, match="interrupted during its commit"):
        loading(**files)
    loading.warehouse.execute(f"ALTER TABLE {loading.settings.feed_table} ADD COLUMN note String")
    with pytest.raises(LoadError, match="cannot be completed") as caught:
        loading(**files)
    for staged in loading.staging_tables:
        assert staged in str(caught.value)
    loading.warehouse.execute(f"DROP TABLE {loading.settings.feed_table.split('.')[0]}.{loading.staging_tables[0]}")
    loading(**files)
    assert any("was given up" in line for line in loading.said)
    assert (_steps(loading), loading.staging_tables) == ({commit.GIVEN_UP, commit.COMMITTED}, [])


def test_a_commit_that_is_refused_outright_loads_nothing(loading: Loading, files: dict[str, Path]) -> None:
    loading.create("user_id UInt32, action String, time DateTime", "MergeTree PARTITION BY toDate(time) ORDER BY time")
    change = f"ALTER TABLE {loading.settings.feed_table} ADD COLUMN note String"
    with mock.patch.object(commit, "_complete", side_effect=commit._complete) as complete:
        complete.side_effect = lambda warehouse, entries: (
            Warehouse(warehouse.connection).execute(change),
            _COMPLETE(warehouse, entries),
        )
        with pytest.raises(LoadError, match=r"Nothing was loaded\. .*ClickHouse error"):
            loading(**files)
    assert _steps(loading) == {commit.GIVEN_UP}
    assert loading.staging_tables == []
    assert _loaded_users(loading) == ([], [])
    assert [file.rows for file in loading(**files)] == [len(FEED_USERS), len(MESSAGE_USERS)]


_COMPLETE = commit._complete


@pytest.mark.usefixtures("signals_as_in_a_terminal")
def test_an_interrupt_during_the_commit_waits_until_it_is_done(loading: Loading, files: dict[str, Path]) -> None:
    original = commit._alter

    def move(*arguments: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        original(*arguments)

    with mock.patch.object(commit, "_alter", move), pytest.raises(KeyboardInterrupt):
        loading(**files)
    assert _loaded_users(loading) == (FEED_USERS, MESSAGE_USERS)
    assert loading.staging_tables == []
    assert any("waited for the commit" in line for line in loading.said)


def test_loads_at_the_same_time_complete_each_others_commits_once(loading: Loading, tmp_path: Path) -> None:
    loads = 4
    files = [write_feed(tmp_path / f"{number}.csv", 2, rows_a_day=number + 1) for number in range(loads)]
    with _failing_moves(after=1), pytest.raises(LoadError, match="interrupted during its commit"):
        loading.feed(write_feed(tmp_path / "first.csv", 3, rows_a_day=1))
    errors: list[BaseException] = []

    def run(file: Path) -> None:
        try:
            load(loading.settings, replace(loading.warehouse), feed=file, say=lambda _: None)
        except BaseException as error:  # noqa: BLE001  (reported by the test)
            errors.append(error)

    threads = [threading.Thread(target=run, args=(file,)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(users_in(loading.warehouse, loading.settings.feed_table)) == 3 + 2 * sum(range(1, loads + 1))
    assert _steps(loading) == {commit.COMMITTED}


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
    return loading_with(settings_factory(server.now.url)(), tmp_path)


def test_a_load_survives_the_death_of_clickhouse_before_and_in_its_commit(
    server: FragileServer, loading_there: Loading, files: dict[str, Path]
) -> None:
    for operation, number in (("Checking rows", 3), (_MOVING, 2)):  # while it is staged, and between the moves
        with at_statement(operation, server.kill, number), pytest.raises((LoadError, WarehouseError)):
            loading_there(**files)
        server.start()
        committing = _steps(loading_there) == {commit.COMMITTING}
        assert committing == (operation == _MOVING)
        loading_there(**files)
        assert any("is that file" in line for line in loading_there.said) == committing
        assert _loaded_users(loading_there) == (FEED_USERS, MESSAGE_USERS), f"killed before {operation}"
        _clear(loading_there)


def test_rows_whose_answer_was_lost_are_sent_again_without_doubling(
    server: FragileServer, loading_there: Loading, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Warehouse.run

    def run_twice(self: Warehouse, work: Any, *, operation: str, repeatable: bool = False) -> Any:
        original(self, work, operation=operation, repeatable=repeatable)
        if operation == "Sending feed.csv":
            server.kill_and_start()
        return original(self, work, operation=operation, repeatable=repeatable)

    monkeypatch.setattr(Warehouse, "run", run_twice)
    loading_there(**files)
    assert _loaded_users(loading_there) == (FEED_USERS, MESSAGE_USERS)


def test_parts_that_a_dying_clickhouse_left_in_both_tables_are_not_doubled(
    server: FragileServer, loading_there: Loading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a death during a move leaves, made here: half of the parts are in both tables, and others have written."""
    no_merges = "SETTINGS max_bytes_to_merge_at_max_space_in_pool = 1"
    columns = "user_id UInt32, action String, time DateTime"
    table = loading_there.create(columns, f"MergeTree PARTITION BY toDate(time) ORDER BY time {no_merges}")
    loading_there.warehouse.execute(f"INSERT INTO {table} VALUES (100, 'view', '2026-01-01 02:00:00')")
    monkeypatch.setattr("metrics_platform.loading.jobs._LINES_A_STATEMENT", 1)
    original, parts = commit._alter, 6

    def half_a_move(warehouse: Warehouse, entry: commit.Entry, action: str) -> None:
        partition_id = entry.partition_ids[0]
        before = "SELECT name FROM system.parts WHERE active AND concat(database, '.', table) = {table:String}"
        others = {row["name"] for row in warehouse.query(before, {"table": table}).rows}
        warehouse.execute(
            f"ALTER TABLE {table} ATTACH PARTITION ID '{partition_id}' FROM {entry.database}.{entry.staging}"
        )
        names = sorted({row["name"] for row in warehouse.query(before, {"table": table}).rows} - others)
        for name in names[::2]:
            warehouse.execute(f"ALTER TABLE {table} DROP PART '{name}'")
        warehouse.execute(f"INSERT INTO {table} VALUES (101, 'view', '2026-01-01 02:00:00')")
        server.kill()
        raise WarehouseError("Moving", _AWAY)

    file = write_feed(tmp_path / "feed.csv", 1, rows_a_day=parts)
    monkeypatch.setattr(commit, "_alter", half_a_move)
    monkeypatch.setattr(commit, "_CLOCK_SLACK", 0)
    time.sleep(1.1)
    with pytest.raises(LoadError, match="interrupted during its commit"):
        loading_there.feed(file)
    monkeypatch.setattr(commit, "_alter", original)
    time.sleep(1.1)  # ClickHouse's clock has whole seconds
    server.start()
    assert len(users_in(loading_there.warehouse, table)) == parts // 2 + 2
    loading_there.warehouse.execute(f"OPTIMIZE TABLE {table} FINAL")
    loading_there.feed(file)
    assert users_in(loading_there.warehouse, table) == [*range(parts), 100, 101]
