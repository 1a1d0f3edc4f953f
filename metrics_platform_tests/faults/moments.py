"""The moments of a table's load at which something is killed, by name, and how many of them a test run tries.

By default each step is struck once, at the moment that says most about it, in one test; EXHAUSTIVE_FAULTS=1 also
strikes every step at every moment, each in a test of its own.
"""

from __future__ import annotations

import os

from metrics_platform_tests.faults.proxy import Kind, Moment, Phase
from metrics_platform_tests.faults.world import TABLES

EXHAUSTIVE = os.environ.get("EXHAUSTIVE_FAULTS") == "1"

# In the order in which a step comes by them.
MOMENTS: dict[str, tuple[Phase, Kind]] = {
    "before staging": (Phase.BEFORE, Kind.CREATE),
    "staging created": (Phase.AFTER, Kind.CREATE),
    "staging half filled": (Phase.DURING, Kind.INSERT),
    "staging filled": (Phase.AFTER, Kind.INSERT),
    "staging counted": (Phase.AFTER, Kind.VERIFY),
    "checked and not swapped": (Phase.BEFORE, Kind.SWAP),
    "while swapping": (Phase.DURING, Kind.SWAP),
    "just swapped": (Phase.AFTER, Kind.SWAP),
    "swapped and counted": (Phase.AFTER, Kind.SEEN),
    "before dropping staging": (Phase.BEFORE, Kind.DROP),
    "staging dropped": (Phase.AFTER, Kind.DROP),
}
# The moment that says most about each step, in the order in which a run in one process takes the steps; of the slices,
# which are one step with other columns, one.
TELLING = {
    "feed_user_daily": "staging half filled",
    "users": "checked and not swapped",
    "user_daily": "just swapped",
    "os_slice": "while swapping",
    "dimension_metrics": "before dropping staging",
}
# Each moment separately; by default none, since one test walks through TELLING.
CASES = [(table, name) for table in TABLES for name in MOMENTS] if EXHAUSTIVE else []


def moment(table: str, name: str) -> Moment:
    """The moment of that name of that table; the final table is struck as its second dimension is written."""
    phase, kind = MOMENTS[name]
    several = table == "dimension_metrics" and kind is Kind.INSERT
    return Moment(table, phase, kind, occurrence=2 if several else 1)


def is_published(name: str) -> bool | None:
    """Whether readers see the new day once that moment has come; None: either."""
    if name == "while swapping":
        return None
    return list(MOMENTS).index(name) >= list(MOMENTS).index("just swapped")


def leaves_staging(name: str) -> bool:
    """Whether a run that is killed then leaves its staging table."""
    return name not in ("before staging", "staging dropped")
