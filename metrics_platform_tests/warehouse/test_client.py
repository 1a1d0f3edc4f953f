"""The client: typed errors with a remedy, retries only where they are safe and can help, tags, no secrets."""

from __future__ import annotations

import gc
import json
import logging
import pickle
import socket
import socketserver
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
import trustme
from clickhouse_connect.driver import httputil

from metrics_platform.connection import Connection, parse_url
from metrics_platform.local.clickhouse import EmbeddedServer
from metrics_platform.settings import Settings
from metrics_platform.warehouse import clients
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.errors import TRANSIENT_CODES, WarehouseError, cause_of
from metrics_platform_tests.http_stub import Faults, misbehaving_proxy

NO_WAITS = (0.0, 0.0, 0.0)


def _warehouse(url: str) -> Warehouse:
    return Warehouse(parse_url(url), retry_waits=NO_WAITS)


@pytest.fixture
def faulty(clickhouse_server: EmbeddedServer) -> Iterator[tuple[Warehouse, Faults]]:
    """A warehouse behind a proxy with faults for `SELECT 41 + 1`."""
    with misbehaving_proxy(clickhouse_server.url) as (url, faults):
        warehouse = _warehouse(url)
        warehouse.value("SELECT 1")
        faults.when = lambda sql: "41 + 1" in sql
        yield warehouse, faults


def test_a_select_is_tried_again_after_a_transient_answer(faulty: tuple[Warehouse, Faults]) -> None:
    warehouse, faults = faulty
    for code in TRANSIENT_CODES:
        faults.left, faults.code = 2, code
        assert warehouse.value("SELECT 41 + 1") == 42, code
        assert faults.left == 0, code


