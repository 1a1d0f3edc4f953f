"""Event files → source tables: CSV, gzipped CSV and Parquet, streamed in bounded memory, validated, all or nothing.

A file is read twice: for its fingerprint, then block by block. Good rows go into a staging table beside their target,
bad ones into a rejects file. When every row of every file is there and counted, one row per file in `load_history`
says that the load is being committed; then whole partitions are moved from staging into the targets, by hard links.

What is promised:
- Until the record stands, targets are untouched, whatever is killed: this process, ClickHouse, or both. What was
  staged is dropped by the first load that finds it idle for a minute.
- From then on the load will be there, completely and once. A failure or a kill amid the moves leaves some days
  visible and the rest not, until the next `load` of whatever file, which completes it before anything else; of the
  same file it then says so and does not load it again. A commit that ClickHouse refuses outright (rights, shape) is
  given up as long as nothing was moved.
- Both files are one load. A file that was loaded before is refused, unless `again` is asked for: then its events are
  there twice, and that is said.

What is not:
- Readers see the days of a load appear one after the other, in milliseconds each, not all in one instant.
- Whether ClickHouse keeps what it acknowledged when the power fails is its setting (`fsync_after_insert`), not ours.
- After ClickHouse itself died amid a move, and only then, the target's parts are asked what arrived. If they have been
  merged away by the time of the next load (minutes later), their rows are: a part counts as arrived if its partition
  grew by at least as many rows and holds each of its rows as often. That errs only where somebody else meanwhile
  wrote as many rows into a partition that held the very same events before.
- Materialized views of a target do not see rows that are moved in; the load says so.
"""

from metrics_platform.loading.load import load
from metrics_platform.loading.problems import LoadError
from metrics_platform.loading.result import LoadedFile, LoadResult

__all__ = ["LoadError", "LoadResult", "LoadedFile", "load"]
