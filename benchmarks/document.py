"""docs/benchmarks.md: what was measured, on what, and what it means."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from metrics_platform.local.clickhouse_engine import installed_version

_PACKAGES = ("dagster", "clickhouse-connect", "pandas", "matplotlib")
_INTRODUCTION = """\
# Benchmarks

How fast the platform is, compared with alternatives in the same run. The figures come from

```sh
.venv/bin/python -m benchmarks all    # or one question: day, users, backfill, check, alert, startup, pictures, growth
```

`all` writes this page. It needs what the tests need (`pip install -e '.[test]'`) and an otherwise idle machine. A
question that was measured again since then says when; its figures were put in by hand.

Seconds are those of one machine; **the ratios are what to look at**. Figures are medians, unless they say otherwise.
"""
# What a question is about, and how to read its answer; {figures} is what was measured.
_SECTIONS = {
    "day": """\
## A day

One day of the feed and the messenger (33 actions for one user, 43 for one message, five known users for one who comes),
computed in several ways on the same server:

- **floor**: one scan that only sums the columns the day needs;
- **platform**: the tables of users and of the report that `daily_etl` computes: two extracts with the attributes of
  every user, the snapshot of all users ever seen, the merged table, three slices, `dimension_metrics`, the report's
  facts and the cohorts, each checked against what it is made of before it is swapped in; once more with less memory
  for a query than 4 GiB;
- **metric_daily**: the rest of `daily_etl`: every metric of the catalogue by every value of eight dimensions, from the
  events;
- **notebook**: per-user frames of three attributes into pandas, outer merge, three times groupby, insert. No snapshot
  (receivers have no attributes), no facts of the report, no check, and rows twice when it is run twice;
- **pandas, same tables**: events into pandas, all of the platform's tables from them, with the same rows; no checks.

{figures}

**What Python holds** is what it reports: a few rows a table. **Memory in ClickHouse** is bounded by
METRICS_CLICKHOUSE_MAX_MEMORY_MB: beyond a quarter of it, grouping and sorting go to disk.

A day of 10 M actions was to take at most 1.8 times the notebook's processor time. All its checks are an eighth of it.
What was tried:

- **Taken**: events grouped by one hash of their texts, which are then looked up by an event of each hash: 0.58 of the
  feed's extract, 0.78 of the messenger's, identical rows. With plain `String` columns a second scan costs as much as
  it saves, so one scan keeps the texts: 0.86. Beyond a million combinations of texts, too.
- **Taken**: rows of users who were not active are copied unchanged into the snapshot, and only the day's users are
  merged with their earlier rows. Before, all users passed a merge of sorted tables, and that was a third of grouping
  them again. The sources are asked once for a table. Distinct users are counted in the source by the extracts' checks
  alone.
- **Without gain**: one hash of all columns and the user; other join algorithms for `users`. `argMax` for each attribute
  saves an eighth of the extract, but of two values in one second it takes either.
- **Not taken**: to extract the day hour by hour while it lasts. The night would be cheap, the day twice as expensive.
- **Not taken**: a base of all users with daily increments instead of a snapshot a day; see [all users](#all-users).
""",
    "users": """\
## All users

What the snapshot of all users costs in a night, beside a plain copy of the one before.

{figures}

Measured with 2 M known and 0.1 M active users (ClickHouse's processor time, identical rows):

| what | seconds |
| --- | ---: |
| a copy of the snapshot, unchanged | 0.58 |
| all users through a merge of sorted tables, as it was | 2.08–2.36 |
| the same through a hash join, nothing written | 1.29 (0.63 of the merge) |
| inactive users copied, active ones merged, each text converted | 1.93 |
| **the same without conversions, as it is** | 1.25–1.55 |
| increments: the active users' earlier rows from a base and six days, nothing written | 0.96 |

- **Not taken**: a base with increments. To know what its active users were before, a night looks them up in the base
  and in each increment since. That and a fold once a week cost as much as the snapshot costs now, and every reader of
  `users` would need a view over both.
- `user_daily` takes only the day's users from the snapshot: 0.62 s instead of 1.18 s.
- Of the snapshot's time, two fifths go into writing rows that did not change.
""",
    "backfill": """\
## A month again

{figures}

The run of a single day executes its steps in one process, a range of days in a process for each step. Measured on
2026-11-30 for a day of 0.6 M actions, both ways at the same time, on two cores that others used heavily (`import
dagster` alone took five times its usual time):

| steps of one day | wall | processor, Python | processes |
| --- | ---: | ---: | ---: |
| in a process each, as it was | 177 s | 31.9 s | 58 |
| **in the run's process** | 100 s | 14.6 s | 5 |

- Of the Python time in one process, a third is Dagster's storing of 160 events, most of them of the 30 checks. A tenth
  was loading the catalogue, and is a fraction of that since then.
- A day's run sends 168 statements to ClickHouse, ten to twelve for each table and 33 for `metric_daily`.
- Not reached for sure: 4.5 s for a run of a small day. It needs an idle machine to be measured.
""",
    "check": """\
## A 15-minute check

The five slots that a check computes and evaluates, with more history and with more events behind them; a check of ten
thousand series; and the SQL of a large slot.

{figures}
""",
    "alert": """\
## From a slot's end to Telegram

A running `dagster dev`, alerts one after the other, each with its chart, to a Bot API server on loopback that answers
at once. Add METRICS_SLOT_LAG_SECONDS to it; Dagster's scheduler wakes up at the second that a schedule is due.

{figures}
""",
    "startup": """\
## Loading the code location

In new processes, in turns, without what Python itself takes. Each run and each restart of a code server pays it.

{figures}
""",
    "pictures": """\
## Pictures

{figures}
""",
    "growth": """\
## What is stored

{figures}
""",
}


@dataclass(frozen=True)
class Section:
    """The answer to one question, in Markdown."""

    question: str
    text: str


def write(path: Path, sections: Sequence[Section], seconds: float) -> None:
    """Write the document."""
    parts = [
        _INTRODUCTION,
        _machine(seconds),
        *(_SECTIONS[each.question].format(figures=each.text) for each in sections),
    ]
    path.write_text("\n".join(parts), encoding="utf-8")


def _machine(seconds: float) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"On {datetime.datetime.now(datetime.UTC):%Y-%m-%d}, in {seconds / 60:.0f} minutes: {os.cpu_count()} cores "
        f"({_processor()}), {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.system()}; Python "
        f"{platform.python_version()}, ClickHouse {installed_version()} (chdb-core), {versions}.\n"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
