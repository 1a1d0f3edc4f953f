"""Memory does not grow with the file: neither this process's nor what pyarrow holds."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from metrics_platform_tests.loading.conftest import Loading
from metrics_platform_tests.loading.event_files import FEED_HEADER, FEED_LINE

_context = multiprocessing.get_context("spawn")


def _load(url: str, table: str, file: Path, answer: Any) -> None:
    """Load in small pieces, so that small files have many of them; answers with the peak resident MiB."""
    import resource

    from metrics_platform.loading import load, staging
    from metrics_platform.settings import load_settings
    from metrics_platform.warehouse.client import Warehouse

    staging._INSERT_ROWS = 50_000
    settings = load_settings(None, clickhouse_url=url, feed_table=table)
    load(settings, Warehouse.from_settings(settings), feed=file, messages=None, say=lambda _: None)
    answer.put(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_file_ten_times_larger_takes_no_more_memory(loading: Loading, tmp_path: Path, form: str) -> None:
    url = loading.settings.clickhouse_url
    assert url is not None
    peaks = []
    for rows in (150_000, 1_500_000):
        file = _write(tmp_path / f"{rows}.{form}", rows)
        answer = _context.Queue()
        process = _context.Process(
            target=_load, args=(url.get_secret_value(), loading.settings.feed_table, file, answer)
        )
        process.start()
        peaks.append(answer.get(timeout=120))
        process.join()
    assert peaks[1] < peaks[0] + 40, peaks
    assert peaks[1] < 350


def _write(file: Path, rows: int) -> Path:
    if file.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        line = dict(zip(FEED_HEADER.split(","), FEED_LINE.split(","), strict=True))
        columns = {name: pa.repeat(value, rows) for name, value in line.items()}
        pq.write_table(pa.table(columns), file, use_dictionary=False, compression="none")
    else:
        file.write_text(f"{FEED_HEADER}\n" + f"{FEED_LINE}\n" * rows)
    return file
