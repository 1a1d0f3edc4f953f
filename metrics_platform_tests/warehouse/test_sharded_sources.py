"""A source in two shards on two servers, the second behind a proxy that delays, stalls or cuts its answers."""

from __future__ import annotations

import datetime
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace

import pandas as pd
import pytest
from pydantic import SecretStr

from metrics_platform.catalog import load_catalog
from metrics_platform.connection import parse_url
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT, SlotRange, slot_at
from metrics_platform.warehouse.catalog_check import check_catalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.daily import compute_days
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform.warehouse.slots import compute_slots
from metrics_platform.warehouse.tables import daily_tables
from metrics_platform_tests.conftest import settings_factory
from metrics_platform_tests.defs.running import assert_same_tables
from metrics_platform_tests.faults.world import _FEED, _MESSAGES, add_late_events
from metrics_platform_tests.faults.world import START as DAY
from metrics_platform_tests.restricted_server import ENGINES, restricted_server
from metrics_platform_tests.worlds import SourceTables, read_table

_PASSED_ON = 1 << 16
_SHARDS = """
<tcp_port>{own}</tcp_port>
<remote_servers><halves>
  <shard><replica><host>127.0.0.1</host><port>{own}</port></replica></shard>
  <shard><replica>
    <host>127.0.0.1</host><port>{other}</port><user>{user}</user><password>{password}</password>
  </replica></shard>
</halves></remote_servers>
"""
# A shard that says nothing is given up after ClickHouse's 300 s without a word, or after the query's own limit.
_IMPATIENT = {"receive_timeout": 1, "poll_interval": 1, "connections_with_failover_max_tries": 1}
Tables = dict[str, pd.DataFrame]


@dataclass
class Shard:
    """The way to the second shard, and what becomes of its answers."""

    target: int
    port: int = 0
    delay_seconds: float = 0
    is_stalled: bool = False
    answered_bytes: int = 0
    most_bytes: float = float("inf")  # then the connection is closed, and each new one
    ended: threading.Event = field(default_factory=threading.Event)

    def fail_after(self, more_bytes: int) -> None:
        """Answer so much more, then nothing."""
        self.most_bytes = self.answered_bytes + more_bytes

    def come_back(self) -> None:
        """Answer again."""
        self.delay_seconds, self.is_stalled, self.most_bytes = 0, False, float("inf")

    def pass_on(self, client: socket.socket) -> None:
        """Serve one connection."""
        if self.answered_bytes >= self.most_bytes:
            return
        with closing(socket.create_connection(("127.0.0.1", self.target))) as server:
            threading.Thread(target=_pass_requests, args=(client, server), daemon=True).start()
            while data := server.recv(_PASSED_ON):
                self.ended.wait(self.delay_seconds)
                while self.is_stalled and not self.ended.wait(0.05):
                    pass
                left = self.most_bytes - self.answered_bytes
                if left < len(data):
                    self.answered_bytes = int(self.most_bytes)
                    client.sendall(data[: int(left)])
                    return
                self.answered_bytes += len(data)
                client.sendall(data)


def _pass_requests(client: socket.socket, server: socket.socket) -> None:
    try:
        while data := client.recv(_PASSED_ON):
            server.sendall(data)
        server.shutdown(socket.SHUT_WR)
    except OSError:
        return  # one of them has hung up


@contextmanager
def _way_to(target: int) -> Iterator[Shard]:
    shard = Shard(target)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                shard.pass_on(self.request)
            except OSError:
                return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        shard.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield shard
        shard.ended.set()
        server.shutdown()
        thread.join(5)


@dataclass
class Halves:
    """Sources of two shards, one on each server, and the same events in plain tables."""

    settings: Settings
    warehouse: Warehouse
    plain: Settings
    other: Warehouse
    shard: Shard

    def late_events(self) -> None:
        """Add events to the second shard, and to the plain tables."""
        here = {name: f"{getattr(self.settings, name)}_here" for name in ("feed_table", "messages_table")}
        add_late_events(self.other, self.settings.model_copy(update=here), DAY)
        add_late_events(self.warehouse, self.plain, DAY)

    def compute(self, *names: str) -> Tables:
        """The day as it is computed from the shards; only the tables that are named, if any are."""
        return _computed(self.warehouse, self.settings, names)

    def expected(self, *names: str) -> Tables:
        """The day as the plain tables have it."""
        return _computed(Warehouse.from_settings(self.plain), self.plain, names)

    def visible(self) -> Tables:
        return _read(self.warehouse, self.settings)


def _computed(warehouse: Warehouse, settings: Settings, names: tuple[str, ...]) -> Tables:
    for table in daily_tables(settings.dimensions):
        if table.name in names or not names:
            list(compute_days(warehouse, table, [DAY], settings))
    return _read(warehouse, settings, names)


