"""The SQL on old ClickHouse servers: the same tables as on the pinned one.

On demand, since it installs engines of hundreds of megabytes: -n 0 -m old_servers
"""

from __future__ import annotations

import datetime
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from metrics_platform.catalog import load_catalog
from metrics_platform.settings import Settings
from metrics_platform.time_windows import SlotRange
from metrics_platform.warehouse.catalog_check import check_catalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.slots import compute_slots
from metrics_platform.warehouse.tables import SLOT_METRICS, daily_tables
from metrics_platform_tests import old_server
from metrics_platform_tests.conftest import settings_factory
from metrics_platform_tests.faults.world import _FEED, _MESSAGES, DAYS
from metrics_platform_tests.worlds import SourceTables, compute_all

pytestmark = pytest.mark.old_servers


@pytest.mark.parametrize(
    ("wheel", "version"),
    [
        ("2.1.1", "24.8"),
        ("3.7.2", "25.8"),
    ],
)
def test_an_old_server_computes_what_the_pinned_one_computes(
    make_settings: Callable[..., Settings], tmp_path: Path, pytestconfig: pytest.Config, wheel: str, version: str
) -> None:
    assert pytestconfig.cache is not None
    directory = pytestconfig.cache.mkdir(f"chdb-{wheel}")
    _install(wheel, directory)
    expected = _computed(make_settings(start_date=DAYS[0]))
    with _running(directory, tmp_path / "data") as url:
        settings = settings_factory(f"{url}/default")(start_date=DAYS[0])
        assert _computed(settings) == expected
        assert str(Warehouse.from_settings(settings).value("SELECT version()")).startswith(version)


def _install(wheel: str, directory: Path) -> None:
    if (directory / "chdb").exists():
        return
    installer = ["uv", "pip", "install"] if shutil.which("uv") else [sys.executable, "-m", "pip", "install"]
    command = [*installer, "--no-deps", "--target", str(directory), f"chdb=={wheel}"]
    subprocess.run(command, check=True, capture_output=True, timeout=600)


@contextmanager
def _running(wheel: Path, data: Path) -> Iterator[str]:
    command = [sys.executable, old_server.__file__, str(wheel), str(data)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        yield f"http://default@127.0.0.1:{process.stdout.readline().strip()}"
        process.stdin.close()


def _computed(settings: Settings) -> dict[str, object]:
    """Two days and a day of slots: table → the number of rows that readers see, and their hash."""
    source = SourceTables.create(settings)
    source.warehouse.execute(_FEED.format(table=settings.feed_table))
    source.warehouse.execute(_MESSAGES.format(table=settings.messages_table))
    warehouse = source.warehouse
    assert all(result.published for result in compute_all(warehouse, settings, DAYS[:2]))
    start = datetime.datetime.combine(DAYS[0], datetime.time(), datetime.UTC)
    checked = check_catalog(warehouse, load_catalog(settings))
    slots = SlotRange(start, start + datetime.timedelta(days=1))
    assert all(result.published for result in compute_slots(warehouse, slots, checked, settings))
    rows = {table.name: f"* FROM `{table.name}`" for table in daily_tables(settings.dimensions)}
    rows[SLOT_METRICS.name] = f"* EXCEPT (version) FROM {SLOT_METRICS.name} FINAL"
    return {
        name: warehouse.query(
            f"SELECT count() AS rows, sum(cityHash64(toString(tuple(*)))) AS hash FROM (SELECT {selected})"
        ).rows
        for name, selected in rows.items()
    }
