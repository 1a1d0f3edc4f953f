"""Memory does not grow with the file: neither this process's nor what pyarrow holds."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metrics_platform.loading import load, staging
from metrics_platform.settings import load_settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform_tests.loading.conftest import Loading
from metrics_platform_tests.loading.event_files import FEED_HEADER, FEED_LINE
from metrics_platform_tests.loading.killing import in_new_process

_STATUS = Path("/proc/self/status")
# Held whole, a million rows more would take 250 MiB and more; allocators differ by some tens between runs.
_ROWS = (100_000, 1_200_000)


def _peaks(url: str, table: str, files: list[Path]) -> list[int]:
    """The peak resident MiB of this process after loading each of the files, in small pieces."""
    staging._INSERT_ROWS = 50_000
    warehouse = Warehouse.from_settings(settings := load_settings(None, clickhouse_url=url, feed_table=table))
    peaks = []
    for file in files:
        load(settings, warehouse, feed=file, messages=None, say=lambda _: None)
        # Not getrusage: what it says of a child begins with the size of its parent.
        (peak,) = (line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        peaks.append(int(peak.split()[1]) // 1024)
    return peaks


@pytest.mark.skipif(not _STATUS.exists(), reason="the peak is read from Linux")
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_larger_file_takes_no_more_memory(loading: Loading, tmp_path: Path, form: str) -> None:
    url = loading.settings.clickhouse_url
    assert url is not None
    files = [_write(tmp_path / f"{rows}.{form}", rows) for rows in _ROWS]
    first, second = in_new_process(_peaks, url.get_secret_value(), loading.settings.feed_table, files)
    assert second < first + 120
    assert second < 400


def _write(file: Path, rows: int) -> Path:
    if file.suffix == ".parquet":
        line = dict(zip(FEED_HEADER.split(","), FEED_LINE.split(","), strict=True))
        columns = {name: pa.repeat(value, rows) for name, value in line.items()}
        pq.write_table(pa.table(columns), file, use_dictionary=False, compression="none")
    else:
        file.write_text(f"{FEED_HEADER}\n" + f"{FEED_LINE}\n" * rows)
    return file