def _read(warehouse: Warehouse, settings: Settings, names: tuple[str, ...] = ()) -> Tables:
    names = names or tuple(table.name for table in daily_tables(settings.dimensions))
    return {name: read_table(warehouse, name) for name in names}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Shard]]:
    """The URLs of two servers, the first of which has shards on both; its profile says to skip a shard that is away."""
    directory = tmp_path_factory.mktemp("shards")
    with socket.socket() as own, socket.socket() as other:
        for one in (own, other):
            one.bind(("127.0.0.1", 0))
        ports = own.getsockname()[1], other.getsockname()[1]
    profile = "<skip_unavailable_shards>1</skip_unavailable_shards>"
    engines = (*ENGINES, "Distributed")
    with (
        restricted_server(directory / "b", "GRANT ALL ON *.*", config=f"<tcp_port>{ports[1]}</tcp_port>") as second,
        _way_to(ports[1]) as shard,
    ):
        account = parse_url(second)
        Warehouse(account).execute("SYSTEM START LISTEN TCP")
        config = _SHARDS.format(own=ports[0], other=shard.port, user=account.user, password=account.password)
        with restricted_server(
            directory / "a", "GRANT ALL ON *.*", engines=engines, profile=profile, config=config
        ) as first:
            yield first, second, shard


@pytest.fixture
def halves(servers: tuple[str, str, Shard]) -> Halves:
    first, second, shard = servers
    shard.come_back()
    make = settings_factory(first)
    settings, plain = (make(start_date=DAY, late_events_pct=50) for _ in range(2))
    warehouse = replace(Warehouse.from_settings(settings, retry_waits=()), settings=_IMPATIENT)
    other = Warehouse(parse_url(second))
    SourceTables.create(plain)
    feed, messages = settings.feed_table, settings.messages_table
    SourceTables.create(settings)
    SourceTables.create(settings.model_copy(update={"clickhouse_url": SecretStr(second)}))
    for table, events, all_events in ((feed, _FEED, plain.feed_table), (messages, _MESSAGES, plain.messages_table)):
        for place in (warehouse, other):
            place.execute(f"RENAME TABLE {table} TO {table}_here")
        database, _, name = table.partition(".")
        engine = f"Distributed(halves, {database}, {name}_here)"
        warehouse.execute(f"CREATE TABLE {table} AS {table}_here ENGINE = {engine}")
        warehouse.execute(events.format(table=all_events))
        for place, rest in ((warehouse, 0), (other, 1)):
            place.execute(f"{events.format(table=f'{table}_here')} WHERE number % 2 = {rest}")
    return Halves(settings, warehouse, plain, other, shard)


def test_a_slow_shard_is_waited_for_and_one_that_stalls_is_an_error(halves: Halves) -> None:
    extract = "feed_user_daily"
    halves.shard.delay_seconds = 0.02
    before = halves.compute(extract)
    assert_same_tables(before, halves.expected(extract))
    halves.late_events()
    halves.shard.come_back()
    halves.shard.is_stalled = True
    with pytest.raises(WarehouseError, match="shard of a source"):
        halves.compute(extract)
    assert_same_tables({extract: read_table(halves.warehouse, extract)}, before)
    halves.shard.come_back()
    assert_same_tables(halves.compute(extract), halves.expected(extract))


def test_a_shard_that_dies_after_any_answer_leaves_no_half_day(halves: Halves) -> None:
    answered = -halves.shard.answered_bytes
    before = halves.compute()
    answered += halves.shard.answered_bytes
    halves.late_events()
    after = halves.expected()
    changed = set()
    for share in (0.0, 0.7):
        halves.shard.fail_after(int(answered * share))
        with pytest.raises(WarehouseError) as failed:
            halves.compute()
        assert failed.value.transient, failed.value
        halves.shard.come_back()
        visible = halves.visible()
        new = {name: after[name] for name, table in visible.items() if not table.equals(before[name])}
        assert_same_tables(visible, {**before, **new})
        changed.add(len(new))
    assert len(changed) > 1  # it died in different steps
    assert_same_tables(halves.compute(), after)


def test_no_slot_is_computed_from_half_of_its_events(halves: Halves) -> None:
    start = slot_at(datetime.datetime(2026, 3, 6, tzinfo=datetime.UTC)).start
    checked = check_catalog(halves.warehouse, load_catalog(halves.settings))
    slots = SlotRange(start, start + 4 * SLOT)
    halves.shard.fail_after(0)
    skipping = replace(halves.warehouse, settings={"skip_unavailable_shards": 1})
    assert skipping.value(f"SELECT count() FROM {halves.settings.feed_table}") == 1300  # what the profile would have
    with pytest.raises(WarehouseError, match="A shard of a source"):
        list(compute_slots(halves.warehouse, slots, checked, halves.settings))
    assert halves.warehouse.value("SELECT count() FROM slot_metrics") == 0
