"""An HTTP server on loopback before a ClickHouse that strikes at a chosen statement of the daily load.

Tests of faults do not sleep and hope. Every statement of the load passes here and is recognised by what it does to
which table, so a process can be killed exactly before a statement, while ClickHouse works on it, or after it. A
staging table's INSERT is over in milliseconds: where the fault is to fall into it, its rows are made to trickle, and
the fault waits until some of them are there and others are not.
"""

from __future__ import annotations

import datetime
import http.client
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import parse_qsl, urlsplit

from metrics_platform.connection import parse_url
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform_tests.request_handler import HOP_HEADERS, RequestHandler, serving

_STAGING = re.compile(r"staging__(?P<table>\w+?)__(?P<date>\d{8})__\w+")
_SWAP = re.compile(r"ALTER TABLE `(?P<table>\w+)` (?:REPLACE|DROP) PARTITION '(?P<date>[\d-]+)'")
# Blocks of one row, each slept over and written as a part of its own. The LIMIT keeps the sleep out of the query.
_TRICKLING = (
    "SELECT * FROM (SELECT * FROM (\n{select}\n) ORDER BY ALL LIMIT 1000000000) WHERE sleepEachRow({seconds}) = 0"
)
_TRICKLE_SETTINGS = "max_threads=1&max_block_size=1&min_insert_block_size_rows=1&min_insert_block_size_bytes=1"
_FEW_ROWS = ("_slice", "dimension_metrics")
_ANSWER_SECONDS = 600
# An INSERT that trickles has its first rows within a second, and takes some six.
_LOOK_SECONDS = 0.05


class Kind(Enum):
    """What a statement of the load does."""

    CREATE = "creates staging"
    INSERT = "fills staging"
    VERIFY = "counts staging"
    CHECK = "checks staging against its sources"
    SWAP = "swaps the partition in"
    SEEN = "counts what readers see"
    DROP = "drops staging"


