"""Generated events, written in every style of CSV and in Parquet, loaded and read back: the same rows, as often."""

from __future__ import annotations

import csv
import datetime
import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from metrics_platform.warehouse.client import Warehouse
from metrics_platform_tests.loading.conftest import Loading
from metrics_platform_tests.loading.event_files import FEED_HEADER, Row, write_csv

_TEXT = st.one_of(
    st.sampled_from(
        ["", "Moscow", 'a "quoted" word', "a,b;c\td|e", " padded ", "Минск", "NULL", "🚲", "'", "\x00", "a\nb", '"']
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\r\x1f"), max_size=8).filter(lambda text: text != "\\N"),
)
_ID = st.one_of(st.integers(0, 3), st.sampled_from([2**32 - 1, 2**31]))
_EVENT = st.fixed_dictionaries(
    {
        "user_id": _ID,
        "post_id": _ID,
        "action": st.sampled_from(["view", "like"]),
        # Three days are enough: the table is partitioned by day.
        "time": st.integers(0, 3 * 86_400).map(
            lambda seconds: datetime.datetime(2026, 1, 1) + datetime.timedelta(seconds=seconds)
        ),
        "gender": st.sampled_from([-1, 0, 1]),
        "age": st.integers(-1, 32_767),
        "country": _TEXT,
        "city": _TEXT,
        "os": _TEXT,
        "source": _TEXT,
        "exp_group": st.integers(-1, 127),
    }
)
_STYLES = st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from(",;\t|"),
        "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
        "lineterminator": st.sampled_from(["\n", "\r\n"]),
    }
)
_FORMATS = st.sampled_from(["csv", "csv.gz", "parquet"])


@given(
    events=st.lists(st.tuples(_EVENT, st.integers(1, 3)), min_size=1, max_size=20),
    style=_STYLES,
    file_format=_FORMATS,
    columns=st.permutations(FEED_HEADER.split(",")),
)
def test_events_come_back_as_they_were_written(
    loading: Loading,
    admin: Warehouse,
    tmp_path: Path,
    *,
    events: list[tuple[Row, int]],
    style: dict[str, Any],
    file_format: str,
    columns: list[str],
) -> None:
    rows = [event for event, copies in events for _ in range(copies)]
    file = tmp_path / f"feed.{file_format}"
    if file_format == "parquet":
        pq.write_table(pa.Table.from_pylist(rows).select(columns), file)
    else:
        write_csv(file, rows, columns, **style)
    if file_format == "csv.gz":
        file.write_bytes(gzip.compress(file.read_bytes()))
    admin.execute(f"DROP TABLE IF EXISTS {loading.settings.feed_table}")
    loaded = loading.feed(file, again=True)
    assert (loaded.rows, loaded.rejected) == (len(rows), 0)
    assert Counter(map(_as_key, loading.feed_rows)) == Counter(map(_as_key, rows))
    times = [row["time"] for row in rows]
    assert loaded.days == (min(times).date(), max(times).date())


def _as_key(row: Row) -> tuple[Any, ...]:
    """The values, trimmed as they are loaded."""
    values = (row[name] for name in FEED_HEADER.split(","))
    return tuple(value.strip(" \t\r") if isinstance(value, str) else value for value in values)