def test_a_select_is_tried_again_when_the_connection_is_lost(faulty: tuple[Warehouse, Faults]) -> None:
    said: list[str] = []
    warehouse, faults = replace(faulty[0], on_retry=said.append), faulty[1]
    # The driver itself asks a second time on a connection that was closed; the third try is ours.
    faults.left = 3
    assert warehouse.value("SELECT 41 + 1", operation="Counting") == 42
    assert faults.left == 0
    assert said and all("Counting" in line and "trying again" in line for line in said)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_loopback_address_is_reached_past_the_environments_proxy(
    clickhouse_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    gc.collect()  # what other tests have left
    warehouse = _warehouse(clickhouse_server.url.replace("127.0.0.1", host))
    assert warehouse.value("SELECT 1") == 1
    managers = len(httputil.all_managers)
    warehouse.close()
    gc.collect()
    assert len(httputil.all_managers) == managers - 1


def test_a_proxy_that_fails_is_named_and_not_clickhouse_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://anna:hunter22@127.0.0.1:1")
    with pytest.raises(WarehouseError) as failure:
        Warehouse(parse_url("http://u:p@clickhouse.invalid:8123/metrics"), retry_waits=()).value("SELECT 1")
    text = str(failure.value)
    assert "the proxy 127.0.0.1:1 (HTTP_PROXY)" in text and "NO_PROXY" in text
    assert "Is ClickHouse running" not in text and "hunter22" not in text


def test_what_waiting_cannot_mend_is_not_tried_again(faulty: tuple[Warehouse, Faults]) -> None:
    warehouse, faults = faulty
    for code in (60, 497, 159, 62):  # a missing table, no rights, a timeout, bad syntax
        faults.left, faults.code = 5, code
        with pytest.raises(WarehouseError) as failure:
            warehouse.value("SELECT 41 + 1")
        assert (faults.left, failure.value.code, failure.value.transient) == (4, code, False)


def test_an_insert_is_never_sent_twice(faulty: tuple[Warehouse, Faults], admin: Warehouse) -> None:
    warehouse, faults = faulty
    admin.execute("CREATE TABLE once (n UInt8) ENGINE = MergeTree ORDER BY n")
    try:
        # The answer is lost after the server has done the work: the client cannot know.
        faults.when, faults.left, faults.after = (lambda sql: "INSERT" in sql), 1, True
        with pytest.raises(WarehouseError) as failure:
            warehouse.execute("INSERT INTO once SELECT 1")
        assert failure.value.transient
        assert admin.value("SELECT count() FROM once") == 1
    finally:
        admin.execute("DROP TABLE once")


def test_a_repeatable_statement_survives_a_lost_answer(faulty: tuple[Warehouse, Faults], admin: Warehouse) -> None:
    warehouse, faults = faulty
    faults.when, faults.left, faults.after = (lambda sql: "CREATE" in sql), 1, True
    warehouse.execute("CREATE TABLE IF NOT EXISTS made (n UInt8) ENGINE = MergeTree ORDER BY n", repeatable=True)
    assert faults.left == 0
    assert admin.value("EXISTS TABLE made") == 1
    admin.execute("DROP TABLE made")


def test_a_full_server_is_transient_and_a_query_over_its_own_limit_is_not(admin: Warehouse) -> None:
    total = "Code: 241. DB::Exception: (total) memory limit exceeded: would use 12 GiB. (MEMORY_LIMIT_EXCEEDED)"
    assert cause_of(RuntimeError(total)).transient
    with pytest.raises(WarehouseError) as failure:
        replace(admin, max_memory_mb=64).query(
            "SELECT sum(length(s)) FROM (SELECT groupArray(toString(number)) AS s FROM numbers(50000000))"
        )
    assert (failure.value.code, failure.value.transient) == (241, False)
    assert "METRICS_CLICKHOUSE_MAX_MEMORY_MB" in str(failure.value)
    with pytest.raises(WarehouseError, match="METRICS_CLICKHOUSE_TIMEOUT_SECONDS"):
        replace(admin, timeout_seconds=1).query("SELECT count() FROM system.numbers")


@pytest.mark.parametrize(
    ("sql", "code", "remedy"),
    [
        ("SELECT 1 FROM nowhere.nothing", 81, "METRICS_FEED_TABLE"),
        ("SELECT 1 FROM nothing", 60, "metrics-platform doctor"),
        ("SELECT nothing FROM system.one", 47, "metrics-platform doctor"),
        ("SELECT plus('a', 1)", 43, "metrics-platform doctor"),
    ],
)
def test_an_error_says_what_was_being_done_what_happened_and_what_to_do(
    admin: Warehouse, sql: str, code: int, remedy: str
) -> None:
    with pytest.raises(WarehouseError) as failure:
        admin.query(sql, operation="Looking for nothing")
    text = str(failure.value)
    assert text.startswith("Looking for nothing")
    assert failure.value.code == code
    assert remedy in text
    assert "(version" not in text


def test_an_error_reaches_another_process_as_it_is(admin: Warehouse) -> None:
    with pytest.raises(WarehouseError) as failure:
        admin.query("SELECT nothing FROM system.one", operation="Looking for nothing")
    there = pickle.loads(pickle.dumps(failure.value))
    assert (str(there), there.code, there.transient) == (str(failure.value), 47, False)


def test_clickhouse_away_says_where_it_was_looked_for() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused
        url = f"http://platform:pa55-w0rd@127.0.0.1:{taken.getsockname()[1]}/metrics"
        with pytest.raises(WarehouseError) as failure:
            _warehouse(url).value("SELECT 1")
    assert failure.value.code is None
    assert failure.value.transient
    assert "metrics-platform clickhouse" in str(failure.value)


_PAGE = b"<html><h1>It works!</h1></html>"
_OTHERS = {
    "a web site": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 31\r\n\r\n" + _PAGE, "Something other than ClickHouse"),
    "a web site that is content": (b"HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n" + _PAGE, "at port 8123"),
    "Redis": (b"-ERR unknown command 'POST'\r\n", "Something other than ClickHouse"),
    "ClickHouse's own protocol": (
        b"HTTP/1.0 400 Bad Request\r\n\r\nPort 9000 is for clickhouse-client program\r\n",
        "the port of ClickHouse's native protocol; its HTTP interface is at port 8123",
    ),
}


@contextmanager
def _answering(answer: bytes, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server on loopback that gives every caller the same answer; its host and port."""

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                caller = context.wrap_socket(self.request, server_side=True) if context else self.request
                caller.recv(65536)
                caller.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(("answer", "remedy"), _OTHERS.values(), ids=_OTHERS)
def test_what_answers_and_is_not_clickhouse_is_named_and_not_tried_again(answer: bytes, remedy: str) -> None:
    with _answering(answer) as place, pytest.raises(WarehouseError) as failure:
        _warehouse(f"http://platform:pa55-w0rd@{place}/metrics").value("SELECT 1")
    assert remedy in str(failure.value)
    assert "<h1>" not in str(failure.value)
    assert not failure.value.transient


def test_https_at_a_port_without_it_says_so(clickhouse_server: EmbeddedServer) -> None:
    with pytest.raises(WarehouseError, match="does not use TLS: write http:// in METRICS_CLICKHOUSE_URL") as failure:
        Warehouse(replace(parse_url(clickhouse_server.url), secure=True)).value("SELECT 1")
    assert not failure.value.transient


def test_a_certificate_of_an_unknown_authority_asks_for_the_authority() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with (
        _answering(b"", context) as place,
        pytest.raises(WarehouseError, match="METRICS_CLICKHOUSE_CA_FILE") as failure,
    ):
        _warehouse(f"https://platform:pa55-w0rd@{place}/metrics").value("SELECT 1")
    assert "certificate verify failed" in str(failure.value)
    assert not failure.value.transient


def test_the_password_is_in_no_error_chain_and_no_log(
    clickhouse_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    good = parse_url(clickhouse_server.url)
    secret = "wr0ng-pa55"
    cases: list[Connection] = [
        replace(good, password=secret),
        replace(good, password=secret, port=1),
        replace(good, password=secret, host="no-such-host.invalid"),
        replace(good, password=secret, secure=True),
    ]
    for connection in cases:
        with pytest.raises(WarehouseError) as failure:
            Warehouse(connection, retry_waits=()).value("SELECT 1")
        assert failure.value.code in (516, None)
        shown = "".join(traceback.format_exception(failure.value)) + repr(failure.value)
        assert secret not in shown
        assert failure.value.__cause__ is None
        assert failure.value.__context__ is None
    assert secret not in caplog.text


def test_a_password_of_one_letter_leaves_the_other_words_readable() -> None:
    error = RuntimeError("http://anna:e@somewhere:8123/ failed to establish a connection")
    assert cause_of(error, "e").text == "http://anna:***@somewhere:8123/ failed to establish a connection"
    assert cause_of(RuntimeError("user anna, password hunter2"), "hunter2").text == "user anna, password ***"


def test_queries_are_tagged_with_what_asked_them(make_settings: Callable[..., Settings], admin: Warehouse) -> None:
    tags = {"run_id": "run-4711", "asset": "users", "partition": "2026-01-01"}
    tagged = replace(admin, tags=tags)
    tagged.value("SELECT 'tagged query'")
    admin.execute("SYSTEM FLUSH LOGS query_log")
    comment = admin.value(
        "SELECT any(log_comment) FROM system.query_log WHERE query LIKE 'SELECT \\'tagged query\\'%' AND type = 2"
    )
    assert json.loads(comment) == {"application": "metrics_platform", **tags}


def test_warehouses_of_one_account_share_a_client_and_each_tags_its_own_queries(admin: Warehouse) -> None:
    first, second = (replace(admin, tags={"asset": name}) for name in ("users", "user_daily"))
    assert _client_of(first) is _client_of(second)
    for _ in range(2):
        for warehouse, name in ((first, "users"), (second, "user_daily")):
            comment = json.loads(warehouse.value("SELECT getSetting('log_comment')"))
            assert comment == {"application": "metrics_platform", "asset": name}
    assert _client_of(replace(admin, max_memory_mb=64)) is not _client_of(first)
    assert replace(admin, max_memory_mb=64).value("SELECT getSetting('max_memory_usage')") == 64 * 2**20


def test_a_client_is_not_used_after_a_long_pause_nor_in_a_fork_nor_once_it_is_closed(
    admin: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = [_client_of(admin)]
    monkeypatch.setattr(clients, "_LONGEST_IDLE", -1.0)
    used.append(_client_of(admin))
    monkeypatch.undo()
    assert _client_of(admin) is used[-1]
    clients._forget_all()
    used.append(_client_of(admin))
    assert _client_of(admin) is used[-1]
    admin.close()
    used.append(_client_of(admin))
    assert len(set(map(id, used))) == 4
    assert admin.value("SELECT 1") == 1


def _client_of(warehouse: Warehouse) -> object:
    return warehouse.run(lambda client: client, operation="Looking at the client")


def test_threads_query_at_the_same_time_each_with_its_own_client(admin: Warehouse) -> None:
    answers: list[int] = []

    def ask(number: int) -> None:
        answers.append(admin.value("SELECT {n:UInt8} + sleep(0.2)", {"n": number}))
        admin.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == list(range(8))
