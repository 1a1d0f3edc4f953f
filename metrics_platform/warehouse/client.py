"""The ClickHouse client: clickhouse-connect with timeouts, TLS, tags, typed errors and safe retries.

One HTTP client per thread and process (a client is one session and refuses concurrent queries). Only
statements that may safely run twice are tried again, and only after answers that are transient. Every query
carries the Dagster run, asset and partition as JSON in `log_comment`, so that `system.query_log` tells who
asked.
"""

from __future__ import annotations

import datetime
import json
import logging
import random
import time
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from metrics_platform.connection import Connection, parse_url
from metrics_platform.proxies import display_proxy, is_loopback
from metrics_platform.warehouse.clients import client_for, forget
from metrics_platform.warehouse.errors import ADDRESS, Cause, WarehouseError, cause_of
from metrics_platform.warehouse.query_settings import FIXED, FIXED_WHERE_KNOWN, ON_EVERY_REPLICA

if TYPE_CHECKING:
    from pathlib import Path

    from clickhouse_connect.driver.client import Client
    from urllib3 import PoolManager

    from metrics_platform.settings import Settings

_REPLICAS = """
SELECT max(replicas) AS replicas
FROM (SELECT count() AS replicas FROM system.clusters WHERE cluster = {cluster:String} GROUP BY shard_num)
"""
Parameters = Mapping[str, Any]
Row = dict[str, Any]
_Result = TypeVar("_Result")

# Waits before the second, third and fourth try, in seconds, each with up to half of jitter: a restart of
# ClickHouse takes seconds; longer absences are for Dagster's retries of the step.
RETRY_WAITS = (0.5, 1.5, 4.0)
_CONNECT_TIMEOUT = 10
# The server must give up before the client does, so that no query continues behind a lost connection.
_CLIENT_GRACE = 30


class NoWarehouseError(RuntimeError):
    """No setting names a ClickHouse, and no embedded server has been started."""


@dataclass(frozen=True)
class Answer:
    """The rows of a SELECT, and how many rows the server read for them."""

    rows: list[Row]
    read_rows: int = 0


@dataclass(frozen=True)
class Done:
    """The rows that a statement without a result read and wrote."""

    read_rows: int
    written_rows: int