class Phase(Enum):
    """Where a fault falls: the statement was not sent on; ClickHouse is at it; it is done, its answer not delivered."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


@dataclass(frozen=True)
class Statement:
    """A statement of the load, recognised."""

    kind: Kind
    table: str
    date: datetime.date
    staging: str = ""


@dataclass(frozen=True)
class Moment:
    """A moment of the load of one table; of one `date` if named, at the `occurrence`-th such statement."""

    table: str
    phase: Phase
    kind: Kind
    date: datetime.date | None = None
    occurrence: int = 1


class HangUpError(Exception):
    """Raised by a fault: the connection is closed and the statement goes no further."""


@dataclass
class Fault:
    """What is done at a moment, once."""

    moment: Moment
    strike: Callable[[], None]
    to_come: int
    falling: threading.Event = field(default_factory=threading.Event)
    struck: threading.Event = field(default_factory=threading.Event)
    problem: str = ""

    def fall(self) -> None:
        self.falling.set()
        try:
            self.strike()
        finally:
            self.struck.set()


@dataclass
class Proxy:
    """The proxy as a test sees it: its URL, the faults to come, what it has passed on and got an answer to."""

    url: str = field(repr=False)
    target: str = field(repr=False)
    look_now: Callable[[], None] = field(repr=False)
    faults: list[Fault] = field(default_factory=list)
    done: list[Statement] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def at(self, moment: Moment, strike: Callable[[], None]) -> Fault:
        """Call `strike` at `moment`, in a thread of the proxy; it may raise HangUpError."""
        fault = Fault(moment, strike, to_come=moment.occurrence)
        with self._lock:
            self.faults.append(fault)
        return fault

    def assert_all_struck(self) -> None:
        """The moments that the test is about have come, each."""
        missed = [str(fault.moment) for fault in self.faults if not fault.struck.is_set()]
        problems = [fault.problem for fault in self.faults if fault.problem]
        assert (missed, problems) == ([], [])

    def swapped(self) -> set[str]:
        """The tables of which a swap was answered."""
        return {statement.table for statement in self.done if statement.kind is Kind.SWAP}

    def fault_of(self, statement: Statement | None) -> Fault | None:
        """The fault that falls on this statement, if one does; counts occurrences."""
        struck = None
        with self._lock:
            for fault in self.faults:
                moment = fault.moment
                if (
                    statement is not None
                    and fault.to_come
                    and (moment.kind, moment.table) == (statement.kind, statement.table)
                    and moment.date in (None, statement.date)
                ):
                    fault.to_come -= 1
                    if not fault.to_come:
                        struck = fault
        return struck


def recognised(sql: str, parameters: dict[str, str]) -> Statement | None:
    """What the statement does to which table of the load; None for others."""
    if swap := _SWAP.search(sql):
        return Statement(Kind.SWAP, swap["table"], datetime.date.fromisoformat(swap["date"]))
    if sql.startswith("SELECT count()") and "event_date = {event_date" in sql and "param_table" in parameters:
        name = parameters["param_table"]
        if not _STAGING.fullmatch(name):
            return Statement(Kind.SEEN, name, datetime.date.fromisoformat(parameters["param_event_date"]))
    staging = _STAGING.search(" ".join([sql[:200], *parameters.values()]))
    if not staging:
        return None
    for kind, holds in {
        Kind.CREATE: sql.startswith("CREATE TABLE"),
        Kind.INSERT: sql.startswith("INSERT INTO"),
        Kind.DROP: sql.startswith("DROP TABLE"),
        Kind.VERIFY: sql.startswith("SELECT count()") and "param_table" in parameters,
        Kind.CHECK: "param_staging" in parameters and not sql.startswith("SELECT *"),
    }.items():
        if holds:
            date = datetime.datetime.strptime(staging["date"], "%Y%m%d").date()
            return Statement(kind, staging["table"], date, staging[0])
    return None


@contextmanager
def striking_proxy(url: str, look_now: Callable[[], None] = lambda: None) -> Iterator[Proxy]:
    """A proxy before the ClickHouse at `url`, which may be killed and started again behind it.

    `look_now` is called when a statement that may change what readers see is done and nothing has followed it yet.
    """
    target = urlsplit(url)

    class Handler(RequestHandler):
        def respond(self, body: bytes) -> None:
            parameters = dict(parse_qsl(urlsplit(self.path).query))
            sql = (parameters.get("query", "") + body.decode(errors="replace")).lstrip()
            statement = recognised(sql, parameters)
            fault = proxy.fault_of(statement)
            looked_at = statement.kind is Kind.SWAP if statement else not sql.startswith(("SELECT", "WITH", "SHOW"))
            try:
                self.reply(*_answer(self, body, statement, fault, proxy, looked_at=looked_at))
            except (HangUpError, OSError, http.client.HTTPException):
                self.close_connection = True
                self.connection.close()

    with serving(Handler) as port:
        proxy = Proxy(url.replace(f":{target.port}/", f":{port}/"), url, look_now)
        yield proxy


def _answer(
    request: RequestHandler,
    body: bytes,
    statement: Statement | None,
    fault: Fault | None,
    proxy: Proxy,
    *,
    looked_at: bool,
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Pass the request on, with the fault at its place; returns status, headers and content of the answer."""
    phase = fault.moment.phase if fault else None
    path = request.path
    if fault and phase is Phase.BEFORE:
        fault.fall()
    if statement and phase is Phase.DURING and statement.kind is Kind.INSERT:
        body, path = _trickling(body, statement.table), f"{path}&{_TRICKLE_SETTINGS}"
    target = urlsplit(proxy.target)
    with closing(http.client.HTTPConnection(target.hostname or "", target.port, timeout=_ANSWER_SECONDS)) as connection:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_HEADERS}
        connection.request(request.command, path, body, headers)
        if fault and statement and phase is Phase.DURING:
            if statement.kind is Kind.INSERT:
                fault.problem = _wait_until_half_written(proxy.target, statement.staging)
            fault.fall()
        response = connection.getresponse()
        answer = response.status, response.getheaders(), response.read()
    if statement and answer[0] == http.HTTPStatus.OK:
        proxy.done.append(statement)
    if looked_at:
        proxy.look_now()
    if fault and phase is Phase.AFTER:
        fault.fall()
    return answer


def _trickling(body: bytes, table: str) -> bytes:
    insert, _, select = body.decode().partition("\n")
    seconds = 1.0 if table.endswith(_FEW_ROWS) else 0.1
    return f"{insert}\n{_TRICKLING.format(select=select, seconds=seconds)}".encode()


def _wait_until_half_written(url: str, staging: str) -> str:
    """Return as soon as some of the INSERT's rows are in staging while it is still running; else what was wrong."""
    warehouse = Warehouse(parse_url(url), retry_waits=())
    deadline = time.monotonic() + _ANSWER_SECONDS
    try:
        while time.monotonic() < deadline:
            rows = warehouse.value("SELECT count() FROM {staging:Identifier}", {"staging": staging})
            running = warehouse.value(
                "SELECT count() FROM system.processes WHERE query LIKE concat('INSERT INTO %', {name:String}, '%')",
                {"name": staging},
            )
            if rows and running:
                return ""
            if rows:
                return f"the INSERT into {staging} was over before it was seen"
            time.sleep(_LOOK_SECONDS)
    except WarehouseError as error:
        return str(error)
    finally:
        warehouse.close()
    return f"the INSERT into {staging} was never seen"
