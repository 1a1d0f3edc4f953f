"""Load event files into source tables: CSV, gzipped CSV and Parquet, in bounded memory, all or nothing.

`files` reads a file as rows of text and sends them to ClickHouse a few megabytes at a time. There `split_rows.sql` and
`checks.sql` split, convert and check each row once. Good rows go into a staging table, bad ones into a rejects file.
When all files are staged, one record in `load_history` commits them, and their partitions are moved into the targets.

- Until that record exists, the targets are untouched, whatever is killed. A load an hour later drops what was staged.
- From then on, every load first completes what is missing. So a load that was killed during its commit is never
  permanently incomplete or duplicated. A commit that ClickHouse refuses outright (rights, columns) loads nothing.
- A file that was loaded before is refused, even in another format: its rows are compared.
- Readers see the days of a load appear one after the other, milliseconds apart. Materialized views of a target do not
  see moved rows; the load says so.
- If ClickHouse itself dies during a move, a part can be in both tables. The next load then compares rows. That errs
  only where another writer has added as many rows to a partition that held the same events before.
"""

from metrics_platform.loading.files import LoadError
from metrics_platform.loading.jobs import FileLoad, Options, load

__all__ = ["FileLoad", "LoadError", "Options", "load"]