@dataclass
class Warehouse:
    """A connection to one ClickHouse with one account.

    Args:
        connection: where, and as whom.
        tags: written into `log_comment` of every query.
        timeout_seconds: the longest one query may take in the server.
        max_memory_mb: the most memory (MiB) one query may take; it spills to disk at half of it.
        engine: of the platform's tables, METRICS_CLICKHOUSE_ENGINE.
        cluster: whose replicas all have the platform's tables; empty: one server is addressed.
        settings: further ClickHouse settings for every query, over the defaults.
        on_retry: called with one line for every retry (for logs).
    """

    connection: Connection
    tags: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: int = 600
    max_memory_mb: int = 4096
    engine: str = "MergeTree"
    cluster: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    on_retry: Callable[[str], None] | None = None
    retry_waits: Sequence[float] = RETRY_WAITS

    @classmethod
    def from_settings(cls, settings: Settings, **options: Any) -> Warehouse:
        """The warehouse of these settings. See `connection_of` for the errors."""
        return cls(
            connection_of(settings),
            timeout_seconds=settings.clickhouse_timeout_seconds,
            max_memory_mb=settings.clickhouse_max_memory_mb,
            engine=settings.clickhouse_engine,
            cluster=settings.clickhouse_cluster or "",
            **options,
        )

    @property
    def database(self) -> str:
        """The database in which the platform's own tables live."""
        return self.connection.database

    def query(self, sql: str, parameters: Parameters | None = None, *, operation: str = "Reading") -> Answer:
        """Run a SELECT with server-side parameters. Transient failures are retried.

        Raises:
            WarehouseError: says what ClickHouse answered and what to do.
        """

        def run(client: Client) -> Answer:
            result = client.query(sql, parameters=bound(parameters or {}), query_tz="UTC")
            return Answer(
                rows=[dict(zip(result.column_names, row, strict=True)) for row in result.result_rows],
                read_rows=int((result.summary or {}).get("read_rows", 0)),
            )

        return self._run(run, operation, repeatable=True)

    def value(self, sql: str, parameters: Parameters | None = None, *, operation: str = "Reading") -> Any:
        """The single value of a SELECT of one row and one column."""
        (row,) = self.query(sql, parameters, operation=operation).rows
        (value,) = row.values()
        return value

    def execute(
        self,
        sql: str,
        parameters: Parameters | None = None,
        *,
        operation: str = "Writing",
        repeatable: bool = False,
        settings: Mapping[str, Any] | None = None,
    ) -> Done:
        """Run a statement that returns no rows.

        `repeatable` says that running it twice does no harm (CREATE … IF NOT EXISTS, REPLACE PARTITION): only then
        it is tried again after a transient failure. An INSERT is not.

        Raises:
            WarehouseError: says what ClickHouse answered and what to do.
        """

        def run(client: Client) -> Done:
            summary = client.command(sql, parameters=bound(parameters or {}), settings=dict(settings or {}))
            facts = getattr(summary, "summary", {})
            return Done(int(facts.get("read_rows", 0)), int(facts.get("written_rows", 0)))

        return self._run(run, operation, repeatable=repeatable)

    def run(self, work: Callable[[Client], _Result], *, operation: str, repeatable: bool = False) -> _Result:
        """Run `work` with this thread's client, for what `query` and `execute` do not cover (bulk inserts)."""
        return self._run(work, operation, repeatable=repeatable)

    def close(self) -> None:
        """Close this thread's client, which equal warehouses share. The next query creates a new one."""
        forget(self._key())

    def _run(self, work: Callable[[Client], _Result], operation: str, *, repeatable: bool) -> _Result:
        waits = iter(self.retry_waits if repeatable else ())
        while True:
            try:
                return work(self._client())
            except _driver_errors() as error:
                cause = cause_of(error, self.connection.password)
                if cause.code is None:
                    self.close()  # it belongs to the old connection
                wait = next(waits, None) if cause.transient else None
            if wait is None:
                # Raised outside the `except` block: a chained driver exception could carry what was masked here.
                remedy = self._remedy(cause)
                raise WarehouseError(f"{operation} ({self.connection.display_url})", cause._replace(remedy=remedy))
            wait *= 1 + random.random() / 2  # noqa: S311  (jitter, not secrecy)
            if self.on_retry:
                self.on_retry(f"{operation}: {cause.name or cause.text}; trying again in {wait:.1f} s")
            time.sleep(wait)

    def _remedy(self, cause: Cause) -> str:
        """The remedy for a cause; if a proxy is used and ClickHouse did not answer, a remedy for the proxy."""
        proxy = self._proxy() if cause.code is None else None
        if proxy is None:
            return cause.remedy.replace(ADDRESS, self.connection.address)
        name = "HTTPS_PROXY" if self.connection.secure else "HTTP_PROXY"
        return (
            f"Requests to {self.connection.address} go through the proxy {display_proxy(proxy)} ({name}). Does it "
            f"answer and may it reach ClickHouse? To connect without it, add {self.connection.host} to NO_PROXY."
        )

    def _proxy(self) -> str | None:
        """The proxy that the driver uses from the environment."""
        from clickhouse_connect.driver.httputil import check_env_proxy  # noqa: PLC0415

        if is_loopback(self.connection.host):
            return None
        scheme = "https" if self.connection.secure else "http"
        return check_env_proxy(scheme, self.connection.host, self.connection.port)

    def _client(self) -> Client:
        """This thread's client of the account, set to this warehouse's database and tags."""
        client = client_for(self._key(), self._new_client)
        client.database = self.database
        comment = {"application": "metrics_platform", **self.tags}
        client.set_client_setting("log_comment", json.dumps(comment, sort_keys=True))
        return client

    def _key(self) -> Hashable:
        account = replace(self.connection, database="")
        return account, self.timeout_seconds, json.dumps(self._query_settings(), sort_keys=True, default=str)

    def _new_client(self) -> Client:
        import clickhouse_connect  # noqa: PLC0415  (0.3 s that loading the code location does not need)

        # The driver logs every failed request as an error, but `WarehouseError` reports it.
        logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
        connection = self.connection
        ca_file = str(connection.ca_file) if connection.ca_file else None
        pool = _pool_without_proxy(ca_file) if is_loopback(connection.host) else None
        client = clickhouse_connect.get_client(
            host=connection.host,
            port=connection.port,
            username=connection.user,
            password=connection.password,
            database="system",  # is always there
            interface="https" if connection.secure else "http",
            ca_cert=ca_file,
            connect_timeout=_CONNECT_TIMEOUT,
            send_receive_timeout=self.timeout_seconds + _CLIENT_GRACE,
            query_retries=0,  # this class decides about retries
            autogenerate_session_id=False,
            dedicated_pool=pool is None,
            pool_mgr=pool,
            client_name="metrics_platform",
            settings=self._query_settings(),
        )
        for name, value in FIXED_WHERE_KNOWN.items():
            if name in client.server_settings:
                client.set_client_setting(name, value)
        if self.cluster:
            self._reach_every_replica(client)
        if pool is not None:
            # The driver closes only the pools that it created itself.
            weakref.finalize(client, _close_pool, pool).atexit = False
        return client

    def _reach_every_replica(self, client: Client) -> None:
        """Let `client` read what any replica has written: in Cloud by asking, elsewhere by writing to all."""
        cloud_mode = client.server_settings.get("cloud_mode")
        if cloud_mode is not None and cloud_mode.value == "1":
            client.set_client_setting("select_sequential_consistency", 1)
            return
        ((replicas,),) = client.query(_REPLICAS, parameters={"cluster": self.cluster}).result_rows
        client.set_client_setting("insert_quorum", replicas)

    def _query_settings(self) -> dict[str, Any]:
        memory = self.max_memory_mb * 1024 * 1024
        # Merging what was spilled takes memory, too, and spilling costs several times the processor time. With a
        # quarter instead of a half, days that fit were spilled, and large ones failed more often.
        return {
            "max_execution_time": self.timeout_seconds,
            "max_memory_usage": memory,
            "max_bytes_before_external_group_by": memory // 2,
            "max_bytes_before_external_sort": memory // 2,
            "cancel_http_readonly_queries_on_client_close": 1,
            **FIXED,
            **(ON_EVERY_REPLICA if self.cluster else {}),
            **self.settings,
        }


