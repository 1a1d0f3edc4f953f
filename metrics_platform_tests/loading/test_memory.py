"""Memory does not grow with the file."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metrics_platform.loading import load
from metrics_platform.loading.files import open_file
from metrics_platform.settings import load_settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform_tests.loading.conftest import Loading
from metrics_platform_tests.loading.event_files import FEED_HEADER, FEED_LINE
from metrics_platform_tests.loading.killing import in_new_process

_STATUS = Path("/proc/self/status")
# Both files are larger than a piece that is read at once. Held whole, the larger one would take 210 MiB more;
# allocators differ by some tens between runs.
_ROWS = (130_000, 900_000)
pytestmark = pytest.mark.skipif(not _STATUS.exists(), reason="the peak is read from Linux")


def _peak() -> int:
    """The peak resident MiB of this process; getrusage would begin with the size of its parent."""
    (peak,) = (line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(peak.split()[1]) // 1024


def _load(url: str, table: str, files: list[Path]) -> list[int]:
    warehouse = Warehouse.from_settings(settings := load_settings(None, clickhouse_url=url, feed_table=table))
    peaks = []
    for file in files:
        load(settings, warehouse, feed=file, say=lambda _: None)
        peaks.append(_peak())
    return peaks


def _read(files: list[Path]) -> list[int]:
    peaks = []
    for file in files:
        for _ in open_file(file, frozenset()).batches(range(11)):
            pass
        peaks.append(_peak())
    return peaks


def test_loading_a_larger_csv_file_takes_no_more_memory(loading: Loading, tmp_path: Path) -> None:
    url = loading.settings.clickhouse_url
    assert url is not None
    files = [tmp_path / f"{rows}.csv" for rows in _ROWS]
    for file, rows in zip(files, _ROWS, strict=True):
        file.write_text(f"{FEED_HEADER}\n" + f"{FEED_LINE}\n" * rows)
    first, second = in_new_process(_load, url.get_secret_value(), loading.settings.feed_table, files)
    assert second < first + 100
    assert second < 350


def test_reading_a_larger_parquet_file_takes_no_more_memory(tmp_path: Path) -> None:
    line = dict(zip(FEED_HEADER.split(","), FEED_LINE.split(","), strict=True))
    files = [tmp_path / f"{rows}.parquet" for rows in _ROWS]
    for file, rows in zip(files, _ROWS, strict=True):
        columns = {name: pa.repeat(value, rows) for name, value in line.items()}
        pq.write_table(pa.table(columns), file, use_dictionary=False, compression="none")
    first, second = in_new_process(_read, files)
    assert second < first + 100
