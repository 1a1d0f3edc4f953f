"""The embedded ClickHouse while it runs: a genuine ClickHouse, who may do what, what it lets out, what it costs."""

from __future__ import annotations

import importlib.metadata
import itertools
import stat
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import clickhouse_connect
import psutil
import pytest

from metrics_platform.local.clickhouse import EmbeddedServer, running_server
from metrics_platform.local.clickhouse_engine import TESTED_VERSION
from metrics_platform_tests.local import ask, rows

SECRET = "the person's own words"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with running_server(tmp_path_factory.mktemp("server") / "clickhouse") as running:
        assert ask(running.url, "CREATE TABLE metrics.kept (id UInt64) ENGINE = MergeTree ORDER BY id").status == 200
        assert ask(running.url, "INSERT INTO metrics.kept VALUES (1), (2)").status == 200
        columns = "(event_date Date) ENGINE = MergeTree ORDER BY event_date"
        for table in ("metrics.app_daily", "metrics.users", "simulator.feed_actions"):
            assert ask(running.url, f"CREATE TABLE {table} {columns}").status == 200
        yield running


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    file = tmp_path / "secret.txt"
    file.write_text(SECRET + "\n")
    return file


# {file} is a file of the person's, {out} one that is not there, {port} a port on which this server itself answers.
OUTWARDS = (
    ("SELECT * FROM file('{file}', 'LineAsString')", "ACCESS_DENIED"),
    ("SELECT file('{file}')", "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
    ("SELECT arrayMap(name -> file(name), ['{file}'])", "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
    ("SELECT * FROM filesystem('/')", "ACCESS_DENIED"),
    ("SELECT * FROM `{file}`", "UNKNOWN_TABLE"),
    ("SELECT 1 FORMAT Template SETTINGS format_template_row = '{file}'", "SETTING_CONSTRAINT_VIOLATION"),
    ("SELECT 1 FORMAT Template SETTINGS format_template_resultset = '{file}'", "SETTING_CONSTRAINT_VIOLATION"),
    ("SELECT 1 AS a FORMAT Protobuf SETTINGS format_schema = '{file}:A'", "SETTING_CONSTRAINT_VIOLATION"),
    ("SELECT 1 AS a FORMAT Protobuf SETTINGS output_format_schema = '{out}'", "SETTING_CONSTRAINT_VIOLATION"),
    (
        "SELECT * FROM format(CSV, 'a Int8', 'x\n') SETTINGS input_format_allow_errors_num = 9, "
        "input_format_record_errors_file_path = '{out}'",
        "SETTING_CONSTRAINT_VIOLATION",
    ),
    ("SELECT 1 INTO OUTFILE '{out}'", "INTO_OUTFILE_NOT_ALLOWED"),
    ("SELECT * FROM url('http://127.0.0.1:{port}/ping', 'LineAsString')", "ACCESS_DENIED"),
    ("SELECT * FROM remote('127.0.0.1:{port}', 'system.one')", "ACCESS_DENIED"),
    ("SELECT * FROM s3('http://127.0.0.1:{port}/bucket/key', 'CSV', 'a Int8')", "ACCESS_DENIED"),
    ("SELECT * FROM mysql('127.0.0.1:{port}', 'a', 'b', 'c', 'd')", "ACCESS_DENIED"),
    ("SELECT * FROM postgresql('127.0.0.1:{port}', 'a', 'b', 'c', 'd')", "ACCESS_DENIED"),
    ("SELECT * FROM sqlite('{file}', 'a')", "ACCESS_DENIED"),
    ("SELECT * FROM executable('a.sh', 'CSV', 'a Int8')", "ACCESS_DENIED"),
    ("SELECT * FROM python('a')", "FUNCTION_NOT_ALLOWED"),
    ("SYSTEM STOP LISTEN HTTP", "ACCESS_DENIED"),
    ("SYSTEM SHUTDOWN", "ACCESS_DENIED"),
    ("CREATE FUNCTION other AS x -> x", "ACCESS_DENIED"),
    ("DROP FUNCTION file", "ACCESS_DENIED"),
)
ONLY_PLATFORM_COULD = (
    ("INSERT INTO FUNCTION file('{out}', 'CSV', 'a Int8') VALUES (1)", "ACCESS_DENIED"),
    ("CREATE TABLE metrics.out (a String) ENGINE = File(LineAsString, '{file}')", "ACCESS_DENIED"),
    ("CREATE TEMPORARY TABLE out (a String) ENGINE = File(LineAsString, '{file}')", "ACCESS_DENIED"),
    ("CREATE TABLE metrics.out (a String) ENGINE = URL('http://127.0.0.1:{port}/ping')", "ACCESS_DENIED"),
    ("CREATE TABLE metrics.out (a String) ENGINE = Executable('a.sh', CSV)", "ACCESS_DENIED"),
    (
        "CREATE TABLE metrics.out (a Int8) ENGINE = MergeTree ORDER BY a "
        "SETTINGS disk = disk(type = 'web', endpoint = 'http://127.0.0.1:{port}/')",
        "SETTING_CONSTRAINT_VIOLATION",
    ),
    ("CREATE DATABASE out ENGINE = Filesystem('/')", "ACCESS_DENIED"),
    (
        "CREATE DICTIONARY metrics.out (id UInt64) PRIMARY KEY id SOURCE(EXECUTABLE(COMMAND 'id' FORMAT 'CSV')) "
        "LAYOUT(FLAT()) LIFETIME(0)",
        "ACCESS_DENIED",
    ),
    ("BACKUP TABLE metrics.kept TO File('{out}')", "ACCESS_DENIED"),
    ("CREATE USER other", "ACCESS_DENIED"),
)


def test_no_user_reaches_files_or_other_hosts(server: EmbeddedServer, secret_file: Path) -> None:
    for query, error in (*OUTWARDS, *ONLY_PLATFORM_COULD):
        assert_refused(server, server.url, query, secret_file, {error, "ACCESS_DENIED"})
    for query, error in OUTWARDS:
        assert_refused(server, server.readonly_url, query, secret_file, {error, "ACCESS_DENIED", "READONLY"})


def assert_refused(server: EmbeddedServer, url: str, query: str, secret_file: Path, errors: set[str]) -> None:
    absent = secret_file.with_name("out")
    for word, value in (("{file}", secret_file), ("{out}", absent), ("{port}", server.port)):
        query = query.replace(word, str(value))
    answer = ask(url, query)
    assert answer.status != 200, query
    assert SECRET not in answer.text, query
    assert any(f"({error})" in answer.text for error in errors), (query, answer.text)
    assert not absent.exists()
    assert server.running


def test_the_readonly_user_changes_nothing(server: EmbeddedServer) -> None:
    for query in (
        "INSERT INTO metrics.kept VALUES (3)",
        "INSERT INTO FUNCTION null('a String') FROM INFILE '/etc/hostname' FORMAT LineAsString",
        "CREATE TABLE metrics.other (id UInt64) ENGINE = Memory",
        "CREATE TEMPORARY TABLE other (id UInt64)",
        "ALTER TABLE metrics.kept DELETE WHERE 1",
        "TRUNCATE TABLE metrics.kept",
        "DROP TABLE metrics.kept",
        "SET readonly = 0",
    ):
        answer = ask(server.readonly_url, query)
        assert answer.status != 200, query
        assert "(READONLY)" in answer.text or "(ACCESS_DENIED)" in answer.text, (query, answer.text)
    assert rows(server.url, "SELECT count() FROM metrics.kept") == ["2"]


def test_the_readonly_user_reads_the_results_and_neither_events_nor_users(server: EmbeddedServer) -> None:
    assert rows(server.readonly_url, "SELECT count() FROM metrics.app_daily") == ["0"]
    assert rows(server.readonly_url, "SHOW TABLES FROM metrics") == ["app_daily"]
    for table in ("simulator.feed_actions", "metrics.users", "metrics.kept"):
        assert "(ACCESS_DENIED)" in ask(server.readonly_url, f"SELECT * FROM {table}").text


def test_the_readonly_user_cannot_lift_its_limits(server: EmbeddedServer) -> None:
    assert "(TOO_MANY_ROWS_OR_BYTES)" in ask(server.readonly_url, "SELECT * FROM numbers(2000000)").text
    for name, value in (("max_result_rows", "0"), ("max_execution_time", "600"), ("readonly", "0")):
        assert "(READONLY)" in ask(server.readonly_url, "SELECT 1", **{name: value}).text


def test_no_one_logs_in_without_a_password(server: EmbeddedServer, secret_file: Path) -> None:
    queries = ("SELECT 1", f"SELECT file('{secret_file}')", "KILL QUERY WHERE 1", "SYSTEM STOP LISTEN HTTP")
    ways: list[tuple[dict[str, str], dict[str, str]]] = [
        ({}, {}),
        ({}, {"user": "default"}),
        ({}, {"session_id": "a", "max_sessions_for_user": "0", "profile": "default"}),
        ({"X-ClickHouse-User": "default"}, {}),
        ({"Authorization": "Basic ZGVmYXVsdDo="}, {}),
        ({"Authorization": "never"}, {}),
    ]
    for query, (headers, params) in itertools.product(queries, ways):
        answer = ask(f"http://127.0.0.1:{server.port}", query, headers=headers, **params)
        assert answer.status >= 400
        assert SECRET not in answer.text
    for user in ("platform", "readonly", "launcher"):
        for password in ("", "wrong"):
            answer = ask(f"http://{user}:{password}@127.0.0.1:{server.port}", "SELECT 1")
            assert (answer.status, "AUTHENTICATION_FAILED" in answer.text) == (403, True)
    assert rows(server.url, "SELECT 1") == ["1"]


@pytest.mark.parametrize("method", ["OPTIONS", "GET", "POST"])
def test_a_web_page_reads_no_answer(server: EmbeddedServer, method: str) -> None:
    headers = {"Origin": "http://example.com", "Access-Control-Request-Method": "POST"}
    for url in (f"http://127.0.0.1:{server.port}", server.url):
        answer = ask(url, "SELECT 1", method=method, headers=headers, add_http_cors_header="1")
        allowed = [name for name in answer.headers if name.lower().startswith("access-control-allow")]
        assert allowed == []
        assert method != "OPTIONS" or answer.text == ""


def test_only_its_owner_reads_its_directory(server: EmbeddedServer) -> None:
    rows(server.url, "SYSTEM FLUSH LOGS")
    open_to_others = [
        path
        for path in (server.path, *server.path.rglob("*"))
        if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    assert open_to_others == []


def test_passwords_are_in_the_address_files_only(server: EmbeddedServer) -> None:
    rows(server.url, "SYSTEM FLUSH LOGS")
    ask(server.url, "SELECT wrong")  # an error, so that the log has something to say
    passwords = [str(urlsplit(url).password) for url in (server.url, server.readonly_url)]
    seen = [repr(server), server.messages, " ".join(psutil.Process(server.pid).cmdline())]
    files = [path for path in server.path.rglob("*") if path.is_file() and path.name not in ("url", "readonly_url")]
    seen += [path.read_bytes().decode(errors="replace") for path in files]
    assert len(set(passwords)) == 2
    assert not [text for text in seen for password in passwords if password in text]
    assert (server.path / "url").read_text() == server.url + "\n"
    assert (server.path / "readonly_url").read_text() == server.readonly_url + "\n"
    assert str(server.path / "url") in server.messages
    assert str(server.path / "readonly_url") in server.messages


def test_it_listens_on_the_loopback_only_and_on_one_port(server: EmbeddedServer) -> None:
    connections = psutil.Process(server.pid).net_connections(kind="inet")
    listening = [tuple(entry.laddr) for entry in connections if entry.status == psutil.CONN_LISTEN]
    assert listening == [("127.0.0.1", server.port)]


def test_the_installed_engine_is_the_pinned_and_tested_one(server: EmbeddedServer) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    pins = [entry.split(";")[0].strip() for entry in project["project"]["dependencies"] if "chdb" in entry]
    assert pins == [f"chdb-core=={TESTED_VERSION}"]
    assert importlib.metadata.version("chdb-core") == TESTED_VERSION
    release = ".".join(TESTED_VERSION.split(".")[:2])
    assert rows(server.url, "SELECT version()")[0].startswith(f"{release}.")


def test_the_ordinary_client_works_with_both_addresses(server: EmbeddedServer) -> None:
    for url, user in ((server.url, "platform"), (server.readonly_url, "readonly")):
        client = clickhouse_connect.get_client(dsn=url)
        answer = client.query("SELECT currentUser(), currentDatabase(), timezone(), count() FROM app_daily")
        assert answer.result_rows == [(user, "metrics", "UTC", 0)]
        client.close()


def test_memory_and_logs_are_bounded(server: EmbeddedServer) -> None:
    rows(server.url, "SYSTEM FLUSH LOGS")
    settings = dict(line.split("\t") for line in rows(server.url, "SELECT name, value FROM system.server_settings"))
    assert settings["max_server_memory_usage_to_ram_ratio"] == "0.5"
    stored = rows(server.url, "SELECT name FROM system.tables WHERE database = 'system' AND engine = 'MergeTree'")
    assert stored == ["query_log"]
    assert "TTL event_date + toIntervalDay(7)" in ask(server.url, "SHOW CREATE TABLE system.query_log").text


def test_the_default_settings_apply(server: EmbeddedServer) -> None:
    assert "SYNTAX_ERROR" in ask(server.url, "1 + 1").text  # implicit_select is off
    method = "SELECT value FROM system.settings WHERE name = 'storage_file_read_method'"
    assert rows(server.url, method) == ["pread"]


def test_killing_every_query_leaves_the_server_up(server: EmbeddedServer) -> None:
    for url in (server.readonly_url, server.url):
        ask(url, "KILL QUERY WHERE 1 SYNC")
    time.sleep(1.2)  # the query that keeps the engine up looks once a second whether it is killed
    assert server.running
    assert rows(server.url, "SELECT 1") == ["1"]