def bound(parameters: Parameters) -> dict[str, Any]:
    """Parameters for ClickHouse. A moment becomes a text in UTC, for `{name:DateTime('UTC')}`."""
    return {name: _bound(value) for name, value in parameters.items()}


def _bound(value: Any) -> Any:
    if isinstance(value, datetime.datetime) and value.tzinfo:
        return f"{value.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S}"
    return [_bound(item) for item in value] if isinstance(value, (list, tuple)) else value


def runnable(sql: str, parameters: Parameters) -> str:
    """A statement that runs in any ClickHouse client, with a setting and its parameters before it.

    Without the setting, the statement would have another meaning if an alias has a column's name.
    """
    used = {name: str(value) for name, value in bound(parameters).items() if f"{{{name}:" in sql}
    values = (f"SET param_{name} = {sql_text(value)};" for name, value in used.items())
    return "\n".join(["SET prefer_column_name_to_alias = 1;", *values, sql.rstrip() + ";"])


def sql_text(value: str) -> str:
    """A text as an SQL literal."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def connection_of(settings: Settings) -> Connection:
    """The connection of METRICS_CLICKHOUSE_URL or, without it, of the embedded server.

    Raises:
        NoWarehouseError: no URL is set and the embedded server was never started in METRICS_DATA_DIR.
    """
    if settings.clickhouse_url is not None:
        return parse_url(settings.clickhouse_url.get_secret_value(), settings.clickhouse_ca_file)
    url_file = embedded_url_file(settings)
    try:
        return parse_url(url_file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        problem = (
            f"METRICS_CLICKHOUSE_URL is not set and no embedded server has run here ({url_file} does not exist). "
            "Start one with `metrics-platform clickhouse`, or set METRICS_CLICKHOUSE_URL to "
            "http(s)://user:password@host:port/database."
        )
    except ValueError as error:
        problem = (
            f"the embedded server's address file {url_file} is damaged: {error}. `metrics-platform clickhouse` "
            "writes it anew when it starts."
        )
    raise NoWarehouseError(f"No ClickHouse: {problem}")


def embedded_url_file(settings: Settings) -> Path:
    """The file with the URL of the embedded server of METRICS_DATA_DIR."""
    return settings.data_dir / "clickhouse" / "url"


def _pool_without_proxy(ca_file: str | None) -> PoolManager:
    """Connections that bypass the environment's proxy, which cannot reach this machine's loopback address."""
    from clickhouse_connect.driver.httputil import get_pool_manager  # noqa: PLC0415

    pool: PoolManager = get_pool_manager(ca_cert=ca_file)
    return pool


def _close_pool(pool: PoolManager) -> None:
    from clickhouse_connect.driver.httputil import all_managers  # noqa: PLC0415

    all_managers.pop(pool, None)
    pool.clear()


def _driver_errors() -> tuple[type[BaseException], ...]:
    from clickhouse_connect.driver.exceptions import ClickHouseError  # noqa: PLC0415
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    return (ClickHouseError, HTTPError, OSError)
